// A reader's own picture: from a file to the pixels that a network reads. All of it happens here, in the page.

const MOST_BYTES = 50_000_000;
const MOST_PIXELS = 100_000_000;
const MOST_SIDE = 16_384; // of a canvas in today's browsers
const WORKING_PIXELS = 1_048_576; // larger pictures are reduced to so many at once

/** What a file is by its first bytes, whatever its name says: "png", "jpeg", …, or null. */
function kindOf(bytes) {
  const starts = (...wanted) => wanted.every((byte, i) => byte === null || bytes[i] === byte);
  const text = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
  if (starts(0x89, 0x50, 0x4e, 0x47)) return "png";
  if (starts(0xff, 0xd8, 0xff)) return "jpeg";
  if (text(0, 4) === "GIF8") return "gif";
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") return "webp";
  if (text(4, 8) === "ftypavif") return "avif";
  if (text(0, 2) === "BM") return "bmp";
  if (/<svg|<\?xml/i.test(text(0, 300))) return "svg";
  return null;
}

/** Width and height that a PNG or GIF file states, before anything of it is unpacked; null for other kinds. */
function statedSize(kind, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === "png" && bytes.length > 24) return [view.getUint32(16), view.getUint32(20)];
  if (kind === "gif" && bytes.length > 10) return [view.getUint16(6, true), view.getUint16(8, true)];
  if (kind === "jpeg") return jpegSize(view);
  return null;
}

/** The size in a JPEG's frame header, found by going from marker to marker. */
function jpegSize(view) {
  let at = 2;
  while (at + 9 < view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

function refuseSize(name, width, height) {
  if (width * height <= MOST_PIXELS && Math.max(width, height) <= MOST_SIDE) return;
  throw new Error(`${name} has ${width}×${height} pixels, more than can be opened here: reduce it first.`);
}

/**
 * A file as a canvas of at most `most` pixels, and what was done to it.
 *
 * Throws an Error whose message says in words what is wrong: no picture, too large, damaged.
 */
async function readPicture(file, most = WORKING_PIXELS) {
  const name = file.name || "The picture";
  if (file.size > MOST_BYTES) {
    const size = (file.size / 1e6).toFixed(0);
    throw new Error(`${name} has ${size} MB, over the limit of ${MOST_BYTES / 1e6} MB: reduce it first.`);
  }
  const head = new Uint8Array(await file.slice(0, 65_536).arrayBuffer());
  const kind = kindOf(head);
  if (kind === "svg") throw new Error(`${name} is a drawing (SVG), which can hold scripts: save it as PNG first.`);
  if (kind === null) throw new Error(`${name} is not an image that can be read here: use a PNG, JPEG, GIF or WebP file.`);
  const stated = statedSize(kind, head);
  if (stated) refuseSize(name, ...stated);
  const bitmap = await decoded(file, name);
  refuseSize(name, bitmap.width, bitmap.height);
  const scale = Math.min(1, Math.sqrt(most / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const notes = kind === "gif" ? ["If it is animated, this is its first frame."] : [];
  if (laidOnWhite(context, canvas)) notes.push("Its transparent parts were laid on white.");
  return { canvas, notes };
}

async function decoded(file, name) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${name} is damaged or cut short: save or fetch it again.`);
  }
}

/** Lay what is transparent on white; whether there was any. */
function laidOnWhite(context, { width, height }) {
  const { data } = context.getImageData(0, 0, width, height);
  let glass = false;
  for (let i = 3; i < data.length && !glass; i += 4) glass = data[i] < 255;
  if (!glass) return false;
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  return true;
}

/** The largest frame of the shape height:width, in the middle of a picture: { left, top, width, height }. */
function centralFrame(picture, height, width) {
  const scale = Math.min(picture.height / height, picture.width / width);
  const frame = { width: scale * width, height: scale * height };
  return { ...frame, left: (picture.width - frame.width) / 2, top: (picture.height - frame.height) / 2 };
}

/** For each of `count` new pixels: where its old ones begin, and how much each of them counts. */
function taps(start, length, count, old) {
  const scale = length / count;
  const support = Math.max(1, scale);
  return Array.from({ length: count }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.ceil(centre - support - 0.5));
    const last = Math.min(old - 1, Math.floor(centre + support - 0.5));
    const weights = [];
    for (let at = first; at <= last; at++) weights.push(Math.max(0, 1 - Math.abs(at + 0.5 - centre) / support));
    const total = weights.reduce((sum, weight) => sum + weight, 0) || 1;
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/**
 * A frame of a picture at another size: bilinear, and as wide as the old pixels need where it is reduced, so that fine
 * lines do not flicker (as Pillow resizes).
 *
 * picture: { width, height, values } of 3 channels. Returns the same of the wanted size, values a Uint8ClampedArray.
 */
function resized(picture, frame, height, width) {
  const across = taps(frame.left, frame.width, width, picture.width);
  const down = taps(frame.top, frame.height, height, picture.height);
  const rows = new Float32Array(picture.height * width * 3);
  for (let y = 0; y < picture.height; y++) {
    across.forEach(({ first, weights }, x) => {
      weights.forEach((weight, i) => {
        const from = (y * picture.width + first + i) * 3;
        const to = (y * width + x) * 3;
        for (let c = 0; c < 3; c++) rows[to + c] += weight * picture.values[from + c];
      });
    });
  }
  const values = new Uint8ClampedArray(height * width * 3);
  down.forEach(({ first, weights }, y) => {
    for (let x = 0; x < 3 * width; x++) {
      const sum = weights.reduce((total, weight, i) => total + weight * rows[(first + i) * width * 3 + x], 0);
      values[y * width * 3 + x] = Math.round(sum);
    }
  });
  return { height, width, values };
}

/** The pixels of a canvas or image: { height, width, values } of 3 channels. */
function pixelsOf(source) {
  const canvas = document.createElement("canvas");
  canvas.width = source.naturalWidth ?? source.width;
  canvas.height = source.naturalHeight ?? source.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const values = new Uint8ClampedArray(canvas.width * canvas.height * 3);
  for (let i = 0; i < canvas.width * canvas.height; i++) values.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { height: canvas.height, width: canvas.width, values };
}

/** Pixels of 1 or 3 channels as a canvas of the same size. */
function canvasOf({ height, width, values }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const channels = values.length / (height * width);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = values[channels * i + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Three channels as their mean, as Python does it for a network that reads grey pictures. */
function greyed({ height, width, values }) {
  const grey = new Uint8ClampedArray(height * width);
  for (let i = 0; i < grey.length; i++) grey[i] = Math.round((values[3 * i] + values[3 * i + 1] + values[3 * i + 2]) / 3);
  return { height, width, values: grey };
}

export { canvasOf, centralFrame, greyed, pixelsOf, readPicture, resized };
