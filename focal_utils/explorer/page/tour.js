// The tour: eight steps that set the explorer and say what is to be seen. A step is a part of the state, so it is a link.

import { comparedCount, distance, isObjects, isOther, saying } from "./outcome.js";
import { button, element } from "./parts.js";
import { switched } from "./switches.js";
import { blockTitle } from "./words.js";

/** The switch of one level that changes the answer to a picture, the first there is; else the one that moves it most. */
async function tellingSwitch(engine, picture) {
  if (engine.can.restart) engine.train(true);
  const { before } = await engine.answer(picture, {}, { stays: true });
  let found = { moved: -1 };
  for (const [number, block] of engine.about.blocks.entries()) {
    for (const level of block.levels.keys()) {
      const switches = switched({}, [block], block.levels[level], "off");
      const { after } = await engine.answer(picture, switches, { stays: true });
      const moved = distance(before, after);
      if (moved > found.moved) found = { moved, block: number, level, switches, before, after };
      if (moved >= 1) return found;
    }
  }
  return found;
}

/** What a reader can guess of what comes out, and which of it is right. */
function guesses({ before, after }, about) {
  if (!isObjects(before)) {
    return { words: [`still ${saying(before, about).word}`, "something else"], right: isOther(before, after) ? 1 : 0 };
  }
  const kinds = ["fewer", "as many", "more"];
  return { words: kinds, right: kinds.findIndex((kind) => comparedCount(before, after).endsWith(kind)) };
}

const CALM = { switches: {}, trained: true, view: "gate", everywhere: false };

const reads = (result) => (isObjects(result) ? "finds" : "reads");

/** What each step says and sets; `seen` is what `tellingSwitch` found for the picture. */
const STEPS = [
  {
    title: "A pixel alone knows nothing",
    text: () => "What is it? One pixel cannot say: it has to look around. What it sees there is its context. Move over the picture: the squares show how far this pixel looks.",
    set: () => ({ ...CALM, picture: 0, block: 0, level: 0, pixel: null, pinned: false }),
    lit: ".fx-picture",
  },
  {
    title: "Near, farther, everything: the levels",
    text: () => "Each square is a level. Level 1 sees a few pixels, the next sees what level 1 has seen around it, and the last one is the average of everything. Every level has its colour, here and everywhere.",
    set: () => ({ ...CALM, block: 0, level: 1, pinned: true }),
    lit: ".fx-levels",
  },
  {
    title: "Each pixel decides how far to look: the gates",
    text: () => "For each level a pixel computes one number, its gate. The map shows one level's gates for all pixels: light is open, grey is shut, dark turns the context round.",
    set: () => ({ ...CALM, block: 0, level: 0 }),
    lit: ".fx-map",
  },
  {
    title: "How the number is made",
    text: () => "Gate times context, added over the levels; a small matrix h makes the modulator m of it; m multiplies the query q, which is what the pixel says itself. Press Play, or point at a term.",
    set: () => ({ ...CALM, block: 0, level: 0, pinned: true }),
    lit: ".fx-sums",
  },
  {
    title: "Predict",
    text: ({ about, seen }) => `We are about to shut one gate of all: ${about.blocks[seen.block].levels[seen.level]} of the ${blockTitle(seen.block)}. Now it ${reads(seen.before)} ${saying(seen.before, about).word}. And then?`,
    set: ({ seen }) => ({ ...CALM, block: seen.block, level: seen.level }),
    choices: ({ about, seen }) => guesses(seen, about).words,
    lit: ".fx-answer",
  },
  {
    title: "Switch it off",
    text: ({ about, seen, guess }) => {
      const { word, number } = saying(seen.after, about);
      const now = isOther(seen.before, seen.after) ? `Now it ${reads(seen.after)} ${word}` : `Still ${word}`;
      const told = guess === guesses(seen, about).right ? " You were right." : " You guessed otherwise.";
      return `${now}, ${number}.${guess === null ? "" : told} Move the slider of that level: from −2 to 2 times its gate, where does the answer turn?`;
    },
    set: ({ seen }) => ({ ...CALM, switches: seen.switches, block: seen.block, level: seen.level }),
    lit: ".fx-levels",
  },
  {
    title: "A map is no proof",
    text: () => "These are the gates of the same network before it learned anything: random weights. They draw the picture as well. What a map shows is not yet what the network uses; what a switch changes is.",
    set: () => ({ ...CALM, trained: false, block: 0, level: 0 }),
    lit: ".fx-map",
  },
  {
    title: "Now your own picture",
    text: () => "Choose a file, drop one, paste one, or take one with the camera. It is read in this page and goes nowhere. Then try: which switch changes the answer?",
    set: () => ({ ...CALM }),
    lit: ".fx-top",
  },
];

