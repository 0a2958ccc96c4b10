// The loops that take the time, for WebAssembly's 128-bit vectors, put together here byte by byte: no compiler, and no file
// to fetch. Lengths and places are in bytes; the numbers are 32-bit floats, channels last. Opcodes: WebAssembly core
// specification, section 5.4.
//
//   product   rows of x times a matrix in panels of eight columns, four rows at a time, added to what `start` holds: a
//             bias, the same for each row (startStride 0), or an output begun before
//   gather    a depthwise convolution along a row of a map with zeros around, four pixels at a time
//   norm      LayerNorm of rows; `numbers` holds four times 1 over the channels, and four times epsilon
//   curve     x·Φ(x) in place; `table` holds Φ, and straight lines lead from one entry to the next
//   weigh     out[pixel] += gate[pixel] · x[pixel]

const I32 = 0x7f;
const V128 = 0x7b;
const END = 0x0b;

/** A whole number in the variable-length encoding of the format. */
function leb(value) {
  const low = value & 0x7f;
  const rest = value >>> 7;
  return rest ? [low | 0x80, ...leb(rest)] : [low];
}

const number = (value) => [0x41, ...(value < 64 ? [value] : [(value & 0x7f) | 0x80, value >>> 7])]; // of less than 8192
const everywhere = (value) => [0x43, ...new Uint8Array(Float32Array.of(value).buffer), 0xfd, 0x13];
const add = (a, b) => [...a, ...b, 0x6a];
const minus = (a, b) => [...a, ...b, 0x6b];
const times = (a, b) => [...a, ...b, 0x6c];
const remainder = (a, power) => [...a, ...number(power - 1), 0x71];
const quotient = (a, shift) => [...a, ...number(shift), 0x76];
const less = (a, b) => [...a, ...b, 0x49];
const load = (address, offset = 0) => [...address, 0xfd, 0x00, 2, offset];
const loadSplat = (address, offset = 0) => [...address, 0xfd, 0x09, 2, offset];
const store = (address, value, offset = 0) => [...address, ...value, 0xfd, 0x0b, 2, offset];
const vectors = (code) => (a, b) => [...a, ...b, 0xfd, ...leb(code)];
const addVectors = vectors(0xe4);
const minusVectors = vectors(0xe5);
const timesVectors = vectors(0xe6);
const overVectors = vectors(0xe7);
const leastVectors = vectors(0xe8);
const mostVectors = vectors(0xe9);
const addWholes = vectors(0xae);
const root = (a) => [...a, 0xfd, ...leb(0xe3)];
const truncated = (a) => [...a, 0xfd, ...leb(0xf8)];
const converted = (a) => [...a, 0xfd, ...leb(0xfa)];
const fourfold = (a) => [...a, ...number(2), 0xfd, ...leb(0xab)];
const splatWhole = (a) => [...a, 0xfd, 0x11];
const lane = (a, which) => [...a, 0xfd, 0x1b, which];
const loadPair = (address) => [...address, 0xfd, 0x5d, 2, 0]; // two numbers, zeros behind them
const loadPairLane = (address, a, which) => [...address, ...a, 0xfd, 0x57, 2, 0, which];
const everySecond = (a, b, first) => {
  const bytes = Array.from({ length: 16 }, (_, i) => 8 * (i >> 2) + 4 * first + (i & 3));
  return [...a, ...b, 0xfd, 0x0d, ...bytes];
};
const turned = (a, by) => [...a, ...a, 0xfd, 0x0d, ...Array.from({ length: 16 }, (_, i) => (i + by) % 16)];
const when = (condition, ...code) => [...condition, 0x04, 0x40, ...code.flat(), END];
const repeatWhile = (condition, ...code) => [0x03, 0x40, ...code.flat(), ...condition, 0x0d, 0, END];

/** a·b + c: in one step where the browser has relaxed vectors, which is twice as fast. */
const fused = (relaxed) => (a, b, c) => (relaxed ? [...a, ...b, ...c, 0xfd, ...leb(0x105)] : addVectors(c, timesVectors(a, b)));

/** A function of whole-number `parameters`, with further whole numbers and vectors; `write(get, set)` gives its code. */
function made(parameters, wholes, vectorNames, write) {
  const names = [...parameters, ...wholes, ...vectorNames];
  const get = (name) => [0x20, names.indexOf(name)];
  const set = (name, code) => [...code, 0x21, names.indexOf(name)];
  const locals = [2, wholes.length, I32, vectorNames.length, V128];
  return { parameters: parameters.length, body: [...locals, ...write(get, set), END] };
}

const FOUR = [0, 1, 2, 3];

