"""What focal_utils is measured against: another network, and this one as written with stock Keras layers alone."""

import keras
from keras import layers


def resnet18(input_shape, classes):
    """ResNet-18 (He et al. 2016) for small images, as MedMNIST's authors use it: a 3×3 stem of stride 1, no pooling.

    Takes raw images, 0…255, gives logits.
    """

    def conv(x, channels, stride=1, size=3, activation="relu"):
        x = layers.Conv2D(channels, size, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
        return layers.Activation(activation)(x) if activation else x

    images = keras.Input(input_shape)
    x = conv(layers.Rescaling(1 / 127.5, -1)(images), 64)
    for stage, channels in enumerate((64, 128, 256, 512)):
        for stride in (2 if stage else 1, 1):
            narrow = stride == 2
            shortcut = conv(x, channels, stride, 1, None) if narrow else x
            x = layers.add([shortcut, conv(conv(x, channels, stride), channels, activation=None)])
            x = layers.Activation("relu")(x)
    return keras.Model(images, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)), name="resnet18")


def stock_focalnet(input_shape, classes, embed_dim, depths, focal_levels, patch_size):
    """A FocalNet of the paper's basic kind from stock Keras layers, written as most people would write it.

    The same operations and as many parameters as `fu.FocalNet` with these arguments; no drop path.
    """

    def modulation(x, levels):
        channels = x.shape[-1]
        parts = layers.Dense(2 * channels + levels + 1)(x)
        query, context, gates = keras.ops.split(parts, [channels, 2 * channels], axis=-1)
        total = 0
        for level in range(levels):
            context = layers.DepthwiseConv2D(3 + 2 * level, padding="same", use_bias=False, activation="gelu")(context)
            total = total + gates[..., level : level + 1] * context
        mean = layers.Activation("gelu")(layers.GlobalAveragePooling2D(keepdims=True)(context))
        total = total + gates[..., levels:] * mean
        return layers.Dense(channels)(query * layers.Dense(channels)(total))

    images = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, -1)(images)
    for stage, (depth, levels) in enumerate(zip(depths, focal_levels, strict=True)):
        channels = embed_dim * 2**stage
        stride = 2 if stage else patch_size
        x = layers.LayerNormalization(epsilon=1e-5)(layers.Conv2D(channels, stride, stride)(x))
        for _ in range(depth):
            x = x + modulation(layers.LayerNormalization(epsilon=1e-5)(x), levels)
            hidden = layers.Dense(4 * channels, activation="gelu")(layers.LayerNormalization(epsilon=1e-5)(x))
            x = x + layers.Dense(channels)(hidden)
    x = layers.GlobalAveragePooling2D()(layers.LayerNormalization(epsilon=1e-5)(x))
    return keras.Model(images, layers.Dense(classes)(x), name="stock_focalnet")
