// Who answers: the network in this page, or a kernel, or, for networks that no page can run, what was recorded of them.
//
// An engine is
//   { about: { blocks, classes }, pictures: [{ name, address }], size: [height, width] or null, can: { own, scale, look, restart },
//     answer(number, switches) → { image, size, notes, before, after, blocks: [maps] },   probabilities of all classes
//     pixel(block, row, column) → the vectors at a pixel of the last answer,
//     add(pixels, name) → the number of a new picture,
//     watch(tell) → calls tell when the pictures or the answer have changed by themselves }

import { canvasOf, greyed, pixelsOf } from "./files.js";
import { FocalNetwork } from "./network.js";
import { settingsOf } from "./switches.js";
import { untrained } from "./untrained.js";

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

async function loadedImage(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** The network in this page. file: from `readNetwork`. pictures: [{ name, address, … }], read when they are shown. */
class PageEngine {
  constructor(file, pictures) {
    const { header } = file;
    this.trained = new FocalNetwork(file);
    this.fresh = null;
    this.file = file;
    this.network = this.trained;
    this.about = { blocks: header.blocks, classes: header.classes };
    this.size = header.architecture.input_shape.slice(0, 2);
    this.pictures = pictures.map((picture) => ({ ...picture }));
    this.can = { own: true, scale: true, look: true, restart: true };
    this.seen = new Map();
  }

  /** Take the trained weights, or fresh ones. */
  train(trained) {
    this.fresh ??= trained ? null : new FocalNetwork(untrained(this.file));
    this.network = trained ? this.trained : this.fresh;
    this.seen.clear();
  }

  async pixels(number) {
    const picture = this.pictures[number];
    const grey = this.network.header.architecture.input_shape[2] === 1;
    if (!picture.pixels) {
      const read = pixelsOf(await loadedImage(picture.address));
      picture.pixels = { ...(grey ? greyed(read) : read), channels: grey ? 1 : 3 };
    }
    return picture.pixels;
  }

  async answer(number, switches) {
    const pixels = await this.pixels(number);
    if (!this.seen.has(number)) this.seen.set(number, probabilities(this.network.answer(pixels).logits));
    const { logits, blocks } = this.network.answer(pixels, settingsOf(switches));
    this.parts = blocks;
    return {
      image: canvasOf(pixels),
      size: [pixels.height, pixels.width],
      notes: this.pictures[number].notes ?? [],
      before: this.seen.get(number),
      after: probabilities(logits),
      blocks: blocks.map(mapsOf),
    };
  }

  async pixel(block, row, column) {
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

  async add(pixels, name, notes) {
    this.pictures.push({ name, notes, own: true, address: canvasOf(pixels).toDataURL(), pixels: null });
    return this.pictures.length - 1;
  }

  watch() {
    return () => {};
  }
}

/** {shape, values} from 16-bit numbers in base64 times a scale (payload.py). */
function unpack({ shape, scale, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { shape, values: Float32Array.from(new Int16Array(bytes.buffer), (whole) => whole * scale) };
}

function unpackBlock(packed) {
  const gates = unpack(packed.gates);
  const [height, width, levels] = gates.shape;
  const lengths = unpack(packed.contexts).values;
  return { height, width, levels, gates: gates.values, norms: lengths, modulator: unpack(packed.modulator).values };
}

/** What Python sent of a picture (`shown` in widget.py) as an answer. */
async function unpackShown(shown) {
  const image = await loadedImage(shown.image);
  return {
    image,
    size: shown.size,
    notes: shown.notes,
    before: shown.probabilities.before,
    after: shown.probabilities.after,
    blocks: shown.maps.map(unpackBlock),
  };
}

const PART = 1_000_000; // bytes of a picture sent at a time

const sameWords = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** A kernel, behind the traits of widget.py. */
class KernelEngine {
  constructor(model) {
    this.model = model;
    this.about = model.get("about");
    this.size = this.about.size;
    this.can = { own: true, scale: true, look: true, restart: false };
    this.asked = 0;
    this.waiting = new Map();
    model.on("msg:custom", (message) => {
      this.waiting.get(message.id)?.(message.pixel);
      this.waiting.delete(message.id);
    });
  }

  get pictures() {
    const thumbs = this.model.get("thumbs");
    return this.model.get("names").map((name, number) => ({ name, address: thumbs[number] }));
  }

  /** Wait until the kernel has shown this picture under these switches; its words where it cannot. */
  answer(number, switches) {
    const { model } = this;
    const isShown = () => model.get("shown").picture === number && sameWords(model.get("shown").switches, switches);
    if (isShown()) return unpackShown(model.get("shown"));
    this.cancel?.();
    return new Promise((resolve, reject) => {
      const finish = () => {
        const wrong = model.get("message");
        if (!isShown() && !wrong) return;
        this.cancel();
        if (isShown()) resolve(unpackShown(model.get("shown")));
        else reject(new Error(wrong));
      };
      this.cancel = () => ["change:shown", "change:message"].forEach((event) => model.off(event, finish));
      model.on("change:shown", finish);
      model.on("change:message", finish);
    });
  }

  pixel(block, row, column) {
    this.asked += 1;
    const id = this.asked;
    this.model.send({ kind: "pixel", id, block, row, column });
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  /** Send a picture as a PNG, in parts: Jupyter closes a connection whose single message is too large. */
  async add(pixels, name) {
    const blob = await new Promise((resolve) => canvasOf(pixels).toBlob(resolve));
    const data = await blob.arrayBuffer();
    const parts = Math.max(1, Math.ceil(data.byteLength / PART));
    for (let part = 0; part < parts; part++) {
      const bytes = new DataView(data.slice(part * PART, (part + 1) * PART));
      this.model.send({ kind: "upload", name, part, parts }, undefined, [bytes]);
    }
    return null; // its number is the kernel's to say
  }

  watch(tell) {
    const events = ["change:shown", "change:names", "change:thumbs"];
    events.forEach((event) => this.model.on(event, tell));
    return () => events.forEach((event) => this.model.off(event, tell));
  }
}

/** What was recorded of some pictures, and of one switch at a time. */
class RecordedEngine {
  constructor({ about, names, pictures, answers }) {
    this.about = about;
    this.shown = pictures;
    this.answers = answers;
    this.pictures = names.map((name, number) => ({ name, address: pictures[number].image }));
    this.size = about.size;
    this.can = { own: false, scale: false, look: false, restart: false };
  }

  async answer(number, switches) {
    const off = Object.entries(switches).flatMap(([block, modes]) =>
      modes.flatMap((mode, level) => (mode === "on" ? [] : [`${block}/${level}/${mode}`])),
    );
    if (off.length > 1) {
      throw new Error("This page knows the answer to one switch at a time. Put the other one on first, or open the notebook.");
    }
    const shown = await unpackShown(this.shown[number]);
    if (!off.length) return shown;
    const after = shown.before.map(() => 0);
    for (const [label, share] of this.answers[number][off[0]]) after[label] = share;
    return { ...shown, after };
  }

  watch() {
    return () => {};
  }
}

export { KernelEngine, PageEngine, RecordedEngine };
