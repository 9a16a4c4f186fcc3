/* Attention weights of one token, computed where they are shown, in O(N·d): no N × N map anywhere.
 *
 * A layer is { span, similarity, heads, t, n, d, q, k, z }. q and k are what its attention receives, (heads t n d), and z
 * is the normalizer of each query, (heads t n), which only columns (key ← queries) read: Σ_j q·k_j + eps for "linear"
 * attention, and the logarithm of Σ_j exp(q·k_j / √d) for "softmax" attention. For "product", where q and k are the
 * factors of a rival's map, z·(q·k) is the weight itself, which may be negative. A token is [frame, location].
 *
 * The equations are those of LayerTrace in models/trace.py and of attention/measures.py; a test compares the numbers.
 */

/* Weights of one token on all tokens of the clip, (t n), NaN where the map does not reach.
 *
 * block    { time, space } or { joint }
 * span     "time" or "space" for the map of one layer, "clip" for both composed, or for the joint map
 * head     null is the mean over heads
 * inward   false: query → keys, the row of the token; true: key ← queries, its column, what each query gives it
 * known    the only frame that a row of a color model reaches; null for other models
 */
export function tokenWeights(block, span, head, token, inward, known = null) {
  const { heads, t, n } = block.joint || block.space;
  const chosen = head === null ? Array.from({ length: heads }, (_, index) => index) : [head];
  const mean = new Float32Array(t * n).fill(span === "clip" ? 0 : NaN);
  for (const index of chosen) {
    const weights = span === "clip" ? clipWeights(block, index, token, inward) : new Float32Array(t * n).fill(NaN);
    if (span !== "clip") fill(weights, block[span], index, token, inward);
    for (let i = 0; i < mean.length; i++) {
      if (!Number.isNaN(weights[i])) mean[i] = (mean[i] || 0) + weights[i] / chosen.length;
    }
  }
  if (known !== null && !inward) mean.forEach((_, i) => Math.floor(i / n) !== known && (mean[i] = NaN));
  return mean;
}

/* Joint attention as it is, divided attention composed: a(t', n') = A_space(n, n') · A_time[n'](t, t'). */
function clipWeights(block, head, [frame, location], inward) {
  const { t, n } = block.joint || block.space;
  const weights = new Float32Array(t * n);
  if (block.joint) fill(weights, block.joint, head, [frame, location], inward);
  else if (inward) {
    const overTime = groupWeights(block.time, head, [frame, location], true); // of its location's frames to this one
    for (let other = 0; other < t; other++) {
      const overSpace = groupWeights(block.space, head, [other, location], true);
      for (let i = 0; i < n; i++) weights[other * n + i] = overSpace[i] * overTime[other];
    }
  } else {
    const overSpace = groupWeights(block.space, head, [frame, location], false);
    for (let i = 0; i < n; i++) {
      const overTime = groupWeights(block.time, head, [frame, i], false);
      for (let other = 0; other < t; other++) weights[other * n + i] = overSpace[i] * overTime[other];
    }
  }
  return weights;
}

function fill(weights, layer, head, token, inward) {
  const { start, step } = groupOf(layer, token);
  groupWeights(layer, head, token, inward).forEach((weight, i) => (weights[start + i * step] = weight));
}

/* The tokens that attend to each other: one frame, one location, or the whole clip. */
function groupOf({ span, t, n }, [frame, location]) {
  if (span === "space") return { start: frame * n, step: 1, count: n };
  return span === "time" ? { start: location, step: n, count: t } : { start: 0, step: 1, count: t * n };
}

/* Weights between one token and its group: its row, or with `inward` its column. */
function groupWeights(layer, head, token, inward) {
  const { t, n, d, similarity, z } = layer;
  const softmax = similarity === "softmax";
  const { start, step, count } = groupOf(layer, token);
  const [one, others] = inward ? [layer.k, layer.q] : [layer.q, layer.k];
  const base = head * t * n;
  const own = (base + token[0] * n + token[1]) * d;
  const weights = new Float64Array(count);
  for (let i = 0, at = (base + start) * d; i < count; i++, at += step * d) {
    let sum = 0;
    for (let c = 0; c < d; c++) sum += one[own + c] * others[at + c];
    weights[i] = softmax ? sum / Math.sqrt(d) : sum;
  }
  if (similarity === "product") {
    for (let i = 0; i < count; i++) weights[i] *= inward ? z[base + start + i * step] : z[own / d];
    return weights;
  }
  if (inward) {
    for (let i = 0; i < count; i++) {
      const normalizer = z[base + start + i * step];
      weights[i] = softmax ? Math.exp(weights[i] - normalizer) : weights[i] / normalizer;
    }
    return weights;
  }
  let [highest, total] = [-Infinity, softmax ? 0 : SHARED.eps];
  for (let i = 0; i < count; i++) highest = Math.max(highest, weights[i]);
  for (let i = 0; i < count; i++) total += weights[i] = softmax ? Math.exp(weights[i] - highest) : weights[i];
  for (let i = 0; i < count; i++) weights[i] /= total;
  return weights;
}

/* How concentrated weights are, NaN left out: H / ln m, e^H, the mass of the largest 5 %, and of each mask. If weights are
 * negative, all of these are of the shares |a_j| / Σ |a_j|.
 *
 * masks   name → Uint8Array (t n), 1 on the object
 * Returns { tokens, sum, size, negative, entropy, effective, top, on: name → { mass, share } }: size is Σ |a_j|, negative
 * the share of it below 0, and on…share what uniform weights give.
 */
export function measures(weights, masks = {}) {
  const reached = weights.filter((weight) => !Number.isNaN(weight));
  const p = Float64Array.from(reached, Math.abs).sort();
  const sum = reached.reduce((a, b) => a + b, 0);
  const size = p.reduce((a, b) => a + b, 0);
  let entropy = 0;
  let top = 0;
  for (const weight of p) if (weight > 0) entropy -= (weight / size) * Math.log(weight / size);
  for (const weight of p.subarray(p.length - Math.ceil(0.05 * p.length - 1e-9))) top += weight / size;
  const on = {};
  for (const [name, mask] of Object.entries(masks)) {
    on[name] = { mass: 0, share: 0 };
    for (let i = 0; i < weights.length; i++) {
      if (!mask[i] || Number.isNaN(weights[i])) continue;
      on[name].mass += Math.abs(weights[i]) / size;
      on[name].share += 1 / p.length;
    }
  }
  const [normalized, negative] = [entropy / Math.log(Math.max(p.length, 2)), size > 0 ? (size - sum) / (2 * size) : 0];
  return { tokens: p.length, sum, size, negative, entropy: normalized, effective: Math.exp(entropy), top, on };
}
