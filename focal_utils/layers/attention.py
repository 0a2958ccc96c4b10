"""Self-attention behind the interface of focal modulation: (B, H, W, C) in and (B, H, W, C) out, for any H and W.

Global attention: Vaswani et al. 2017, *Attention is all you need*, section 3.2, on pixels as in Dosovitskiy et al. 2021
(ViT, arXiv 2010.11929). Windowed attention: Liu et al. 2021 (Swin, arXiv 2103.14030), section 3.2 and eq. 4.
"""

import math

import keras
import numpy as np
from keras import ops

from focal_utils.errors import check_flag, check_map, check_number, check_whole
from focal_utils.layers.basics import MAX_DIM, MAX_SIDE, Configured, dense, serializable


def attend(query, key, value, bias=None):
    """softmax(q·kᵀ/√d + bias)·v, head by head, written out (Vaswani et al. 2017, eq. 1).

    The weights, T² numbers for each head, pass through memory: this is what grows with the square of the pixels.

    Args:
        query, key, value: (B, T, heads, d).
        bias: added to the logits; of a shape that broadcasts to (B, heads, T, T), or None.

    Returns:
        (B, T, heads, d).
    """
    logits = ops.einsum("bqhd,bkhd->bhqk", query * (1 / math.sqrt(query.shape[-1])), key)
    weights = ops.softmax(logits if bias is None else logits + bias, axis=-1)  # (B, heads, T, T)
    return ops.einsum("bhqk,bkhd->bqhd", weights, value)


