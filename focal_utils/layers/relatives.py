"""The relatives of focal modulation: what else may mix pixels in a block. All map (B, H, W, C) to (B, H, W, C).

| layer | what it has | from |
|---|---|---|
| `DepthwiseConvolution` | one large kernel | ConvNeXt, Liu et al. 2022 (arXiv 2201.03545) |
| `GatedConvolution` | one large kernel and a product | MambaOut, Yu & Wang 2024 (arXiv 2405.07992) |
| `ProductOfProjections` | a product, and no kernel | StarNet, Ma et al. 2024 (arXiv 2403.19967) |
| `Pooling` | a kernel that nothing has learned | PoolFormer, Yu et al. 2022 (arXiv 2111.11418) |
| `NoMixing` | nothing: the floor | MetaFormer baselines, Yu et al. 2022 (arXiv 2210.13452) |

Focal modulation has several kernels, a gate for each, the global average and the product. Each of the others leaves
some of that out, so what is left out can be weighed. What a formula here says is what timm's layers compute.
"""

from typing import NamedTuple

import keras
from keras import ops

from focal_utils.errors import check_choice, check_map, check_number, check_whole
from focal_utils.layers.basics import MAX_DIM, MAX_KERNEL, MAX_RATIO, Configured, dense, gelu, serializable

ACTIVATIONS = {"none": lambda x: x, "relu6": ops.relu6}


class Factors(NamedTuple):
    """The two maps whose product a layer takes, each (B, H, W, hidden channels)."""

    gate: object
    value: object


