// The whole network as a drawing: picture, stem, stages with their blocks, head. A click on a block chooses it.

import { element } from "./parts.js";
import { blockTitle } from "./words.js";

/** Blocks in a row whose maps are of one shape: [{ shape, numbers }, …]. */
function stagesOf(blocks, maps) {
  const found = [];
  blocks.forEach(({ channels }, number) => {
    const { height, width } = maps[number];
    const shape = `${height}×${width}, ${channels} channels`;
    const last = found[found.length - 1];
    if (last?.shape === shape) last.numbers.push(number);
    else found.push({ shape, numbers: [number] });
  });
  return found;
}

/** What stands behind the last block, in two lines. */
function ending({ classes, objects }, [height, width]) {
  if (objects) return ["decoder", `${height}×${width}: in ${objects[0]} or not, and how deep`];
  return classes.length ? ["head", `mean over all pixels, ${classes.length} classes`] : ["end", "the last map"];
}

/** { root, show({ size, blocks: maps }, about, block) } for a network; choose(number) is called for a block. */
function drawingPart(blocks, choose) {
  const list = element("ol", { className: "fx-stages" });
  const root = element("section", { className: "fx-drawing", hidden: true, aria: { label: "The whole network" } }, list);
  const state = { drawn: "", buttons: [] };

  function station(name, words, ...content) {
    return element("li", {}, element("strong", { textContent: name }), element("span", { className: "fx-quiet", textContent: words }), ...content);
  }

  function draw(stages, [height, width], about) {
    state.buttons = blocks.map((_, number) =>
      element("button", { type: "button", className: "fx-button", textContent: blockTitle(number).replace(" block", ""), onclick: () => choose(number), aria: { label: blockTitle(number) } }),
    );
    const shown = stages.map(({ shape, numbers }, place) => {
      const inside = element("div", { className: "fx-buttons" }, ...numbers.map((number) => state.buttons[number]));
      return station(`stage ${place + 1}`, `${place ? "half a side, " : "the stem's patches, "}${shape}`, inside);
    });
    list.replaceChildren(station("picture", `${height}×${width}`), ...shown, station(...ending(about, [height, width])));
  }

  function show({ size, blocks: maps }, about, block) {
    const stages = stagesOf(blocks, maps);
    const key = `${size} ${stages.map(({ shape }) => shape)}`;
    if (key !== state.drawn) draw(stages, size, about);
    state.drawn = key;
    state.buttons.forEach((one, number) => one.setAttribute("aria-pressed", String(number === block)));
  }

  return { root, show };
}

export { drawingPart };