const product = (multiply) =>
  made(
    ["x", "stride", "w", "width", "out", "outStride", "groups", "start", "startStride", "panels", "panelBytes"],
    ["i", "at", "r0", "r1", "r2", "r3", "from", "to", "begun", "left"],
    ["w0", "w1", "s", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"],
    (get, set) => {
      const begin = FOUR.flatMap((row) => [
        ...set(`r${row}`, row ? add(get(`r${row - 1}`), get("stride")) : get("from")),
        ...set(`a${2 * row}`, load(get("begun"))),
        ...set(`a${2 * row + 1}`, load(get("begun"), 16)),
        ...set("begun", add(get("begun"), get("startStride"))),
      ]);
      const gathered = (sum, weight) => set(sum, multiply(get("s"), get(weight), get(sum)));
      const gather = (input) => [
        ...set("w0", load(get("at"), 32 * input)),
        ...set("w1", load(get("at"), 32 * input + 16)),
        ...FOUR.flatMap((row) => [
          ...set("s", loadSplat(get(`r${row}`), 4 * input)),
          ...gathered(`a${2 * row}`, "w0"),
          ...gathered(`a${2 * row + 1}`, "w1"),
        ]),
      ];
      /** As many inputs at a time, `i` times. */
      const inputs = (count) =>
        when(
          get("i"),
          repeatWhile(
            get("i"),
            FOUR.slice(0, count).flatMap(gather),
            FOUR.flatMap((row) => set(`r${row}`, add(get(`r${row}`), number(4 * count)))),
            set("at", add(get("at"), number(32 * count))),
            set("i", minus(get("i"), number(1))),
          ),
        );
      const finish = FOUR.flatMap((row) => [
        ...store(get("to"), get(`a${2 * row}`)),
        ...store(get("to"), get(`a${2 * row + 1}`), 16),
        ...set("to", add(get("to"), get("outStride"))),
      ]);
      const rows = repeatWhile(
        get("left"),
        begin,
        set("at", get("w")),
        set("i", quotient(get("width"), 4)),
        inputs(4),
        set("i", quotient(remainder(get("width"), 16), 2)),
        inputs(1),
        finish,
        set("from", add(get("from"), times(get("stride"), number(4)))),
        set("left", minus(get("left"), number(1))),
      );
      return repeatWhile(
        get("panels"),
        set("from", get("x")),
        set("to", get("out")),
        set("begun", get("start")),
        set("left", get("groups")),
        rows,
        set("w", add(get("w"), get("panelBytes"))),
        set("out", add(get("out"), number(32))),
        set("start", add(get("start"), number(32))),
        set("panels", minus(get("panels"), number(1))),
      );
    },
  );

const gather = (multiply) =>
  made(
    ["out", "x", "w", "width", "groups", "size", "rowBytes"],
    ["c", "i", "j", "at", "line", "weight", "pixel"],
    ["s", "a0", "a1", "a2", "a3"],
    (get, set) => {
      const pixels = FOUR.flatMap((pixel) => [
        ...set(`a${pixel}`, multiply(load(get("pixel")), get("s"), get(`a${pixel}`))),
        ...set("pixel", add(get("pixel"), get("width"))),
      ]);
      const across = repeatWhile(
        get("j"),
        set("s", load(get("weight"))),
        set("pixel", get("at")),
        pixels,
        set("at", add(get("at"), get("width"))),
        set("weight", add(get("weight"), get("width"))),
        set("j", minus(get("j"), number(1))),
      );
      const down = repeatWhile(
        get("i"),
        set("at", get("line")),
        set("j", get("size")),
        across,
        set("line", add(get("line"), get("rowBytes"))),
        set("i", minus(get("i"), number(1))),
      );
      const finish = FOUR.flatMap((pixel) => [
        ...store(get("pixel"), get(`a${pixel}`)),
        ...set("pixel", add(get("pixel"), get("width"))),
      ]);
      const channels = repeatWhile(
        less(get("c"), get("width")),
        FOUR.flatMap((pixel) => set(`a${pixel}`, everywhere(0))),
        set("weight", add(get("w"), get("c"))),
        set("line", add(get("x"), get("c"))),
        set("i", get("size")),
        down,
        set("pixel", add(get("out"), get("c"))),
        finish,
        set("c", add(get("c"), number(16))),
      );
      const onwards = (name) => set(name, add(get(name), times(get("width"), number(4))));
      return repeatWhile(
        get("groups"),
        set("c", number(0)),
        channels,
        onwards("x"),
        onwards("out"),
        set("groups", minus(get("groups"), number(1))),
      );
    },
  );

const norm = made(
  ["out", "x", "stride", "width", "rows", "gamma", "beta", "numbers"],
  ["i"],
  ["v", "sum", "mean", "scale"],
  (get, set) => {
    const each = (...code) => [
      ...set("i", number(0)),
      ...repeatWhile(less(get("i"), get("width")), set("v", load(add(get("x"), get("i")))), ...code, set("i", add(get("i"), number(16)))),
    ];
    const whole = [
      ...set("sum", addVectors(get("sum"), turned(get("sum"), 8))),
      ...set("sum", addVectors(get("sum"), turned(get("sum"), 4))),
    ];
    const apart = minusVectors(get("v"), get("mean"));
    const scaled = timesVectors(timesVectors(apart, get("scale")), load(add(get("gamma"), get("i"))));
    return repeatWhile(
      get("rows"),
      set("sum", everywhere(0)),
      each(set("sum", addVectors(get("sum"), get("v")))),
      whole,
      set("mean", timesVectors(get("sum"), load(get("numbers")))),
      set("sum", everywhere(0)),
      each(set("v", apart), set("sum", addVectors(get("sum"), timesVectors(get("v"), get("v"))))),
      whole,
      set("scale", root(addVectors(timesVectors(get("sum"), load(get("numbers"))), load(get("numbers"), 16)))),
      set("scale", overVectors(everywhere(1), get("scale"))),
      each(store(add(get("out"), get("i")), addVectors(scaled, load(add(get("beta"), get("i")))))),
      set("x", add(get("x"), get("stride"))),
      set("out", add(get("out"), get("width"))),
      set("rows", minus(get("rows"), number(1))),
    );
  },
);

/** steps, farthest: of the table, from -farthest to farthest. */
const curve = ({ steps, farthest }) =>
  made(
    ["x", "bytes", "table"],
    ["end"],
    ["v", "place", "whole", "pair", "other", "low", "high", "slope", "middle", "last", "first", "begin"],
    (get, set) => {
      const lookUp = [
        ...set("pair", loadPairLane(lane(get("whole"), 1), loadPair(lane(get("whole"), 0)), 1)),
        ...set("other", loadPairLane(lane(get("whole"), 3), loadPair(lane(get("whole"), 2)), 1)),
        ...set("low", everySecond(get("pair"), get("other"), 0)),
        ...set("high", everySecond(get("pair"), get("other"), 1)),
      ];
      const share = minusVectors(get("place"), converted(get("whole")));
      return [
        ...set("end", add(get("x"), get("bytes"))),
        ...set("slope", everywhere(steps / (2 * farthest))),
        ...set("middle", everywhere(steps / 2)),
        ...set("last", everywhere(steps)),
        ...set("first", everywhere(0)),
        ...set("begin", splatWhole(get("table"))),
        ...repeatWhile(
          less(get("x"), get("end")),
          set("v", load(get("x"))),
          set("place", addVectors(timesVectors(get("v"), get("slope")), get("middle"))),
          set("place", mostVectors(leastVectors(get("place"), get("last")), get("first"))),
          set("whole", truncated(get("place"))),
          set("place", share),
          set("whole", addWholes(fourfold(get("whole")), get("begin"))),
          lookUp,
          set("high", minusVectors(get("high"), get("low"))),
          store(get("x"), timesVectors(get("v"), addVectors(get("low"), timesVectors(get("place"), get("high"))))),
          set("x", add(get("x"), number(16))),
        ),
      ];
    },
  );

const weigh = (multiply) =>
  made(["out", "x", "xStride", "gates", "gateStride", "width", "pixels"], ["i", "to"], ["s"], (get, set) => {
    const inner = repeatWhile(
      less(get("i"), get("width")),
      set("to", add(get("out"), get("i"))),
      store(get("to"), multiply(load(add(get("x"), get("i"))), get("s"), load(get("to")))),
      set("i", add(get("i"), number(16))),
    );
    return repeatWhile(
      get("pixels"),
      set("s", loadSplat(get("gates"))),
      set("i", number(0)),
      inner,
      set("x", add(get("x"), get("xStride"))),
      set("gates", add(get("gates"), get("gateStride"))),
      set("out", add(get("out"), get("width"))),
      set("pixels", minus(get("pixels"), number(1))),
    );
  });

/** The module that exports the loops and `memory`, as bytes. */
function moduleBytes(table, relaxed) {
  const multiply = fused(relaxed);
  const loops = { product: product(multiply), gather: gather(multiply), norm, curve: curve(table), weigh: weigh(multiply) };
  const all = Object.values(loops);
  const text = (word) => [word.length, ...[...word].map((letter) => letter.charCodeAt(0))];
  const section = (kind, content) => [kind, ...leb(content.length), ...content];
  const type = ({ parameters }) => [0x60, parameters, ...Array(parameters).fill(I32), 0];
  const code = ({ body }) => [...leb(body.length), ...body];
  const named = Object.keys(loops).flatMap((name, place) => [...text(name), 0, place]);
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [all.length, ...all.flatMap(type)]),
    ...section(3, [all.length, ...all.keys()]),
    ...section(5, [1, 0, 1]),
    ...section(7, [all.length + 1, ...named, ...text("memory"), 2, 0]),
    ...section(10, [all.length, ...all.flatMap(code)]),
  ]);
}

/**
 * The loops and `memory`, or null where the browser has no such vectors or forbids WebAssembly.
 *
 * table: { steps, farthest } of the table that `curve` reads.
 */
function vectorMachine(table) {
  for (const relaxed of [true, false]) {
    try {
      return new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(table, relaxed))).exports;
    } catch {
      // An older browser: the next one, or none.
    }
  }
  return null;
}

export { vectorMachine };
