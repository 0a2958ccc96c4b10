// Colours: one hue for each level, the same in square, bar, map and figure (figures.py), and the ramps of the maps.

// Of the first, second, … level and of the global one; told apart by those who do not see red from green, too.
const LEVELS = ["#e07b00", "#009e73", "#c2569b", "#8c6d31", "#5d6f7e"];
const GLOBAL = "#3b78d8";
const DARK = [12, 12, 14];
const MIDDLE = [118, 118, 122];
const LIGHT = [250, 250, 247];
const SHADES = 256;

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** The hue of a level by its name, "level 1" … or "global". */
function hueOf(level) {
  if (level === "global") return GLOBAL;
  const number = Number(level.replace("level ", "")) - 1;
  return LEVELS[number % LEVELS.length];
}

function between(from, to, share) {
  return from.map((value, i) => Math.round(value + share * (to[i] - value)));
}

/** A colour at `share`, 0…1, of stops [[share, colour], …]. */
function along(stops, share) {
  const next = Math.max(1, stops.findIndex(([place]) => place >= share));
  const [from, low] = stops[next - 1];
  const [to, high] = stops[next];
  return between(low, high, (share - from) / (to - from));
}

/**
 * The shades of a map, from its least value to its largest, each lighter than the one before, so that they are read
 * without colour as well: "signed" from dark over grey at zero to a light tint of the hue, "amount" from dark to it.
 */
function ramp(kind, hue) {
  const colour = hue ? channels(hue) : MIDDLE;
  const tint = between(colour, LIGHT, 0.72);
  const stops =
    kind === "signed"
      ? [[0, DARK], [0.5, MIDDLE], [0.76, between(colour, LIGHT, 0.18)], [1, tint]]
      : [[0, DARK], [0.6, colour], [1, hue ? tint : LIGHT]];
  return Array.from({ length: SHADES }, (_, i) => along(stops, i / (SHADES - 1)));
}

const ramps = {};

/** The colour [red, green, blue] of a value of a plane (maps.js). */
function colourOf({ kind, limit, hue, hues }, value) {
  if (kind === "levels") return channels(hues[value]);
  ramps[kind + hue] ??= ramp(kind, hue);
  const top = limit || 1;
  const share = kind === "signed" ? (value / top + 1) / 2 : value / top;
  return ramps[kind + hue][Math.round(Math.min(Math.max(share, 0), 1) * (SHADES - 1))];
}

export { between, channels, colourOf, hueOf };
