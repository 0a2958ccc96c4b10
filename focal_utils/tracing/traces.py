"""What a network computed on the way: gates, contexts and modulators of its focal blocks; and what they change.

How a look inside is had without a second network, a copy or a hook that stays: `FocalModulation.call` asks its own
method `parts` for query, contexts, gates and modulator, and goes on with what it is given. Python looks for a method on
the object before it looks in the class. So `intercepted` lays a function of its own beside the layer's attributes,
under the name `parts`: it calls the class's method, shows what came of it to whoever asked, and hands on what they give
back. When the block of code ends, the function is taken away, and the layer is as it was.
"""

from contextlib import contextmanager
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from focal_utils.errors import check_at_least
from focal_utils.layers.blocks import FocalBlock
from focal_utils.layers.focal import FocalModulation
from focal_utils.layers.relatives import Factors, GatedConvolution, ProductOfProjections
from focal_utils.training.evaluate import as_floats, as_images


class BlockTrace(NamedTuple):
    """What one focal block computed for a batch of B images, as NumPy arrays."""

    name: str  # of the block
    query: np.ndarray  # (B, H, W, C)
    contexts: list  # L maps (B, H, W, C), then the global one (B, 1, 1, C)
    gates: np.ndarray  # (B, H, W, L + 1)
    modulator: np.ndarray  # (B, H, W, C)


class FactorsTrace(NamedTuple):
    """What one block whose mixer is a product computed for a batch of B images, as NumPy arrays."""

    name: str  # of the block
    gate: np.ndarray  # (B, H, W, hidden channels)
    value: np.ndarray  # (B, H, W, hidden channels)


# Mixers that have a method `parts`: focal modulation, and the relatives that multiply two maps.
WITH_PARTS = (FocalModulation, GatedConvolution, ProductOfProjections)


def layers_in_order(model):
    """All layers of a model in order, those inside others too, each before what is inside it.

    Keras names the layers inside a model (`model.layers`), but not those inside a layer, such as a block that someone
    put into a layer of their own: the method that `model.layers` itself asks knows both.
    """
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield layer
        yield from layers_in_order(layer)


