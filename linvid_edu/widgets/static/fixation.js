/* The FixationExplorer: ratios of a token, of a channel over the frames, and of each layer; a slider forces them.
 *
 * Beside what packing.py writes, the packed meta has layers [[block, span], …] and ratiosAt, where in the bytes the
 * ratios begin: for each layer those of the queries, then those of the keys, (heads t n d), one byte for 0 to 1.
 */

import { layersOf, unpack } from "./packing.js";
import { pictureOf, savePicture } from "./picture.js";
import { measures, tokenWeights } from "./rows.js";
import { choice, colorScale, element, filmStrip, placeOf, tintColor } from "./strip.js";
import { saved } from "./traits.js";

const { state: STATE, sides: SIDES, scales: SCALES, shut: SHUT } = SHARED.fixation;
const HELP = "Click a token, or a cell of the tables. Arrow keys move the token, [ and ] change its frame, space plays.";
const GONE = "The kernel does not answer, so ratios cannot be forced. If it was restarted, run the cell again.";
const FORWARD_MILLISECONDS = 6000; // after which a forward pass counts as lost
const BINS = 20;

export function fixationExplorer(host, { get, set }) {
  const root = element(host, "div", { class: "lv", "data-lm-suppress-shortcuts": "true" });
  const alert = element(root, "div", { class: "lv-alert", role: "alert" });
  const bar = element(root, "div", { class: "lv-controls", role: "group", "aria-label": "What is shown" });
  const forcing = element(root, "div", { class: "lv-controls", role: "group", "aria-label": "Forced ratios" });
  const seen = element(root, "div", { class: "lv-seen" });
  element(root, "p", { class: "lv-hint" }).textContent = HELP;
  let [meta, layers, blocks] = [null, [], null];
  let learned = { layers: [], blocks: null };
  let [film, strips, parts, timer, later, lost] = [null, [], {}, 0, 0, ""];

  function show(newMeta, bytes) {
    const another = newMeta.clip !== meta?.clip;
    clearTimeout(timer);
    lost = "";
    meta = newMeta;
    layers = readLayers(meta, bytes);
    blocks = unpackedBlocks(meta, bytes);
    if (another) {
      learned = { layers, blocks }; // a clip comes with the ratios as learned
      build(bytes);
    }
    update();
  }

  function build(bytes) {
    [film, ...strips].filter(Boolean).forEach((strip) => strip.destroy());
    [bar, forcing, seen].forEach((area) => area.replaceChildren());
    const clip = { pixels: unpack(bytes, meta.pixels), shape: meta.shape, grid: meta.grid, times: meta.times };
    const { heads, d } = layers[0];
    const numbers = (count, mean) => [[null, mean], ...Array.from({ length: count }, (_, i) => [i, `${i}`])];
    parts = {
      layer: choice(bar, "Layer", layers.map(({ block, span }) => [[block, span], `block ${block}, ${span}`])),
      side: choice(bar, "Ratios of", SIDES.map((side) => [side, side])),
      head: choice(bar, "Head", numbers(heads, "mean over heads")),
      channel: choice(bar, "Channel", numbers(d, "mean over channels")),
      scale: choice(bar, "Colors of ratios", SCALES.map((scale) => [scale, scale])),
    };
    for (const [name, control] of Object.entries(parts)) {
      control.addEventListener("change", () => set({ [name]: JSON.parse(control.value) }));
    }
    buildSlider();
    const save = button(bar, "Save PNG");
    save.addEventListener("click", () => savePicture(pictureOf(seen), "fixation.png"));
    parts.place = element(seen, "p", { class: "lv-place lv-print" });
    const onPick = (query) => set({ query });
    film = filmStrip(element(seen, "div", {}), { ...clip, label: "the clip", onPick });
    strips = ["fixation ratio", "attention of the token"].map((title, index) => {
      const section = element(seen, "section", { class: "lv-part" });
      const heading = element(section, "h3", { class: "lv-print" });
      heading.textContent = title;
      const describe = () => parts.place.textContent;
      const strip = filmStrip(element(section, "div", {}), { ...clip, label: title, onPick, describe });
      const scale = colorScale(element(section, "div", {}), index ? "× uniform" : "fixation ratio");
      return Object.assign(strip, { heading, scale });
    });
    const side = element(seen, "div", { class: "lv-panels" });
    parts.tables = SIDES.map((which) => [which, element(wide(side), "table", { class: "lv-ratios" })]);
    [parts.attention, parts.answers] = [1, 2].map(() => element(element(side, "section", {}), "table", {}));
    const all = element(seen, "div", { class: "lv-panels lv-histograms" });
    parts.histograms = layers.map(() => {
      const figure = element(all, "figure", {});
      const canvas = element(figure, "canvas", { width: 320, height: 110, role: "img" });
      return { canvas, caption: element(figure, "figcaption", { class: "lv-print" }) };
    });
  }

  function buildSlider() {
    const wrapped = element(forcing, "label", { class: "lv-force" });
    element(wrapped, "span", {}).textContent = "Force ratios: 0 … learned … 1";
    const limits = { min: "-1", max: "1", step: "0.05", "data-lm-suppress-shortcuts": "true" };
    parts.slider = element(wrapped, "input", { type: "range", ...limits });
    parts.slider.addEventListener("input", () => force({ position: Number(parts.slider.value) }));
    parts.forced = element(forcing, "output", {});
    const only = element(forcing, "label", { class: "lv-check" });
    parts.alone = element(only, "input", { type: "checkbox" });
    only.append(" this layer alone");
    parts.alone.addEventListener("change", () => force({ alone: parts.alone.checked }));
    button(forcing, "Back to learned").addEventListener("click", () => force({ position: 0 }));
    parts.answer = element(forcing, "output", { class: "lv-answer" });
  }

  /* Ask Python for a forward pass. While one runs, the slider moves on, and then only its newest position is sent. */
  let waiting = null;
  function force(change) {
    if (timer) {
      waiting = { ...waiting, ...change };
      return;
    }
    const same = Object.entries(change).every(([name, value]) => get(name) === value);
    if (same) return;
    const runs = "position" in change || get("position") !== 0;
    if (!set(change)) return lose();
    if (runs) timer = setTimeout(lose, FORWARD_MILLISECONDS);
  }
  function arrived() {
    clearTimeout(timer);
    timer = 0;
    const next = waiting;
    waiting = null;
    if (next) force(next);
  }
  function lose() {
    timer = 0;
    waiting = null;
    lost = GONE;
    say();
  }

  const say = () => (alert.textContent = [get("problem"), lost].filter(Boolean).join(" "));

  function button(group, label) {
    const control = element(group, "button", { type: "button" });
    control.textContent = label;
    return control;
  }

  function wide(side) {
    return element(element(side, "section", {}), "div", { class: "lv-wide" });
  }

  function update() {
    say();
    if (!meta) return;
    const state = Object.fromEntries(STATE.map((name) => [name, get(name)]));
    if (!state.query.every((index, axis) => index < [meta.shape[0], ...meta.grid][axis])) return;
    for (const name of ["layer", "side", "head", "channel", "scale"]) parts[name].value = JSON.stringify(state[name]);
    if (!timer) parts.slider.value = state.position;
    parts.alone.checked = state.alone;
    parts.forced.textContent = inWords(state.position);
    parts.answer.textContent = answerInWords(meta);
    const chosen = ({ block, span }) => block === state.layer[0] && span === state.layer[1];
    const layer = layers.find(chosen);
    const ratio = ratioMap(layer, state);
    const [lowest, highest] = rangeOf(ratioMap(learned.layers.find(chosen), state), state.scale);
    const which = [state.head === null ? "mean over heads" : `head ${state.head}`];
    which.push(state.channel === null ? "mean over channels" : `channel ${state.channel}`);
    const outside = ratio.some((value) => value < lowest || value > highest) ? "; some are outside of the color scale" : "";
    strips[0].heading.textContent = `Fixation ratio of the ${state.side}, ${which.join(", ")}${outside}`;
    film.show({ query: state.query });
    strips[0].scale.set(highest, false, lowest);
    const levels = ratio.map((value) => Math.max(0, (value - lowest) / (highest - lowest)));
    strips[0].show({ query: state.query, overlay: levels, top: 1 });
    const token = [state.query[0], state.query[1] * meta.grid[1] + state.query[2]];
    const rows = [learned.blocks, blocks].map((blockOf) =>
      tokenWeights(blockOf(state.layer[0]), "clip", state.head, token, false),
    );
    const top = Math.max(...rows[1]);
    const nothing = top > 0 ? "" : ": no weight on any token";
    strips[1].heading.textContent = `Attention of the token, block ${state.layer[0]}, ${which[0]}${nothing}`;
    strips[1].scale.set(top * rows[1].length);
    strips[1].scale.host.hidden = top === 0;
    strips[1].show({ query: state.query, overlay: top > 0 ? rows[1] : rows[1].fill(NaN), top: top || 1 });
    const place = state.query[0] * layer.n + token[1];
    parts.place.textContent =
      `${meta.source}: ${placeOf(state.query)}, ${state.side} ratio ${ratio[place].toFixed(2)}; ` +
      `ratios are ${inWords(state.position)}`;
    clearTimeout(later); // tables and histograms can wait until the frames are painted
    later = setTimeout(() => {
      for (const [side, table] of parts.tables) fillRatios(table, side, layer, place, state);
      fillAttention(rows);
      fillAnswers();
      layers.forEach((other, index) => drawHistogram(parts.histograms[index], other));
    });
  }

  /* Return the ratio of every token for one head and channel; null is the mean over all of them. */
  function ratioMap(layer, { side, head, channel }) {
    const { heads, t, n, d } = layer;
    const range = (count) => Array.from({ length: count }, (_, i) => i);
    const [chosenHeads, channels] = [head === null ? range(heads) : [head], channel === null ? range(d) : [channel]];
    const ratios = new Float32Array(t * n);
    const scale = 255 * chosenHeads.length * channels.length;
    for (const h of chosenHeads) {
      for (let i = 0; i < t * n; i++) {
        for (const c of channels) ratios[i] += layer[side][(h * t * n + i) * d + c] / scale;
      }
    }
    return ratios;
  }

  function fillRatios(table, side, layer, place, state) {
    const { heads, t, n, d } = layer;
    table.replaceChildren();
    element(table, "caption", { class: "lv-print" }).textContent = `r of the ${side} at this token, head by channel`;
    for (let h = 0; h < heads; h++) {
      const line = element(table, "tr", {});
      element(line, "th", { scope: "row" }).textContent = `${h}`;
      for (let c = 0; c < d; c++) {
        const level = layer[side][(h * t * n + place) * d + c];
        const cell = element(line, "td", {});
        const name = `head ${h}, channel ${c}: ${(level / 255).toFixed(2)}`;
        cell.setAttribute("title", name);
        cell.setAttribute("aria-label", name);
        cell.style.background = `rgb(${tintColor(level / 255)})`;
        if (state.side === side && state.head === h && state.channel === c) cell.className = "lv-chosen";
        cell.addEventListener("click", () => set({ side, head: h, channel: c }));
      }
    }
  }

  function fillAttention(rows) {
    const columns = rows.map((row) => measures(row));
    const line = (name, text) => [name, ...columns.map((numbers) => (numbers.sum > 1e-3 ? text(numbers) : "no weight"))];
    fill(parts.attention, "This token's attention", [
      line("normalized entropy", ({ entropy }) => entropy.toFixed(4)),
      line("effective tokens", ({ effective }) => effective.toFixed(1)),
      line("top 5 % mass", ({ top }) => percent(top, 1)),
    ]);
  }

  /* List the share of every class, those of the answers in bold. */
  function fillAnswers() {
    const shares = [meta.learned, meta.now];
    const name = (index) => meta.classes[index] + (index === meta.truth ? " (truth)" : "");
    const lines = meta.classes.map((_, index) => [name(index), ...shares.map((share) => percent(share[index], 1))]);
    fill(parts.answers, "Answers", lines);
    shares.forEach((share, which) => {
      parts.answers.rows[1 + indexOfLargest(share)].cells[1 + which].classList.add("lv-largest");
    });
  }

  function fill(table, caption, lines) {
    table.replaceChildren();
    element(table, "caption", { class: "lv-print" }).textContent = caption;
    for (const [name, ...cells] of [["", "learned", "now"], ...lines]) {
      const row = element(table, "tr", {});
      element(row, "th", { scope: "row", class: "lv-print" }).textContent = name;
      for (const cell of cells) element(row, "td", { class: "lv-print" }).textContent = cell;
    }
  }

  function drawHistogram({ canvas, caption }, layer) {
    const shares = SIDES.map((side) => histogram(layer[side]));
    const style = getComputedStyle(root);
    const colors = ["--lv-query", "--lv-compared"].map((name) => style.getPropertyValue(name));
    const paint = canvas.getContext("2d");
    paint.clearRect(0, 0, canvas.width, canvas.height);
    const top = Math.max(...shares.flat());
    const width = canvas.width / BINS;
    shares.forEach((share, which) => {
      paint.fillStyle = colors[which];
      share.forEach((ofBin, bin) => {
        const height = (ofBin / top) * (canvas.height - 4);
        paint.fillRect(bin * width + (which * width) / 2, canvas.height - height, width / 2 - 1, height);
      });
    });
    const shut = SIDES.map((side) => countShut(layer, side));
    const total = layer.heads * layer.d;
    const description =
      `block ${layer.block}, ${layer.span}: ratios from 0 to 1, orange query, blue key; shut everywhere ` +
      `(below ${SHUT}): ${shut[0]} of ${total} query channels, ${shut[1]} of ${total} key channels`;
    caption.textContent = description;
    canvas.setAttribute("aria-label", description);
  }

  /* Count the channels that are shut for every token of the clip. */
  function countShut({ heads, t, n, d, ...layer }, side) {
    const highest = new Uint8Array(heads * d);
    layer[side].forEach((level, i) => {
      const at = Math.floor(i / (t * n * d)) * d + (i % d);
      if (level > highest[at]) highest[at] = level;
    });
    return highest.filter((level) => level < 255 * SHUT).length;
  }

  return {
    show,
    update,
    arrived,
    destroy() {
      [timer, later].forEach(clearTimeout);
      [film, ...strips].filter(Boolean).forEach((strip) => strip.destroy());
      root.remove();
    },
  };
}

