"""A FocalNet as a backbone: its four feature maps, frozen stages, ImageNet's preprocessing and class names."""

import keras
from keras.applications import imagenet_utils

from focal_utils.layers.blocks import FocalBlock, PatchEmbed


def stages(model):
    """The layers of each stage of a `FocalNet`, its patch embedding first: a list of lists.

    Raises:
        ValueError: a model that is no `FocalNet`.
    """
    found = []
    for layer in model.layers:
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
    """
    outputs = [layers[-1].output for layers in stages(model)]
    if norm:
        outputs[-1] = model.get_layer("norm").output
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def freeze(model, count):
    """Keep the first `count` stages of a `FocalNet`, their patch embeddings included, from being trained; returns it.

    Compile the model afterwards. `count=0` frees all stages.

    Raises:
        ValueError: a count that is not between 0 and the number of stages.
    """
    found = stages(model)
    if not 0 <= count <= len(found):
        raise ValueError(f"count={count!r}: {model.name} has {len(found)} stages.")
    for number, layers in enumerate(found):
        for layer in layers:
            layer.trainable = number >= count
    return model


def preprocess_input(x):
    """Images (…, H, W, 3), RGB from 0 to 255, as published weights want them: minus ImageNet's mean, over its std."""
    return imagenet_utils.preprocess_input(x, data_format="channels_last", mode="torch")


def decode_predictions(logits, top=5):
    """The `top` ImageNet-1K classes of each image: lists of (id, name, score), best first. `logits` are (B, 1000).

    Keras downloads the list of names the first time.
    """
    return imagenet_utils.decode_predictions(keras.ops.convert_to_numpy(logits), top=top)