class Relative(Configured, keras.layers.Layer):
    """What the relatives share: a map of `dim` channels in, the same shape out, dropout at the end.

    A relative has a method `mixed`, from map to map, and a list `parts_to_build` of pairs (part, channels that go in).
    """

    def __init__(self, dim, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.dim = check_whole("dim", dim, 1, MAX_DIM)
        self.config = {"dim": self.dim, "dropout": check_number("dropout", dropout, at_least=0, below=1)}
        self.dropout = keras.layers.Dropout(dropout, name="dropout", **self.inherited)
        self.parts_to_build = []

    def build(self, input_shape):
        check_map(type(self).__name__, input_shape, self.dim)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: self.dim})
        for part, channels in self.parts_to_build:
            part.build((*input_shape[:-1], channels))

    def call(self, x, training=None):
        return self.dropout(self.mixed(x), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


def check_expansion(value):
    """Hidden channels over C, at least 1, as a `float`."""
    return check_number("expansion", value, at_least=1, at_most=MAX_RATIO)


def depthwise(kernel_size, **kwargs):
    """A convolution of each channel by itself, with bias, initialised as in the official ConvNeXt."""
    start = keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.layers.DepthwiseConv2D(kernel_size, padding="same", depthwise_initializer=start, **kwargs)


@serializable
class DepthwiseConvolution(Relative):
    """ConvNeXt's mixer: each channel is convolved with a large kernel of its own. Maps (B, H, W, C) to (B, H, W, C).

    Args:
        dim: channels C.
        kernel_size: side of the kernel in pixels.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: a size or a rate out of range, or an input that is not (B, H, W, dim).

    Example:
        >>> tuple(fu.DepthwiseConvolution(64)(keras.ops.ones((2, 14, 14, 64))).shape)
        (2, 14, 14, 64)
    """

    def __init__(self, dim, kernel_size=7, dropout=0.0, **kwargs):
        super().__init__(dim, dropout, **kwargs)
        self.config["kernel_size"] = check_whole("kernel_size", kernel_size, 1, MAX_KERNEL)
        self.conv = depthwise(self.config["kernel_size"], name="conv", **self.inherited)
        self.parts_to_build = [(self.conv, self.dim)]

    def mixed(self, x):
        return self.conv(x)


@serializable
class GatedConvolution(Relative):
    """MambaOut's mixer, y = W₂(GELU(W_g x) ⊙ DWConv(W₁ x)): a convolution that a second projection scales.

    Maps (B, H, W, C) to (B, H, W, C). There is one gate for each pixel and channel, where focal modulation has one for
    each pixel and level.

    Args:
        dim: channels C.
        kernel_size: side of the kernel in pixels.
        expansion: hidden channels over C, at least 1. The last C of them are convolved, the others go on as they are.
            MambaOut's block has 8/3 and no MLP after it.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: a size or a rate out of range, or an input that is not (B, H, W, dim).

    Example:
        >>> layer = fu.GatedConvolution(64)
        >>> x = keras.ops.ones((2, 14, 14, 64))
        >>> tuple(layer(x).shape), tuple(layer.parts(x).gate.shape)
        ((2, 14, 14, 64), (2, 14, 14, 64))
    """

    def __init__(self, dim, kernel_size=7, expansion=1.0, dropout=0.0, **kwargs):
        super().__init__(dim, dropout, **kwargs)
        self.config["kernel_size"] = check_whole("kernel_size", kernel_size, 1, MAX_KERNEL)
        self.config["expansion"] = check_expansion(expansion)
        self.hidden = int(self.dim * self.config["expansion"])
        self.fc1 = dense(2 * self.hidden, name="fc1", **self.inherited)
        self.conv = depthwise(self.config["kernel_size"], name="conv", **self.inherited)
        self.fc2 = dense(self.dim, name="fc2", **self.inherited)
        self.parts_to_build = [(self.fc1, self.dim), (self.conv, self.dim), (self.fc2, self.hidden)]

    def parts(self, x):
        """The two maps that are multiplied, for x of shape (B, H, W, C), as `Factors`."""
        gate, rest, near = ops.split(self.fc1(x), [self.hidden, 2 * self.hidden - self.dim], axis=-1)
        near = self.conv(near)  # (B, H, W, C)
        value = near if self.hidden == self.dim else ops.concatenate([rest, near], axis=-1)
        return Factors(gelu(gate), value)

    def mixed(self, x):
        factors = self.parts(x)
        return self.fc2(factors.gate * factors.value)


@serializable
class ProductOfProjections(Relative):
    """StarNet's operation, y = W₃(W₁ x ⊙ W₂ x): two projections of a pixel, multiplied. No pixel sees another.

    Maps (B, H, W, C) to (B, H, W, C).

    Args:
        dim: channels C.
        expansion: hidden channels over C, at least 1; StarNet's block has 3 or 4.
        activation: "none", the bare product, or "relu6" on the first projection, as in StarNet's networks.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: an unknown activation, a size or a rate out of range, or an input that is not (B, H, W, dim).

    Example:
        >>> tuple(fu.ProductOfProjections(64)(keras.ops.ones((2, 14, 14, 64))).shape)
        (2, 14, 14, 64)
    """

    def __init__(self, dim, expansion=1.0, activation="none", dropout=0.0, **kwargs):
        super().__init__(dim, dropout, **kwargs)
        self.config["expansion"] = check_expansion(expansion)
        self.config["activation"] = check_choice("activation", activation, ACTIVATIONS)
        self.activation = ACTIVATIONS[activation]
        hidden = int(self.dim * self.config["expansion"])
        self.f1 = dense(hidden, name="f1", **self.inherited)
        self.f2 = dense(hidden, name="f2", **self.inherited)
        self.proj = dense(self.dim, name="proj", **self.inherited)
        self.parts_to_build = [(self.f1, self.dim), (self.f2, self.dim), (self.proj, hidden)]

    def parts(self, x):
        """The two maps that are multiplied, for x of shape (B, H, W, C), as `Factors`."""
        return Factors(self.activation(self.f1(x)), self.f2(x))

    def mixed(self, x):
        factors = self.parts(x)
        return self.proj(factors.gate * factors.value)


@serializable
class Pooling(Relative):
    """PoolFormer's mixer: the mean over a square, less the pixel itself. Maps (B, H, W, C) to (B, H, W, C).

    At the border the mean is over the pixels that are there. It has no weights.

    Args:
        dim: channels C.
        pool_size: side of the square in pixels, an odd number.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: a size or a rate out of range, an even `pool_size`, or an input that is not (B, H, W, dim).
    """

    def __init__(self, dim, pool_size=3, dropout=0.0, **kwargs):
        super().__init__(dim, dropout, **kwargs)
        self.config["pool_size"] = check_whole("pool_size", pool_size, 1, MAX_KERNEL)
        if pool_size % 2 == 0:
            raise ValueError(f"pool_size={pool_size}: an odd whole number is needed, so that the pixel is the middle.")
        self.pool = keras.layers.AveragePooling2D(
            self.config["pool_size"], strides=1, padding="same", name="pool", **self.inherited
        )
        self.parts_to_build = [(self.pool, self.dim)]

    def mixed(self, x):
        return self.pool(x) - x


@serializable
class NoMixing(Relative):
    """Nothing, the floor: each pixel stays by itself. Maps (B, H, W, C) to the same map.

    In a block the LayerNorm before it and the residual around it stay, and so do the MLP and what networks do between
    stages. What such a network can do, no mixer has done.

    Args:
        dim: channels C.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: a size or a rate out of range, or an input that is not (B, H, W, dim).
    """

    def mixed(self, x):
        return x
