// Objects from what a segmenter says of each pixel: in one or not, and how deep. It follows training/objects.py.
//
// Grids have a border of one pixel, so that a neighbour is always there: a picture (height, width) lies in one of
// (height + 2, width + 2).

/** A map of numbers on a grid with a border, whose value is `border`. */
function bordered(values, { height, width }, border) {
  const wide = width + 2;
  const grid = new values.constructor(wide * (height + 2)).fill(border);
  for (let y = 0; y < height; y++) grid.set(values.subarray(y * width, (y + 1) * width), (y + 1) * wide + 1);
  return grid;
}

const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** The steps to the four neighbours on a grid, or to all eight. */
function neighbours(wide, diagonal) {
  return diagonal ? [-wide - 1, -wide, -wide + 1, -1, 1, wide - 1, wide, wide + 1] : [-wide, -1, 1, wide];
}

/** The weights of a Gaussian to four standard deviations, as SciPy cuts it. */
function bell(sigma) {
  const reach = Math.floor(4 * sigma + 0.5);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** A place beyond an end, mirrored there: -1 is 0, `length` is `length` - 1. */
function mirrored(place, length) {
  const within = ((place % (2 * length)) + 2 * length) % (2 * length);
  return within < length ? within : 2 * length - 1 - within;
}

/** `count` lines of `length` numbers, evened out by a Gaussian; `step` and `next` say how far a number and a line are. */
function evenLines(values, { length, step, count, next }, weights) {
  const reach = (weights.length - 1) / 2;
  const out = new Float32Array(values.length);
  const line = new Float64Array(length + 2 * reach);
  const places = Array.from(line, (_, i) => mirrored(i - reach, length) * step);
  for (let start = 0, done = 0; done < count; done++, start += next) {
    for (let i = 0; i < line.length; i++) line[i] = values[start + places[i]];
    for (let i = 0; i < length; i++) {
      let sum = weights[reach] * line[i + reach];
      for (let j = 0; j < reach; j++) sum += weights[j] * (line[i + j] + line[i + 2 * reach - j]);
      out[start + i * step] = sum;
    }
  }
  return out;
}

/** A map evened out by a Gaussian of `sigma` pixels, mirrored at its ends: scipy.ndimage.gaussian_filter. */
function evened(values, { height, width }, sigma) {
  if (!sigma) return values;
  const weights = bell(sigma);
  const down = evenLines(values, { length: height, step: width, count: width, next: 1 }, weights);
  return evenLines(down, { length: width, step: 1, count: height, next: width }, weights);
}

/**
 * The map `low` grown as far as `high` lets it, in place: grey-scale reconstruction by dilation (Vincent 1993: once
 * forwards, once backwards, and from a queue what is left).
 */
function reconstruct(low, high, wide) {
  const around = neighbours(wide, true);
  const first = wide + 1;
  const last = low.length - wide - 2;
  const [corner, above, far, beside] = neighbours(wide, true); // those that are read before a pixel
  for (let at = first; at <= last; at++) {
    const most = Math.max(low[at], low[at + corner], low[at + above], low[at + far], low[at + beside]);
    low[at] = Math.min(most, high[at]);
  }
  const open = []; // from where more may grow
  for (let at = last; at >= first; at--) {
    const most = Math.max(low[at], low[at - corner], low[at - above], low[at - far], low[at - beside]);
    const here = Math.min(most, high[at]);
    low[at] = here;
    for (let i = 4; i < 8; i++) {
      const other = at + around[i];
      if (low[other] >= here || low[other] >= high[other]) continue;
      open.push(at);
      break;
    }
  }
  for (let next = 0; next < open.length; next++) {
    const at = open[next];
    for (const step of around) {
      const other = at + step;
      if (low[other] >= low[at] || low[other] === high[other]) continue;
      low[other] = Math.min(low[at], high[other]);
      open.push(other);
    }
  }
}

/** Where a map rises by `height` above the valley to any higher peak: skimage.morphology.h_maxima, 1 or 0. */
function peaks(map, wide, height) {
  const low = new Float32Array(map.length);
  const found = new Uint8Array(map.length);
  const step = Math.fround(height);
  const finest = Math.fround(2e-6); // twice the resolution of 32-bit numbers: what is lowered is lower for sure
  for (let i = 0; i < low.length; i++) low[i] = Math.fround(map[i] - step) - Math.fround(finest * Math.abs(map[i]));
  reconstruct(low, map, wide);
  for (let i = 0; i < map.length; i++) if (map[i] - low[i] >= height) found[i] = 1; // on the border NaN, so 0
  return found;
}

/** Numbers 1, 2, … for what hangs together in a mask, in reading order: { labels, count }. */
function labelled(mask, wide, diagonal) {
  const labels = new Int32Array(mask.length);
  const around = neighbours(wide, diagonal);
  const open = [];
  let count = 0;
  for (let start = 0; start < mask.length; start++) {
    if (!mask[start] || labels[start]) continue;
    count += 1;
    labels[start] = count;
    open.push(start);
    while (open.length) {
      const at = open.pop();
      for (const step of around) {
        if (!mask[at + step] || labels[at + step]) continue;
        labels[at + step] = count;
        open.push(at + step);
      }
    }
  }
  return { labels, count };
}

/** A queue that gives the place of the largest value first, and of equal ones the one that came first. */
class Queue {
  constructor(values) {
    this.values = values;
    this.places = [];
    this.ages = [];
    this.taken = 0;
  }

  /** Whether entry `one` comes before entry `other`. */
  earlier(one, other) {
    const here = this.values[this.places[one]];
    const there = this.values[this.places[other]];
    return here > there || (here === there && this.ages[one] < this.ages[other]);
  }

  swap(one, other) {
    const place = this.places[one];
    const age = this.ages[one];
    this.places[one] = this.places[other];
    this.ages[one] = this.ages[other];
    this.places[other] = place;
    this.ages[other] = age;
  }

  push(place) {
    let at = this.places.push(place) - 1;
    this.ages.push(this.taken);
    this.taken += 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.earlier(at, above)) return;
      this.swap(at, above);
      at = above;
    }
  }

  pop() {
    const first = this.places[0];
    this.swap(0, this.places.length - 1);
    this.places.pop();
    this.ages.pop();
    let at = 0;
    for (;;) {
      let best = at;
      if (2 * at + 1 < this.places.length && this.earlier(2 * at + 1, best)) best = 2 * at + 1;
      if (2 * at + 2 < this.places.length && this.earlier(2 * at + 2, best)) best = 2 * at + 2;
      if (best === at) return first;
      this.swap(at, best);
      at = best;
    }
  }
}

