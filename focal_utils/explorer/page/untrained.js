// The same network before it has learned anything: fresh weights, drawn as Keras draws them (layers/basics.py, blocks.py).

/** Random numbers from 0 to 1 that are the same for every visitor (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SIGMA = 0.02; // of a Dense layer's matrix; beyond two of them a number is drawn again

function normal(draw) {
  for (;;) {
    const value = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
    if (Math.abs(value) <= 2) return value;
  }
}

/** A fresh value for a weight, by its path and shape. */
function fresh(path, shape, old, draw) {
  if (path.endsWith("/gamma")) return old.map(() => 1);
  if (!path.endsWith("/kernel")) return old.map(() => 0);
  if (path.includes("/level_")) return old.map(() => (2 * draw() - 1) / shape[0]); // uniform in ±1/size
  if (shape.length === 2) return old.map(() => SIGMA * normal(draw));
  const [size, , inputs, outputs] = shape;
  const area = size * size;
  // Of a patch embedding, uniform as PyTorch starts; of a decoder's convolution, as Keras does (Glorot & Bengio 2010).
  const limit = path.endsWith("/proj/kernel") ? 1 / Math.sqrt(area * inputs) : Math.sqrt(6 / (area * (inputs + outputs)));
  return old.map(() => limit * (2 * draw() - 1));
}

/** { header, weights } of the same architecture with fresh weights. LayerScale's γ stay as they are. */
function untrained({ header, weights }) {
  const draw = random(7);
  const started = Object.entries(weights).map(([path, { shape, values }]) => {
    const kept = /\/scale\d\/gamma$/.test(path);
    return [path, { shape, values: kept ? values : fresh(path, shape, values, draw) }];
  });
  return { header, weights: Object.fromEntries(started) };
}

export { untrained };
