// A FocalNet in the page: its forward pass on one picture, with gates that can be switched, frozen and scaled on the way.
// It follows models/focalnet.py and layers/ step by step; the names are those of the Keras layers.

import { pixelLogits } from "./decoder.js";
import { gelu, layerNorm, meanOver, softmax, split, windowCounts, windows } from "./layers.js";
import { products } from "./products.js";

const DECODER = 0.5; // times the work of the blocks: about a decoder's
const MOST_WINDOWS = 8192; // of a convolution, which are laid out at a time
const OVERLAPPING = { 4: [7, 2], 2: [3, 1], 1: [3, 1] }; // stride: kernel size, padding

/** How a level is set: its gate `times` a number, and, if `frozen`, its mean over the picture in every pixel's place. */
const ON = { times: 1, frozen: false };

const isOn = ({ times, frozen }) => times === 1 && !frozen;

/** Whether two lists of settings ask for the same. */
function sameSettings(one, other) {
  return one.every((setting, level) => setting.times === other[level].times && setting.frozen === other[level].frozen);
}

class FocalNetwork {
  /** header, weights: from `readNetwork`. plain: whether to do without WebAssembly. */
  constructor({ header, weights }, { plain = false } = {}) {
    this.header = header;
    this.weights = weights;
    this.products = products(plain);
    this.matrices = {};
    this.last = null;
  }

  /** The Dense layer at `path` on rows of numbers; its matrix is made ready when it is first asked for. */
  dense(path, values, rows) {
    this.matrices[path] ??= this.prepare(path);
    return this.matrices[path](values, rows);
  }

  prepare(path) {
    const { shape, values } = this.weights[`${path}/kernel`];
    const outputs = shape[shape.length - 1];
    const bias = this.weights[`${path}/bias`]?.values ?? new Float32Array(outputs);
    return this.products.matrix(values, bias, values.length / outputs, outputs);
  }

  depthwise(path, map) {
    const { shape, values } = this.weights[`${path}/kernel`];
    this.matrices[path] ??= this.products.depthwise(values, shape[0], shape[2]);
    return this.matrices[path](map);
  }

  /** A convolution of a map, some rows at a time: its windows all at once would take up more than the map. */
  convolve(path, map, window) {
    const { height, width } = windowCounts(map, window);
    const channels = this.weights[`${path}/kernel`].shape[3];
    const values = new Float32Array(height * width * channels);
    const band = Math.ceil(MOST_WINDOWS / width);
    for (let start = 0; start < height; start += band) {
      const end = Math.min(start + band, height);
      const rows = windows(map, window, width, start, end);
      values.set(this.dense(path, rows, (end - start) * width), start * width * channels);
    }
    return { height, width, channels, values };
  }

  norm(path, values) {
    const gamma = this.weights[`${path}/gamma`].values;
    const beta = this.weights[`${path}/beta`].values;
    return layerNorm(values, { gamma, beta });
  }

  /** Raw pixels, 0…255, as the network's first layer makes them. */
  preprocess({ height, width, channels, values }) {
    const { kind, epsilon, scale, offset } = this.header.preprocessing ?? {};
    const out = Float32Array.from(values);
    if (kind === "per_image") {
      let mean = 0;
      for (const value of out) mean += value / out.length;
      let variance = 0;
      for (const value of out) variance += (value - mean) ** 2 / out.length;
      const deviation = Math.sqrt(variance + epsilon);
      for (let i = 0; i < out.length; i++) out[i] = (out[i] - mean) / deviation;
    }
    if (kind === "rescaling") {
      for (let i = 0; i < out.length; i++) out[i] = out[i] * scale[i % channels] + offset[i % channels];
    }
    return { height, width, channels, values: out };
  }

  /** PatchEmbed: a strided convolution, then LayerNorm. */
  embed(path, wide, stride) {
    const { use_conv_embed: overlap, pad_to_stride: fill } = this.header.architecture;
    const [size, before] = overlap ? OVERLAPPING[stride] : [stride, 0];
    const after = fill ? size - 1 - before : before;
    const map = this.convolve(`${path}/proj`, wide, { size, stride, before: [before, before], after: [after, after] });
    return { ...map, values: this.norm(`${path}/norm`, map.values) };
  }

