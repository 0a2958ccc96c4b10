// Switches: for each block that is not as it was trained, a mode for each level: "on", "off" (its gate is 0), "mean"
// (frozen: at every pixel its mean over the picture), or a number that the gate is multiplied by. As in widget.py.

/** A mode as the network takes it: how often the gate, and whether its mean in its place. */
function settingOf(mode) {
  if (mode === "mean") return { times: 1, frozen: true };
  if (mode === "off") return { times: 0, frozen: false };
  return { times: mode === "on" ? 1 : mode, frozen: false };
}

/** Switches as the network takes them: { block: [{ times, frozen }, …] }. */
function settingsOf(switches) {
  return Object.fromEntries(Object.entries(switches).map(([block, modes]) => [block, modes.map(settingOf)]));
}

/** A number as a mode: 1 is on, 0 is off. */
function modeOf(times) {
  if (times === 1) return "on";
  return times === 0 ? "off" : times;
}

function modesOf(switches, { name, levels }) {
  return switches[name] ?? levels.map(() => "on");
}

/** New switches, in which `level` (a name, or null for all) of `blocks` is in `mode`. Blocks without the level stay. */
function switched(switches, blocks, level, mode) {
  const next = { ...switches };
  for (const block of blocks) {
    const modes = modesOf(switches, block).map((old, i) => (level === null || block.levels[i] === level ? mode : old));
    next[block.name] = modes;
    if (modes.every((other) => other === "on")) delete next[block.name];
  }
  return next;
}

/** How many gates are not on. */
function countSwitched(switches) {
  return Object.values(switches).flat().filter((mode) => mode !== "on").length;
}

export { countSwitched, modeOf, modesOf, settingsOf, switched };
