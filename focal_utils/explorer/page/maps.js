// Maps: a block's gates, what its levels contribute, and the plane of one number for each pixel that is drawn of them.
//
// A block's maps are { height, width, levels, gates, norms, modulator }: gates and norms (pixels, levels), the latter the
// L2 norms of the contexts; modulator (pixels), its L2 norm.

import { hueOf } from "./colours.js";

function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** All levels' values at one pixel. */
function pixelOf({ width, levels }, values, row, column) {
  const start = (row * width + column) * levels;
  return values.subarray(start, start + levels);
}

/** What each level contributes at a pixel, |gate| times the length of its context, as shares that add up to 1. */
function sharesAt(maps, row, column) {
  const norms = pixelOf(maps, maps.norms, row, column);
  const parts = Array.from(pixelOf(maps, maps.gates, row, column), (gate, level) => Math.abs(gate) * norms[level]);
  const total = parts.reduce((sum, part) => sum + part, 0) || 1;
  return parts.map((part) => part / total);
}

/** The number of the level that contributes most at a pixel. */
function winnerAt(maps, row, column) {
  const shares = sharesAt(maps, row, column);
  return shares.indexOf(Math.max(...shares));
}

/** One number for each pixel of a block's maps, how it is coloured, and what is said of it. */
function plane(maps, about, view, level) {
  const { height, width } = maps;
  const pixels = height * width;
  const name = about.levels[level];
  const pick = (values) => Float32Array.from({ length: pixels }, (_, i) => values[i * maps.levels + level]);
  if (view === "winner") {
    const values = Float32Array.from({ length: pixels }, (_, i) => winnerAt(maps, Math.floor(i / width), i % width));
    const hues = about.levels.map(hueOf);
    return { height, width, values, kind: "levels", limit: hues.length - 1, hues, label: "the level that contributes most" };
  }
  if (view === "modulator") {
    const label = "length of the modulator m";
    return { height, width, values: maps.modulator, kind: "amount", limit: largest(maps.modulator), hue: "", label };
  }
  const hue = hueOf(name);
  if (view === "context") {
    const values = pick(maps.norms);
    return { height, width, values, kind: "amount", limit: largest(values), hue, label: `length of the contexts of ${name}` };
  }
  const values = pick(maps.gates);
  return { height, width, values, kind: "signed", limit: largest(values), hue, label: `gates of ${name}` };
}

/**
 * The pixel that is shown at the start: of the middle of the map and the half with the strongest modulators there the one
 * whose levels have the most even say, so that there is something to see in every term.
 */
function tellingPixel(maps) {
  const { height, width, modulator } = maps;
  const middle = [];
  for (let row = Math.floor(height / 4); row < Math.ceil((3 * height) / 4); row++) {
    for (let column = Math.floor(width / 4); column < Math.ceil((3 * width) / 4); column++) {
      const evenness = sharesAt(maps, row, column).reduce((sum, share) => sum - share * Math.log(share || 1), 0);
      middle.push({ row, column, evenness, strength: modulator[row * width + column] });
    }
  }
  middle.sort((one, other) => other.strength - one.strength);
  const strong = middle.slice(0, Math.ceil(middle.length / 2));
  const { row, column } = strong.reduce((best, pixel) => (pixel.evenness > best.evenness ? pixel : best));
  return { row, column };
}

export { largest, pixelOf, plane, sharesAt, tellingPixel, winnerAt };