/** Markers grown over a mask, from what is deep to what is not, in place: skimage.segmentation.watershed of -depth. */
function flood(markers, depth, mask, wide) {
  const queue = new Queue(depth);
  const around = neighbours(wide, false);
  for (let at = 0; at < markers.length; at++) if (markers[at]) queue.push(at);
  while (queue.places.length) {
    const at = queue.pop();
    for (const step of around) {
      const other = at + step;
      if (!mask[other] || markers[other]) continue;
      markers[other] = markers[at];
      queue.push(other);
    }
  }
}

/** What has no middle is one object all the same: its number behind those of the middles, in place. */
function markWithout(markers, count, { labels: whole, count: wholes }) {
  const withMiddle = new Uint8Array(wholes + 1);
  for (let at = 0; at < markers.length; at++) if (markers[at]) withMiddle[whole[at]] = 1;
  for (let at = 0; at < whole.length; at++) if (whole[at] && !withMiddle[whole[at]]) markers[at] = whole[at] + count;
}

/** A label map without its border and without objects of fewer than `smallest` pixels, numbered anew: { labels, sizes }. */
function tidied(grid, { height, width }, smallest) {
  const pixels = [];
  for (let at = 0; at < grid.length; at++) pixels[grid[at]] = (pixels[grid[at]] ?? 0) + 1;
  const sizes = [0];
  const numbers = new Uint16Array(pixels.length);
  for (let label = 1; label < pixels.length; label++) {
    if (!(pixels[label] >= smallest)) continue;
    numbers[label] = sizes.length;
    sizes.push(pixels[label]);
  }
  const labels = new Uint16Array(height * width);
  for (let y = 0; y < height; y++) {
    const row = (y + 1) * (width + 2) + 1;
    for (let x = 0; x < width; x++) labels[y * width + x] = numbers[grid[row + x]];
  }
  return { labels, sizes };
}

