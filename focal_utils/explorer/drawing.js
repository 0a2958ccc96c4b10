// What is drawn: the picture, the map over it, the squares of what each level sees, and the colour bar.

const CANVAS_SIDE = 448; // pixels of the screen, at most, where a picture pixel is a whole number of them

/** Screen pixels for each picture pixel. */
function zoomFor([height, width]) {
  return Math.max(1, Math.floor(CANVAS_SIDE / Math.max(height, width)));
}

/** A plane as a small canvas, one pixel of it for each pixel of the map. */
function rasterise(plane) {
  const canvas = document.createElement("canvas");
  canvas.width = plane.width;
  canvas.height = plane.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(plane.width, plane.height);
  plane.values.forEach((value, i) => image.data.set([...colourOf(plane, value), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draw the picture, and the plane over it where its map lies: pixel j covers [first + stride·j, first + stride·(j + 1)). */
function drawPicture(canvas, image, plane, about, { opacity, smooth }) {
  const zoom = zoomFor([image.height, image.width]);
  canvas.width = image.width * zoom;
  canvas.height = image.height * zoom;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = smooth && plane.kind !== "levels"; // between two levels there is no third
  const corner = about.first * zoom;
  const side = about.stride * zoom;
  context.drawImage(rasterise(plane), corner, corner, plane.width * side, plane.height * side);
}

/** A dashed black line on white: seen on any picture. */
function outline(context, left, top, width, height) {
  for (const [colour, thick, dash] of [["white", 4, []], ["black", 2, [6, 4]]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.setLineDash(dash);
    context.strokeRect(left, top, width, height);
  }
  context.setLineDash([]);
}

/** Draw the map pixel pointed at, and around it the square that each level sees; the global one is the frame. */
function drawSquares(canvas, zoom, about, point) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!point) return;
  const side = about.stride * zoom;
  const centreX = about.first * zoom + (point.column + 0.5) * side;
  const centreY = about.first * zoom + (point.row + 0.5) * side;
  context.font = "12px sans-serif";
  about.levels.forEach((name, level) => {
    const seen = level < about.widths.length ? about.widths[level] * side : null;
    const left = seen === null ? 2 : Math.max(centreX - seen / 2, 2);
    const top = seen === null ? 2 : Math.max(centreY - seen / 2, 2);
    const right = seen === null ? canvas.width - 2 : Math.min(centreX + seen / 2, canvas.width - 2);
    const bottom = seen === null ? canvas.height - 2 : Math.min(centreY + seen / 2, canvas.height - 2);
    outline(context, left, top, right - left, bottom - top);
    const text = seen === null ? "global" : String(level + 1);
    const wide = context.measureText(text).width + 6;
    const atRight = level % 4 === 1 || level % 4 === 2; // each level's number in a corner of its own: they do not collide
    const atBottom = level % 4 > 1;
    const x = atRight ? right - wide : left;
    const y = atBottom ? bottom - 15 : top;
    context.fillStyle = "white";
    context.fillRect(x, y, wide, 15);
    context.fillStyle = "black";
    context.fillText(text, x + 3, y + 12);
  });
  context.fillStyle = "white";
  context.fillRect(centreX - 4, centreY - 4, 8, 8);
  context.fillStyle = "black";
  context.fillRect(centreX - 2, centreY - 2, 4, 4);
}

/** Fill the colour bar's canvas, and return the words under it, from left to right. */
function drawColourBar(canvas, plane, levels) {
  const context = canvas.getContext("2d");
  const low = plane.kind === "signed" ? -plane.limit : 0;
  for (let x = 0; x < canvas.width; x++) {
    let value = low + ((plane.limit - low) * x) / (canvas.width - 1);
    if (plane.kind === "levels") value = Math.min(Math.floor(((plane.limit + 1) * x) / canvas.width), plane.limit);
    context.fillStyle = `rgb(${colourOf(plane, value).join(",")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
  if (plane.kind === "levels") return levels;
  return plane.kind === "signed" ? [low.toFixed(2), "0", plane.limit.toFixed(2)] : ["0", plane.limit.toFixed(2)];
}
