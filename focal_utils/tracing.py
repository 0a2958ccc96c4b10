"""What a network computed on the way: gates, contexts and modulators of its focal blocks, and receptive fields."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from focal_utils.blocks import FocalBlock


class BlockTrace(NamedTuple):
    """What one focal block computed for a batch of B images, as NumPy arrays."""

    name: str  # of the block
    query: np.ndarray  # (B, H, W, C)
    contexts: list  # L maps (B, H, W, C), then the global one (B, 1, 1, C)
    gates: np.ndarray  # (B, H, W, L + 1)
    modulator: np.ndarray  # (B, H, W, C)


def trace(model, images):
    """Query, contexts, gates and modulator of every focal block of `model`, in order, for a batch of images.

    Nothing is stored on the model: its graph is cut open before each block, and the block's `parts` are computed again.

    Args:
        model: a model whose layers include `FocalBlock`s, such as a `FocalNet`.
        images: (B, H, W, channels), as the model takes them.

    Returns:
        A list of `BlockTrace`, one for each block.

    Raises:
        ValueError: a model without focal blocks, or images that are not a batch.
    """
    blocks = [layer for layer in model.layers if isinstance(layer, FocalBlock)]
    if not blocks:
        raise ValueError(f"Model {model.name!r} has no FocalBlock among its layers, so there is nothing to trace.")
    if np.ndim(images) != 4:
        raise ValueError(
            f"trace takes a batch (B, H, W, channels), but got rank {np.ndim(images)}. One image: image[None]."
        )
    inputs = keras.Model(model.input, [block.input for block in blocks])(images, training=False)
    traces = []
    for block, x in zip(blocks, inputs if isinstance(inputs, list) else [inputs], strict=True):
        query, contexts, gates, modulator = keras.tree.map_structure(ops.convert_to_numpy, tuple(block.parts(x)))
        traces.append(BlockTrace(block.name, query, contexts, gates, modulator))
    return traces


def impulse_response(layer, size=33, channels=8, strength=100.0):
    """How much each output pixel moves when the centre pixel of the input does: (size, size), NumPy.

    Two inputs, equal but for one pixel, go through `layer` in one batch; the answer is the largest absolute difference
    of their outputs over the channels. For layers that treat every pixel alike this is the receptive field, mirrored.

    Args:
        layer: a function or layer, (2, size, size, channels) → (2, size, size, any).
        size: side of the map in pixels, odd so that there is a centre.
        strength: by how much the centre pixel is moved.

    Raises:
        ValueError: an even size.
    """
    if size % 2 == 0:
        raise ValueError(f"size={size}: an odd side is needed, so that there is a centre pixel.")
    still = np.random.default_rng(0).normal(size=(size, size, channels)).astype("float32")
    moved = still.copy()
    moved[size // 2, size // 2] += strength
    pair = ops.convert_to_numpy(layer(ops.convert_to_tensor(np.stack([still, moved]))))
    return np.abs(pair[1] - pair[0]).max(axis=-1)


def impulse_width(layer, size=33, channels=8):
    """Width in pixels of the square of outputs that one input pixel reaches, measured by `impulse_response`."""
    response = impulse_response(layer, size, channels)
    reached = np.flatnonzero((response > 1e-6 * response.max()).any(axis=0))
    return int(reached[-1] - reached[0] + 1) if len(reached) else 0