/** { root: the card, start: the button that begins, follow(names of what has changed in the store) }. */
function tourPart(engine, store) {
  const count = element("span", { className: "fx-quiet" });
  const title = element("h3", { tabIndex: -1 });
  const text = element("p", {});
  const choices = element("div", { className: "fx-buttons" });
  const back = button("Back", () => go(store.get("step") - 1));
  const next = button("Next", () => (store.get("step") + 1 < STEPS.length ? go(store.get("step") + 1) : leave()), "fx-button fx-primary");
  const close = button("×", () => leave(), "fx-button fx-close");
  close.setAttribute("aria-label", "Leave the tour");
  const start = button("Take the tour", () => go(0), "fx-button fx-primary");
  const steps = element("div", { className: "fx-buttons" }, back, next);
  const root = element("section", { className: "fx-tour", hidden: true, aria: { label: "Tour" } }, count, close, title, text, choices, steps);
  const found = new Map();
  let guess = null;

  async function context() {
    const picture = store.get("step") === 0 ? 0 : store.get("picture");
    if (!found.has(picture)) {
      found.set(picture, await tellingSwitch(engine, picture));
      if (engine.can.restart) engine.train(store.get("trained"));
      await engine.answer(store.get("picture"), store.get("switches"), { stays: true }); // the engine stands where the reader left it
    }
    return { about: engine.about, seen: found.get(picture), guess };
  }

  /** Go to a step, and set the explorer as it wants. */
  async function go(step) {
    const { set, title: heading } = STEPS[step];
    const needed = set.length ? await context() : null;
    store.set({ step, ...set(needed) });
    title.textContent = heading;
    title.focus({ preventScroll: true });
  }

  function leave() {
    store.set({ ...CALM, step: null });
    start.focus({ preventScroll: true });
  }

  async function draw() {
    const step = store.get("step");
    const section = root.parentElement;
    root.hidden = step === null || !STEPS[step];
    section.querySelectorAll(".fx-shown").forEach((part) => part.classList.remove("fx-shown"));
    if (root.hidden) return;
    const one = STEPS[step];
    section.querySelector(one.lit)?.classList.add("fx-shown");
    count.textContent = `${step + 1} of ${STEPS.length}`;
    title.textContent = one.title;
    back.disabled = step === 0;
    next.textContent = step + 1 < STEPS.length ? "Next" : "Done";
    const needed = one.text.length || one.choices ? await context() : null;
    if (store.get("step") !== step) return;
    text.textContent = one.text(needed);
    const offered = one.choices?.(needed) ?? [];
    choices.hidden = !offered.length;
    choices.replaceChildren(
      ...offered.map((words, number) =>
        button(words, () => {
          guess = number;
          go(step + 1);
        }),
      ),
    );
  }

  /** Draw the card anew when the step has changed; a link that names a step alone sets what the step wants. */
  function follow(names) {
    if (!names.includes("step")) return;
    if (store.get("bare") && STEPS[store.get("step")]) {
      store.state.bare = false;
      go(store.get("step"));
    }
    draw();
  }

  return { root, start, follow };
}

export { tourPart };
