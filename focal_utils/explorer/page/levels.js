// The levels of a block at a pixel: a row for each, with its gate as a bar, its share, its switch and its slider.

import { hueOf } from "./colours.js";
import { element, segmented, unique } from "./parts.js";
import { modeOf } from "./switches.js";
import { reach, signed } from "./words.js";

const MODES = [
  ["on", "on", "the gate as the network made it"],
  ["mean", "frozen", "at every pixel the gate's mean over this picture"],
  ["off", "off", "the gate is 0"],
];
const LAST_TIMES = 2; // times, to both sides
const STEP = 0.1;

/** What a mode multiplies the gate by, for the slider: a frozen gate stands at 1. */
function timesOf(mode) {
  if (typeof mode === "number") return mode;
  return mode === "off" ? 0 : 1;
}

/** One level's row: { root, show({ gate, share, limit, best, mode, chosen }) }. */
function levelRow(about, level, title, { choose, flip, scales }) {
  const name = about.levels[level];
  const hue = hueOf(name);
  const fill = element("div", { className: "fx-fill" });
  const track = element("div", { className: "fx-track", aria: { hidden: "true" } }, fill);
  const value = element("span", { className: "fx-number" });
  const share = element("span", { className: "fx-number fx-share" });
  const chip = element("span", { className: "fx-chip", aria: { hidden: "true" } });
  const label = element("span", { className: "fx-level-name", textContent: name });
  const seen = element("span", { className: "fx-quiet fx-reach", textContent: reach(about, level) });
  const head = element("button", { type: "button", className: "fx-level", onclick: () => choose(level) }, chip, label, seen);
  const modes = segmented(`${name} of the ${title} is`, MODES, (mode) => flip(name, mode));
  const slider = element("input", { type: "range", min: -LAST_TIMES, max: LAST_TIMES, step: STEP, id: unique("times") });
  slider.setAttribute("aria-label", `${name} of the ${title}: times its gate`);
  const times = element("output", { className: "fx-number fx-times", htmlFor: slider.id });
  slider.oninput = () => flip(name, modeOf(Number(slider.value)));
  slider.ondblclick = () => flip(name, "on");
  const scale = element("span", { className: "fx-scale", hidden: !scales }, slider, times);
  const root = element(
    "li",
    { className: "fx-row", style: { "--fx-hue": hue }, dataset: { level } },
    head,
    track,
    value,
    share,
    element("div", { className: "fx-second" }, modes.root, scale),
  );

  function show({ gate, part, limit, best, mode, chosen }) {
    const length = (50 * gate) / limit;
    fill.style.left = `${50 + Math.min(length, 0)}%`;
    fill.style.width = `${Math.abs(length)}%`;
    fill.classList.toggle("fx-negative", gate < 0);
    value.textContent = signed(gate);
    share.textContent = `${Math.round(100 * part)} %`;
    share.title = `${name} contributes ${share.textContent} of |gate| × length of context at this pixel`;
    root.classList.toggle("fx-best", best);
    root.classList.toggle("fx-switched", mode !== "on");
    head.setAttribute("aria-pressed", String(chosen));
    head.title = `${name} sees ${reach(about, level)}; a click shows it on the map`;
    modes.choose(mode);
    slider.value = timesOf(mode);
    times.textContent = mode === "mean" ? "mean" : `×${signed(timesOf(mode), 1)}`;
    slider.setAttribute("aria-valuetext", times.textContent);
  }

  return { root, show };
}

export { levelRow };
