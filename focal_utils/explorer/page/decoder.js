// The decoder of a segmenter: from the maps of the stages to logits for every pixel. It follows models/segmenter.py.

import { gelu } from "./layers.js";

/** Conv2D with padding="same": zeros around, the odd one behind. */
function convolved(network, path, map, stride = 1) {
  const [size] = network.weights[`${path}/kernel`].shape;
  const added = (side) => Math.max((Math.ceil(side / stride) - 1) * stride + size - side, 0);
  const zeros = [added(map.height), added(map.width)];
  const before = zeros.map((count) => count >> 1);
  return network.convolve(path, map, { size, stride, before, after: zeros.map((count, axis) => count - before[axis]) });
}

/** Conv2DTranspose whose windows do not overlap: of each pixel `stride` times `stride`, by one matrix. */
function enlarged(network, path, { height, width, values }, stride) {
  const { shape, values: kernel } = network.weights[`${path}/kernel`]; // (stride, stride, outputs, inputs)
  const [, , channels, inputs] = shape;
  const wide = stride * stride * channels;
  const matrix = network.prepared(path, () => {
    const turned = new Float32Array(kernel.length);
    for (let i = 0; i < wide; i++) for (let c = 0; c < inputs; c++) turned[c * wide + i] = kernel[i * inputs + c];
    const bias = network.weights[`${path}/bias`].values;
    const offsets = Float32Array.from({ length: wide }, (_, i) => bias[i % channels]);
    return network.products.chain([network.products.matrix(turned, offsets, inputs, wide)]);
  });
  const squares = matrix(values, height * width); // (pixels, stride, stride, channels)
  const out = new Float32Array(squares.length);
  const run = stride * channels;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let i = 0; i < stride; i++) {
        const source = (y * width + x) * wide + i * run;
        const target = ((y * stride + i) * width + x) * run;
        for (let at = 0; at < run; at++) out[target + at] = squares[source + at];
      }
    }
  }
  return { height: height * stride, width: width * stride, channels, values: out };
}

/** A map of height × width: what is too much is cut, what is missing is its border once more. */
function sized(map, { height, width }) {
  if (map.height === height && map.width === width) return map;
  const { channels } = map;
  const values = new Float32Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const source = (Math.min(y, map.height - 1) * map.width + Math.min(x, map.width - 1)) * channels;
      const target = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) values[target + c] = map.values[source + c];
    }
  }
  return { height, width, channels, values };
}

/** Merge: a coarse map, enlarged, and what is finer beside it, mixed by a 3×3 convolution. */
function merged(network, path, coarse, fine, stride) {
  const above = sized(enlarged(network, `${path}/up`, coarse, stride), fine);
  const lateral = [`${path}/norm_fine`, `${path}/lateral`];
  const beside = network.once(fine, () => network.through(lateral, fine.values, fine.height * fine.width));
  for (let i = 0; i < beside.length; i++) above.values[i] += beside[i];
  const mixed = convolved(network, `${path}/conv`, above);
  return { ...mixed, values: network.through([`${path}/norm`, "gelu"], mixed.values, mixed.height * mixed.width) };
}

/** What the decoder sees of the picture itself. */
function detailed(network, pixels, stride) {
  const map = convolved(network, "details", pixels, stride);
  gelu(map.values);
  return map;
}

/** Logits (pixels, classes) of every pixel of the picture, a map: from the stages' maps, finest first. */
function pixelLogits(network, maps, pixels) {
  const { strides } = network.header.decoder; // by the layers' names
  const last = maps[maps.length - 1];
  let map = { ...last, values: network.norm("norm_coarsest", last.values) };
  for (let stage = maps.length - 2; stage >= 0; stage--) {
    map = merged(network, `merge${stage}`, map, maps[stage], strides[`merge${stage}`]);
  }
  const details = network.once(pixels, () => detailed(network, pixels, strides.head));
  map = merged(network, "merge_details", map, details, strides.merge_details);
  return sized(enlarged(network, "head/up", map, strides.head), pixels);
}

export { pixelLogits };
