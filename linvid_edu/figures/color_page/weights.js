/** Return the bytes of a base64 text. */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Read numbers that Python packed: value = scale · integer. */
function unpacked({ scale, data }) {
  return Float64Array.from(new Int16Array(bytes(data).buffer), (integer) => scale * integer);
}

/** Divide weights by Σ |w|; weights that are all 0 stay 0. */
function normalized(weights) {
  const sum = weights.reduce((total, weight) => total + Math.abs(weight), 0);
  return sum > 0 ? weights.map((weight) => weight / sum) : weights;
}

/** Return a function that computes the weights of one row of a map on m known tokens. */
function rowsOf(map, m) {
  const q = unpacked(map.q);
  if (map.similarity === "rows") return (row) => normalized(q.slice(row * m, (row + 1) * m));
  const k = unpacked(map.k);
  const f = k.length / m;
  return (row) => {
    const query = q.subarray(row * f, (row + 1) * f);
    const scores = new Float64Array(m);
    for (let j = 0; j < m; j++) {
      for (let i = 0; i < f; i++) scores[j] += query[i] * k[j * f + i];
    }
    if (map.similarity !== "softmax") return normalized(scores);
    const largest = Math.max(...scores);
    return normalized(scores.map((score) => Math.exp(score - largest)));
  };
}
