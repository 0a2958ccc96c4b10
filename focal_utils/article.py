"""The article's five functions, under their own names and with their own design, mended for Keras 3.

The series starts from the article *Focal Modulation vs Self-Attention in Keras*. Its code stops under Keras 3 at
`tf.stack`, which refuses Keras' symbolic tensors; `keras.ops` takes its place here.
Where the design departs from the paper (Yang et al. 2022) it is kept, and named in the docstring: `layers.py` has the
paper's. Each call of a function makes new layers with new random weights, so build a `keras.Model` to train them.
"""

import keras
from keras import layers, ops


def hierarchical_contextualization(x, filters, levels=3):
    """One context for each kernel 3, 5, 7, …: x (B, H, W, C) → a list of `levels` maps (B, H, W, C).

    Against the paper: every kernel reads x, none reads the level before, so three levels see 7 pixels and not 13; there
    is no global context; the convolutions have biases; `filters` is not used.
    """
    return [
        layers.DepthwiseConv2D(3 + 2 * level, padding="same", activation="gelu")(x)  # (B, H, W, C)
        for level in range(levels)
    ]


def gated_aggregation(contexts, filters):
    """A weighted mean of the contexts: a list of L maps (B, H, W, C) → (B, H, W, C).

    Against the paper: the gates are a softmax, so they are positive and share a sum of 1; they are computed from the
    first context and not from x; `filters` is not used.
    """
    gates = layers.Conv2D(len(contexts), 1, activation="softmax")(contexts[0])  # (B, H, W, L)
    stacked = ops.stack(contexts, axis=-1)  # (B, H, W, C, L), the article: tf.stack
    return ops.sum(stacked * ops.expand_dims(gates, -2), axis=-1)  # (B, H, W, C)


def focal_modulation_layer(x, filters):
    """Query times modulator: x (B, H, W, C) → (B, H, W, filters).

    Against the paper: the contexts are made from x itself, without a projection of their own, and the product is not
    projected again.
    """
    contexts = hierarchical_contextualization(x, filters)
    modulator = layers.Dense(filters)(gated_aggregation(contexts, filters))  # (B, H, W, filters)
    query = layers.Dense(filters)(x)  # (B, H, W, filters)
    return layers.Multiply()([query, modulator])


def FocalModulationBlock(input_shape, filters):  # noqa: N802, the article's name
    """A `keras.Model` x + modulation(LayerNorm(x)), (B, *input_shape) → (B, H, W, filters).

    Against the paper: no MLP after it, and LayerNorm with Keras' ε of 1e-3.

    Raises:
        ValueError: `filters` other than the input's channels, which the sum cannot add.
    """
    if filters != input_shape[-1]:
        raise ValueError(
            f"filters={filters}, but input_shape={input_shape} has {input_shape[-1]} channels: the residual sum needs "
            "as many of one as of the other."
        )
    inputs = keras.Input(input_shape)
    modulated = focal_modulation_layer(layers.LayerNormalization()(inputs), filters)
    return keras.Model(inputs, layers.Add()([inputs, modulated]))


def build_focal_net(num_classes=10):
    """The article's network for 32×32 colour images: (B, 32, 32, 3) → class probabilities (B, num_classes).

    Against the paper: the layers are stacked bare, without the block's norm, residual or MLP, and no stage is
    downsampled, so every layer works on all 32×32 pixels. Three products in a row, without a norm between, grow with
    about the eighth power of the input: images from 0 to 1 give features near 1e-16, which hardly train. The widths,
    64, 128 and 256, are chosen here.
    """
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(64, 3, padding="same")(inputs)  # (B, 32, 32, 64)
    for filters in (64, 128, 256):
        x = focal_modulation_layer(x, filters)  # (B, 32, 32, filters)
    x = layers.GlobalAveragePooling2D()(x)  # (B, 256)
    return keras.Model(inputs, layers.Dense(num_classes, activation="softmax")(x))
