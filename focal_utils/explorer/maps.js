// Maps as Python packed them (shown.py), and their colours.

const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const RED_BLUE = ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"];

/** {shape: [h, w, n], values: Float32Array} from 16-bit numbers in base64 times a scale. */
function unpack({ shape, scale, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { shape, values: Float32Array.from(new Int16Array(bytes.buffer), (whole) => whole * scale) };
}

/** The maps of one block, unpacked. */
function unpackBlock(packed) {
  return { gates: unpack(packed.gates), contexts: unpack(packed.contexts), modulator: unpack(packed.modulator) };
}

/** All values at one pixel of a map. */
function pixelOf({ shape, values }, row, column) {
  const start = (row * shape[1] + column) * shape[2];
  return values.subarray(start, start + shape[2]);
}

function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** What each level contributes at a pixel, |gate| times the L2 norm of its context, as shares that add up to 1. */
function sharesAt(block, row, column) {
  const norms = pixelOf(block.contexts, row, column);
  const contributions = pixelOf(block.gates, row, column).map((gate, level) => Math.abs(gate) * norms[level]);
  const total = contributions.reduce((sum, contribution) => sum + contribution, 0) || 1;
  return contributions.map((contribution) => contribution / total);
}

/** The number of the level that contributes most at a pixel. */
function winnerAt(block, row, column) {
  const shares = sharesAt(block, row, column);
  return shares.indexOf(Math.max(...shares));
}

/**
 * One number for each pixel of a block's map, for a view; how it is coloured; and what its colour bar says. `levels` are
 * the names of all levels that any block has, so that a level has the same colour everywhere.
 */
function plane(block, about, view, level, levels) {
  const [height, width] = block.gates.shape;
  const every = (pick) => Float32Array.from({ length: height * width }, (_, i) => pick(Math.floor(i / width), i % width));
  const name = about.levels[level];
  if (view === "winner") {
    const place = about.levels.map((own) => levels.indexOf(own));
    const values = every((r, c) => place[winnerAt(block, r, c)]);
    return { height, width, kind: "levels", limit: levels.length - 1, label: "level that contributes most", values };
  }
  if (view === "modulator") {
    const label = `modulator m: L2 norm over ${about.channels} channels`;
    return { height, width, kind: "amount", limit: largest(block.modulator.values), label, values: block.modulator.values };
  }
  const map = view === "gate" ? block.gates : block.contexts;
  const kind = view === "gate" ? "signed" : "amount";
  const label = view === "gate" ? `gate g of ${name} (no unit)` : `context z of ${name}: L2 norm over ${about.channels} channels`;
  return { height, width, kind, limit: largest(map.values), label, values: every((r, c) => pixelOf(map, r, c)[level]) };
}

/** The colour [red, green, blue] at `share`, from 0 to 1, of a list of colours. */
function colourAt(colours, share) {
  const place = Math.min(Math.max(share, 0), 1) * (colours.length - 1);
  const index = Math.min(Math.floor(place), colours.length - 2);
  const part = (colour, channel) => parseInt(colour.slice(1 + 2 * channel, 3 + 2 * channel), 16);
  return [0, 1, 2].map((channel) => {
    const low = part(colours[index], channel);
    return Math.round(low + (place - index) * (part(colours[index + 1], channel) - low));
  });
}

/** The colour of a value of a plane. */
function colourOf({ kind, limit }, value) {
  const top = limit || 1;
  return kind === "signed" ? colourAt(RED_BLUE, (value / top + 1) / 2) : colourAt(VIRIDIS, value / top);
}
