// The explorer for one network: its parts, and how they hang together.

import { answerPart } from "./answer.js";
import { drawingPart } from "./drawing.js";
import { Superseded } from "./engines.js";
import { levelRow } from "./levels.js";
import { largest, pixelOf, plane, sharesAt, tellingPixel } from "./maps.js";
import { ownPictures } from "./own.js";
import { button, element, quietly, segmented } from "./parts.js";
import { pythonLines, pythonPart } from "./python.js";
import { centreOf, drawImage, drawObjects, drawPlane, drawSquares, frame, listen, pixelAfter, pixelUnder } from "./stage.js";
import { firstChanged, strip } from "./strip.js";
import { sumsPart } from "./sums.js";
import { countSwitched, modesOf, switched } from "./switches.js";
import { tourPart } from "./tour.js";
import { blockTitle, signed } from "./words.js";
import { colourOf } from "./colours.js";

const VIEWS = [
  ["gate", "gates", "how far each pixel opens its gate to a level"],
  ["context", "contexts", "how much there is to see for a level, around each pixel"],
  ["winner", "strongest level", "the level that contributes most, at each pixel"],
  ["modulator", "modulator", "how strongly the gathered context acts on each pixel"],
];
const MANY = 60; // pictures, from which on a number is asked for instead of thumbnails shown
const QUIET = 70; // milliseconds of rest before a kernel is asked for a pixel, or a screen reader told of it
const MESSAGE = 9000; // milliseconds that a message stays

/** A title and what stands below it. */
function figure(name, title, ...content) {
  return element("section", { className: `fx-${name}`, aria: { label: title.textContent ?? title } }, ...content);
}

/**
 * Build the explorer of an engine (engines.js) on a store (store.js).
 *
 * tour: whether it is offered. credit: whose pictures they are. python: the model as a Python expression, if it is known.
 * tabs: what chooses between networks, if there are several. tell(share): of the work on an answer, how much is done.
 *
 * Returns { root, ready: a promise of the first answer, show(changes), say(words, wrong), close(), store, engine }.
 */
