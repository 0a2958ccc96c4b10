// What takes the time: matrix products, convolutions and the layers between them; with WebAssembly's vectors, else in
// plain JavaScript.
//
// Both kinds of products offer steps, which act on each row of numbers by itself: `matrix`, `norm`, `gelu`; `chain` makes
// one function (x: rows of numbers, rows) → rows of them, or, by the widths in `parts`, a list of them cut apart. And
// functions of maps: `convolution` and `depthwise`.

import { EPSILON, NORMAL, gelu, layerNorm, normalTable, split, windowCounts, windows } from "./layers.js";
import { vectorMachine } from "./simd.js";

const WIDE = 8; // columns of a matrix that are multiplied together
const PAGE = 65536; // bytes by which WebAssembly's memory grows
const BAND = 64; // rows that go through a chain together, so that what they become stays near the processor
const MOST_WINDOWS = 8192; // of a convolution, which are laid out at a time

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

/** Put some columns of `from`, rows of `wide` numbers, into `to` from row `start` on: the `count` from `first` on. */
function cut(from, rows, wide, first, count, to, start = 0) {
  if (wide === count) {
    to.set(from, start * count);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const source = row * wide + first;
    const target = (start + row) * count;
    for (let i = 0; i < count; i++) to[target + i] = from[source + i];
  }
}