  /** Contexts from near to far, zˡ = GELU(DWConv(zˡ⁻¹)), then the global one, which has one pixel. */
  contexts(path, z) {
    const { context, global_context: withGlobal } = this.header.architecture;
    const found = [];
    for (let level = 1; this.weights[`${path}/level_${level}/kernel`]; level++) {
      const source = context !== "parallel" && level > 1 ? { ...z, values: found[level - 2] } : z;
      found.push(gelu(this.depthwise(`${path}/level_${level}`, source)));
    }
    if (context === "top") return found.slice(-1);
    const last = found.length ? { ...z, values: found[found.length - 1] } : z;
    return withGlobal ? [...found, gelu(meanOver(last))] : found;
  }

  /** The gates as the settings want them: (pixels, levels). */
  gates(logits, levels, settings) {
    const { gating } = this.header.architecture;
    let gates = logits;
    if (gating === "softmax") gates = softmax(logits, levels);
    if (gating === "none") gates = logits.map(() => 1);
    if (settings.every(isOn)) return gates;
    const means = meanOver({ height: gates.length / levels, width: 1, channels: levels, values: gates });
    return gates.map((gate, i) => {
      const { times, frozen } = settings[i % levels];
      return times * (frozen ? means[i % levels] : gate);
    });
  }

  /** Σ_ℓ g_ℓ ⊙ zˡ: (pixels, channels). */
  aggregate(contexts, gates, pixels, channels) {
    const levels = contexts.length;
    const sum = new Float32Array(pixels * channels);
    contexts.forEach((context, level) => {
      const everywhere = context.length === channels && pixels > 1; // the global context is one pixel, for all
      for (let pixel = 0; pixel < pixels; pixel++) {
        const gate = gates[pixel * levels + level];
        const source = everywhere ? 0 : pixel * channels;
        const target = pixel * channels;
        for (let c = 0; c < channels; c++) sum[target + c] += gate * context[source + c];
      }
    });
    if (this.header.architecture.normalize_modulator) sum.forEach((value, i) => (sum[i] = value / levels));
    return sum;
  }

  /** q ⊙ m, or q + m, and the LayerNorm that some networks have behind it: (pixels, channels). */
  modulate(path, query, modulator) {
    const { modulate, use_postln_in_modulation: normed } = this.header.architecture;
    const joined = new Float32Array(query.length);
    for (let i = 0; i < joined.length; i++) joined[i] = modulate === "add" ? query[i] + modulator[i] : query[i] * modulator[i];
    return normed ? this.norm(`${path}/norm`, joined) : joined;
  }

  /** What focal modulation gathers of a map before any gate acts: query (pixels, channels), contexts, gates' logits. */
  gather(path, map, levels) {
    const { height, width, channels, values } = map;
    const [query, z, logits] = split(this.dense(`${path}/f`, values, height * width), [channels, channels, levels]);
    return { query, logits, contexts: this.contexts(`${path}/contextualize`, { height, width, channels, values: z }) };
  }

  /** Focal modulation of a map, from what was gathered of it: the numbers on the way, and `output` (pixels, channels). */
  modulation(path, { height, width, channels }, { query, contexts, logits }, settings) {
    const pixels = height * width;
    const gates = this.gates(logits, settings.length, settings);
    const sum = this.aggregate(contexts, gates, pixels, channels);
    const modulator = this.dense(`${path}/h`, sum, pixels);
    const product = this.modulate(path, query, modulator);
    const output = this.dense(`${path}/proj`, product, pixels);
    return { height, width, channels, query, contexts, gates, sum, modulator, product, output };
  }

  /** One residual step: x + γ·branch(LN(x)), or, with norms behind, x + γ·LN(branch(x)). */
  residual(path, number, map, branch) {
    const after = this.header.architecture.use_postln;
    const norm = (values) => this.norm(`${path}/norm${number}`, values);
    const made = after ? norm(branch(map.values)) : branch(norm(map.values));
    const gamma = this.weights[`${path}/scale${number}/gamma`]?.values ?? new Float32Array(map.channels).fill(1);
    const values = new Float32Array(map.values.length);
    for (let start = 0; start < values.length; start += map.channels) {
      for (let c = 0; c < map.channels; c++) values[start + c] = map.values[start + c] + gamma[c] * made[start + c];
    }
    return { ...map, values };
  }

