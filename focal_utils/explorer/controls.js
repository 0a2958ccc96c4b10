// The explorer's parts: every control with its label, every place where something is written or drawn.

const MANY = 60; // pictures, from which on a number is asked for instead of a list shown
const MODES = { on: "on", mean: "frozen: mean over this picture", off: "off" };
const VIEWS = { gate: "gate of a level", winner: "level that contributes most", modulator: "modulator (L2 norm)", context: "context of a level (L2 norm)" };

const FOCUSABLE = ["SELECT", "INPUT", "BUTTON", "CANVAS"];

/** A DOM element: tag, properties, children. JupyterLab's shortcuts do not take keys away from those that need them. */
function element(tag, properties = {}, ...children) {
  const { dataset = {}, aria = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === "role" ? name : `aria-${name}`, value);
  if (FOCUSABLE.includes(made.tagName)) made.dataset.lmSuppressShortcuts = "true";
  made.append(...children);
  return made;
}

function labelled(text, control) {
  control.setAttribute("aria-label", text);
  return element("label", { className: "fx-control" }, element("span", { textContent: text }), control);
}

function options(select, texts, chosen) {
  select.replaceChildren(...texts.map((text, value) => new Option(text, value, false, value === chosen)));
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

/** All parts of the explorer by name; `root` holds the others. `still` leaves out what only a kernel can answer. */
function build(model, still) {
  const { blocks } = model.get("about");
  const names = model.get("names");
  const many = names.length > MANY;
  const parts = {
    picture: many ? element("input", { type: "number", min: 0, max: names.length - 1, value: model.get("picture") }) : element("select"),
    block: element("select"),
    view: element("select"),
    level: element("select"),
    opacity: element("input", { type: "range", min: 0, max: 100, step: 5 }),
    smooth: element("input", { type: "checkbox" }),
    scope: element("select"),
    file: element("input", { type: "file", accept: "image/*" }),
    canvas: element("canvas", { aria: { hidden: "true" } }),
    squares: element("canvas", { tabIndex: 0, aria: { role: "application", label: "The picture. Arrow keys move from pixel to pixel of the map" } }),
    bar: element("canvas", { width: 256, height: 12, aria: { hidden: "true" } }),
    barLabel: element("div"),
    barWords: element("div", { className: "fx-words" }),
    name: element("div", { className: "fx-note" }),
    pixel: element("div", { className: "fx-pixel", aria: { live: "polite" } }, "Point at the picture, or focus it and use the arrow keys."),
    levels: element("tbody"),
    predictions: element("tbody"),
    after: element("th", { colSpan: 2, textContent: "after switching", hidden: true, scope: "col" }),
    reset: element("button", { type: "button", textContent: "All levels on", disabled: true }),
    verdict: element("div", { className: "fx-verdict", aria: { live: "polite" } }),
    message: element("div", { className: "fx-message", aria: { live: "polite" } }),
  };
  options(parts.block, blocks.map((block) => block.name), model.get("block"));
  parts.view.append(...Object.entries(VIEWS).map(([view, text]) => new Option(text, view)));
  parts.scope.append(new Option("in this block", "this"), new Option("in every block", "every"));
  parts.stack = element("div", { className: "fx-stack" }, parts.canvas, parts.squares);

  const controls = element(
    "div",
    { className: "fx-controls" },
    labelled(many ? `Picture, 0 to ${names.length - 1}` : "Picture", parts.picture),
    labelled("Block", parts.block),
    labelled("Show", parts.view),
    labelled("Level", parts.level),
    labelled("Opacity of the map", parts.opacity),
    labelled("Smooth (bilinear)", parts.smooth),
  );
  const left = element("div", { className: "fx-left" }, parts.stack, parts.barLabel, parts.bar, parts.barWords, parts.name, parts.message);
  const gates = element(
    "table",
    {},
    element("caption", { textContent: "Gates at the pixel" }),
    element("thead", {}, element("tr", {}, ...["level", "gate g", "", "share of |g|·‖z‖", "this level is"].map((text) => element("th", { scope: "col", textContent: text })))),
    parts.levels,
  );
  const taken = element(
    "table",
    {},
    element("caption", { textContent: "The network says" }),
    element("thead", {}, element("tr", {}, element("th", { colSpan: 2, textContent: "all levels on", scope: "col" }), parts.after)),
    parts.predictions,
  );
  const switching = element("div", { className: "fx-switching" }, ...(still ? [] : [labelled("A switch acts", parts.scope)]), parts.reset);
  const right = element("div", { className: "fx-right" }, parts.pixel, gates, switching, taken, parts.verdict);
  if (!still) right.append(labelled("Your own picture", parts.file));
  const main = element("div", { className: "fx-main" }, left, right);
  parts.root = element("section", { className: "fx", aria: { label: "Gate explorer" } }, controls, main);
  return parts;
}