/**
 * The objects of a picture: { height, width, labels, sizes }, of each pixel the number of its object or 0, and of each
 * number its pixels; that of 0 is not counted.
 *
 * logits: a map of 2 channels. rules: { prominence, smallest, smooth }, see `separate` in Python.
 */
function separated({ height, width, values }, { prominence, smallest, smooth }) {
  const size = { height, width };
  const wide = width + 2;
  const inside = new Uint8Array(height * width);
  const depth = new Float32Array(height * width);
  for (let i = 0; i < inside.length; i++) {
    inside[i] = values[2 * i] > 0 ? 1 : 0;
    depth[i] = values[2 * i + 1];
  }
  const mask = bordered(inside, size, 0);
  const deep = bordered(evened(depth, size, smooth).map(sigmoid), size, -Infinity);
  const middles = peaks(deep, wide, prominence);
  for (let at = 0; at < middles.length; at++) middles[at] &= mask[at];
  const { labels: markers, count } = labelled(middles, wide, true);
  markWithout(markers, count, labelled(mask, wide, false));
  flood(markers, deep, mask, wide);
  return { ...size, ...tidied(markers, size, smallest) };
}

/** How many pairs of numbers two label maps hold of each pixel: "one,other" → pixels, where both are in an object. */
function overlaps(one, other) {
  const pairs = new Map();
  const many = other.sizes.length;
  one.labels.forEach((label, at) => {
    if (!label || !other.labels[at]) return;
    const pair = label * many + other.labels[at];
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  });
  return pairs;
}

const compared = new WeakMap(); // after → what was found of it, since several parts of the page ask

/** Which objects of two label maps are not in the other, by an IoU above a half: { lost: of before, found: of after }. */
function changed(before, after) {
  const last = compared.get(after);
  if (last?.before === before) return last;
  const found = { before, ...difference(before, after) };
  compared.set(after, found);
  return found;
}

function difference(before, after) {
  if (before === after) return { lost: new Set(), found: new Set() };
  const many = after.sizes.length;
  const lost = new Set(before.sizes.keys());
  const found = new Set(after.sizes.keys());
  lost.delete(0);
  found.delete(0);
  for (const [pair, both] of overlaps(before, after)) {
    const one = Math.floor(pair / many);
    const other = pair % many;
    if (2 * both <= before.sizes[one] + after.sizes[other] - both) continue;
    lost.delete(one);
    found.delete(other);
  }
  return { lost, found };
}

/** What share of the picture is in an object. */
function covered({ height, width, sizes }) {
  return sizes.reduce((sum, size) => sum + size, 0) / (height * width);
}

/** The borders of objects as the path of a drawing, along the pixels' edges. of: whether the object `number` is drawn. */
function borders({ height, width, labels }, of = () => true) {
  const at = (y, x) => {
    const label = y < 0 || x < 0 || y >= height || x >= width ? 0 : labels[y * width + x];
    return label && of(label) ? label : 0;
  };
  const parts = [];
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x < width; x++) {
      const start = x;
      while (x < width && at(y - 1, x) !== at(y, x)) x += 1;
      if (x > start) parts.push(`M${start} ${y}h${x - start}`);
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0; y < height; y++) {
      const start = y;
      while (y < height && at(y, x - 1) !== at(y, x)) y += 1;
      if (y > start) parts.push(`M${x} ${start}v${y - start}`);
    }
  }
  return parts.join("");
}

/** The middle of each object, by its number: [x, y] in pixels of the picture. */
function centres({ width, labels, sizes }) {
  const sums = sizes.map(() => [0, 0]);
  labels.forEach((label, i) => {
    sums[label][0] += (i % width) + 0.5;
    sums[label][1] += Math.floor(i / width) + 0.5;
  });
  return sums.map(([x, y], number) => [x / sizes[number], y / sizes[number]]);
}

export { borders, centres, changed, covered, separated };
