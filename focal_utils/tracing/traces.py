"""What a network computed on the way: gates, contexts and modulators of its focal blocks; and what they change."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from keras import ops

from focal_utils.layers.blocks import FocalBlock
from focal_utils.layers.focal import FocalModulation


class BlockTrace(NamedTuple):
    """What one focal block computed for a batch of B images, as NumPy arrays."""

    name: str  # of the block
    query: np.ndarray  # (B, H, W, C)
    contexts: list  # L maps (B, H, W, C), then the global one (B, 1, 1, C)
    gates: np.ndarray  # (B, H, W, L + 1)
    modulator: np.ndarray  # (B, H, W, C)


def layers_in_order(model):
    """All layers of a model in order, those inside others too, each before what is inside it."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield layer
        yield from layers_in_order(layer)


def modulations(model):
    """The focal modulations of a model with the names of their blocks, in the model's own order: {layer: name}.

    Blocks inside nested and subclassed models are found too; a `FocalModulation` outside a block goes by its own name.

    Raises:
        ValueError: a model without focal modulation.
    """
    layers = list(layers_in_order(model))
    found = {layer: layer.name for layer in layers if isinstance(layer, FocalModulation)}
    blocks = [layer for layer in layers if isinstance(layer, FocalBlock)]
    found |= {block.modulation: block.name for block in blocks if block.modulation in found}
    if not found:
        raise ValueError(f"Model {model.name!r} has no FocalBlock with focal modulation: there is nothing to trace.")
    return found


@contextmanager
def intercepted(model, see):
    """While this lasts, `see(layer, parts)` is handed what each `FocalModulation` computes, and gives what it uses.

    `parts` of the layers is replaced and put back at the end, whatever happens: nothing stays on them.

    Args:
        model: any model with focal modulation, called eagerly meanwhile (a compiled `predict` keeps its old graph).
        see: a function (layer, `FocalParts`) → `FocalParts`.
    """
    layers = list(modulations(model))

    def through(layer):
        return lambda x: see(layer, type(layer).parts(layer, x))

    try:
        for layer in layers:
            object.__setattr__(layer, "parts", through(layer))
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("parts", None)


def with_gates(layer, parts, gates):
    """`parts` of a `FocalModulation` as they are with other gates, (B, H, W, L + 1): the modulator follows them."""
    modulator = layer.h(layer.aggregate(parts.contexts, gates))
    return parts._replace(gates=gates, modulator=modulator)


def editing(model, edit):
    """The function for `intercepted` that lets `edit` (see `run`) put other gates in place."""
    names = modulations(model)

    def change(layer, parts):
        gates = edit(names[layer], parts.gates) if edit else None
        return parts if gates is None else with_gates(layer, parts, ops.convert_to_tensor(gates, parts.gates.dtype))

    return change


def run(model, images, edit=None):
    """One forward pass, its gates edited where asked, and what its focal blocks computed.

    Args:
        model: a model with focal modulation: loaded, compiled, nested, in mixed precision, on any backend.
        images: (B, H, W, channels), as the model takes them.
        edit: a function (block name, gates) → gates, both (B, H, W, L + 1) tensors: other gates for the network to use.
            It may return None, which leaves them alone.

    Returns:
        The model's output, a NumPy array, and a list of `BlockTrace`, one for each block in the order of the pass.

    Raises:
        ValueError: a model without focal blocks, or images that are not a batch.
    """
    names = modulations(model)
    if np.ndim(images) != 4:
        raise ValueError(
            f"trace takes a batch (B, H, W, channels), but got rank {np.ndim(images)}. One image: image[None]."
        )
    seen, change = [], editing(model, edit)

    def see(layer, parts):
        parts = change(layer, parts)
        seen.append((names[layer], parts))
        return parts

    with intercepted(model, see):
        output = model(images, training=False)

    def array(tensor):
        return ops.convert_to_numpy(ops.cast(tensor, "float32"))

    traces = [
        BlockTrace(name, array(p.query), [array(context) for context in p.contexts], array(p.gates), array(p.modulator))
        for name, p in seen
    ]
    return array(output), traces


def trace(model, images):
    """Query, contexts, gates and modulator of every focal block of `model`, in order, for a batch of images.

    They are what one plain forward pass used, handed over as it computes them; nothing is computed twice or kept.

    Args:
        model: any model with focal modulation: loaded, compiled, nested, in mixed precision, on any backend.
        images: (B, H, W, channels), as the model takes them.

    Returns:
        A list of `BlockTrace`, one for each block, float32 whatever the model's precision.

    Raises:
        ValueError: a model without focal blocks, or images that are not a batch.
    """
    return run(model, images)[1]


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
