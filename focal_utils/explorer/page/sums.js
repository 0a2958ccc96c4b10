// How a number is made: at one pixel g₁z¹ + g₂z² + … → h → m → q ⊙ m → proj, with the real numbers as small vectors.

import { between, channels, hueOf } from "./colours.js";
import { largest } from "./maps.js";
import { button, element } from "./parts.js";
import { MINUS, signed, symbols } from "./words.js";

const PACE = 1100; // milliseconds for each step of the animation
const PLAIN = "#8a8a90"; // of vectors that belong to no level
const TONES = 24; // of a cell to each side of 0
const NOUGHT = [119, 119, 123]; // the colours of a cell: at 0, and the darkest; the lightest is a tint of the hue
const DARKEST = [8, 8, 10];
const HUE = 0.35; // of the hue in its tint
const COLUMNS = 8; // cells of a vector in a row

/** The colours of a cell from -1 over 0 to 1 times the largest value, `TONES` to each side: a list. */
function tones(hue) {
  const light = between([255, 255, 255], channels(hue), HUE);
  return Array.from({ length: 2 * TONES + 1 }, (_, i) => {
    const share = (i - TONES) / TONES;
    return `rgb(${between(NOUGHT, share < 0 ? DARKEST : light, Math.abs(share)).join(" ")})`;
  });
}

/**
 * A vector as a small grid of cells, light where positive and dark where negative: { root, show(values, limit, channel) }.
 * The mouse passes over many pixels in a second: only cells that change are touched.
 */
function vector(hue, onchannel) {
  const cells = element("div", { className: "fx-cells", aria: { hidden: "true" } });
  const colours = tones(hue);
  const state = { values: [], drawn: [], columns: 0 };
  cells.onpointerover = ({ target }) => {
    const { channel } = target.dataset;
    if (channel !== undefined) target.title = `channel ${Number(channel) + 1}: ${signed(state.values[channel], 3)}`;
  };
  cells.onclick = ({ target }) => target.dataset.channel !== undefined && onchannel(Number(target.dataset.channel));

  function show(values, limit, channel) {
    const columns = Math.max(COLUMNS, Math.ceil(Math.sqrt(2 * values.length)));
    if (columns !== state.columns) cells.style.setProperty("--fx-columns", columns);
    state.columns = columns;
    state.values = values;
    while (cells.children.length > values.length) cells.lastChild.remove();
    while (cells.children.length < values.length) cells.append(element("i", { dataset: { channel: cells.children.length } }));
    values.forEach((value, i) => {
      const share = Math.min(Math.max(value / (limit || 1), -1), 1);
      const colour = colours[Math.round(TONES * share) + TONES];
      if (state.drawn[i] === colour) return;
      cells.children[i].style.background = colour;
      state.drawn[i] = colour;
    });
    state.drawn.length = values.length;
    cells.querySelector(".fx-here")?.classList.remove("fx-here");
    cells.children[channel]?.classList.add("fx-here");
  }

  return { root: cells, show };
}

/** One part of the equation: a symbol, its vector, a word below. */
function part(kind, symbol, words, hue, onchannel) {
  const cells = vector(hue, onchannel);
  const name = element("span", { className: "fx-symbol", textContent: symbol });
  const value = element("span", { className: "fx-number fx-part-value" });
  const note = element("span", { className: "fx-quiet", textContent: words });
  const root = element("div", { className: "fx-part", dataset: { part: kind } }, name, cells.root, value, note);
  return { root, cells, value, name };
}

const operator = (text, title = "") => element("span", { className: "fx-operator", textContent: text, title });

/** Numbers joined as a sum: "1.47·0.31 − 0.20·0.55". */
function sumText(gates, values) {
  return gates
    .map((gate, i) => {
      const sign = gate < 0 ? MINUS : "+";
      const lead = i ? ` ${sign} ` : gate < 0 ? MINUS : "";
      const factor = values[i] < 0 ? `(${signed(values[i])})` : signed(values[i]);
      return `${lead}${signed(Math.abs(gate))}·${factor}`;
    })
    .join("");
}

/**
 * The part of the page: { root, show(about, numbers, place), light(level) }. `onlight(level)` is called when a term is
 * lit, so that its square and its row can be lit with it; null when none is.
 */
