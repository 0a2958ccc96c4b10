"""Judges for the exercises of notebook 02, gated aggregation."""

import functools
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops

from focal_utils.data.signs import render_sign
from focal_utils.exercises.checking import NotYet, array_of, call, compare, exercise, need_array, same
from focal_utils.layers.focal import aggregate, contextualize

LINEAR = 5e-3  # by how much sums may be off where graphics cards round products to ten bits


def check_gates_shape(gates, shape, levels):
    """Raise NotYet unless there are levels + 1 gates at each pixel of a map of the given shape (B, H, W, C)."""
    need_array(gates, "one tensor with all gates along its last axis is wanted.")
    batch, height, width, channels = shape
    if gates.shape in ((batch, levels + 1), (batch, 1, 1, levels + 1)):
        raise NotYet("One set of gates for the whole picture. Each pixel should decide for itself: (B, H, W, L + 1).")
    if gates.shape[:-1] != shape[:-1]:
        raise NotYet(f"From x of shape {shape} I get gates of shape {gates.shape}; (B, H, W, L + 1) is wanted.")
    if gates.shape[-1] in (levels * channels, (levels + 1) * channels):
        raise NotYet("One gate for each channel as well. The paper's are shared by all channels: L + 1 per pixel.")
    if gates.shape[-1] == levels:
        raise NotYet(f"I see {levels} gates for {levels} levels; the global average is a level too: L + 1.")
    if gates.shape[-1] != levels + 1:
        raise NotYet(f"I see {gates.shape[-1]} gates for {levels} levels; L + 1 are wanted.")


@contextmanager
def recorded_dense():
    """A list of the `Dense` layers that are built in this `with` block: a bias that starts at 0 shows in no output."""
    used = []
    build = keras.layers.Dense.build

    def recording(self, input_shape):
        used.append(self)
        return build(self, input_shape)

    keras.layers.Dense.build = recording
    try:
        yield used
    finally:
        keras.layers.Dense.build = build


@exercise("2.1 gates")
def judge_gates(answer):
    rng = np.random.default_rng(2)
    first, second = rng.normal(scale=3, size=(2, 6, 6, 8)).astype("float32")
    poked = first.copy()
    poked[3, 3] += 5.0
    shifted = [first + 5 * channel for channel in np.eye(8, dtype="float32")]  # one channel each, at every pixel
    x = np.stack([first, second, first + second, np.zeros_like(first), poked, *shifted])
    with recorded_dense() as used:
        gates = call(answer, x, 3)
    check_gates_shape(gates, x.shape, 3)
    if np.allclose(gates.sum(axis=-1), 1, atol=1e-4):
        raise NotYet(
            "Your gates sum to 1 at every pixel. Is there a softmax? "
            "The paper's gates are free to all open, or all close."
        )
    if np.ptp(gates, axis=-1).max() < 1e-6 < np.ptp(gates):
        raise NotYet("All gates of a pixel are the same number. Each level needs weights of its own.")
    if np.ptp(gates) < 1e-6 or same(gates[0], gates[1]):
        raise NotYet("Your gates are the same whatever x is. A pixel's gates should depend on what is there.")
    if gates.min() >= 0 and gates.max() <= 1:
        raise NotYet("Your gates all lie between 0 and 1. Is there a sigmoid? A gate may be negative, or large.")
    if gates.min() >= 0:
        raise NotYet("None of your gates is negative. Is there a ReLU? Then no level can be subtracted from another.")
    moved = np.abs(gates[4] - gates[0]).max(axis=-1) > 1e-5
    if moved.sum() > 1:
        raise NotYet(
            f"Moving one pixel of x changes the gates of {moved.sum()} pixels. In eq. (2.2) each pixel's gates come "
            "from that pixel alone."
        )
    if not same(gates[0] + gates[1], gates[2] + gates[3], LINEAR):
        raise NotYet("Something bends between x and the gates, an activation perhaps. The paper's are linear: XW + b.")
    for channel in range(8):
        if same(gates[5 + channel], gates[0], 1e-6):
            raise NotYet(
                f"Channel {channel} of x has no say in your gates. In XW + b each gate weighs all channels, by weights "
                "that are learned."
            )
    check_gates_shape(call(answer, x, 2), x.shape, 2)
    if used and not any(layer.use_bias for layer in used):
        raise NotYet("Your layer has no bias. Eq. (2.2) adds b: a gate that is open or closed whatever the pixel says.")
    return 'Next: what would a softmax cost? Read on, and try gating="softmax" in notebook 09.'


def wrong_sums(contexts, gates):
    """Pairs of a wrong result and what to say about it."""
    levels = len(contexts)
    shape = contexts[0].shape
    slices = [gates[..., level : level + 1] for level in range(levels)]
    yield sum(contexts) + 0 * slices[0], "The contexts are added up, but the gates are not used."
    yield sum(slices) + np.zeros(shape), "You add up the gates. Each should be multiplied with its context first."
    yield (
        aggregate(contexts, gates) / levels,
        "A mean where eq. (2.3) has a sum: you divide by the number of levels.",
    )
    yield (
        aggregate(contexts, ops.convert_to_numpy(ops.softmax(gates, axis=-1))),
        "The gates have gone through a softmax. They are to be used as they come.",
    )
    yield aggregate(contexts[:-1], gates), "The last context is missing: the global one counts, and has a gate, too."
    yield aggregate(contexts, gates[..., ::-1]), "Gates and contexts run in opposite order: gate 0 is for context 0."
    yield (
        aggregate(contexts, np.maximum(gates, 0)),
        "Negative gates have been set to zero. They are meant: they subtract a level.",
    )
    yield aggregate(contexts, np.abs(gates)), "Negative gates have lost their sign. With it they subtract a level."
    yield (
        aggregate(contexts, gates.mean(axis=(1, 2), keepdims=True)),
        "You use one gate for the whole picture. Each pixel has its own.",
    )
    yield (
        sum(gates[..., level] * context for level, context in enumerate(contexts)),
        "The shape is right by accident. gates[..., level] has lost its last axis, so its columns meet the channels.",
    )


