"""What a network costs: parameters and multiply–accumulates, layer by layer, without allocating a single weight."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import keras

from focal_utils.errors import check_choice
from focal_utils.models.focalnet import FocalNet
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

    Args:
        model: the name of a variant, a `FocalNet`, another functional model, or a single layer such as
            `FocalModulation(96)`.
        input_shape: (height, width, channels) of one image or map. By default that of the model; for a variant by name
            the size that it was trained on, 224×224×3 or 384×384×3; a layer needs it.
        overrides: for a variant by name, further arguments of `focalnet`: classes, include_top, …

    Raises:
        ValueError: no input shape, sides that are None, or a shape that a model other than `FocalNet` does not take.
        TypeError: `model` is neither a name nor a layer, or `overrides` without a name.
    """
    if not isinstance(model, (str, keras.layers.Layer)):
        raise TypeError(f"Got a {type(model).__name__}: give the name of a variant, a model or a layer.")
    if overrides and not isinstance(model, str):
        raise TypeError(f"{', '.join(overrides)}: such arguments go with the name of a variant, not with a model.")
    if input_shape is None:
        input_shape = _default_shape(model)
    if None in input_shape:
        raise ValueError(f"input_shape={input_shape}: give whole numbers, input_shape=(224, 224, 3) for instance.")
    # In a stateless scope Keras gives variables no values. It remembers to do so later, but per thread, and ours ends.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_costs_without_values, model, tuple(input_shape), overrides).result()


def count_parameters(model, input_shape=None, **overrides):
    """Number of trained weights: `count_parameters("huge_fl4")` is 689,277,664. Arguments as for `layer_costs`."""
    return sum(row.parameters for row in layer_costs(model, input_shape, **overrides))


def count_macs(model, input_shape=None, **overrides):
    """Multiply–accumulates for one image: `count_macs("tiny_srf")` is 4.4·10⁹. Arguments as for `layer_costs`."""
    return sum(row.macs for row in layer_costs(model, input_shape, **overrides))


def _default_shape(model):
    """The shape of one image: that a variant was trained on, that a model is built for, or (None,) where unknown."""
    if isinstance(model, str):
        check_choice("variant", model, tuple(VARIANTS))
        side = VARIANTS[model].image_size
        return side, side, 3
    return getattr(model, "input_shape", (None, None))[1:]


def _costs_without_values(model, input_shape, overrides):
    with keras.StatelessScope(initialize_variables=False):
        return list(_rows(_symbolic(model, input_shape, overrides)))


def _symbolic(model, input_shape, overrides):
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


def _rows(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _rows(layer)
        elif layer.weights:
            shape = tuple(layer.output.shape[1:])
            sizes = [(weight.name, math.prod(weight.shape)) for weight in layer.weights]
            # All maps of a layer are as high and wide as its output: a kernel is used once for each of those pixels.
            macs = math.prod(shape[:-1]) * sum(size for name, size in sizes if name == "kernel")
            inside = [layer, *layer._flatten_layers(include_self=False)]
            macs += sum(part.macs_without_kernel(*shape[:2]) for part in inside if hasattr(part, "macs_without_kernel"))
            yield LayerCost(layer.name, shape, sum(size for _, size in sizes), macs)