/* Return a function from a block's index to its layers, which it unpacks when they are first needed. */
function unpackedBlocks(meta, bytes) {
  const unpacked = [];
  return (index) => (unpacked[index] ??= layersOf(meta.models[0].blocks[index], bytes));
}

function readLayers(meta, bytes) {
  let at = bytes.byteOffset + meta.ratiosAt;
  return meta.layers.map(([block, span]) => {
    const [heads, t, n, d] = meta.models[0].blocks[block][span].q.shape;
    const [query, key] = [0, 1].map(() => {
      at += heads * t * n * d;
      return new Uint8Array(bytes.buffer, at - heads * t * n * d, heads * t * n * d);
    });
    return { block, span, heads, t, n, d, query, key };
  });
}

function histogram(levels) {
  const shares = new Array(BINS).fill(0);
  for (const level of levels) shares[Math.min(BINS - 1, Math.floor((level / 255) * BINS))] += 1 / levels.length;
  return shares;
}

/* Return the lowest and the highest ratio of a color scale; if all learned ratios are equal, 0 and 1. */
function rangeOf(learned, scale) {
  const [lowest, highest] = [Math.min(...learned), Math.max(...learned)];
  return scale === SCALES[0] && highest - lowest > 1e-3 ? [lowest, highest] : [0, 1];
}

