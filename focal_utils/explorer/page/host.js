// The network at work, in a worker or in the page itself: what it says of pictures, and its numbers at a pixel.

import { FocalNetwork } from "./network.js";
import { separated } from "./objects.js";
import { settingsOf } from "./switches.js";
import { untrained } from "./untrained.js";
import { readNetwork } from "./weightsfile.js";

function probabilities(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** The L2 norm of each of `count` vectors in a row. */
function norms(values, count) {
  const channels = values.length / count;
  const lengths = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let c = i * channels; c < (i + 1) * channels; c++) sum += values[c] * values[c];
    lengths[i] = Math.sqrt(sum);
  }
  return lengths;
}

/** What of a block's parts (network.js) is drawn as maps (maps.js). */
function mapsOf({ height, width, channels, gates, contexts, modulator }) {
  const pixels = height * width;
  const levels = contexts.length;
  const lengths = new Float32Array(pixels * levels);
  contexts.forEach((context, level) => {
    const own = norms(context, context.length / channels);
    for (let pixel = 0; pixel < pixels; pixel++) lengths[pixel * levels + level] = own[own.length === 1 ? 0 : pixel];
  });
  return { height, width, levels, gates, norms: lengths, modulator: norms(modulator, pixels) };
}

/** One network, trained and fresh, and the pictures that it was shown. */
class Host {
  /** buffer: the bytes of what network.py writes. */
  constructor(buffer) {
    this.file = readNetwork(buffer);
    this.networks = {};
    this.pictures = new Map();
    this.before = new Map();
    this.parts = null;
  }

  /** The network with its trained weights, or with fresh ones, made when it is first asked for. */
  network(trained) {
    this.networks[trained] ??= new FocalNetwork(trained ? this.file : untrained(this.file));
    return this.networks[trained];
  }

  /** What the network says: the classes' probabilities, or the objects that it finds (objects.js). */
  result(logits) {
    const { decoder } = this.file.header;
    return decoder ? separated(logits, decoder) : probabilities(logits);
  }

  /**
   * The answer to a picture under switches: { before, after, blocks: maps }, `before` with all levels on.
   *
   * pixels: { height, width, channels, values }, or null of a picture that was shown before. tell(share): what is done;
   * tell(share, maps): the maps under switches are there, the objects not yet.
   */
  answer({ number, pixels, switches, trained }, tell) {
    if (pixels) this.pictures.set(number, pixels);
    const picture = this.pictures.get(number);
    const network = this.network(trained);
    const key = `${number} ${trained}`;
    const share = (done) => tell(done);
    if (!this.before.has(key)) this.before.set(key, this.result(network.answer(picture, {}, share).logits));
    let maps = null;
    const early = (done, parts) => {
      maps = parts?.map(mapsOf);
      tell(done, maps);
    };
    const { logits, blocks } = network.answer(picture, settingsOf(switches), early);
    const before = this.before.get(key);
    this.parts = blocks;
    const changed = Object.keys(switches).length > 0;
    return { before, after: changed ? this.result(logits) : before, blocks: maps ?? blocks.map(mapsOf) };
  }

  /** The vectors at a pixel of the last answer. */
  pixel({ block, row, column }) {
    const { width, channels, query, contexts, gates, sum, modulator, product, output } = this.parts[block];
    const pixel = row * width + column;
    const at = (values) => Array.from(values.subarray(pixel * channels, (pixel + 1) * channels));
    return {
      query: at(query),
      contexts: contexts.map((context) => (context.length === channels ? Array.from(context) : at(context))),
      gates: Array.from(gates.subarray(pixel * contexts.length, (pixel + 1) * contexts.length)),
      sum: at(sum),
      modulator: at(modulator),
      product: at(product),
      output: at(output),
    };
  }
}

export { Host };
