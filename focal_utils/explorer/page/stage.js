// The picture and, beside it, the map: both in the same place of the same frame, with the squares of what each level sees.

import { colourOf, hueOf } from "./colours.js";
import { borders, centres, changed } from "./objects.js";
import { isObjects } from "./outcome.js";
import { element, svg } from "./parts.js";
import { mark } from "./words.js";

const SHARP = 160; // pixels: smaller pictures are shown as squares, larger ones smoothly
const LEGIBLE = 0.07; // of the picture's width: a smaller square has no room for its number
const SIGN = 0.012; // of the picture's larger side: half a plus or cross
const CORNERS = [["start", "start"], ["end", "start"], ["end", "end"], ["start", "end"], ["start", "start"]];

/** One frame: something drawn, and the squares over it. */
function frame(label) {
  const canvas = element("canvas", { aria: { hidden: "true" } });
  const squares = svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const marks = element("div", { className: "fx-marks", aria: { hidden: "true" } });
  const objects = svg("svg", { class: "fx-objects", "aria-hidden": "true", preserveAspectRatio: "none" });
  const properties = { className: "fx-stack", tabIndex: 0, role: "application", aria: { label } };
  const root = element("div", properties, canvas, objects, squares, marks);
  return { root, canvas, objects, squares, marks };
}

/** Draw an image on a frame's canvas, pixel for pixel. */
function drawImage({ root, canvas }, image, [height, width]) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(image, 0, 0, width, height);
  root.style.setProperty("--fx-ratio", `${width} / ${height}`);
  canvas.classList.toggle("fx-sharp", Math.max(width, height) <= SHARP);
}

/**
 * Outline what a network finds (objects.js) over the picture: what is found, with a plus what is found anew, and with a
 * cross what no longer is. Of classes there is nothing to outline.
 */
function drawObjects({ objects }, before, after, [height, width]) {
  objects.replaceChildren();
  if (!isObjects(after)) return;
  objects.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const { lost, found } = changed(before, after);
  const line = (name, d) => svg("path", { class: name, d, "vector-effect": "non-scaling-stroke" });
  const outline = borders(after);
  objects.append(line("fx-object-casing", outline), line("fx-object", outline));
  if (lost.size) objects.append(line("fx-object-lost", borders(before, (label) => lost.has(label))));
  const arm = SIGN * Math.max(height, width);
  const cross = ([x, y]) => `M${x - arm} ${y - arm}l${2 * arm} ${2 * arm}M${x + arm} ${y - arm}l${-2 * arm} ${2 * arm}`;
  const plus = ([x, y]) => `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`;
  const signs = (of, numbers, sign) => centres(of).filter((_, number) => numbers.has(number)).map(sign).join("");
  objects.append(line("fx-object-casing", signs(before, lost, cross)), line("fx-object-lost", signs(before, lost, cross)));
  objects.append(line("fx-object-casing", signs(after, found, plus)), line("fx-object-found", signs(after, found, plus)));
}

