// A network as one file (network.py writes it): eight letters, the header's length, the header as JSON, the weights.

const MAGIC = "FOCALNET";

/** Half-precision numbers as single ones: the exponent moved to its wider place, then rescaled by a power of two. */
function halves(whole) {
  const bits = new Uint32Array(whole.length);
  for (let i = 0; i < whole.length; i++) bits[i] = ((whole[i] & 0x8000) << 16) | ((whole[i] & 0x7fff) << 13);
  const values = new Float32Array(bits.buffer);
  for (let i = 0; i < values.length; i++) values[i] *= 2 ** 112;
  return values;
}

/** Whole numbers of 8 bits times one scale for each entry of the axis `axis`. */
function scaled(whole, shape, axis, scale) {
  const inner = shape.slice(axis + 1).reduce((product, side) => product * side, 1);
  const values = Float32Array.from(whole);
  for (let start = 0, entry = 0; start < values.length; start += inner, entry = (entry + 1) % shape[axis]) {
    for (let i = start; i < start + inner; i++) values[i] *= scale[entry];
  }
  return values;
}

/** The header of a file's bytes (ArrayBuffer), and where the weights begin: { header, start }. */
function readHeader(buffer) {
  const letters = String.fromCharCode(...new Uint8Array(buffer, 0, MAGIC.length));
  if (letters !== MAGIC) throw new Error("This file holds no network of the explorer.");
  const length = new DataView(buffer).getUint32(MAGIC.length, true);
  const start = MAGIC.length + 4;
  return { header: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, start, length))), start: start + length };
}

/**
 * `{ header, weights }` of a file's bytes (ArrayBuffer): weights maps a path ("stem/proj/kernel") to
 * `{ shape, values: Float32Array }`.
 */
function readNetwork(buffer) {
  const { header, start } = readHeader(buffer);
  const weights = {};
  for (const { path, shape, dtype, at, axis, scale } of header.weights) {
    const count = shape.reduce((product, side) => product * side, 1);
    const place = start + at;
    let values = null;
    if (dtype === "float32") values = new Float32Array(buffer.slice(place, place + 4 * count));
    if (dtype === "float16") values = halves(new Uint16Array(buffer.slice(place, place + 2 * count)));
    if (dtype === "int8") values = scaled(new Int8Array(buffer, place, count), shape, axis, scale);
    weights[path] = { shape, values };
  }
  return { header, weights };
}

export { readHeader, readNetwork };
