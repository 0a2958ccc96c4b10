// A FocalNet in the page: its forward pass on one picture, with gates that can be switched, frozen and scaled on the way.
// It follows models/focalnet.py and layers/ step by step; the names are those of the Keras layers.

import { pixelLogits } from "./decoder.js";
import { gelu, meanOver, softmax, windowCounts } from "./layers.js";
import { products } from "./products.js";

const DECODER = 0.5; // times the work of the blocks: about a decoder's
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
    this.ready = {};
    this.kept = new WeakMap();
    this.last = null;
  }

  /** What of the products is made ready for the weights at `path` when it is first asked for. */
  prepared(path, make) {
    this.ready[path] ??= make(this.weights[`${path}/kernel`]);
    return this.ready[path];
  }

  bias(path, outputs) {
    return this.weights[`${path}/bias`]?.values ?? new Float32Array(outputs);
  }

  /** One step of a chain: the LayerNorm or the Dense layer at `path`, or "gelu". */
  step(path) {
    if (path === "gelu") return this.products.gelu();
    const gamma = this.weights[`${path}/gamma`];
    if (gamma) return this.products.norm(gamma.values, this.weights[`${path}/beta`].values);
    const { shape, values } = this.weights[`${path}/kernel`];
    const outputs = shape[shape.length - 1];
    return this.products.matrix(values, this.bias(path, outputs), values.length / outputs, outputs);
  }

  /** Layers, one behind the other, on rows of numbers, each by itself; by the widths in `parts` cut into a list. */
  through(paths, values, rows, parts = null) {
    const chain = this.prepared(paths.join(" "), () => this.products.chain(paths.map((path) => this.step(path)), parts));
    return chain(values, rows);
  }

  /** What was made of `source` is not made again, as long as there is this source. */
  once(source, make) {
    if (!this.kept.has(source)) this.kept.set(source, make());
    return this.kept.get(source);
  }

  /** Contexts of the next level, zˡ = GELU(DWConv(zˡ⁻¹)), from those of the one before, a map. */
  context(path, map) {
    const next = this.prepared(path, ({ shape, values }) => this.products.depthwise(values, shape[0], shape[2]));
    return next(map);
  }

  /** A convolution of a map. */
  convolve(path, map, window) {
    const convolution = this.prepared(path, ({ shape, values }) => {
      const [size, , channels, outputs] = shape;
      return this.products.convolution(values, this.bias(path, outputs), size, channels, outputs);
    });
    const channels = this.weights[`${path}/kernel`].shape[3];
    return { ...windowCounts(map, window), channels, values: convolution(map, window) };
  }

  norm(path, values) {
    return this.through([path], values, values.length / this.weights[`${path}/gamma`].values.length);
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

  /** Contexts from near to far, then the global one, which has one pixel. */
  contexts(path, z) {
    const { context, global_context: withGlobal } = this.header.architecture;
    const found = [];
    for (let level = 1; this.weights[`${path}/level_${level}/kernel`]; level++) {
      const source = context !== "parallel" && level > 1 ? { ...z, values: found[level - 2] } : z;
      found.push(this.context(`${path}/level_${level}`, source));
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
    const sum = this.products.weighted(contexts, gates, pixels, channels);
    if (this.header.architecture.normalize_modulator) for (let i = 0; i < sum.length; i++) sum[i] /= contexts.length;
    return sum;
  }

  /** q ⊙ m, or q + m, and the LayerNorm that some networks have behind it: (pixels, channels). */
  modulate(path, query, modulator) {
    const { modulate, use_postln_in_modulation: normed } = this.header.architecture;
    const joined = new Float32Array(query.length);
    if (modulate === "add") for (let i = 0; i < joined.length; i++) joined[i] = query[i] + modulator[i];
    else for (let i = 0; i < joined.length; i++) joined[i] = query[i] * modulator[i];
    return normed ? this.norm(`${path}/norm`, joined) : joined;
  }

  /**
   * What focal modulation gathers of a map, behind the layers `before`, before any gate acts: query (pixels, channels),
   * contexts, gates' logits.
   */
  gather(path, map, levels, before) {
    const { height, width, channels, values } = map;
    const parts = [channels, channels, levels];
    const [query, z, logits] = this.through([...before, `${path}/f`], values, height * width, parts);
    return { query, logits, contexts: this.contexts(`${path}/contextualize`, { height, width, channels, values: z }) };
  }

  /** Focal modulation of a map, from what was gathered of it: the numbers on the way, and `output` (pixels, channels). */
  modulation(path, { height, width, channels }, { query, contexts, logits }, settings) {
    const pixels = height * width;
    const gates = this.gates(logits, settings.length, settings);
    const sum = this.aggregate(contexts, gates, pixels, channels);
    const modulator = this.through([`${path}/h`], sum, pixels);
    const product = this.modulate(path, query, modulator);
    const output = this.through([`${path}/proj`], product, pixels);
    return { height, width, channels, query, contexts, gates, sum, modulator, product, output };
  }

  /**
   * One residual step: x + γ·branch(LN(x)), or, with norms behind, x + γ·LN(branch(x)). branch(layers to go first) gives
   * numbers of its own, which the sum takes the place of, unless they are to be `kept`.
   */
  residual(path, number, map, branch, kept = false) {
    const norm = `${path}/norm${number}`;
    const made = this.header.architecture.use_postln ? this.norm(norm, branch([])) : branch([norm]);
    const gamma = this.weights[`${path}/scale${number}/gamma`]?.values ?? new Float32Array(map.channels).fill(1);
    const values = kept ? new Float32Array(made.length) : made;
    for (let start = 0; start < values.length; start += map.channels) {
      for (let c = 0; c < map.channels; c++) values[start + c] = map.values[start + c] + gamma[c] * made[start + c];
    }
    return { ...map, values };
  }

  /** A FocalBlock: { map, parts, gathered }. `known`: what `gather` gave for this map before, or null. */
  block(path, map, settings, known) {
    let parts = null;
    let gathered = known;
    const mixed = this.residual(path, 1, map, (before) => {
      gathered ??= this.gather(`${path}/modulation`, map, settings.length, before);
      parts = this.modulation(`${path}/modulation`, map, gathered, settings);
      return parts.output;
    }, true);
    const mlp = [`${path}/mlp/fc1`, "gelu", `${path}/mlp/fc2`];
    const left = this.residual(path, 2, mixed, (before) => this.through([...before, ...mlp], mixed.values, map.height * map.width));
    return { map: left, parts, gathered };
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
    return this.through(["head"], meanOver(normed), 1);
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
   * that block gathers before its gates act. tell(share) is called on the way, 0…1; with a decoder, whose work is long,
   * tell(share, blocks) before it begins.
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
    const blocks = steps.map(({ parts }) => parts);
    if (this.header.decoder) tell(this.share(blocks.length), blocks);
    const end = steps[steps.length - 1].map;
    const logits = this.header.decoder ? pixelLogits(this, this.stages(steps), last.pixels) : this.classified(end);
    const answer = { logits, blocks };
    this.last = { ...last, steps, answer };
    return answer;
  }
}

export { FocalNetwork, ON, isOn };