function workbench(engine, store, { tour, credit, python, tabs, tell }) {
  const { blocks } = engine.about;
  const state = { answer: null, numbers: null, lit: null, ticket: 0, looks: 0, good: null };
  const about = () => blocks[store.get("block")];
  const maps = () => state.answer.blocks[store.get("block")];
  const level = () => Math.min(store.get("level"), about().levels.length - 1);

  // What stands on the page.
  const left = frame("The picture. Arrow keys move from pixel to pixel, Enter pins one, Escape frees it");
  const right = frame("The map. Arrow keys move from pixel to pixel, Enter pins one, Escape frees it");
  right.root.classList.add("fx-map-stack");
  const caption = element("p", { className: "fx-caption" });
  const pin = element("span", { className: "fx-pin" });
  const pictureTitle = element("h3", {});
  const mapTitle = element("h3", {});
  const bar = element("canvas", { className: "fx-colour-bar", width: 256, height: 1, aria: { hidden: "true" } });
  const barWords = element("div", { className: "fx-bar-words" });
  const views = segmented("The map shows", VIEWS, (view) => store.set({ view }));
  const rows = element("ul", { className: "fx-rows" });
  const levelsTitle = element("h3", {});
  const whole = segmented("All levels are", [["on", "on"], ["mean", "frozen"], ["off", "off"]], (mode) => flip(null, mode));
  const scope = segmented("A switch acts in", [[false, "this block"], [true, "every block"]], (everywhere) => store.set({ everywhere }));
  const reset = button("All on", () => store.set({ switches: {} }));
  const allRow = element("div", { className: "fx-all" }, element("span", { textContent: "all levels" }), whole.root, reset);
  const says = answerPart();
  const sums = sumsPart((lit) => {
    state.lit = lit;
    drawOverlays();
    state.rows?.forEach(({ root: row }, own) => row.classList.toggle("fx-lit", own === lit));
  });
  const chooseBlock = (block) => store.set({ block, pixel: moved(block) });
  const blocksPart = strip(blocks, chooseBlock);
  const drawing = drawingPart(blocks, chooseBlock);
  const pictures = picturesPart();
  const message = element("div", { className: "fx-message", role: "status", hidden: true });
  const spoken = element("div", { className: "fx-hidden", role: "status" });
  const code = pythonPart();
  const training = segmented("The weights are", [[true, "trained"], [false, "untrained"]], (trained) => store.set({ trained }));
  const own = engine.can.own ? ownPictures({ size: engine.size, least: engine.least, use: addPicture, say }) : null;
  const showPython = opener("Show me the Python", code.root, showCode);
  const showDrawing = opener("The whole network", drawing.root, drawNetwork);
  const guide = tour ? tourPart(engine, store, { light: sums.light }) : null;
  const link = button("Copy link", copyLink);
  link.hidden = !tour;

  const main = element(
    "div",
    { className: "fx-main" },
    figure("picture", "The picture", element("div", { className: "fx-head" }, pictureTitle, pin), left.root, caption),
    figure("map", "The map", element("div", { className: "fx-head" }, mapTitle), right.root, element("div", { className: "fx-legend" }, bar, barWords)),
    says.root,
    figure("levels", "Levels", element("div", { className: "fx-head" }, levelsTitle, scope.root), rows, allRow),
  );
  const top = element("div", { className: "fx-top" }, ...(tabs ? [tabs] : []), pictures.root, ...(own ? [own.root] : []));
  const middle = element("div", { className: "fx-middle" }, blocksPart.root, element("div", { className: "fx-controls" }, views.root, ...(engine.can.restart ? [training.root] : [])));
  const foot = element("div", { className: "fx-foot" }, ...(guide ? [guide.start] : []), showDrawing, showPython, link, element("span", { className: "fx-quiet fx-credit", textContent: credit ?? "" }));
  const root = element("section", { className: "fx", aria: { label: "Gate explorer" } }, top, middle, main, sums.root, foot, drawing.root, code.root, ...(guide ? [guide.root] : []), message, spoken, ...(own?.dialogs ?? []));
  const unlisten = own?.listen(root);
  sums.root.hidden = !engine.can.look;

  /** A button that opens a part of the page, and closes it; what is in it is shown as it opens. */
  function opener(words, part, show) {
    const opens = button(words, () => {
      part.hidden = !part.hidden;
      if (!part.hidden) show();
      opens.setAttribute("aria-expanded", String(!part.hidden));
    });
    opens.setAttribute("aria-expanded", "false");
    return opens;
  }

  function drawNetwork() {
    drawing.show(state.answer, engine.about, store.get("block"));
  }

  /** Thumbnails of the pictures, or, where there are too many, a number to type. */
  function picturesPart() {
    const part = element("div", { className: "fx-pictures", role: "group", aria: { label: "Pictures" } });
    function fill() {
      const chosen = store.get("picture");
      if (engine.pictures.length > MANY) {
        const input = element("input", { type: "number", min: 0, max: engine.pictures.length - 1, value: chosen });
        input.onchange = () => store.set({ picture: Math.min(Math.max(Math.round(Number(input.value)), 0), engine.pictures.length - 1) });
        part.replaceChildren(element("label", { className: "fx-field", textContent: `Picture, 0 to ${engine.pictures.length - 1} ` }, input));
        return;
      }
      while (part.children.length > engine.pictures.length) part.lastChild.remove();
      engine.pictures.forEach(({ name, address }, number) => {
        if (!part.children[number]) {
          part.append(element("button", { type: "button", className: "fx-thumb", onclick: () => store.set({ picture: number }) }, element("img", { alt: "", width: 44, height: 44 })));
        }
        const thumb = part.children[number];
        if (thumb.firstChild.getAttribute("src") !== address) thumb.firstChild.src = address;
        thumb.title = name;
        thumb.setAttribute("aria-label", name);
        thumb.setAttribute("aria-pressed", String(number === chosen));
      });
    }
    return { root: part, fill };
  }

  async function addPicture(pixels, name, notes) {
    const number = await engine.add(pixels, name, notes);
    if (number !== null) store.set({ picture: number, pixel: null, pinned: false });
    if (notes.length) say(notes.join(" "), false);
  }

  /** Say something for a while, over the page: nothing moves. */
  const silence = quietly(() => (message.hidden = true), MESSAGE);
  function say(words, wrong) {
    message.hidden = !words;
    message.textContent = words;
    message.classList.toggle("fx-wrong", Boolean(wrong));
    silence();
  }

  async function copyLink() {
    await new Promise((resolve) => setTimeout(resolve, 350)); // the address follows the state with a short delay
    try {
      await navigator.clipboard.writeText(location.href);
      say("The address of this view is copied.", false);
    } catch {
      say(location.href, false);
    }
  }

  function flip(name, mode) {
    const where = store.get("everywhere") ? blocks : [about()];
    store.set({ switches: switched(store.get("switches"), where, name, mode) });
  }

  /** The pixel of another block's map that lies where the present one does. */
  function moved(block) {
    const pixel = store.get("pixel");
    if (!pixel || !state.answer) return null;
    return pixelUnder(blocks[block], state.answer.blocks[block], centreOf(about(), pixel));
  }

  function pointAt(place) {
    if (!state.answer) return;
    const pixel = pixelUnder(about(), maps(), place);
    const old = store.get("pixel");
    if (pixel.row !== old?.row || pixel.column !== old?.column) store.set({ pixel });
  }

  const pointer = {
    move(place, dragged) {
      if (dragged || !store.get("pinned")) pointAt(place);
    },
    pin(place) {
      pointAt(place);
      store.set({ pinned: true });
    },
    key(event) {
      if (event.key === "Escape" && store.get("pinned")) {
        store.set({ pinned: false });
        event.preventDefault();
        return;
      }
      if (event.key === "Enter") {
        store.set({ pinned: !store.get("pinned") });
        event.preventDefault();
        return;
      }
      const next = state.answer && pixelAfter(event.key, store.get("pixel") ?? { row: 0, column: 0 }, maps());
      if (!next) return;
      event.preventDefault();
      store.set({ pixel: next });
    },
  };
  for (const one of [left, right]) listen(one, () => state.answer?.size ?? [1, 1], pointer);

  /** Ask for the answer to the picture and the switches; what goes wrong is said, and the last good state comes back. */
  async function ask() {
    state.ticket += 1;
    const ticket = state.ticket;
    const wanted = { picture: store.get("picture"), switches: store.get("switches"), trained: store.get("trained") };
    try {
      if (engine.can.restart) engine.train(wanted.trained);
      says.wait(0);
      const told = (share, early) => {
        says.wait(share);
        tell?.(share);
        if (early && ticket === state.ticket && isOfPicture(wanted)) drawEarly(early);
      };
      const answer = await engine.answer(wanted.picture, wanted.switches, { tell: told });
      if (ticket !== state.ticket) return;
      take(answer);
      const same = isOfPicture(wanted);
      const before = state.good;
      state.good = wanted;
      draw();
      blocksPart.flow(same ? firstChanged(blocks, before.switches, wanted.switches) : 0);
    } catch (error) {
      if (ticket !== state.ticket || error instanceof Superseded) return;
      says.wait(null);
      if (state.good) store.set(state.good);
      say(error.message, true);
    }
  }

  /** Whether what is shown is of the picture and the weights that are asked for. */
  function isOfPicture({ picture, trained }) {
    return state.good?.picture === picture && state.good.trained === trained;
  }

  function take(answer) {
    state.answer = answer;
    state.limits = answer.blocks.map(({ gates }) => largest(gates) || 1);
  }

  /** The maps, before the objects that follow from them: those on the picture are pale until they are replaced. */
  function drawEarly(early) {
    take({ ...state.answer, blocks: early });
    root.classList.add("fx-early");
    drawMap();
  }

  function draw() {
    const { answer } = state;
    root.classList.remove("fx-early");
    const pixel = store.get("pixel");
    const { height, width } = maps();
    if (!pixel || pixel.row >= height || pixel.column >= width) store.state.pixel = tellingPixel(maps());
    says.wait(null);
    drawImage(left, answer.image, answer.size);
    drawObjects(left, answer.before, answer.after, answer.size);
    says.show(answer, engine.about, countSwitched(store.get("switches")));
    blocksPart.tell(answer, engine.about);
    pictures.fill();
    const picture = engine.pictures[store.get("picture")];
    pictureTitle.textContent = picture.name;
    caption.textContent = answer.notes.join(" ") || `as the network reads it: ${answer.size[1]}×${answer.size[0]} pixels`;
    caption.title = caption.textContent;
    drawMap();
  }

  function drawMap() {
    const block = about();
    const shown = plane(maps(), block, store.get("view"), level());
    drawPlane(right, shown, block, state.answer.size);
    drawLegend(shown);
    blocksPart.show({ maps: state.answer.blocks, block: store.get("block"), view: store.get("view"), level: block.levels[level()], switches: store.get("switches") });
    mapTitle.textContent = shown.label;
    levelsTitle.textContent = `Levels of the ${blockTitle(store.get("block"))}`;
    layRows();
    views.choose(store.get("view"));
    scope.choose(store.get("everywhere"));
    training.choose(store.get("trained"));
    reset.disabled = !countSwitched(store.get("switches"));
    if (!drawing.root.hidden) drawNetwork();
    drawPixel();
  }

  /** The colour bar of a plane, with its ends in numbers, or the levels' names. */
  function drawLegend(shown) {
    const context = bar.getContext("2d");
    const low = shown.kind === "signed" ? -shown.limit : 0;
    for (let x = 0; x < bar.width; x++) {
      let value = low + ((shown.limit - low) * x) / (bar.width - 1);
      if (shown.kind === "levels") value = Math.min(Math.floor(((shown.limit + 1) * x) / bar.width), shown.limit);
      context.fillStyle = `rgb(${colourOf(shown, value).join(",")})`;
      context.fillRect(x, 0, 1, 1);
    }
    const ends = shown.limit ? [signed(low), "0", signed(shown.limit)] : ["", "0 everywhere", ""];
    const words = { signed: ends, amount: ["0", signed(shown.limit)], levels: about().levels }[shown.kind];
    barWords.replaceChildren(...words.map((word) => element("span", { textContent: word })));
    barWords.classList.toggle("fx-bar-names", shown.kind === "levels");
  }

  /** A row for each level of the block; those that are there already stay, so that a switch keeps the focus. */
  function layRows() {
    const block = about();
    if (state.laid === block.name) return;
    state.laid = block.name;
    const title = blockTitle(store.get("block"));
    state.rows = block.levels.map((_, number) =>
      levelRow(block, number, title, { choose: (chosen) => store.set({ level: chosen, view: store.get("view") === "context" ? "context" : "gate" }), flip, scales: engine.can.scale }),
    );
    rows.replaceChildren(...state.rows.map(({ root: row }) => row));
  }

  /** What belongs to the pixel: squares, bars, numbers, words. No kernel is asked, but for the vectors of the sum. */
  function drawPixel() {
    const block = about();
    const { row, column } = store.get("pixel");
    const gates = pixelOf(maps(), maps().gates, row, column);
    const shares = sharesAt(maps(), row, column);
    const best = shares.indexOf(Math.max(...shares));
    const limit = state.limits[store.get("block")];
    const modes = modesOf(store.get("switches"), block);
    state.rows.forEach((one, number) =>
      one.show({ gate: gates[number], part: shares[number], limit, best: number === best, mode: modes[number], chosen: number === level() && ["gate", "context"].includes(store.get("view")) }),
    );
    whole.choose(modes.every((mode) => mode === modes[0]) ? modes[0] : null);
    drawOverlays();
    const pinned = store.get("pinned");
    pin.textContent = pinned ? "pinned · Esc frees" : "click pins a pixel";
    root.classList.toggle("fx-pinned", pinned);
    const where = `pixel ${row + 1} down, ${column + 1} across, of ${maps().height}×${maps().width}`;
    tellPixel(`${where}: ${block.levels.map((name, i) => `${name} ${signed(gates[i])}`).join(", ")}; ${block.levels[best]} contributes most.`);
    lookAt(where);
    if (!code.root.hidden) showCode();
    const { picture, view, switches } = store.state;
    Object.assign(root.dataset, { picture, block: store.get("block"), view, level: level(), row, column, pinned, switched: countSwitched(switches), drawn: performance.now() });
  }

  function showCode() {
    const { name, python: source } = engine.pictures[store.get("picture")];
    const shown = { about: about(), level: level(), view: store.get("view"), pixel: store.get("pixel"), switches: store.get("switches"), objects: Boolean(engine.about.objects) };
    code.show(pythonLines({ source: { model: python, picture: source }, picture: name, ...shown }));
  }

  function drawOverlays() {
    if (!state.answer || !store.get("pixel")) return;
    for (const one of [left, right]) drawSquares(one, about(), store.get("pixel"), state.answer.size, state.lit ?? level());
  }

  const tellPixel = quietly((words) => {
    if (root.contains(document.activeElement)) spoken.textContent = words;
  }, 10 * QUIET);

  const askPixel = quietly(lookNow, QUIET);
  async function lookNow(where) {
    if (!engine.can.look) return;
    const { row, column } = store.get("pixel");
    state.looks += 1;
    const { looks, ticket } = state;
    const numbers = await engine.pixel(store.get("block"), row, column);
    if (numbers && looks === state.looks && ticket === state.ticket) sums.show(about(), numbers, where);
  }
  /** The vectors at the pixel: at once where the page computes, after a short rest where a kernel is asked. */
  function lookAt(where) {
    if (engine.can.restart) lookNow(where);
    else askPixel(where);
  }

  const unwatch = store.watch((names) => {
    const asks = ["picture", "switches", "trained"];
    if (!state.answer || names.some((name) => asks.includes(name))) ask();
    else if (names.some((name) => ["block", "view", "level", "everywhere"].includes(name))) {
      if (names.includes("block") && !names.includes("pixel")) store.state.pixel = null;
      if (!store.get("pixel")) store.state.pixel = tellingPixel(maps());
      drawMap();
    } else if (names.some((name) => ["pixel", "pinned"].includes(name))) drawPixel();
    guide?.follow(names);
  });
  const unhear = engine.watch(() => {
    pictures.fill();
    ask();
  });

  const ready = ask().then(() => guide?.follow(["step"]));
  return {
    root,
    ready,
    store,
    engine,
    say,
    show: (changes) => store.set(changes),
    close() {
      unwatch();
      unhear();
      unlisten?.();
      sums.stop();
    },
  };
}

export { workbench };