def contexts_and_gates(rng, levels):
    """Contexts for a map of 6 × 6 pixels and 6 channels, the last a global one, and gates for them."""
    shapes = [(1, 6, 6, 6)] * levels + [(1, 1, 1, 6)]
    contexts = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return contexts, rng.normal(size=(1, 6, 6, levels + 1)).astype("float32")


@exercise("2.2 aggregate")
def judge_aggregate(answer):
    rng = np.random.default_rng(3)
    contexts, gates = contexts_and_gates(rng, 2)
    try:
        result = call(answer, contexts, gates)
    except NotYet as reason:
        if any(word in str(reason) for word in ("Pack", "stack", "same shape")):  # TensorFlow, PyTorch, JAX
            raise NotYet(
                "The contexts cannot be stacked: the global one is (B, 1, 1, C), the others (B, H, W, C). Add them up "
                "one by one, or spread the global one with ops.broadcast_to first."
            ) from reason
        raise
    need_array(result, "the levels are still to be added up.")
    if result.shape in ((1, 6, 6), (1, 6, 6, 1)):
        raise NotYet(f"The result has shape {result.shape}: the channels have been added up too. Sum over levels only.")
    if result.shape != contexts[0].shape:
        raise NotYet(f"The result has shape {result.shape}; (B, H, W, C) is wanted, here {contexts[0].shape}.")
    otherwise = "The shape is right, the numbers are not. At one pixel: gate 0 × context 0 + gate 1 × context 1 + …?"
    compare(result, aggregate(contexts, gates), wrong_sums(contexts, gates), otherwise)
    more, their_gates = contexts_and_gates(rng, 3)
    if not same(call(answer, more, their_gates), aggregate(more, their_gates)):
        raise NotYet("Right for 3 contexts, but not for 4: there may be any number of levels.")
    return "That is the second step, whole. Each pixel now has one context, mixed to its own wish."


# ---- the open task

HIDDEN = (2.0, 0.5, -2.0, 0.0)  # the gates that made the wanted map; the page has them in a folded cell
ENOUGH = 0.05  # of the wanted map's own size


@functools.cache
def contexts_of_sign():
    """The four contexts of the page's sign, by kernels that average: (H, W, L + 1, C)."""
    sign = render_sign(1, seed=0) / 255
    x = ((sign - sign.mean(axis=(0, 1))) / sign.std(axis=(0, 1))).astype("float32")
    convs = [keras.layers.DepthwiseConv2D(size, padding="same", use_bias=False) for size in (3, 5, 7)]
    for conv in convs:
        conv.build((1, *x.shape))
        conv.kernel.assign(ops.full(conv.kernel.shape, 1 / conv.kernel_size[0] ** 2))
    contexts = [ops.broadcast_to(context[0], x.shape) for context in contextualize(x[None], convs)]
    return ops.convert_to_numpy(ops.stack(contexts, axis=2))


def map_of(gates):
    """The sum of the contexts, each times its gate, the same at every pixel: (H, W, C)."""
    return np.einsum("hwlc,l->hwc", contexts_of_sign(), np.asarray(gates, float))


def off(made, wanted):
    """How far a map is from the wanted one, as a share of its size."""
    return float(np.sqrt(np.mean((made - wanted) ** 2) / np.mean(wanted**2)))


@exercise("2.3 four gates")
def judge_four_gates(answer):
    if callable(answer):
        raise NotYet("Four numbers are wanted, not a function: (near, middle, far, global).")
    gates = array_of(answer)
    if gates.shape != (4,):
        raise NotYet("Four numbers are wanted, one for each level: (near, middle, far, global).")
    if not np.isfinite(gates).all():
        raise NotYet("One of your gates is no finite number.")
    wanted = map_of(HIDDEN)
    made = map_of(gates)
    if not np.any(made):
        raise NotYet("All gates are closed, and nothing comes out.")
    missed = off(made, wanted)
    if missed <= ENOUGH:
        return f"{missed:.1%} off. Next: let least squares find them, `np.linalg.lstsq`. Does it find the same four?"
    if np.all(gates >= 0) and abs(gates.sum() - 1) < 1e-3:
        raise NotYet(f"{missed:.0%} off. None is negative and their sum is 1: a softmax could say this, and no better.")
    strength = float(np.sum(made * wanted) / np.sum(made**2))  # what to multiply the map by, to come as near as it can
    if strength < 0:
        raise NotYet(f"{missed:.0%} off. It is upside down: which level is taken away from which?")
    if off(strength * made, wanted) <= ENOUGH:
        raise NotYet(f"{missed:.0%} off, but the shape is right: it should be {strength:.1f} times as strong.")
    if np.all(gates >= 0):
        raise NotYet(f"{missed:.0%} off. None of your gates is negative, so no level is taken away from another.")
    raise NotYet(
        f"{missed:.0%} off. The contexts resemble one another, so one gate alone soon gets stuck. Move two together, "
        "one up and the other down, near and far first, and go on where that number falls."
    )