/** Where each of some widths begins, one beside the other. */
function begins(widths) {
  return widths.map((_, place) => widths.slice(0, place).reduce((sum, width) => sum + width, 0));
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

const inFours = (count) => 4 * Math.ceil(count / 4);

/** Products by WebAssembly: weights stay in its memory, rows and maps go in and come out. */
class VectorProducts {
  constructor(machine) {
    this.machine = machine;
    this.memory = machine.memory;
    this.used = 0;
    this.table = this.keep(normalTable);
  }

  /** Keep numbers in the memory, for good; where they begin, in bytes. Behind them there is room up to a full vector. */
  keep(values, room = values.length) {
    const start = this.used;
    this.used += 4 * inFours(room);
    this.reach(this.used);
    this.numbers(start, room).set(values);
    return start;
  }

  reach(bytes) {
    const missing = bytes - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
  }

  numbers(start, count) {
    return new Float32Array(this.memory.buffer, start, count);
  }

  /** Places for lists of so many numbers each behind what is kept, until the next call; in bytes. */
  lay(...counts) {
    let end = this.used;
    const places = counts.map((count) => {
      const start = end;
      end += 4 * inFours(count);
      return start;
    });
    this.reach(end);
    return places;
  }

  /** The matrix (inputs, outputs) in panels, and what is added to each row, in the memory. */
  panels(values, bias, inputs, outputs) {
    const packed = panelsOf(values, inputs, outputs);
    const wide = WIDE * Math.ceil(outputs / WIDE);
    return { weights: this.keep(packed), offsets: this.keep(bias, wide), wide };
  }

  /** A Dense layer: a matrix (inputs, outputs) and a bias (outputs). */
  matrix(values, bias, inputs, outputs) {
    const { weights, offsets, wide } = this.panels(values, bias, inputs, outputs);
    const act = (source, stride, target, rows) => {
      const groups = Math.ceil(rows / 4);
      this.machine.product(source, stride, weights, 4 * inputs, target, 4 * wide, groups, offsets, 0, wide / WIDE, 32 * inputs);
    };
    return { outputs, wide, act };
  }

  /** LayerNorm over the channels. */
  norm(gamma, beta) {
    const channels = gamma.length;
    const scale = this.keep(gamma);
    const shift = this.keep(beta);
    const share = 1 / channels;
    const numbers = this.keep(Float32Array.of(share, share, share, share, EPSILON, EPSILON, EPSILON, EPSILON));
    const inVectors = (source, stride, target, rows) =>
      this.machine.norm(target, source, stride, 4 * channels, rows, scale, shift, numbers);
    const byOne = (source, stride, target, rows) => {
      for (let row = 0; row < rows; row++) {
        const normed = layerNorm(this.numbers(source + row * stride, channels), { gamma, beta });
        this.numbers(target + 4 * row * channels, channels).set(normed);
      }
    };
    return { outputs: channels, wide: channels, act: channels % 4 ? byOne : inVectors };
  }

  /** GELU of every number. */
  gelu() {
    const act = (source, stride, target, rows) => this.machine.curve(source, stride * rows, this.table);
    return { inPlace: true, act };
  }

  chain(steps, parts) {
    const { outputs } = steps.findLast((step) => !step.inPlace);
    const widths = parts ?? [outputs];
    const firsts = begins(widths);
    return (x, rows) => {
      const inputs = x.length / rows;
      const widest = Math.max(inputs, ...steps.map(({ wide }) => wide ?? 0));
      const places = this.lay(inFours(BAND) * widest, inFours(BAND) * widest);
      const out = widths.map((width) => new Float32Array(rows * width));
      for (let start = 0; start < rows; start += BAND) {
        const count = Math.min(BAND, rows - start);
        let [here, there] = places;
        let wide = inputs;
        this.numbers(here, count * inputs).set(x.subarray(start * inputs, (start + count) * inputs));
        for (const step of steps) {
          step.act(here, 4 * wide, there, count);
          if (step.inPlace) continue;
          wide = step.wide;
          [here, there] = [there, here];
        }
        const made = this.numbers(here, count * wide);
        out.forEach((part, place) => cut(made, count, wide, firsts[place], widths[place], part, start));
      }
      return parts ? out : out[0];
    };
  }

  /** A map with zeros around it, in the memory at `place`; where its rows begin, and how long they are, in bytes. */
  surround({ height, width, channels, values }, [top, left], [bottom, right], place) {
    const row = (left + width + right) * channels;
    const target = this.numbers(place, (top + height + bottom) * row).fill(0);
    for (let y = 0; y < height; y++) {
      target.set(values.subarray(y * width * channels, (y + 1) * width * channels), (top + y) * row + left * channels);
    }
    return 4 * row;
  }

  /** A function of a map and a window (layers.js) → its convolution by a kernel (size, size, channels, outputs): (pixels, outputs). */
  convolution(kernel, bias, size, channels, outputs) {
    const { weights, offsets, wide } = this.panels(kernel, bias, size * size * channels, outputs);
    const line = size * channels;
    return (map, window) => {
      const { stride, before, after } = window;
      const { height, width } = windowCounts(map, window);
      const rows = before[0] + map.height + after[0];
      const across = before[1] + map.width + after[1];
      const beyond = 4 * stride * channels + line; // what the last four windows may read past the end
      const [source, target] = this.lay(rows * across * channels + beyond, (height * width + 4) * wide);
      const rowBytes = this.surround(map, before, after, source);
      for (let y = 0; y < height; y++) {
        const to = target + 4 * y * width * wide;
        for (let i = 0; i < size; i++) {
          const from = source + (y * stride + i) * rowBytes;
          const begun = i ? [to, 4 * wide] : [offsets, 0];
          const groups = Math.ceil(width / 4);
          this.machine.product(
            from, 4 * stride * channels, weights + 32 * i * line, 4 * line, to, 4 * wide, groups, ...begun, wide / WIDE, 32 * size * line,
          );
        }
      }
      const out = new Float32Array(height * width * outputs);
      cut(this.numbers(target, height * width * wide), height * width, wide, 0, outputs, out);
      return out;
    };
  }

  /** A function of a map → its depthwise convolution by a kernel (size, size, channels), zeros around, then GELU. */
  depthwise(kernel, size, channels) {
    if (channels % 4) return new PlainProducts().depthwise(kernel, size, channels);
    const weights = this.keep(kernel);
    const first = Math.floor((size - 1) / 2);
    const before = [first, first];
    const after = [size - 1 - first, size - 1 - first];
    return (map) => {
      const { height, width, values } = map;
      const padded = (height + size - 1) * (width + size - 1) * channels;
      const [source, target] = this.lay(padded + 4 * channels, values.length + 4 * channels);
      const rowBytes = this.surround(map, before, after, source);
      for (let y = 0; y < height; y++) {
        const to = target + 4 * y * width * channels;
        this.machine.gather(to, source + y * rowBytes, weights, 4 * channels, Math.ceil(width / 4), size, rowBytes);
      }
      this.machine.curve(target, 4 * values.length, this.table);
      return this.numbers(target, values.length).slice();
    };
  }

  /** Σ_ℓ g_ℓ ⊙ zˡ: contexts (pixels, channels), or of one pixel for all, times gates (pixels, levels): (pixels, channels). */
  weighted(contexts, gates, pixels, channels) {
    if (channels % 4) return new PlainProducts().weighted(contexts, gates, pixels, channels);
    const size = pixels * channels;
    const levels = contexts.length;
    const [target, source, factors] = this.lay(size, size, gates.length);
    this.numbers(target, size).fill(0);
    this.numbers(factors, gates.length).set(gates);
    contexts.forEach((context, level) => {
      this.numbers(source, context.length).set(context);
      const step = context.length === size ? 4 * channels : 0;
      this.machine.weigh(target, source, step, factors + 4 * level, 4 * levels, 4 * channels, pixels);
    });
    return this.numbers(target, size).slice();
  }
}

/** The same in plain JavaScript: four columns and two rows of a product at a time, in double precision. */
class PlainProducts {
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
      const out = new Float32Array(rows * outputs);
      cut(result.subarray(0, rows * wide), rows, wide, 0, outputs, out);
      return out;
    };
  }

  norm(gamma, beta) {
    return (x) => layerNorm(x, { gamma, beta });
  }

  gelu() {
    return gelu;
  }

  chain(steps, parts) {
    return (x, rows) => {
      const made = steps.reduce((values, step) => step(values, rows), x);
      return parts ? split(made, parts) : made;
    };
  }

  /** Some rows of windows at a time: all at once would take up more than the map. */
  convolution(kernel, bias, size, channels, outputs) {
    const matrix = this.matrix(kernel, bias, size * size * channels, outputs);
    return (map, window) => {
      const { height, width } = windowCounts(map, window);
      const out = new Float32Array(height * width * outputs);
      const band = Math.ceil(MOST_WINDOWS / width);
      for (let start = 0; start < height; start += band) {
        const end = Math.min(start + band, height);
        const rows = windows(map, window, width, start, end);
        out.set(matrix(rows, (end - start) * width), start * width * outputs);
      }
      return out;
    };
  }

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
      return gelu(out);
    };
  }

  weighted(contexts, gates, pixels, channels) {
    const sum = new Float32Array(pixels * channels);
    const levels = contexts.length;
    contexts.forEach((context, level) => {
      const step = context.length === sum.length ? channels : 0;
      for (let pixel = 0; pixel < pixels; pixel++) {
        const gate = gates[pixel * levels + level];
        for (let c = 0; c < channels; c++) sum[pixel * channels + c] += gate * context[pixel * step + c];
      }
    });
    return sum;
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
  const machine = plain ? null : vectorMachine(NORMAL);
  return machine ? new VectorProducts(machine) : new PlainProducts();
}

export { products };
