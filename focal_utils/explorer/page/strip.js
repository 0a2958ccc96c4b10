// The network from left to right: the picture, a small map for each block, the answer. A click chooses a block.

import { plane } from "./maps.js";
import { element } from "./parts.js";
import { rasterise } from "./stage.js";
import { modesOf } from "./switches.js";
import { blockTitle } from "./words.js";

/** The level to show of a block for one that is shown of another: the same name, else its farthest. */
function levelLike(name, levels) {
  const found = levels.indexOf(name);
  return found >= 0 ? found : levels.length - 1;
}

/** { root, show({ maps, block, view, level name, switches }) } for the blocks of a network. */
function strip(blocks, choose) {
  const items = blocks.map((about, number) => {
    const canvas = element("canvas", { className: "fx-sharp", aria: { hidden: "true" } });
    const size = element("span", { className: "fx-quiet fx-size" });
    const words = element("span", {}, element("span", { textContent: blockTitle(number) }), size);
    const root = element("button", { type: "button", className: "fx-block", onclick: () => choose(number) }, canvas, words);
    return { about, canvas, size, root };
  });
  const list = element("ol", { className: "fx-strip", aria: { label: "The blocks of the network" } });
  list.append(...items.map(({ root }) => element("li", {}, root)));

  function show({ maps, block, view, level, switches }) {
    items.forEach(({ about, canvas, size, root }, number) => {
      rasterise(canvas, plane(maps[number], about, view, levelLike(level, about.levels)));
      size.textContent = `${maps[number].height}×${maps[number].width}`;
      root.setAttribute("aria-pressed", String(number === block));
      const isSwitched = modesOf(switches, about).some((mode) => mode !== "on");
      root.classList.toggle("fx-switched", isSwitched);
      root.title = isSwitched ? "Some of its gates are changed" : "";
    });
    const chosen = items[block].root.parentNode;
    const hidden = chosen.offsetLeft < list.scrollLeft || chosen.offsetLeft + chosen.offsetWidth > list.scrollLeft + list.clientWidth;
    if (hidden) list.scrollLeft = chosen.offsetLeft - 8;
  }

  return { root: list, show };
}

export { levelLike, strip };