function sumsPart(onlight) {
  const equation = element("div", { className: "fx-equation" });
  const line = element("p", { className: "fx-line" });
  const place = element("span", { className: "fx-quiet" });
  const play = button("▶ Play", () => (state.timer ? stop() : start()));
  const next = button("Next step", () => step());
  const heading = element("h3", { textContent: "How this number is made " }, place);
  const head = element("div", { className: "fx-head" }, heading, play, next);
  const root = element("section", { className: "fx-sums", aria: { label: "How this number is made" } }, head, equation, line);
  const state = { about: null, numbers: null, channel: null, parts: null, steps: [], at: -1, timer: null };

  const choose = (channel) => {
    state.channel = channel;
    draw();
  };

  /** Lay the equation out anew for a block with these levels. */
  function lay(about) {
    if (state.about?.name === about.name) return;
    state.about = about;
    state.channel = null;
    const terms = about.levels.map((name, level) => {
      const { gate, context } = symbols(level);
      const term = part("term", context, name, hueOf(name), choose);
      const factor = element("span", { className: "fx-factor" }, element("b", { textContent: gate }), element("span", { className: "fx-number" }));
      const box = element("div", { className: "fx-term", tabIndex: 0, style: { "--fx-hue": hueOf(name) }, dataset: { level } }, factor, operator("·"), term.root);
      box.onpointerenter = () => light(level);
      box.onpointerleave = () => light(null);
      box.onfocus = () => light(level);
      box.onblur = () => light(null);
      return { box, factor, ...term };
    });
    const parts = {
      terms,
      sum: part("sum", "Σ", "weighed sum", PLAIN, choose),
      modulator: part("modulator", "m", "modulator", PLAIN, choose),
      query: part("query", "q", "query", PLAIN, choose),
      product: part("product", "q ⊙ m", "modulated", PLAIN, choose),
      output: part("output", "y", "output", PLAIN, choose),
    };
    state.parts = parts;
    const row = terms.flatMap(({ box }, level) => (level ? [operator("+"), box] : [box]));
    equation.replaceChildren(
      ...row,
      operator("="),
      parts.sum.root,
      operator("h →", "h: a Dense layer, each channel of m a weighed sum of all channels of Σ"),
      parts.modulator.root,
      operator("⊙", "times, channel by channel"),
      parts.query.root,
      operator("="),
      parts.product.root,
      operator("proj →", "proj: a Dense layer, each channel of y a weighed sum of all channels"),
      parts.output.root,
    );
    state.steps = [...terms.map(({ box }, level) => ({ nodes: [box], level })), ...["sum", "modulator", "query", "product", "output"].map((name) => ({ nodes: [parts[name].root], level: null }))];
  }

  /** Show the numbers at a pixel, those that `engine.pixel` gives. */
  function show(about, numbers, where) {
    root.hidden = !numbers;
    if (!numbers) return;
    lay(about);
    state.numbers = numbers;
    place.textContent = where;
    state.channel ??= numbers.product.map(Math.abs).indexOf(largest(numbers.product));
    draw();
  }

  function draw() {
    const { numbers, parts, channel, at } = state;
    const { query, contexts, gates, sum, modulator, product, output } = numbers;
    const limit = Math.max(...contexts.map(largest));
    parts.terms.forEach((term, level) => {
      term.factor.lastChild.textContent = signed(gates[level]);
      term.cells.show(contexts[level], limit, channel);
      term.value.textContent = signed(contexts[level][channel]);
    });
    // While the terms are added one by one, the sum is that of those added so far.
    const upTo = at >= 0 && at < contexts.length ? at + 1 : contexts.length;
    const whole = upTo === contexts.length;
    const partial = whole ? sum : sum.map((_, c) => gates.slice(0, upTo).reduce((total, gate, level) => total + gate * contexts[level][c], 0));
    for (const [name, values, own] of [["sum", partial, largest(sum)], ["modulator", modulator], ["query", query], ["product", product], ["output", output]]) {
      parts[name].cells.show(values, own ?? largest(values), channel);
      parts[name].value.textContent = signed(values[channel]);
    }
    const terms = sumText(gates.slice(0, upTo), contexts.map((context) => context[channel]));
    const rest = whole ? `;  m = ${signed(modulator[channel])},  q ⊙ m = ${signed(query[channel])}·${factorText(modulator[channel])} = ${signed(product[channel])}` : "";
    line.textContent = `channel ${channel + 1}:  ${terms} = ${signed(partial[channel])}${rest}`;
  }

  /** Light a level's term, and its square and row with it. */
  function light(level) {
    state.parts?.terms.forEach(({ box }, own) => box.classList.toggle("fx-lit", own === level));
    onlight(level);
  }

  function mark() {
    const current = state.steps[state.at];
    state.steps.forEach(({ nodes }) => nodes.forEach((node) => node.classList.toggle("fx-lit", nodes === current?.nodes)));
    root.classList.toggle("fx-stepping", state.at >= 0);
    state.steps.forEach(({ nodes }, i) => nodes.forEach((node) => node.classList.toggle("fx-later", state.at >= 0 && i > state.at)));
    onlight(current?.level ?? null);
    draw();
  }

  function step() {
    state.at = state.at + 1 < state.steps.length ? state.at + 1 : -1;
    mark();
    if (state.at < 0) stop();
  }

  function start() {
    play.textContent = "■ Stop";
    state.at = -1;
    step();
    state.timer = setInterval(step, PACE);
  }

  function stop() {
    clearInterval(state.timer);
    state.timer = null;
    state.at = -1;
    play.textContent = "▶ Play";
    mark();
  }

  play.hidden = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
  return { root, show, light, start, stop: () => clearInterval(state.timer) };
}

function factorText(value) {
  return value < 0 ? `(${signed(value)})` : signed(value);
}

export { sumsPart };
