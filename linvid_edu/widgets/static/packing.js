/* Read arrays that widgets/packing.py packed: one array of bytes, and a description of where each array lies in it.
 *
 * The place of an array is { kind, at, shape }. Kinds are "uint8", "float32", "float16", and "scaled": one byte for each
 * number of a (heads t n d) array, with a lowest value and a step for each channel of each head, which are arrays of
 * kind "float32".
 */

const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
});

/* Read one array; every kind but "uint8" becomes a Float32Array. */
export function unpack(bytes, { kind, at, shape, low, step }) {
  const count = shape.reduce((a, b) => a * b, 1);
  const from = bytes.byteOffset + at;
  const aligned = (Type) => new Type(bytes.buffer.slice(from, from + count * Type.BYTES_PER_ELEMENT));
  if (kind === "uint8") return aligned(Uint8Array);
  if (kind === "float32") return aligned(Float32Array);
  if (kind === "float16") return converted(aligned(Uint16Array), (bits) => HALVES[bits]);
  const [lows, steps, levels] = [unpack(bytes, low), unpack(bytes, step), aligned(Uint8Array)];
  const [, t, n, d] = shape;
  return converted(levels, (level, i) => {
    const channel = Math.floor(i / (t * n * d)) * d + (i % d);
    return lows[channel] + level * steps[channel];
  });
}

/* Read the layers of one block, as rows.js takes them. */
export function layersOf(block, bytes) {
  return Object.fromEntries(
    Object.entries(block).map(([span, { similarity, q, k, z }]) => {
      const [heads, t, n, d] = q.shape;
      return [span, { span, similarity, heads, t, n, d, q: unpack(bytes, q), k: unpack(bytes, k), z: unpack(bytes, z) }];
    }),
  );
}

function converted(numbers, convert) {
  const result = new Float32Array(numbers.length);
  for (let i = 0; i < numbers.length; i++) result[i] = convert(numbers[i], i);
  return result;
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