def modulations(model, kinds=FocalModulation):
    """The focal modulations of a model with the names of their blocks, in the model's own order: {layer: name}.

    Blocks inside nested and subclassed models are found too; a `FocalModulation` outside a block goes by its own name.

    Args:
        model: any model.
        kinds: the classes of layers to look for.

    Raises:
        ValueError: a model without focal modulation.
        TypeError: no model at all.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"Got a {type(model).__name__}: give a keras.Model or a layer with focal modulation.")
    layers = [model, *layers_in_order(model)]
    found = {layer: layer.name for layer in layers if isinstance(layer, kinds)}
    for block in layers:
        if isinstance(block, FocalBlock) and block.modulation in found:
            found[block.modulation] = block.name
    if not found:
        raise ValueError(f"Model {model.name!r} has no FocalBlock with focal modulation: there is nothing to trace.")
    return found


@contextmanager
def intercepted(model, see, kinds=FocalModulation):
    """While this lasts, `see(layer, parts)` is handed what each `FocalModulation` computes, and gives what it uses.

    `parts` of the layers is replaced and put back at the end, whatever happens: nothing stays on them.

    Args:
        model: any model with focal modulation, called eagerly meanwhile (a compiled `predict` keeps its old graph).
        see: a function (layer, `FocalParts`) → `FocalParts`.
        kinds: the classes of layers to look into; of `WITH_PARTS`, some give `Factors`.

    Raises:
        ValueError: a model without focal modulation.
    """
    layers = list(modulations(model, kinds))

    def through(layer):
        return lambda x: see(layer, type(layer).parts(layer, x))

    try:
        for layer in layers:
            # Keras' own way to set an attribute would keep track of it; this one only lays it beside the others.
            object.__setattr__(layer, "parts", through(layer))
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("parts", None)


def with_gates(layer, parts, gates):
    """`parts` of a `FocalModulation` as they are with other gates, (B, H, W, L + 1): the modulator follows them."""
    modulator = layer.h(layer.aggregate(parts.contexts, gates))
    return parts._replace(gates=gates, modulator=modulator)


def editing(model, edit, kinds=FocalModulation):
    """The function for `intercepted` that lets `edit` (see `run_traced`) put other gates in place."""
    names = modulations(model, kinds)

    def change(layer, parts):
        gates = edit(names[layer], parts.gates) if edit else None
        return parts if gates is None else with_gates(layer, parts, ops.convert_to_tensor(gates, parts.gates.dtype))

    return change


def as_batch(images):
    """`images` as floats, if they are a batch (B, H, W, channels) of finite numbers; a list of arrays is one.

    Raises:
        ValueError: anything else.
    """
    images = as_images("trace", images)
    if len(images.shape) != 4:
        raise ValueError(
            f"trace takes a batch (B, H, W, channels), but got rank {len(images.shape)}. One image: image[None]."
        )
    return as_floats(images)


def run_traced(model, images, edit=None, kinds=FocalModulation):
    """One forward pass, its gates edited where asked, and what its focal blocks computed.

    Args:
        model: a model with focal modulation: loaded, compiled, nested, in mixed precision, with any outputs, on any
            backend.
        images: (B, H, W, channels), as the model takes them.
        edit: a function (block name, gates) → gates, both (B, H, W, L + 1) tensors: other gates for the network to use.
            It may return None, which leaves them alone.
        kinds: the classes of layers to trace; of `WITH_PARTS`, some have no gates, and no edit is meant for them.

    Returns:
        The model's output, a NumPy array (several, in the model's own list or dict, where it has several outputs), and
        a list of `BlockTrace`, one for each block in the order of the pass.

    Raises:
        ValueError: a model without focal blocks, or images that are not a batch.
        TypeError: no model.

    Example:
        >>> logits, traces = run_traced(model, images, lambda name, gates: 0 * gates)  # all gates closed
    """
    images = as_batch(images)
    if isinstance(model, keras.Model) and not model.built:
        model(images, training=False)  # a subclassed model may make its blocks only now
    names = modulations(model, kinds)
    change = editing(model, edit, kinds)
    seen = []

    def see(layer, parts):
        parts = change(layer, parts)
        seen.append((names[layer], parts))
        return parts

    with intercepted(model, see, kinds):
        output = model(images, training=False)
    return keras.tree.map_structure(as_array, output), [as_trace(name, parts) for name, parts in seen]


def as_array(tensor):
    """A tensor as a float32 NumPy array."""
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def as_trace(name, parts):
    """`FocalParts` of a block as its `BlockTrace`, `Factors` as its `FactorsTrace`."""
    if isinstance(parts, Factors):
        return FactorsTrace(name, as_array(parts.gate), as_array(parts.value))
    return BlockTrace(
        name=name,
        query=as_array(parts.query),
        contexts=[as_array(context) for context in parts.contexts],
        gates=as_array(parts.gates),
        modulator=as_array(parts.modulator),
    )


def trace(model, images):
    """Query, contexts, gates and modulator of every focal block of `model`, in order, for a batch of images.

    They are what one plain forward pass used, handed over as it computes them; nothing is computed twice or kept. Of a
    block whose mixer is a gated convolution or a product, these are the two maps that are multiplied.

    Args:
        model: any model with focal modulation: loaded, compiled, nested, subclassed, in mixed precision, on any
            backend.
        images: (B, H, W, channels), as the model takes them.

    Returns:
        A list of `BlockTrace`, or of `FactorsTrace` where the mixer is a product, one for each block, float32 whatever
        the model's precision.

    Raises:
        ValueError: a model without focal blocks, or images that are not a batch.
        TypeError: no model.

    Example:
        >>> network = fu.load_trained("gtsrb")
        >>> first = fu.trace(network, fu.render_sign(14)[None])[0]
        >>> first.name, first.gates.shape  # one image, 16 × 16 pixels, three levels and the global one
        ('stage0_block0', (1, 16, 16, 4))
    """
    return run_traced(model, images, kinds=WITH_PARTS)[1]


def check_probe(layer, size, channels):
    """Raise unless `impulse_response` can be asked this."""
    if not callable(layer):
        raise TypeError(f"layer is a {type(layer).__name__}: give a layer, or a function from map to map.")
    check_at_least(size=(size, 1), channels=(channels, 1))
    if size % 2 == 0:
        raise ValueError(f"size={size}: an odd side is needed, so that there is a centre pixel.")


def check_response(pair, size, channels):
    """Raise unless a layer's answer is a pair of finite maps of the size that it was given."""
    if pair.ndim != 4 or pair.shape[:3] != (2, size, size):
        raise ValueError(f"The layer made {pair.shape} of (2, {size}, {size}, {channels}): height and width must stay.")
    if not np.isfinite(pair).all():
        raise ValueError("The layer's output has numbers that are not finite (NaN): are its weights damaged?")


def impulse_response(layer, size=33, channels=8, strength=100.0):
    """How much each output pixel moves when the centre pixel of the input does: (size, size), NumPy.

    Grown in notebook 01.

    Two inputs, equal but for one pixel, go through `layer` in one batch; the answer is the largest absolute difference
    of their outputs over the channels. For layers that treat every pixel alike this is the receptive field, mirrored.

    Args:
        layer: a function or layer, (2, size, size, channels) → (2, size, size, any).
        size: side of the map in pixels, odd so that there is a centre.
        channels: of the map.
        strength: by how much the centre pixel is moved.

    Raises:
        ValueError: an even size, no channel, or a layer whose output has another size or numbers that are not finite.
        TypeError: something that cannot be called.
    """
    check_probe(layer, size, channels)
    still = np.random.default_rng(0).normal(size=(size, size, channels)).astype("float32")
    moved = still.copy()
    moved[size // 2, size // 2] += strength
    pair = ops.convert_to_numpy(layer(ops.convert_to_tensor(np.stack([still, moved]))))
    check_response(pair, size, channels)
    return np.abs(pair[1] - pair[0]).max(axis=-1)


def impulse_width(layer, size=33, channels=8):
    """Width in pixels of the square of outputs that one input pixel reaches, measured by `impulse_response`.

    It is `size` where the pixel reaches the map's edge, and may be more: try a larger size. A layer that does not look
    at its input gives 0. Arguments and errors as for `impulse_response`.

    Example:
        >>> fu.impulse_width(keras.layers.Conv2D(8, 5, padding="same"))
        5
    """
    response = impulse_response(layer, size, channels)
    reached = np.flatnonzero((response > 1e-6 * response.max()).any(axis=0))
    return int(reached[-1] - reached[0] + 1) if len(reached) else 0