@serializable
class SelfAttention(Configured, keras.layers.Layer):
    """Global multi-head self-attention: each pixel looks at all pixels. Maps (B, H, W, C) to (B, H, W, C).

    Args:
        dim: channels C.
        num_heads: heads, a divisor of C; None for one for each 32 channels, at least one.
        fused: whether the backend's own kernel computes it where there is one (PyTorch, JAX on a GPU), which never
            holds all T² weights at once; otherwise `attend`.
        dropout: rate of dropout on the output.

    Raises:
        ValueError: a number of heads that does not divide C, or an input that is not (B, H, W, dim).

    Example:
        >>> tuple(fu.SelfAttention(64)(keras.ops.ones((2, 14, 14, 64))).shape)
        (2, 14, 14, 64)
    """

    def __init__(self, dim, num_heads=None, fused=False, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        dim = check_whole("dim", dim, 1, MAX_DIM)
        num_heads = max(1, dim // 32) if num_heads is None else check_whole("num_heads", num_heads, 1, dim)
        if dim % num_heads:
            raise ValueError(
                f"num_heads={num_heads} does not divide dim={dim}: each head takes dim / num_heads channels."
            )
        self.config = {
            "dim": dim,
            "num_heads": num_heads,
            "fused": check_flag("fused", fused),
            "dropout": check_number("dropout", dropout, at_least=0, below=1),
        }
        self.dim = dim
        self.num_heads = num_heads
        self.fused = fused
        self.qkv = dense(3 * dim, name="qkv", **self.inherited)
        self.proj = dense(dim, name="proj", **self.inherited)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", **self.inherited)

    def build(self, input_shape):
        check_map(type(self).__name__, input_shape, self.dim)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: self.dim})
        self.qkv.build(input_shape)
        self.proj.build(input_shape)

    def heads(self, tokens):
        """Query, key and value, (B, T, heads, d) each, from what `qkv` gives: (B, T, 3·C)."""
        shape = (-1, ops.shape(tokens)[1], 3, self.num_heads, self.dim // self.num_heads)
        return ops.unstack(ops.reshape(tokens, shape), 3, axis=2)

    def attend(self, tokens, bias=None):
        """Attention among tokens: (B, T, 3·C) in, (B, T, C) out."""
        query, key, value = self.heads(tokens)
        if self.fused:
            mixed = ops.dot_product_attention(query, key, value, bias=bias)
        else:
            mixed = attend(query, key, value, bias)
        return ops.reshape(mixed, (-1, ops.shape(tokens)[1], self.dim))

    def macs_without_kernel(self, height, width):
        """Multiply–accumulates of q·kᵀ and of weights·v on a map of height × width pixels: 2·T²·C for T pixels."""
        return 2 * (height * width) ** 2 * self.dim

    def call(self, x, training=None):
        height, width = ops.shape(x)[1:3]
        mixed = self.attend(ops.reshape(self.qkv(x), (-1, height * width, 3 * self.dim)))
        return self.dropout(self.proj(ops.reshape(mixed, (-1, height, width, self.dim))), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


def relative_positions(window):
    """For each pair of pixels in a window, which row of the bias table is theirs: (window², window²) whole numbers.

    Row (Δy + window − 1)·(2·window − 1) + Δx + window − 1, for the second pixel's position less the first's, negated.
    """
    y, x = np.divmod(np.arange(window**2), window)
    down = y[:, None] - y[None, :]
    right = x[:, None] - x[None, :]
    return (down + window - 1) * (2 * window - 1) + right + window - 1


@serializable
class WindowedAttention(SelfAttention):
    """Self-attention among the pixels of square windows, with a learned bias for each relative position (Swin).

    Maps (B, H, W, C) to (B, H, W, C). Sides that are no multiples of the window are filled up with zeros, which take
    part like pixels, as in Swin; on a map with a side no longer than the window, windows are that side long and lie
    without a shift.

    Args:
        dim: channels C.
        num_heads: as for `SelfAttention`.
        window: side of a window in pixels; of a smaller map, its shorter side.
        shift: whether windows lie half a window further down and right, so that pixels meet across borders; what is
            wrapped around from the other side of the map is not looked at.
        fused, dropout: as for `SelfAttention`.

    Raises:
        ValueError: as for `SelfAttention`, or a map whose height and width are not known when the layer is built.
    """

    def __init__(self, dim, num_heads=None, window=7, shift=False, fused=False, dropout=0.0, **kwargs):
        super().__init__(dim, num_heads, fused, dropout, **kwargs)
        self.window = check_whole("window", window, 1, MAX_SIDE)
        self.shift = check_flag("shift", shift)
        self.config = {**self.config, "window": self.window, "shift": self.shift}

    def build(self, input_shape):
        super().build(input_shape)
        if None in input_shape[1:3]:
            raise ValueError("WindowedAttention needs maps of a known height and width: give input_shape in full.")
        self.side = min(self.window, *input_shape[1:3])
        self.table = self.add_weight(
            name="table",
            shape=((2 * self.side - 1) ** 2, self.num_heads),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        )

    def windows(self, x):
        """(B, H, W, channels) cut into windows, (B · windows, side², channels); H and W are multiples of the side."""
        height, width, channels = ops.shape(x)[1:]
        side = self.side
        x = ops.reshape(x, (-1, height // side, side, width // side, side, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side * side, channels))

    def joined(self, x, height, width):
        """The inverse of `windows`, for a map of height × width pixels."""
        side = self.side
        channels = x.shape[-1]
        x = ops.reshape(x, (-1, height // side, width // side, side, side, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))

    def offset(self, height, width):
        """By how many pixels the windows are shifted on a map of this size: none where one window covers it."""
        return self.side // 2 if self.shift and min(height, width) > self.side else 0

    def bias(self, height, width, shift):
        """What is added to the logits: (windows, heads, side², side²), or (1, …) where all windows look alike."""
        table = ops.take(self.table, relative_positions(self.side), axis=0)  # (side², side², heads)
        bias = ops.cast(ops.transpose(table, (2, 0, 1))[None], self.compute_dtype)
        if not shift:
            return bias
        region = np.zeros((1, height, width, 1))  # a number for each region that was contiguous before the shift
        edges = slice(0, -self.side), slice(-self.side, -shift), slice(-shift, None)
        for row, rows in enumerate(edges):
            for column, columns in enumerate(edges):
                region[:, rows, columns] = 3 * row + column
        side = self.side
        region = region.reshape(height // side, side, width // side, side).transpose(0, 2, 1, 3).reshape(-1, side**2)
        apart = region[:, None, :] != region[:, :, None]  # (windows, side², side²)
        return bias + ops.convert_to_tensor(-100.0 * apart[:, None], self.compute_dtype)

    def macs_without_kernel(self, height, width):
        """As for `SelfAttention`, in each window: 2·side²·C for each pixel, those that fill up the map included."""
        tall, wide = self.filled(height, width)
        return 2 * tall * wide * self.side**2 * self.dim

    def filled(self, height, width):
        """Height and width of the map when it is filled up to whole windows."""
        return tuple(math.ceil(pixels / self.side) * self.side for pixels in (height, width))

    def call(self, x, training=None):
        height, width = x.shape[1:3]
        tall, wide = self.filled(height, width)
        shift = self.offset(height, width)
        qkv = self.qkv(ops.pad(x, ((0, 0), (0, tall - height), (0, wide - width), (0, 0))))  # (B, tall, wide, 3·C)
        if shift:
            qkv = ops.roll(qkv, (-shift, -shift), axis=(1, 2))
        tokens = self.windows(qkv)  # (B · windows, side², 3·C)
        bias = self.bias(tall, wide, shift)
        if shift:  # one bias for each window of an image, for all images of the batch
            bias = ops.tile(bias, (ops.shape(tokens)[0] // bias.shape[0], 1, 1, 1))
        mixed = self.joined(self.attend(tokens, bias), tall, wide)
        if shift:
            mixed = ops.roll(mixed, (shift, shift), axis=(1, 2))
        return self.dropout(self.proj(mixed[:, :height, :width]), training=training)
