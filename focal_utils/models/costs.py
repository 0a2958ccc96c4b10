"""What a network costs: parameters and multiply–accumulates, layer by layer, without allocating a single weight."""

import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import keras
from keras import ops

from focal_utils.errors import check_choice
from focal_utils.models.focalnet import FocalNet, check_shape
from focal_utils.models.variants import VARIANTS, focalnet


class LayerCost(NamedTuple):
    """What one layer of a network costs for one image."""

    name: str
    output_shape: tuple  # without the batch: (height, width, channels), or (classes,)
    parameters: int
    macs: int


def layer_costs(model, input_shape=None, **overrides):
    """Parameters and multiply–accumulates of each layer: a list of `LayerCost`, in the order of the network.

    Counted are the convolutions and matrix products, which is what Yang et al. 2022, table 1, call FLOPs; norms,
    activations, biases, gates and means are not. The network is built, but its weights are never allocated, so that a
    variant of 690 million parameters is counted in about a second.

    A subclass of `keras.Model` with a `call` of its own has no graph to read, and the graph of a network of open sides,
    such as a `segmenter`, does not say how large its maps are: such a model is called once, on an image of zeros, and
    the layers that it calls are counted, each as often as it is called.

    Args:
        model: the name of a variant, a `FocalNet`, another model, or a single layer such as `FocalModulation(96)`.
        input_shape: (height, width, channels) of one image or map. By default that of the model; for a variant by name
            the size that it was trained on, 224×224×3 or 384×384×3; a layer needs it, and a model that was never
            called.
        overrides: for a variant by name, further arguments of `focalnet`: classes, include_top, …

    Raises:
        ValueError: no input shape, sides that are None, or a shape that a model other than `FocalNet` does not take.
        TypeError: `model` is neither a name nor a layer, or `overrides` without a name.

    Example:
        >>> fu.layer_costs("tiny_srf")[0]
        LayerCost(name='stem', output_shape=(56, 56, 96), parameters=4896, macs=14450688)
    """
    if not isinstance(model, (str, keras.layers.Layer)):
        raise TypeError(f"Got a {type(model).__name__}: give the name of a variant, a model or a layer.")
    if overrides and not isinstance(model, str):
        raise TypeError(f"{', '.join(overrides)}: such arguments go with the name of a variant, not with a model.")
    if input_shape is None:
        input_shape = default_shape(model)
    if None in input_shape:
        raise ValueError(f"input_shape={input_shape}: give whole numbers, input_shape=(224, 224, 3) for instance.")
    if has_own_call(model) or is_open_for(model, input_shape):
        return costs_of_a_call(model, check_shape("input_shape", input_shape))
    # In a stateless scope Keras gives variables no values. It remembers to do so later, but per thread, and ours ends.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(costs_without_values, model, tuple(input_shape), overrides).result()


def count_parameters(model, input_shape=None, **overrides):
    """Number of trained weights. Arguments as for `layer_costs`.

    Example:
        >>> fu.count_parameters("huge_fl4")
        689277664
    """
    return sum(row.parameters for row in layer_costs(model, input_shape, **overrides))


def count_macs(model, input_shape=None, **overrides):
    """Multiply–accumulates for one image. Arguments as for `layer_costs`.

    Example:
        >>> fu.count_macs("tiny_srf") / 1e9
        4.403...
        >>> fu.count_macs(fu.FocalModulation(96), (56, 56, 96))
        126744576
    """
    return sum(row.macs for row in layer_costs(model, input_shape, **overrides))


def has_own_call(model):
    """Whether a model is a subclass with a `call` of its own, rather than a graph of layers."""
    return isinstance(model, keras.Model) and not hasattr(model, "inputs")


def is_open_for(model, input_shape):
    """Whether a graph of layers takes images of other sides, too, and these; a `FocalNet` is built anew for them."""
    if not isinstance(model, keras.Model) or isinstance(model, FocalNet):
        return False
    sides = model.input_shape[1:]
    if None not in sides or len(sides) != len(input_shape):
        return False
    return all(own in (None, wanted) for own, wanted in zip(sides, input_shape, strict=True))


def default_shape(model):
    """The shape of one image: that a variant was trained on, that a model is built for, or (None,) where unknown."""
    if isinstance(model, str):
        check_choice("variant", model, VARIANTS)
        side = VARIANTS[model].image_size
        return side, side, 3
    if has_own_call(model):
        built_for = (model.get_build_config() or {}).get("input_shape")
        return tuple(built_for[1:]) if built_for else (None,)
    return getattr(model, "input_shape", (None, None))[1:]


def costs_without_values(model, input_shape, overrides):
    with keras.StatelessScope(initialize_variables=False):
        return list(rows_of(symbolic(model, input_shape, overrides)))


def symbolic(model, input_shape, overrides):
    """A functional model that computes `model` for inputs of `input_shape`."""
    if isinstance(model, str):
        return focalnet(model, input_shape, **overrides)
    if isinstance(model, FocalNet):
        return type(model).from_config(model.get_config() | {"input_shape": input_shape})
    if isinstance(model, keras.Model):
        if model.input_shape[1:] != input_shape:
            raise ValueError(f"{model.name} takes inputs of shape {model.input_shape[1:]}, not {input_shape}.")
        return model
    images = keras.Input(input_shape)
    return keras.Model(images, type(model).from_config(model.get_config())(images))


def rows_of(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from rows_of(layer)
        elif layer.weights:
            yield row_of(layer, layer.output.shape[1:])


def row_of(layer, *shapes):
    """What a layer costs that gives maps or vectors of these shapes, without the batch, one for each call."""
    return LayerCost(
        layer.name,
        tuple(shapes[0]),
        sum(math.prod(weight.shape) for weight in layer.weights),
        sum(macs_of(layer, tuple(shape)) for shape in shapes),
    )


def macs_of(layer, shape):
    """Multiply–accumulates of a layer that gives a map or vector of `shape`."""
    # All maps of a layer are as high and wide as its output: a kernel is used once for each of those pixels.
    kernels = sum(math.prod(weight.shape) for weight in layer.weights if weight.name == "kernel")
    inside = [layer, *layer._flatten_layers(include_self=False)]
    others = sum(part.macs_without_kernel(*shape[:2]) for part in inside if hasattr(part, "macs_without_kernel"))
    return math.prod(shape[:-1]) * kernels + others


def costs_of_a_call(model, input_shape):
    """`layer_costs` of a model with a `call` of its own or of open sides, from what it calls for one image."""
    images = ops.zeros((1, *input_shape))
    if not model.built:
        model(images)  # Keras calls it twice, the first time to build it
    shapes = defaultdict(list)  # layer → the shape of what it gave, for each call
    with watched(list(own_layers(model)), shapes):
        model(images)
    return [row_of(layer, *given) for layer, given in shapes.items() if layer.weights]


def own_layers(model):
    """The layers that a model is made of; those of a model inside it, instead of that one."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if isinstance(layer, keras.Model):
            yield from own_layers(layer)
        else:
            yield layer


@contextmanager
def watched(layers, shapes):
    """While this lasts, the shape of what each of the layers gives is put down, without the batch."""

    def watching(layer):
        def call(*args, **kwargs):
            outputs = type(layer).call(layer, *args, **kwargs)
            shapes[layer].append(keras.tree.flatten(outputs)[0].shape[1:])
            return outputs

        return call

    try:
        for layer in layers:
            object.__setattr__(layer, "call", watching(layer))
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)
