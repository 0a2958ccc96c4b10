// "Show me the Python": the lines that compute what is on the screen, ready to be pasted into a notebook.

import { button, element } from "./parts.js";

/** A text as a Python literal. */
function literal(text) {
  return JSON.stringify(String(text));
}

function modeLiteral(mode) {
  return typeof mode === "number" ? String(mode) : literal(mode);
}

/**
 * Lines of Python for a state. source: { model, picture } as Python expressions, if they are known. objects: whether the
 * network finds objects.
 */
function pythonLines({ source, picture, about, level, view, pixel, switches, objects }) {
  const name = about.name;
  const at = pixel ? `, ${pixel.row}, ${pixel.column}` : "";
  const lines = [
    "import numpy as np",
    "import focal_utils as fu",
    "",
    `model = ${source.model ?? "...  # your model"}`,
    `picture = ${source.picture ?? "...  # your picture, as the model reads it: (height, width, 3), 0 to 255"}`,
    `blocks = {block.name: block for block in fu.trace(model, picture[None])}`,
    `block = blocks[${literal(name)}]`,
  ];
  if (view === "gate") lines.push(`gates = block.gates[0${at}]  # the levels last; of this level: gates[..., ${level}]`);
  if (view === "context") lines.push(`lengths = np.linalg.norm(block.contexts[${level}][0], axis=-1)`);
  if (view === "modulator") lines.push("lengths = np.linalg.norm(block.modulator[0], axis=-1)");
  if (view === "winner") {
    lines.push("lengths = [np.linalg.norm(context[0], axis=-1) * np.ones(block.gates.shape[1:3]) for context in block.contexts]");
    lines.push("winner = (np.abs(block.gates[0]) * np.stack(lengths, axis=-1)).argmax(axis=-1)");
  }
  if (objects && !Object.keys(switches).length) lines.push("labels = fu.find_nuclei(model, picture)  # 0 outside, then 1, 2, …: labels.max() objects");
  lines.push("", `explorer = fu.GateExplorer(model, {${literal(picture)}: picture})`);
  if (Object.keys(switches).length) {
    const entries = Object.entries(switches).map(([block, modes]) => `    ${literal(block)}: [${modes.map(modeLiteral).join(", ")}],`);
    lines.push("explorer.switches = {", ...entries, "}");
  }
  lines.push("explorer");
  return lines.join("\n");
}

/** A part that opens under the explorer: { root, show(text) }; hidden until it is shown. */
function pythonPart() {
  const code = element("code");
  const pre = element("pre", { tabIndex: 0, aria: { label: "Python code" } }, code);
  const copied = element("span", { className: "fx-quiet", role: "status" });
  const copy = button("Copy", async () => {
    await navigator.clipboard?.writeText(code.textContent).then(
      () => (copied.textContent = "copied"),
      () => (copied.textContent = "select it and copy"),
    );
  });
  const root = element("section", { className: "fx-python", hidden: true, aria: { label: "The Python for this view" } }, pre, copy, copied);

  function show(text) {
    code.textContent = text;
    copied.textContent = "";
  }

  return { root, show };
}

export { pythonLines, pythonPart };
