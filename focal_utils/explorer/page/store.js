// What the reader has chosen: the picture, the block, what is shown of it, the switches, the pixel.

const START = {
  network: "",
  picture: 0,
  block: 0,
  view: "gate",
  level: 0,
  switches: {},
  pixel: null, // of the block's map, { row, column }
  pinned: false,
  trained: true,
  everywhere: false, // whether a switch acts in every block
  step: null, // of the tour
};

/** A state in the page. `watch(tell)`: tell(names of what has changed). */
class Store {
  constructor(state = {}) {
    this.state = { ...START, ...state };
    this.listeners = new Set();
  }

  get(name) {
    return this.state[name];
  }

  set(changes) {
    const names = Object.keys(changes).filter((name) => JSON.stringify(changes[name]) !== JSON.stringify(this.state[name]));
    Object.assign(this.state, changes);
    if (names.length) this.listeners.forEach((tell) => tell(names));
  }

  watch(tell) {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  }
}

const SHARED = ["picture", "block", "view", "level", "switches"]; // with Python, as traits of widget.py

/** A state of which a part lives in Python too, so that either side may set it. */
class SharedStore extends Store {
  constructor(model) {
    super(Object.fromEntries(SHARED.map((name) => [name, model.get(name)])));
    this.model = model;
    this.stops = SHARED.map((name) => {
      const follow = () => super.set({ [name]: model.get(name) });
      model.on(`change:${name}`, follow);
      return () => model.off(`change:${name}`, follow);
    });
  }

  set(changes) {
    const shared = SHARED.filter((name) => name in changes);
    for (const name of shared) this.model.set(name, changes[name]);
    if (shared.length) this.model.save_changes();
    super.set(changes);
  }

  close() {
    this.stops.forEach((stop) => stop());
  }
}

export { SharedStore, Store };