/** A plane's colours on a canvas, pixel for pixel. */
function rasterise(canvas, plane) {
  canvas.width = plane.width;
  canvas.height = plane.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(plane.width, plane.height);
  plane.values.forEach((value, i) => {
    const [red, green, blue] = colourOf(plane, value);
    image.data[4 * i] = red;
    image.data[4 * i + 1] = green;
    image.data[4 * i + 2] = blue;
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

/** Draw a plane where its map lies on the picture: pixel j covers [first + stride·j, first + stride·(j + 1)). */
function drawPlane({ root, canvas }, plane, { first, stride }, [height, width]) {
  rasterise(canvas, plane);
  canvas.classList.add("fx-sharp");
  root.style.setProperty("--fx-ratio", `${width} / ${height}`);
  const share = (length, whole) => `${(100 * length) / whole}%`;
  canvas.style.left = share(first, width);
  canvas.style.top = share(first, height);
  canvas.style.width = share(stride * plane.width, width);
  canvas.style.height = share(stride * plane.height, height);
}

/** Where a level's square lies in picture pixels, cut at the picture's edge; the global level's is the picture. */
function squareOf({ first, stride, widths }, level, { row, column }, [height, width]) {
  if (level >= widths.length) return { left: 0, top: 0, right: width, bottom: height };
  const x = first + (column + 0.5) * stride;
  const y = first + (row + 0.5) * stride;
  const half = (widths[level] * stride) / 2;
  return {
    left: Math.max(x - half, 0),
    top: Math.max(y - half, 0),
    right: Math.min(x + half, width),
    bottom: Math.min(y + half, height),
  };
}

/** The squares of a block, one for each level in its hue with its number in a corner, and one for the pixel itself. */
function laySquares({ squares, marks }, { levels }) {
  const rect = (attributes) => svg("rect", { "vector-effect": "non-scaling-stroke", ...attributes });
  const made = levels.map((name, level) => {
    const [across, down] = CORNERS[level % CORNERS.length];
    const text = element("span", { textContent: mark(name), className: `fx-at-${across} fx-from-${down}`, dataset: { level } });
    text.style.background = hueOf(name);
    const casing = rect({ class: "fx-casing" });
    const line = rect({ class: "fx-square", stroke: hueOf(name), "data-level": level });
    return { rects: [casing, line], text, across, down };
  });
  const pixel = [rect({ class: "fx-casing" }), rect({ class: "fx-pixel-frame" })];
  squares.replaceChildren(...made.flatMap(({ rects }) => rects), ...pixel);
  marks.replaceChildren(...made.map(({ text }) => text));
  return { made, pixel };
}

function placeRect(node, { left, top, right, bottom }) {
  node.setAttribute("x", left);
  node.setAttribute("y", top);
  node.setAttribute("width", right - left);
  node.setAttribute("height", bottom - top);
}

/** Put the squares of a block around a pixel; that of the level `chosen` is drawn stronger. */
function drawSquares(one, about, pixel, [height, width], chosen) {
  if (one.laid !== about) Object.assign(one, laySquares(one, about), { laid: about });
  one.squares.setAttribute("viewBox", `0 0 ${width} ${height}`);
  one.made.forEach(({ rects, text, across, down }, level) => {
    const square = squareOf(about, level, pixel, [height, width]);
    for (const node of rects) {
      placeRect(node, square);
      node.classList.toggle("fx-chosen", level === chosen);
    }
    text.hidden = level !== chosen && square.right - square.left < LEGIBLE * width;
    text.style.left = `${(100 * (across === "start" ? square.left : square.right)) / width}%`;
    text.style.top = `${(100 * (down === "start" ? square.top : square.bottom)) / height}%`;
  });
  const left = about.first + pixel.column * about.stride;
  const top = about.first + pixel.row * about.stride;
  for (const node of one.pixel) placeRect(node, { left, top, right: left + about.stride, bottom: top + about.stride });
}

/** The map pixel of a block under a place on the picture, in picture pixels. */
function pixelUnder({ first, stride }, { height, width }, { x, y }) {
  const within = (position, count) => Math.min(Math.max(Math.floor((position - first) / stride), 0), count - 1);
  return { row: within(y, height), column: within(x, width) };
}

/** The place of a map pixel's centre on the picture, in picture pixels. */
function centreOf({ first, stride }, { row, column }) {
  return { x: first + (column + 0.5) * stride, y: first + (row + 0.5) * stride };
}

const KEY_STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** The pixel that a key leads to from `pixel` of a map { height, width }; null for other keys. */
function pixelAfter(key, { row, column }, { height, width }) {
  if (key === "Home") return { row, column: 0 };
  if (key === "End") return { row, column: width - 1 };
  if (key === "PageUp") return { row: 0, column };
  if (key === "PageDown") return { row: height - 1, column };
  const step = KEY_STEPS[key];
  if (!step) return null;
  const within = (index, count) => Math.min(Math.max(index, 0), count - 1);
  return { row: within(row + step[0], height), column: within(column + step[1], width) };
}

/**
 * Let a frame be pointed at: `move(place)` while the pointer is over it, `pin(place)` at a click or touch, `key(event)`.
 * Places are in picture pixels; `size()` gives the picture's [height, width].
 */
function listen({ root }, size, { move, pin, key }) {
  const placeOf = ({ clientX, clientY }) => {
    const box = root.getBoundingClientRect();
    const [height, width] = size();
    return { x: ((clientX - box.left) / box.width) * width, y: ((clientY - box.top) / box.height) * height };
  };
  root.onpointermove = (event) => {
    if (event.pointerType === "mouse" || event.buttons) move(placeOf(event), event.pointerType !== "mouse");
  };
  root.onpointerdown = (event) => {
    if (event.pointerType !== "mouse") root.setPointerCapture?.(event.pointerId);
    pin(placeOf(event));
  };
  root.onkeydown = key;
}

export { centreOf, drawImage, drawObjects, drawPlane, drawSquares, frame, listen, pixelAfter, pixelUnder, rasterise, squareOf };
