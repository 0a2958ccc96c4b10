// Who answers: the network in this page, or a kernel, or, for networks that no page can run, what was recorded of them.
//
// An engine is
//   { about: { blocks, classes, objects }, pictures: [{ name, address }], size: [height, width] or null,
//     can: { own, scale, look, restart },
//     answer(number, switches) → { image, size, notes, before, after, blocks: [maps] }   of results (outcome.js)
//     pixel(block, row, column) → the vectors at a pixel of the last answer,
//     add(pixels, name) → the number of a new picture,
//     watch(tell) → calls tell when the pictures or the answer have changed by themselves }

import { canvasOf, greyed, pixelsOf } from "./files.js";
import { readHeader } from "./weightsfile.js";

const SMALLEST_MAP = 2; // pixels a side of the coarsest map, in which there is something to see

const THUMB = 96; // pixels a side

/** A canvas as an address, reduced. */
function thumbnail(canvas) {
  const scale = Math.min(1, THUMB / Math.max(canvas.width, canvas.height));
  const small = document.createElement("canvas");
  small.width = Math.max(1, Math.round(scale * canvas.width));
  small.height = Math.max(1, Math.round(scale * canvas.height));
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  return small.toDataURL();
}

async function loadedImage(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** Why a question was dropped: a newer one came while others were answered. */
class Superseded extends Error {}

/**
 * The network in this page. buffer: the bytes of its file. helper: who computes with it (helper.js).
 * pictures: [{ name, address, … }], read when they are shown.
 */
class PageEngine {
  constructor(buffer, helper, pictures) {
    const { header } = readHeader(buffer);
    this.helper = helper;
    this.about = { blocks: header.blocks, classes: header.classes, objects: header.decoder?.objects ?? null };
    const { input_shape: shape, patch_size: least } = header.architecture;
    this.grey = shape[2] === 1;
    this.size = shape[0] === null ? null : shape.slice(0, 2);
    this.least = SMALLEST_MAP * least * 2 ** header.blocks[header.blocks.length - 1].stage;
    this.pictures = pictures.map((picture) => ({ ...picture }));
    this.can = { own: true, scale: true, look: true, restart: true };
    this.trained = true;
    this.newest = 0;
    this.before = Promise.resolve();
    this.known = new Set();
  }

  /** Take the trained weights, or fresh ones. */
  train(trained) {
    this.trained = trained;
  }

  /** Pixels as the network reads them, and a canvas of them. */
  readable(pixels) {
    const read = this.grey ? greyed(pixels) : pixels;
    return { pixels: { ...read, channels: this.grey ? 1 : 3 }, canvas: canvasOf(read) };
  }

  async pixels(number) {
    const picture = this.pictures[number];
    if (!picture.pixels) {
      const image = await loadedImage(picture.address);
      Object.assign(picture, this.readable(pixelsOf(image)));
    }
    return picture.pixels;
  }

  /**
   * The answer, once those asked for before are there. Of several that wait only the newest is computed, the others are
   * given up as Superseded; one that is asked for with `stays` is not.
   */
  async answer(number, switches, { tell, stays = false } = {}) {
    const { trained, before } = this;
    if (!stays) this.newest += 1;
    const turn = this.newest;
    const mine = before.then(() => {
      if (!stays && turn !== this.newest) throw new Superseded();
      return this.compute(number, switches, trained, tell);
    });
    this.before = mine.catch(() => {});
    return mine;
  }

  async compute(number, switches, trained, tell) {
    const pixels = await this.pixels(number);
    const sent = this.known.has(number) ? null : pixels;
    const found = await this.helper.ask("answer", { number, pixels: sent, switches, trained }, tell);
    this.known.add(number);
    const { canvas, notes } = this.pictures[number];
    return { image: canvas, size: [pixels.height, pixels.width], notes: notes ?? [], ...found };
  }

  pixel(block, row, column) {
    return this.helper.ask("pixel", { block, row, column });
  }

  async add(pixels, name, notes) {
    const read = this.readable(pixels);
    this.pictures.push({ name, notes, own: true, address: thumbnail(read.canvas), ...read });
    return this.pictures.length - 1;
  }

  watch() {
    return () => {};
  }

  close() {
    this.helper.close();
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

/** Objects (objects.js) from runs of pixels, in reading order: [label, how many, label, how many, …]. */
function unpackObjects({ height, width, runs }) {
  const labels = new Uint16Array(height * width);
  const sizes = [0];
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const [label, count] = [runs[i], runs[i + 1]];
    labels.fill(label, at, at + count);
    if (label) sizes[label] = (sizes[label] ?? 0) + count;
    at += count;
  }
  return { height, width, labels, sizes };
}

/** What Python sent of a picture (`shown` in widget.py) as an answer. */
async function unpackShown(shown) {
  const image = await loadedImage(shown.image);
  return {
    image,
    size: shown.size,
    notes: shown.notes,
    before: shown.objects ? unpackObjects(shown.objects.before) : shown.probabilities.before,
    after: shown.objects ? unpackObjects(shown.objects.after) : shown.probabilities.after,
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

  close() {}
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
    for (const [label, share] of this.answers[number]?.[off[0]] ?? []) after[label] = share;
    return { ...shown, after };
  }

  watch() {
    return () => {};
  }

  close() {}
}

export { KernelEngine, PageEngine, RecordedEngine, Superseded };
