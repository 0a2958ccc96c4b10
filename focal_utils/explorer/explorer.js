// The explorer's controls, and how they hang together. `model` holds the traits of widget.py, or stands in for them.

const PART = 1_000_000; // bytes of an upload sent at a time

function render({ model, el }) {
  const parts = build(model, model.get("still"));
  el.replaceChildren(parts.root);
  const state = { image: null, blocks: [], rows: [], plane: null, point: null, shown: null };
  const levels = model.get("about").blocks.map((block) => block.levels).reduce((most, names) => (names.length > most.length ? names : most));
  const about = () => model.get("about").blocks[model.get("block")];

  /** Unpack what Python sent, then draw it. Until the picture is decoded the old one stays. */
  async function receive() {
    const shown = model.get("shown");
    const image = new Image();
    image.src = shown.image;
    await image.decode();
    if (shown !== model.get("shown")) return;
    Object.assign(state, { shown, image, blocks: shown.maps.map(unpackBlock) });
    const chooser = parts.picture;
    const names = model.get("names");
    if (chooser.tagName === "SELECT") options(chooser, names, model.get("picture"));
    else Object.assign(chooser, { value: model.get("picture"), max: names.length - 1 });
    parts.name.textContent = `${names[shown.picture]}, as the network reads it: ${image.width}×${image.height} pixels`;
    draw();
    predictions();
    tell();
  }

  /** Draw picture and map for the chosen block, view and level. */
  function draw() {
    if (!state.image) return;
    const block = about();
    const level = Math.min(model.get("level"), block.levels.length - 1);
    const view = model.get("view");
    parts.block.value = model.get("block");
    parts.view.value = view;
    options(parts.level, block.levels, level);
    parts.level.disabled = view === "winner" || view === "modulator";
    parts.opacity.value = Math.round(100 * model.get("opacity"));
    parts.smooth.checked = model.get("smooth");
    parts.smooth.disabled = view === "winner";
    state.plane = plane(state.blocks[model.get("block")], block, view, level, levels);
    drawPicture(parts.canvas, state.image, state.plane, block, { opacity: model.get("opacity"), smooth: model.get("smooth") });
    if (parts.squares.width !== parts.canvas.width || parts.squares.height !== parts.canvas.height) {
      parts.squares.width = parts.canvas.width;
      parts.squares.height = parts.canvas.height;
    }
    const words = drawColourBar(parts.bar, state.plane, levels);
    parts.barWords.replaceChildren(...words.map((word) => element("span", { textContent: word })));
    const switched = Object.keys(state.shown.switches).length > 0;
    parts.barLabel.textContent = state.plane.label + (switched && !model.get("still") ? ", after switching" : "");
    levelRows(block);
    point(state.point);
    const { shown } = state;
    Object.assign(parts.root.dataset, { picture: shown.picture, block: block.name, view, level, switched: Object.keys(shown.switches).length, drawn: performance.now() });
  }

  /** One row for each level of the block: its name, its gate at the pixel as a bar, its switch. */
  function levelRows(block) {
    const modes = model.get("switches")[block.name] ?? block.levels.map(() => "on");
    if (parts.levels.dataset.block === block.name) {
      state.rows.forEach(({ select }, level) => (select.value = modes[level])); // a switch that has the focus keeps it
      return;
    }
    parts.levels.dataset.block = block.name;
    state.rows = block.levels.map((name, level) => {
      const fill = element("div", { className: "fx-fill" });
      const value = element("td", { className: "fx-value", textContent: "–" });
      const share = element("td", { className: "fx-value", textContent: "–" });
      const select = element("select", { aria: { label: `${name} of ${block.name} is` }, onchange: () => flip(level, select.value) });
      select.append(...Object.entries(MODES).map(([mode, text]) => new Option(text, mode, false, mode === modes[level])));
      const seen = level < block.widths.length ? `sees ${block.widths[level] * block.stride} px` : "sees all";
      const head = element("th", { scope: "row" }, name, element("small", { textContent: ` ${seen}` }));
      const line = element("tr", {}, head, element("td", {}, element("div", { className: "fx-track" }, fill)), value, share, element("td", {}, select));
      return { line, fill, value, share, select };
    });
    parts.levels.replaceChildren(...state.rows.map(({ line }) => line));
  }

  /** The map pixel of the shown block under a place on the picture, in picture pixels. */
  function pixelUnder({ x, y }) {
    const { first, stride } = about();
    const [height, width] = state.blocks[model.get("block")].gates.shape;
    const place = (position, count) => Math.min(Math.max(Math.floor((position - first) / stride), 0), count - 1);
    return { row: place(y, height), column: place(x, width) };
  }

  /** Show the gates at a place on the picture: bars, numbers, squares. No message goes to the kernel. */
  function point(where) {
    const block = about();
    const maps = state.blocks[model.get("block")];
    state.point = where;
    const pixel = where && pixelUnder(where);
    drawSquares(parts.squares, zoomFor([state.image.height, state.image.width]), block, pixel);
    if (!pixel) return;
    const { row, column } = pixel;
    const gates = pixelOf(maps.gates, row, column);
    const limit = largest(maps.gates.values) || 1;
    const shares = sharesAt(maps, row, column);
    const best = winnerAt(maps, row, column);
    state.rows.forEach(({ fill, value, share, line }, level) => {
      const reach = (50 * gates[level]) / limit;
      fill.style.left = `${50 + Math.min(reach, 0)}%`;
      fill.style.width = `${Math.abs(reach)}%`;
      share.textContent = `${(100 * shares[level]).toFixed(0)} %`;
      fill.classList.toggle("fx-negative", gates[level] < 0);
      value.textContent = gates[level].toFixed(3);
      line.classList.toggle("fx-best", level === best);
    });
    Object.assign(parts.root.dataset, { row, column });
    const [height, width] = maps.gates.shape;
    parts.pixel.textContent = `Map pixel ${row + 1} down, ${column + 1} across of ${height}×${width}: ${block.levels[best]} contributes most.`;
  }

  /** Set a trait, as a control asked for. */
  function set(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  /** Put a level of this block, or of every block that has it, to a mode. */
  function flip(level, mode) {
    const here = about();
    const switches = { ...model.get("switches") };
    for (const block of parts.scope.value === "every" ? model.get("about").blocks : [here]) {
      const modes = [...(switches[block.name] ?? block.levels.map(() => "on"))];
      const place = block.levels.indexOf(here.levels[level]);
      if (place < 0) continue;
      modes[place] = mode;
      switches[block.name] = modes;
      if (modes.every((other) => other === "on")) delete switches[block.name];
    }
    set("switches", switches);
  }

  /** What the network takes the picture for, before and after switching. */
  function predictions() {
    const { before, after, switches } = state.shown;
    const classes = model.get("about").classes;
    const cell = (entry) => [element("td", { textContent: entry ? classes[entry[0]] : "" }), element("td", { className: "fx-value", textContent: entry ? percent(entry[1]) : "" })];
    const switched = Object.keys(switches).length > 0;
    parts.predictions.replaceChildren(...before.map((entry, rank) => element("tr", {}, ...cell(entry), ...(switched ? cell(after[rank]) : []))));
    parts.after.hidden = !switched;
    parts.reset.disabled = !switched;
    const changed = switched && before.length && before[0][0] !== after[0][0];
    const which = model.get("about").blocks.flatMap(({ name, levels: own }) => {
      const modes = (switches[name] ?? []).map((mode, level) => (mode === "on" ? "" : `${own[level]} ${mode}`)).filter(Boolean);
      return modes.length ? [`${name}: ${modes.join(", ")}`] : [];
    });
    const verdict = changed ? "The prediction has changed." : "The prediction is the same.";
    parts.verdict.textContent = switched ? `${verdict} Switched: ${which.join("; ")}.` : "All levels are on.";
  }

  /** Say what was done to the picture, or what went wrong. */
  function tell() {
    const message = model.get("message");
    parts.message.textContent = message || (state.shown?.notes ?? []).join(" ");
    parts.message.classList.toggle("fx-wrong", Boolean(message));
  }

  /** Send a file in parts: Jupyter closes a connection whose single message is too large. */
  async function upload(file) {
    const data = await file.arrayBuffer();
    const count = Math.max(1, Math.ceil(data.byteLength / PART));
    for (let part = 0; part < count; part++) {
      const bytes = new DataView(data.slice(part * PART, (part + 1) * PART));
      model.send({ kind: "upload", name: file.name, part, parts: count }, undefined, [bytes]);
    }
  }

  parts.squares.onpointermove = parts.squares.onpointerdown = ({ clientX, clientY }) => {
    if (!state.image) return;
    const box = parts.squares.getBoundingClientRect();
    const where = { x: ((clientX - box.left) / box.width) * state.image.width, y: ((clientY - box.top) / box.height) * state.image.height };
    const pixel = pixelUnder(where);
    const before = state.point && pixelUnder(state.point);
    if (pixel.row !== before?.row || pixel.column !== before?.column) point(where);
  };
  const STEPS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  parts.squares.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step || !state.image) return;
    event.preventDefault();
    const { first, stride } = about();
    const { row, column } = state.point ? pixelUnder(state.point) : { row: 0, column: -step[0] };
    const middle = (index, length) => Math.min(Math.max(first + stride * (index + 0.5), 0), length - 1e-6);
    point({ x: middle(column + step[0], state.image.width), y: middle(row + step[1], state.image.height) });
  };
  parts.picture.onchange = () => set("picture", Number(parts.picture.value));
  parts.block.onchange = () => set("block", Number(parts.block.value));
  parts.view.onchange = () => set("view", parts.view.value);
  parts.level.onchange = () => set("level", Number(parts.level.value));
  parts.opacity.oninput = () => set("opacity", parts.opacity.value / 100);
  parts.smooth.onchange = () => set("smooth", parts.smooth.checked);
  parts.reset.onclick = () => set("switches", {});
  parts.file.onchange = () => parts.file.files.length && upload(parts.file.files[0]);

  const listeners = [["change:shown", receive], ["change:message", tell]];
  for (const name of ["block", "view", "level", "opacity", "smooth", "switches"]) listeners.push([`change:${name}`, draw]);
  for (const [event, listener] of listeners) model.on(event, listener);
  receive();
  return () => listeners.forEach(([event, listener]) => model.off(event, listener));
}

export default { render };
