// Matrix products and depthwise convolutions, which take the time: with WebAssembly's vectors, else in plain JavaScript.

import { vectorMachine } from "./simd.js";

const WIDE = 8; // columns of a matrix that are multiplied together
const PAGE = 65536; // bytes by which WebAssembly's memory grows

/** The matrix (inputs, outputs) in panels of eight columns, zeros where the last one is not full: (panels, inputs, 8). */
function panelsOf(values, inputs, outputs) {
  const panels = Math.ceil(outputs / WIDE);
  const packed = new Float32Array(panels * inputs * WIDE);
  for (let input = 0; input < inputs; input++) {
    for (let output = 0; output < outputs; output++) {
      const panel = Math.floor(output / WIDE);
      packed[(panel * inputs + input) * WIDE + (output % WIDE)] = values[input * outputs + output];
    }
  }
  return packed;
}

/** Rows of `from`, each `wide` numbers, of which the first `narrow` are kept. */
function narrowed(from, rows, wide, narrow) {
  const kept = new Float32Array(rows * narrow);
  for (let row = 0; row < rows; row++) kept.set(from.subarray(row * wide, row * wide + narrow), row * narrow);
  return kept;
}

/** The runs of pixels that one weight of a depthwise kernel joins: `run(target, source, weight, pixels)`, in pixels. */
function eachRun(height, width, size, run) {
  const before = Math.floor((size - 1) / 2);
  for (let y = 0; y < height; y++) {
    for (let i = Math.max(0, before - y); i < Math.min(size, height + before - y); i++) {
      for (let j = 0; j < size; j++) {
        const shift = j - before;
        const start = Math.max(0, -shift);
        const pixels = Math.min(width, width - shift) - start;
        if (pixels > 0) run(y * width + start, (y + i - before) * width + start + shift, i * size + j, pixels);
      }
    }
  }
}

/** Products by WebAssembly: matrices stay in its memory, rows go in and come out. */
class VectorProducts {
  constructor({ panel, tap, memory }) {
    this.panel = panel;
    this.tap = tap;
    this.memory = memory;
    this.used = 0;
  }

  /** Take `count` numbers of the memory, for good; where they begin, in bytes. */
  take(count) {
    const start = this.used;
    this.used += 16 * Math.ceil(count / 4);
    this.reach(this.used);
    return start;
  }

  reach(bytes) {
    const missing = bytes - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
  }

  numbers(start, count) {
    return new Float32Array(this.memory.buffer, start, count);
  }

  /** A function (x: (rows, inputs), rows) → (rows, outputs) for a matrix (inputs, outputs) and a bias (outputs). */
  matrix(values, bias, inputs, outputs) {
    const packed = panelsOf(values, inputs, outputs);
    const wide = WIDE * Math.ceil(outputs / WIDE);
    const weights = this.take(packed.length);
    const offsets = this.take(wide);
    this.numbers(weights, packed.length).set(packed);
    this.numbers(offsets, wide).set(bias);
    return (x, rows) => {
      const groups = Math.ceil(rows / 4);
      const source = this.used;
      const target = source + 16 * groups * inputs;
      this.reach(target + 16 * groups * wide);
      this.numbers(source, rows * inputs).set(x);
      for (let column = 0; column < wide; column += WIDE) {
        const panel = weights + 4 * column * inputs;
        this.panel(source, 4 * inputs, panel, 4 * inputs, target + 4 * column, 4 * wide, groups, offsets + 4 * column);
      }
      const result = this.numbers(target, rows * wide);
      return wide === outputs ? result.slice() : narrowed(result, rows, wide, outputs);
    };
  }

  /** A function of a map → its depthwise convolution by a kernel (size, size, channels), zeros around. */
  depthwise(kernel, size, channels) {
    if (channels % 4) return new PlainProducts().depthwise(kernel, size, channels);
    const weights = this.take(kernel.length);
    this.numbers(weights, kernel.length).set(kernel);
    const bytes = 4 * channels;
    return ({ height, width, values }) => {
      const source = this.used;
      const target = source + 4 * values.length;
      this.reach(target + 4 * values.length);
      this.numbers(source, values.length).set(values);
      const out = this.numbers(target, values.length).fill(0);
      eachRun(height, width, size, (to, from, weight, pixels) => {
        this.tap(target + to * bytes, source + from * bytes, weights + weight * bytes, bytes, pixels);
      });
      return out.slice();
    };
  }
}

/** The same in plain JavaScript: four columns and two rows of a product at a time, in double precision. */
class PlainProducts {
  depthwise(kernel, size, channels) {
    return ({ height, width, values }) => {
      const out = new Float32Array(values.length);
      eachRun(height, width, size, (target, source, weight, pixels) => {
        const shift = (source - target) * channels;
        for (let pixel = target; pixel < target + pixels; pixel++) {
          const start = pixel * channels;
          for (let c = 0; c < channels; c++) out[start + c] += values[start + shift + c] * kernel[weight * channels + c];
        }
      });
      return out;
    };
  }

  matrix(values, bias, inputs, outputs) {
    const wide = WIDE * Math.ceil(outputs / WIDE);
    const packed = Float64Array.from(panelsOf(values, inputs, outputs));
    const offsets = new Float64Array(wide);
    offsets.set(bias);
    return (x, rows) => {
      const result = new Float32Array((rows + 1) * wide);
      const source = new Float64Array((rows + 1) * inputs);
      source.set(x);
      for (let column = 0; column < wide; column += 4) {
        const panel = Math.floor(column / WIDE) * inputs * WIDE + (column % WIDE);
        for (let row = 0; row < rows; row += 2) quarter(source, row, inputs, packed, panel, offsets, column, result, wide);
      }
      return narrowed(result, rows, wide, outputs);
    };
  }
}

/** Two rows times four columns. */
function quarter(x, row, inputs, w, panel, offsets, column, out, wide) {
  let a0 = offsets[column];
  let a1 = offsets[column + 1];
  let a2 = offsets[column + 2];
  let a3 = offsets[column + 3];
  let b0 = a0;
  let b1 = a1;
  let b2 = a2;
  let b3 = a3;
  let at = panel;
  const first = row * inputs;
  const second = first + inputs;
  for (let i = 0; i < inputs; i++) {
    const u = x[first + i];
    const v = x[second + i];
    a0 += u * w[at];
    a1 += u * w[at + 1];
    a2 += u * w[at + 2];
    a3 += u * w[at + 3];
    b0 += v * w[at];
    b1 += v * w[at + 1];
    b2 += v * w[at + 2];
    b3 += v * w[at + 3];
    at += WIDE;
  }
  const place = row * wide + column;
  out.set([a0, a1, a2, a3], place);
  out.set([b0, b1, b2, b3], place + wide);
}

/** The fastest products that this browser has; `plain` asks for those in plain JavaScript. */
function products(plain = false) {
  const machine = plain ? null : vectorMachine();
  return machine ? new VectorProducts(machine) : new PlainProducts();
}

export { products };
