// The layers of a FocalNet on one picture. A map is { height, width, channels, values }, channels last, as in Keras.

const EPSILON = 1e-5; // of every LayerNorm (layers/basics.py)

/** The normal distribution as a table: Φ at `steps` + 1 places from -farthest, where it is 0 to 1e-9, to farthest. */
const NORMAL = { steps: 1 << 13, farthest: 6 }; // linear from one to the next is exact to 7e-8

/** Summed up by Simpson's rule; one entry more, so that there is always a next one. */
const normalTable = (() => {
  const { steps, farthest } = NORMAL;
  const table = new Float32Array(steps + 2);
  const density = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  const step = (2 * farthest) / steps;
  let sum = 0;
  for (let i = 1; i <= steps; i++) {
    const x = i * step - farthest;
    sum += (step / 6) * (density(x - step) + 4 * density(x - step / 2) + density(x));
    table[i] = sum;
  }
  table[steps + 1] = sum;
  return table;
})();

/** Exact GELU, x·Φ(x), in place; by a table, since it is asked for some hundred thousand times. */
function gelu(values) {
  const { steps, farthest } = NORMAL;
  const scale = steps / (2 * farthest);
  for (let i = 0; i < values.length; i++) {
    const place = Math.min(Math.max((values[i] + farthest) * scale, 0), steps);
    const index = place | 0;
    values[i] *= normalTable[index] + (place - index) * (normalTable[index + 1] - normalTable[index]);
  }
  return values;
}

/** LayerNorm over the channels: values (…, channels) in, the same shape out. */
function layerNorm(values, { gamma, beta }) {
  const channels = gamma.length;
  const out = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += channels) {
    let mean = 0;
    for (let c = 0; c < channels; c++) mean += values[start + c];
    mean /= channels;
    let variance = 0;
    for (let c = 0; c < channels; c++) variance += (values[start + c] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / channels + EPSILON);
    for (let c = 0; c < channels; c++) out[start + c] = (values[start + c] - mean) * scale * gamma[c] + beta[c];
  }
  return out;
}

/** How many windows a convolution has down and across a map. before, after: zeros above and below, left and right of it. */
function windowCounts(map, { size, stride, before: [top, left], after: [bottom, right] }) {
  const height = Math.floor((map.height + top + bottom - size) / stride) + 1;
  const width = Math.floor((map.width + left + right - size) / stride) + 1;
  return { height, width };
}

/** The windows of a convolution in the rows from `start` to `end`: (rows·width, size·size·channels), zeros around. */
function windows(map, { size, stride, before: [top, left] }, width, start, end) {
  const wide = size * size * map.channels;
  const rows = new Float32Array((end - start) * width * wide);
  for (let y = start; y < end; y++) {
    for (let x = 0; x < width; x++) {
      const column = x * stride - left;
      const from = Math.max(0, -column); // the columns of the window that lie on the map
      const to = Math.min(size, map.width - column);
      for (let i = 0; i < size; i++) {
        const row = y * stride + i - top;
        if (row < 0 || row >= map.height) continue;
        const source = (row * map.width + column + from) * map.channels;
        const target = ((y - start) * width + x) * wide + (i * size + from) * map.channels;
        const count = (to - from) * map.channels;
        for (let at = 0; at < count; at++) rows[target + at] = map.values[source + at];
      }
    }
  }
  return rows;
}

/** The mean over all pixels: (channels). */
function meanOver({ height, width, channels, values }) {
  const sums = new Float64Array(channels);
  for (let start = 0; start < values.length; start += channels) {
    for (let c = 0; c < channels; c++) sums[c] += values[start + c];
  }
  return Float32Array.from(sums, (sum) => sum / (height * width));
}

/** Rows of numbers cut into parts of the given widths: a list of (rows, width). */
function split(values, widths) {
  const wide = widths.reduce((sum, width) => sum + width, 0);
  const rows = values.length / wide;
  let start = 0;
  return widths.map((width) => {
    const part = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < width; i++) part[row * width + i] = values[row * wide + start + i];
    }
    start += width;
    return part;
  });
}

/** Softmax over the last axis, `width` long. */
function softmax(values, width) {
  const out = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const most = Math.max(...row);
    const powers = Array.from(row, (value) => Math.exp(value - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    powers.forEach((power, i) => (out[start + i] = power / total));
  }
  return out;
}

export { EPSILON, NORMAL, gelu, layerNorm, meanOver, normalTable, softmax, split, windowCounts, windows };
