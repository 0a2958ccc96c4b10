// The state in the page's address, behind "#explorer?": every view is a link. Nothing else of the address is touched.

const MARK = "#explorer?";

/** Modes as text: "0.1:off,2.0:mean,3.1:1.5", block and level by number. */
function writeSwitches(switches, blocks) {
  const number = new Map(blocks.map(({ name }, i) => [name, i]));
  return Object.entries(switches)
    .flatMap(([name, modes]) => modes.map((mode, level) => [`${number.get(name)}.${level}`, mode]))
    .filter(([, mode]) => mode !== "on")
    .map(([place, mode]) => `${place}:${mode}`)
    .join(",");
}

function readSwitches(text, blocks) {
  const switches = {};
  for (const entry of text.split(",").filter(Boolean)) {
    const [, block, level, mode] = entry.match(/^(\d+)\.(\d+):(off|mean|-?\d+(?:\.\d+)?)$/) ?? [];
    const about = blocks[block];
    if (!about?.levels[level]) continue;
    const modes = (switches[about.name] ??= about.levels.map(() => "on"));
    modes[level] = mode === "off" || mode === "mean" ? mode : Math.max(-2, Math.min(2, Number(mode)));
  }
  return switches;
}

/** A state as the part of an address behind "#". */
function writeAddress(state, blocks) {
  const { network, picture, block, view, level, switches, pixel, pinned, trained, step } = state;
  const words = new URLSearchParams();
  if (network) words.set("network", network);
  words.set("picture", picture);
  words.set("block", block);
  words.set("view", view);
  words.set("level", level);
  if (pinned && pixel) words.set("pixel", `${pixel.row},${pixel.column}`);
  const gates = writeSwitches(switches, blocks);
  if (gates) words.set("gates", gates);
  if (!trained) words.set("weights", "untrained");
  if (step !== null) words.set("step", step);
  return MARK + words.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** The words of an address, {} where it has none of ours. Numbers that do not fit are left out by `readState`. */
function wordsOf(hash) {
  if (!hash.startsWith(MARK)) return {};
  return Object.fromEntries(new URLSearchParams(hash.slice(MARK.length)));
}

/** What of an address fits a network with these blocks and so many pictures: a part of a state. */
function readState(hash, blocks, pictures) {
  const words = wordsOf(hash);
  const state = {};
  const whole = (name, count) => {
    const value = Number(words[name]);
    if (words[name] !== undefined && Number.isInteger(value) && value >= 0 && value < count) state[name] = value;
  };
  whole("picture", pictures);
  whole("block", blocks.length);
  whole("step", 99);
  whole("level", blocks[state.block ?? 0].levels.length);
  if (["gate", "winner", "modulator", "context"].includes(words.view)) state.view = words.view;
  if (words.gates) state.switches = readSwitches(words.gates, blocks);
  if (words.weights === "untrained") state.trained = false;
  const pixel = words.pixel?.match(/^(\d+),(\d+)$/);
  if (pixel) {
    state.pixel = { row: Number(pixel[1]), column: Number(pixel[2]) };
    state.pinned = true;
  }
  const bare = Object.keys(words).every((word) => ["network", "step"].includes(word));
  if (bare && "step" in state) state.bare = true; // a link to a step, which sets the rest
  return state;
}

export { readState, wordsOf, writeAddress };
