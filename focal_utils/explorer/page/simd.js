// Two loops for WebAssembly's 128-bit vectors, put together here byte by byte: no compiler, and no file to fetch.
//
// `panel` multiplies rows of x by eight columns of a matrix, four rows at a time; `groups` counts fours of rows. In C:
//
//   for (; groups; groups--, x += 4 * stride, out += 4 * outStride)
//     for (row = 0; row < 4; row++) for (column = 0; column < 8; column++)
//       out[row][column] = bias[column] + sum over i of x[row][i] * w[i][column];
//
// with w stored as eight numbers for each i. `tap` adds to `pixels` pixels what one weight of a depthwise kernel makes of
// `pixels` others: out[pixel][c] += x[pixel][c] * w[c]. Lengths and places are in bytes; the numbers are 32-bit floats.
// Opcodes: WebAssembly core specification, section 5.4.

const I32 = 0x7f;
const V128 = 0x7b;
const END = 0x0b;

/** A whole number in the variable-length encoding of the format. */
function leb(value) {
  const low = value & 0x7f;
  const rest = value >>> 7;
  return rest ? [low | 0x80, ...leb(rest)] : [low];
}

const number = (value) => [0x41, value]; // of less than 64, so that one byte holds it
const add = (a, b) => [...a, ...b, 0x6a];
const minus = (a, b) => [...a, ...b, 0x6b];
const times = (a, b) => [...a, ...b, 0x6c];
const less = (a, b) => [...a, ...b, 0x49];
const load = (address, offset = 0) => [...address, 0xfd, 0x00, 2, offset];
const loadSplat = (address) => [...address, 0xfd, 0x09, 2, 0];
const store = (address, value, offset = 0) => [...address, ...value, 0xfd, 0x0b, 2, offset];
const addVectors = (a, b) => [...a, ...b, 0xfd, 0xe4, 0x01];
const timesVectors = (a, b) => [...a, ...b, 0xfd, 0xe6, 0x01];
const repeatWhile = (condition, ...code) => [0x03, 0x40, ...code.flat(), ...condition, 0x0d, 0, END];

/** A function of whole-number `parameters`, with further whole numbers and vectors; `write(get, set)` gives its code. */
function made(parameters, wholes, vectors, write) {
  const names = [...parameters, ...wholes, ...vectors];
  const get = (name) => [0x20, names.indexOf(name)];
  const set = (name, code) => [...code, 0x21, names.indexOf(name)];
  const locals = [2, wholes.length, I32, vectors.length, V128];
  return { parameters: parameters.length, body: [...locals, ...write(get, set), END] };
}

const panel = made(
  ["x", "stride", "w", "width", "out", "outStride", "groups", "bias"],
  ["i", "at", "row"],
  ["b0", "b1", "w0", "w1", "s", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"],
  (get, set) => {
    const rows = [0, 1, 2, 3];
    const start = rows.flatMap((row) => [...set(`a${2 * row}`, get("b0")), ...set(`a${2 * row + 1}`, get("b1"))]);
    const gathered = (sum, weight) => set(sum, addVectors(get(sum), timesVectors(get("s"), get(weight))));
    const gather = rows.flatMap((row) => [
      ...set("s", loadSplat(get("row"))),
      ...gathered(`a${2 * row}`, "w0"),
      ...gathered(`a${2 * row + 1}`, "w1"),
      ...set("row", add(get("row"), get("stride"))),
    ]);
    const inner = repeatWhile(
      less(get("i"), get("width")),
      set("w0", load(get("at"))),
      set("w1", load(get("at"), 16)),
      set("row", add(get("x"), get("i"))),
      gather,
      set("at", add(get("at"), number(32))),
      set("i", add(get("i"), number(4))),
    );
    const finish = rows.flatMap((row) => [
      ...store(get("out"), get(`a${2 * row}`)),
      ...store(get("out"), get(`a${2 * row + 1}`), 16),
      ...set("out", add(get("out"), get("outStride"))),
    ]);
    const outer = repeatWhile(
      get("groups"),
      start,
      set("i", number(0)),
      set("at", get("w")),
      inner,
      finish,
      set("x", add(get("x"), times(get("stride"), number(4)))),
      set("groups", minus(get("groups"), number(1))),
    );
    return [...set("b0", load(get("bias"))), ...set("b1", load(get("bias"), 16)), ...outer];
  },
);

const tap = made(["out", "x", "w", "width", "pixels"], ["i"], ["v"], (get, set) => {
  const next = (name) => set(name, add(get(name), number(16)));
  const inner = repeatWhile(
    less(get("i"), get("width")),
    set("v", timesVectors(load(get("x")), load(add(get("w"), get("i"))))),
    store(get("out"), addVectors(load(get("out")), get("v"))),
    next("out"),
    next("x"),
    next("i"),
  );
  return repeatWhile(get("pixels"), set("i", number(0)), inner, set("pixels", minus(get("pixels"), number(1))));
});

/** The module that exports `panel`, `tap` and `memory`, as bytes. */
function moduleBytes() {
  const text = (word) => [word.length, ...[...word].map((letter) => letter.charCodeAt(0))];
  const section = (kind, content) => [kind, ...leb(content.length), ...content];
  const type = ({ parameters }) => [0x60, parameters, ...Array(parameters).fill(I32), 0];
  const code = ({ body }) => [...leb(body.length), ...body];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, ...type(panel), ...type(tap)]),
    ...section(3, [2, 0, 1]),
    ...section(5, [1, 0, 1]),
    ...section(7, [3, ...text("panel"), 0, 0, ...text("tap"), 0, 1, ...text("memory"), 2, 0]),
    ...section(10, [2, ...code(panel), ...code(tap)]),
  ]);
}

/** `{ panel, tap, memory }`, or null where the browser has no such vectors or forbids WebAssembly. */
function vectorMachine() {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports;
  } catch {
    return null;
  }
}

export { vectorMachine };
