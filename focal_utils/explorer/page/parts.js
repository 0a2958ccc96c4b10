// The small parts that the explorer is put together from. Text comes in by textContent alone: a name is never markup.

const FOCUSABLE = ["SELECT", "INPUT", "BUTTON"];
const PATIENCE = 250; // milliseconds of computing that nothing is said about
let taken = 0;

/** A DOM element: tag, properties (aria: {…}, dataset: {…}), children. JupyterLab's shortcuts leave its keys alone. */
function element(tag, properties = {}, ...children) {
  const { dataset = {}, aria = {}, role, style = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, dataset);
  for (const [name, value] of Object.entries(style)) node.style.setProperty(name, value);
  for (const [name, value] of Object.entries(aria)) node.setAttribute(`aria-${name}`, value);
  if (role) node.setAttribute("role", role);
  if (FOCUSABLE.includes(node.tagName) || node.tabIndex >= 0) node.dataset.lmSuppressShortcuts = "true";
  node.append(...children);
  return node;
}

let namespace = null;

/** The same for a part of a drawing, whose namespace is asked of the browser. */
function svg(tag, attributes = {}, ...children) {
  if (!namespace) {
    const drawing = document.createElement("template");
    drawing.innerHTML = "<svg></svg>";
    namespace = drawing.content.firstChild.namespaceURI;
  }
  const node = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A name that no other part of the page has. */
function unique(prefix) {
  taken += 1;
  return `fx-${prefix}-${taken}`;
}

/**
 * Radio buttons in a row: { root, choose }. entries: [[value, text, hint?], …]; `choose(value)` marks one, none if there
 * is no such value; `onchoose(value)` is called when the reader chooses.
 */
function segmented(label, entries, onchoose) {
  const group = unique("group");
  const inputs = new Map();
  const root = element("fieldset", { className: "fx-segments" }, element("legend", { className: "fx-hidden", textContent: label }));
  for (const [value, text, hint] of entries) {
    const input = element("input", { type: "radio", name: group, id: unique("choice"), onchange: () => onchoose(value) });
    inputs.set(value, input);
    root.append(input, element("label", { htmlFor: input.id, textContent: text, title: hint ?? "" }));
  }
  const choose = (chosen) => inputs.forEach((input, value) => (input.checked = value === chosen));
  return { root, choose, inputs };
}

/** A button with words on it. */
function button(text, onclick, className = "fx-button") {
  return element("button", { type: "button", className, textContent: text, onclick });
}

/**
 * A sign that says how much is done of what is being computed, where that takes its time: { root, wait, say }. It lies
 * over the page, so that nothing moves. wait(share done, 0…1, or null where nothing is being computed); say(words) that
 * stay.
 */
function waitingSign() {
  const root = element("span", { className: "fx-waiting", role: "status", hidden: true });
  let timer = null;

  function wait(share) {
    if (share === null) {
      clearTimeout(timer);
      timer = null;
      root.hidden = true;
      return;
    }
    timer ??= setTimeout(() => (root.hidden = false), PATIENCE);
    root.textContent = share ? `computing … ${Math.round(100 * share)} %` : "computing …";
  }

  function say(words) {
    root.hidden = false;
    root.textContent = words;
  }

  return { root, wait, say };
}

/** What comes after quiet: the function is called once, `wait` milliseconds after the last call. */
function quietly(act, wait) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), wait);
  };
}

export { button, element, quietly, segmented, svg, unique, waitingSign };