  /** A FocalBlock: { map, parts, gathered }. `known`: what `gather` gave for this map before, or null. */
  block(path, map, settings, known) {
    let parts = null;
    let gathered = known;
    const mixed = this.residual(path, 1, map, (values) => {
      gathered ??= this.gather(`${path}/modulation`, { ...map, values }, settings.length);
      parts = this.modulation(`${path}/modulation`, map, gathered, settings);
      return parts.output;
    });
    const pixels = map.height * map.width;
    const mlp = (values) => this.dense(`${path}/mlp/fc2`, gelu(this.dense(`${path}/mlp/fc1`, values, pixels)), pixels);
    return { map: this.residual(path, 2, mixed, mlp), parts, gathered };
  }

  /** The map that block `number` reads: behind the stem, behind a downsampling, or just what the block before gave. */
  entrance(number, map, pixels) {
    const stage = this.header.blocks[number].stage;
    if (number === 0) return this.embed("stem", pixels, this.header.architecture.patch_size);
    const before = this.header.blocks[number - 1].stage;
    return stage > before ? this.embed(`stage${stage}_downsample`, map, 2) : map;
  }

  /** The classifier on the last map: logits, or null where the network has none. */
  classified(map) {
    if (!this.header.architecture.include_top) return null;
    const normed = { ...map, values: this.norm("norm", map.values) };
    return this.dense("head", meanOver(normed), 1);
  }

  /** About which share of the work the first `count` blocks are. */
  share(count) {
    const work = this.header.blocks.map(({ stage, channels }) => channels ** 2 / 4 ** stage);
    const all = work.reduce((sum, one) => sum + one, 0);
    const done = work.slice(0, count).reduce((sum, one) => sum + one, 0);
    return done / (this.header.decoder ? all * (1 + DECODER) : all);
  }

  /** The last map of each stage, finest first. */
  stages(steps) {
    const { blocks } = this.header;
    return steps.filter((_, number) => blocks[number].stage !== blocks[number + 1]?.stage).map(({ map }) => map);
  }

  /**
   * The network's answer to a picture { height, width, channels, values: 0…255 }.
   *
   * settings: { block's name: [{ times, frozen }, …] }; a block that is not named has all levels on. What lies before the
   * first block whose settings have changed since the last call, for the same picture, is not computed again, nor what
   * that block gathers before its gates act. tell(share) is called on the way, 0…1.
   *
   * Returns { logits, blocks }: of the classes, or, with a decoder, a map of them (decoder.js); and for each block what
   * `modulation` gives.
   */
  answer(picture, settings = {}, tell = () => {}) {
    const asked = this.header.blocks.map(({ name, levels }) => settings[name] ?? levels.map(() => ON));
    const last = this.last?.picture === picture ? this.last : { picture, pixels: this.preprocess(picture), steps: [] };
    const changed = last.steps.findIndex((step, number) => !sameSettings(step.settings, asked[number]));
    if (changed < 0 && last.steps.length) return last.answer;
    const steps = last.steps.slice(0, Math.max(changed, 0));
    const known = last.steps[changed];
    for (let number = steps.length; number < asked.length; number++) {
      const entered = number === changed ? known.entered : this.entrance(number, steps[number - 1]?.map, last.pixels);
      const gathered = number === changed ? known.gathered : null;
      steps.push({ settings: asked[number], entered, ...this.block(this.header.blocks[number].name, entered, asked[number], gathered) });
      tell(this.share(number + 1));
    }
    const end = steps[steps.length - 1].map;
    const logits = this.header.decoder ? pixelLogits(this, this.stages(steps), last.pixels) : this.classified(end);
    const answer = { logits, blocks: steps.map(({ parts }) => parts) };
    this.last = { ...last, steps, answer };
    return answer;
  }
}

export { FocalNetwork, ON, isOn };