const percent = (share, digits) => `${(100 * share).toFixed(digits)} %`;

const indexOfLargest = (shares) => shares.indexOf(Math.max(...shares));

/* Name the answer, and whether it is right if the class of the clip is known. */
export function answerInWords({ classes, now, truth }) {
  const best = indexOfLargest(now);
  const answer = `answer: ${classes[best]} ${percent(now[best], 0)}`;
  if (truth === null) return answer;
  return best === truth ? `${answer} ✓ (the truth)` : `${answer} ✗ (truth: ${classes[truth]})`;
}

function inWords(position) {
  if (!position) return "as learned";
  const percent = Math.round(100 * Math.abs(position));
  if (percent === 100) return position > 0 ? "all 1, as without fixation" : "all 0, shut";
  return position > 0 ? `${percent} % of the way to 1` : `${percent} % of the way to 0`;
}

async function render({ model, el }) {
  const explorer = fixationExplorer(el, {
    get: (name) => model.get(name),
    set: (changes) => saved(model, changes),
  });
  async function load() {
    const name = model.get("packed");
    if (!name) return;
    const packed = await model.widget_manager.get_model(name.replace("IPY_MODEL_", ""));
    const { buffer, byteOffset, byteLength } = packed.get("data");
    explorer.show(packed.get("meta"), new Uint8Array(buffer, byteOffset, byteLength));
    explorer.arrived();
  }
  model.on("change:packed", load);
  for (const name of [...STATE, "problem"]) model.on(`change:${name}`, explorer.update);
  explorer.update();
  await load();
  return () => explorer.destroy();
}

export default { render };
