// The gate explorer: one for a kernel, for a page of its own and for a site.
//
//   mount(element, { networks: [{ id, title, file, pictures, credit, model }], address: true, tour: true })
//
// shows networks that run in the page; `file` is an address, or the bytes, of what network.py writes. `render` is what
// anywidget calls, with a kernel behind it.

import { readState, wordsOf, writeAddress } from "./address.js";
import { KernelEngine, PageEngine, RecordedEngine } from "./engines.js";
import { helperFor } from "./helper.js";
import { element, segmented, waitingSign } from "./parts.js";
import { SharedStore, Store } from "./store.js";
import { workbench } from "./workbench.js";

const REST = 300; // milliseconds without a change, after which the address follows

/** The bytes of a network's file: given as such, in base64, or by its address. */
async function bytesOf(file) {
  if (file instanceof ArrayBuffer) return file;
  if (file.base64) return Uint8Array.from(atob(file.base64), (letter) => letter.charCodeAt(0)).buffer;
  const response = await fetch(file).catch(() => ({ ok: false, status: "no connection" }));
  if (!response.ok) throw new Error(`The network could not be fetched (${response.status}). Try again later.`);
  return response.arrayBuffer();
}

async function engineFor({ file, pictures, recorded }) {
  if (recorded) return new RecordedEngine(recorded);
  const buffer = await bytesOf(file);
  return new PageEngine(buffer, await helperFor(buffer), pictures);
}

/**
 * Show an explorer in `place`, whose content, a still for browsers that cannot, is replaced once a network has answered.
 *
 * options: networks: see above. address: whether the state stands in the page's address. tour: whether it is offered.
 * state: what to show at first. Returns a promise of { show(state), close() }.
 */
async function mount(place, { networks, address = false, tour = true, state = {} }) {
  const engines = new Map(); // by the network's number, each made when it is first asked for
  const outer = element("div", { className: "fx-outer" });
  const sign = waitingSign(); // beside the still, until there is an answer
  sign.root.classList.add("fx-first");
  place.append(sign.root);
  let bench = null;
  let current = 0;

  async function open(number, first) {
    if (!engines.has(number)) engines.set(number, await engineFor(networks[number]));
    const engine = engines.get(number);
    bench?.close();
    current = number;
    const { id, credit, model } = networks[number];
    const hash = address && wordsOf(location.hash).network === id ? readState(location.hash, engine.about.blocks, engine.pictures.length) : {};
    const farthest = engine.about.blocks[0].widths.length - 1;
    const store = new Store({ network: id, level: Math.max(farthest, 0), ...state, ...first, ...hash });
    bench = workbench(engine, store, { tour, credit, python: model, tabs: networks.length > 1 ? tabs.root : null, tell: sign.wait });
    outer.replaceChildren(bench.root);
    tabs.choose(number);
    await bench.ready;
    if (address) follow(store, engine);
  }

  /** The same; where that fails, say so, and leave what was shown. */
  async function tryToOpen(number, first) {
    try {
      await open(number, first);
    } catch (error) {
      if (!bench) {
        sign.say(error.message);
        place.classList.add("fx-failed");
        return;
      }
      tabs.choose(current);
      bench.say(error.message, true);
    }
  }

  /** Let the address say the state, without a new entry in the browser's history for each change. */
  function follow(store, engine) {
    let timer = null;
    store.watch(() => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (bench?.store === store) history.replaceState(history.state, "", writeAddress(store.state, engine.about.blocks));
      }, REST);
    });
  }

  const tabs = segmented("Network", networks.map(({ title }, number) => [number, title]), (number) => tryToOpen(number, {}));
  tabs.root.classList.add("fx-tabs");
  const asked = address ? networks.findIndex(({ id }) => id === wordsOf(location.hash).network) : -1;
  await tryToOpen(Math.max(asked, 0), {});
  if (bench) place.replaceChildren(outer);
  const onhash = () => {
    const number = networks.findIndex(({ id }) => id === wordsOf(location.hash).network);
    if (number >= 0 && number !== current) tryToOpen(number, {});
    else if (number >= 0) bench?.show(readState(location.hash, bench.engine.about.blocks, bench.engine.pictures.length));
  };
  if (address) addEventListener("hashchange", onhash);
  return {
    show: (changes) => bench?.show(changes),
    close() {
      bench?.close();
      engines.forEach((engine) => engine.close());
      removeEventListener("hashchange", onhash);
    },
  };
}

/** The same with a kernel, as anywidget calls it. */
function render({ model, el }) {
  const store = new SharedStore(model);
  const engine = new KernelEngine(model);
  const bench = workbench(engine, store, { tour: false, python: null });
  const message = () => bench.say(model.get("message"), true);
  model.on("change:message", message);
  el.replaceChildren(element("div", { className: "fx-outer" }, bench.root));
  return () => {
    bench.close();
    store.close();
    model.off("change:message", message);
  };
}

export { mount, render };
