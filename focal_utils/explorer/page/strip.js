// The network from left to right: the picture, a small map for each block, the answer. A click chooses a block.

import { plane } from "./maps.js";
import { isSilent, saying } from "./outcome.js";
import { element } from "./parts.js";
import { rasterise } from "./stage.js";
import { modesOf } from "./switches.js";
import { blockTitle } from "./words.js";

const FIRST_SIDE = 46; // CSS pixels a side of the first block's map; the others are smaller as their maps are
const SHRINK = 0.4; // the power of it: half as many map pixels a side are drawn 0.76 as large

/** The level to show of a block for one that is shown of another: the same name, else its farthest. */
function levelLike(name, levels) {
  const found = levels.indexOf(name);
  return found >= 0 ? found : levels.length - 1;
}

/** The number of the first block whose modes two lists of switches set apart; none: as many as there are blocks. */
function firstChanged(blocks, one, other) {
  const differs = blocks.findIndex((about) => String(modesOf(one, about)) !== String(modesOf(other, about)));
  return differs < 0 ? blocks.length : differs;
}

/** { root, show({ maps, block, view, level name, switches }), tell(answer, about), flow(from) } for a network's blocks. */
function strip(blocks, choose) {
  const items = blocks.map((about, number) => {
    const canvas = element("canvas", { className: "fx-sharp", aria: { hidden: "true" } });
    const size = element("span", { className: "fx-quiet fx-size" });
    const [name, rest] = blockTitle(number).split(" ");
    const title = element("span", { textContent: name }, element("span", { className: rest === "block" ? "fx-hidden" : "", textContent: ` ${rest}` }));
    const root = element("button", { type: "button", className: "fx-block", onclick: () => choose(number) }, canvas, title, size);
    return { about, canvas, size, root };
  });
  const picture = element("canvas", { className: "fx-sharp", aria: { hidden: "true" } });
  const first = element("li", { className: "fx-end", aria: { hidden: "true" } }, picture);
  const word = element("strong", {});
  const share = element("span", { className: "fx-quiet" });
  const last = element("li", { className: "fx-end", aria: { hidden: "true" } }, element("span", { className: "fx-says-end" }, word, share));
  const list = element("ol", { className: "fx-strip", aria: { label: "The blocks of the network" } });
  list.append(first, ...items.map(({ root }) => element("li", {}, root)), last);
  [...list.children].forEach((item, place) => item.style.setProperty("--fx-place", place));
  const state = { block: null, runs: 0 };

  function show({ maps, block, view, level, switches }) {
    const most = Math.max(maps[0].height, maps[0].width);
    items.forEach(({ about, canvas, size, root }, number) => {
      const { height, width } = maps[number];
      rasterise(canvas, plane(maps[number], about, view, levelLike(level, about.levels)));
      canvas.style.width = `${Math.round(FIRST_SIDE * (width / most) ** SHRINK)}px`;
      canvas.style.height = `${Math.round(FIRST_SIDE * (height / most) ** SHRINK)}px`;
      size.textContent = `${height}×${width}`;
      root.setAttribute("aria-pressed", String(number === block));
      const isSwitched = modesOf(switches, about).some((mode) => mode !== "on");
      root.classList.toggle("fx-switched", isSwitched);
      root.title = isSwitched ? "Some of its gates are changed" : "";
    });
    if (block === state.block) return;
    state.block = block;
    const chosen = items[block].root.parentNode;
    const hidden = chosen.offsetLeft < list.scrollLeft || chosen.offsetLeft + chosen.offsetWidth > list.scrollLeft + list.clientWidth;
    if (hidden) list.scrollLeft = chosen.offsetLeft - 8;
  }

  /** Show what goes in, and what comes out. */
  function tell({ image, size: [height, width], after }, about) {
    picture.width = Math.min(width, 2 * FIRST_SIDE);
    picture.height = Math.max(1, Math.round((height * picture.width) / width));
    picture.getContext("2d").drawImage(image, 0, 0, picture.width, picture.height);
    last.hidden = isSilent(after);
    if (last.hidden) return;
    const said = saying(after, about);
    word.textContent = said.word;
    word.title = said.word;
    share.textContent = said.number.split(" of ")[0];
  }

  /** Let it be seen that what block `from` gives runs through all that come after it (explorer.css says how). */
  function flow(from) {
    state.runs += 1;
    list.style.setProperty("--fx-from", from + 1);
    list.dataset.run = state.runs % 2 ? "odd" : "even"; // another name begins the animation anew
  }

  return { root: list, show, tell, flow };
}

export { firstChanged, levelLike, strip };
