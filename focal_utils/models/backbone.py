"""A FocalNet as a backbone: its four feature maps, frozen stages, ImageNet's preprocessing and class names."""

import keras
import numpy as np
from keras import ops

from focal_utils.errors import check_flag, check_whole
from focal_utils.layers.blocks import FocalBlock, PatchEmbed
from focal_utils.models.focalnet import imagenet_scaling
from focal_utils.weights.classes import imagenet_classes


def flat_layers(model):
    """The layers of a model in order, in place of a model among them that model's own."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def stages(model):
    """The layers of each stage of a `FocalNet`, its patch embedding first: a list of lists.

    Raises:
        ValueError: a model without patch embedding.
    """
    found = []
    for layer in flat_layers(model):
        if isinstance(layer, PatchEmbed):
            found.append([layer])
        elif isinstance(layer, FocalBlock) and found:
            found[-1].append(layer)
    if not found:
        raise ValueError(f"{model.name} has no patch embedding among its layers: give a FocalNet.")
    return found


def feature_maps(model, norm=False):
    """A model from images to the map that each stage ends with, for detection or segmentation; it shares the weights.

    For the usual four stages: (B, H/4, W/4, C), (B, H/8, W/8, 2·C), (B, H/16, W/16, 4·C), (B, H/32, W/32, 8·C).

    Args:
        model: a `FocalNet`, with or without its top. For images of any size, build it with input_shape=(None, None, 3).
        norm: whether the last map goes through the network's own final LayerNorm.

    Raises:
        ValueError: a model without patch embedding, without a graph of layers (a subclass of `keras.Model` with a
            `call` of its own), or one whose stages are inside another model.

    Example:
        >>> backbone = fu.feature_maps(fu.focalnet("tiny_srf", (256, 256, 3), include_top=False))
        >>> [shape[1:] for shape in backbone.output_shape]
        [(64, 64, 96), (32, 32, 192), (16, 16, 384), (8, 8, 768)]
    """
    found = stages(model)
    if not hasattr(model, "inputs"):
        raise ValueError(
            f"{model.name} computes in the call of its own class, {type(model).__name__}: there is no graph to take "
            "maps from. Return them there, or build the model as keras.Model(inputs, outputs)."
        )
    if any(layer not in model.layers for layers in found for layer in layers):
        raise ValueError(f"The stages of {model.name} are inside another model among its layers: give that one.")
    outputs = [layers[-1].output for layers in found]
    if check_flag("norm", norm):
        outputs[-1] = model.get_layer("norm").output
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def freeze(model, count):
    """Keep the first `count` stages of a `FocalNet`, their patch embeddings included, from being trained; returns it.

    Compile the model afterwards. `count=0` frees all stages. What is frozen stays so when the model is saved, cloned or
    pickled. A model of one's own is taken too, if it makes its layers in the order of its stages.

    Raises:
        ValueError: a count that is not between 0 and the number of stages, or a model without patch embedding.

    Example:
        >>> model = fu.freeze(fu.focalnet("tiny_srf", (64, 64, 3), classes=5), 3)
        >>> sorted({weight.path.split("/")[0] for weight in model.trainable_weights})
        ['head', 'norm', 'stage3_block0', 'stage3_block1', 'stage3_downsample']
    """
    found = stages(model)
    try:
        count = check_whole("count", count, 0, len(found))
    except ValueError:
        raise ValueError(f"count={count!r}: {model.name} has {len(found)} stages.") from None
    for number, layers in enumerate(found):
        for layer in layers:
            layer.trainable = number >= count
    return model


def preprocess_input(x):
    """Images (…, H, W, 3), RGB from 0 to 255, as published weights want them: minus ImageNet's mean, over its std.

    The same as `FocalNet(preprocessing="imagenet")` does inside the network. NumPy in, NumPy out.
    """
    scale, offset = (np.array(values, "float32") for values in imagenet_scaling(x.shape[-1]))
    if isinstance(x, np.ndarray):
        return x.astype("float32") * scale + offset
    return ops.cast(x, "float32") * scale + offset


def decode_predictions(logits, top=5):
    """The `top` ImageNet classes of each image: lists of (id, name, score), best first.

    As `keras.applications` has it, and for ImageNet-22K too.

    Args:
        logits: (B, 1000) or (B, 21842), or probabilities, as a published classifier gives them.
        top: how many, at most as many as there are classes.

    Raises:
        ValueError: an output of another shape, or a `top` that is out of range.
        DataNotFound: the classes' names are not here and cannot be had; see `imagenet_classes`.
    """
    scores = ops.convert_to_numpy(logits)
    if scores.ndim != 2:
        raise ValueError(f"decode_predictions got shape {scores.shape}: give what the classifier says, (B, classes).")
    top = check_whole("top", top, 1, scores.shape[1])
    listed = imagenet_classes(scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [[(*listed[place], row[place]) for place in places] for row, places in zip(scores, best, strict=True)]
