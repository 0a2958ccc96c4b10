"""What stands around focal modulation in a network: the residual block, its MLP, and the patch embeddings.

Everything here is channels last. Yang et al. 2022 (arXiv 2203.11926), sections 3.3 and 4 and figure 3.
"""

import keras
from keras import ops

from focal_utils.errors import check_choice, check_flag, check_map, check_number, check_whole
from focal_utils.layers.attention import SelfAttention, WindowedAttention
from focal_utils.layers.basics import (
    MAX_DIM,
    MAX_KERNEL,
    MAX_RATIO,
    MAX_SCALE,
    Configured,
    dense,
    gelu,
    layer_norm,
    serializable,
)
from focal_utils.layers.focal import FocalModulation, check_input
from focal_utils.layers.relatives import (
    DepthwiseConvolution,
    GatedConvolution,
    NoMixing,
    Pooling,
    ProductOfProjections,
)


def check_layer_scale(value):
    """What every γ of `LayerScale` starts with, as a `float`, or None for no LayerScale."""
    return None if value is None else check_number("layer_scale", value, at_least=0, at_most=MAX_SCALE)


def check_no_dropout(rate):
    """Raise ValueError unless the rate of dropout inside branches that are computed twice is 0."""
    if rate:
        raise ValueError(
            f"recompute=True with a dropout of {rate!r}: what is computed a second time for the gradient would drop "
            "other units than the first time. Set the dropout to 0 (drop_path may stay), or recompute=False."
        )


@serializable
class LayerScale(Configured, keras.layers.Layer):
    """γ ⊙ x with one learned γ per channel, starting small so that a new block starts near the identity.

    Maps (..., C) to (..., C). Touvron et al. 2021, *Going deeper with image transformers*, eq. 4. Grown in notebook 04.

    Args:
        initial: what every γ starts with, not below 0.

    Raises:
        ValueError: another start.
    """

    def __init__(self, initial=1e-4, **kwargs):
        super().__init__(**kwargs)
        self.initial = check_number("initial", initial, at_least=0, at_most=MAX_SCALE)
        self.config = {"initial": self.initial}

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma", shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.initial)
        )

    def call(self, x):
        return x * ops.cast(self.gamma, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class DropPath(Configured, keras.layers.Layer):
    """Stochastic depth: in training a sample skips its branch with probability `rate`, else it grows by 1/(1 − rate).

    Maps (B, …) to (B, …), for samples of any rank. Huang et al. 2016, *Deep networks with stochastic depth*, section 3.
    Grown in notebook 04.

    Args:
        rate: the probability, in [0, 1).
        seed: a whole number, for the same samples in every run; None for others.

    Raises:
        ValueError: a rate outside [0, 1).

    Example:
        >>> tokens = keras.ops.ones((4, 6, 8))
        >>> mixed = fu.DropPath(0.5)(tokens, training=True)  # each of the 4 samples is all 0 or all 2
        >>> tuple(mixed.shape)
        (4, 6, 8)
    """

    def __init__(self, rate=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, at_least=0, below=1)
        self.seed = None if seed is None else check_whole("seed", seed)
        self.config = {"rate": self.rate, "seed": self.seed}
        self.seed_generator = keras.random.SeedGenerator(self.seed) if rate else None

    def call(self, x, training=False):
        if not (training and self.rate):
            return x
        one_each = (ops.shape(x)[0], *[1] * (len(x.shape) - 1))  # (B, 1, …)
        kept = keras.random.uniform(one_each, seed=self.seed_generator) >= self.rate
        return x * ops.cast(kept, x.dtype) / (1 - self.rate)

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class Mlp(Configured, keras.layers.Layer):
    """Two dense layers on every pixel, C → ratio·C → C, with GELU between: (B, H, W, C) → (B, H, W, C).

    Grown in notebook 04.

    Args:
        dim: channels C.
        mlp_ratio: width of the hidden layer over C.
        dropout: rate of dropout after each of the two.

    Raises:
        ValueError: a size or a rate out of range.
    """

    def __init__(self, dim, mlp_ratio=4.0, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.config = {
            "dim": check_whole("dim", dim, 1, MAX_DIM),
            "mlp_ratio": check_number("mlp_ratio", mlp_ratio, above=0, at_most=MAX_RATIO),
            "dropout": check_number("dropout", dropout, at_least=0, below=1),
        }
        hidden = int(dim * mlp_ratio)
        if hidden < 1:
            raise ValueError(f"mlp_ratio={mlp_ratio!r} leaves no hidden unit for dim={dim}: take a larger one.")
        self.fc1 = dense(hidden, activation=gelu, name="fc1", **self.inherited)
        self.fc2 = dense(self.config["dim"], name="fc2", **self.inherited)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", **self.inherited)

    def build(self, input_shape):
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.fc1.units))

    def call(self, x, training=None):
        x = self.dropout(self.fc1(x), training=training)  # (B, H, W, ratio·C)
        return self.dropout(self.fc2(x), training=training)  # (B, H, W, C)

    def compute_output_shape(self, input_shape):
        return input_shape


# What a block mixes pixels with, by name: all map (B, H, W, C) to (B, H, W, C).
MIXERS = {
    "focal": FocalModulation,
    "attention": SelfAttention,
    "window": WindowedAttention,
    "convnext": DepthwiseConvolution,
    "gated_convolution": GatedConvolution,
    "product": ProductOfProjections,
    "pooling": Pooling,
    "identity": NoMixing,
}


@serializable
class FocalBlock(Configured, keras.layers.Layer):
    """One residual block: x += γ₁·mod(LN(x)), then x += γ₂·mlp(LN(x)); (B, H, W, C) → (B, H, W, C).

    Yang et al. 2022, figure 3. With `use_postln` each LayerNorm stands after its branch instead: x += γ₁·LN(mod(x)).
    Grown in notebook 04.

    Args:
        dim: channels C.
        mlp_ratio: width of the MLP over C.
        dropout: rate inside the MLP and on the modulation's output.
        drop_path: probability that a sample skips a branch in training; see `DropPath`.
        use_postln: norms after the branches instead of before them.
        layer_scale: initial value of γ₁ and γ₂, or None for no LayerScale.
        mixer: what stands in the place of the modulation: "focal", or, to compare with, "attention" (global
            self-attention, a block of ViT), "window" (in windows, a block of Swin), "convnext" (a large kernel),
            "gated_convolution" (MambaOut's), "product" (StarNet's), "pooling" (a block of PoolFormer) or "identity"
            (nothing); see `focal_utils.layers.relatives`.
        recompute: whether training keeps x only, and the gradient computes the maps inside the branches a second time:
            less memory, more time, the same numbers; see `recomputed`.
        modulation: further arguments of the mixer; of `FocalModulation`: focal_level, focal_window, gating, sequence, …

    Raises:
        ValueError: an unknown option, a size out of range, `recompute` with dropout, or an input that is neither
            (B, H, W, dim) nor, with `sequence`, (B, T, dim).

    Example:
        >>> block = fu.FocalBlock(64, focal_level=3, layer_scale=1e-4)
        >>> tuple(block(keras.ops.ones((2, 14, 14, 64))).shape)
        (2, 14, 14, 64)
    """

    def __init__(
        self,
        dim,
        mlp_ratio=4.0,
        dropout=0.0,
        drop_path=0.0,
        use_postln=False,
        layer_scale=None,
        mixer="focal",
        recompute=False,
        name=None,
        dtype=None,
        trainable=True,
        **modulation,
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        make_mixer = MIXERS[check_choice("mixer", mixer, MIXERS)]
        self.norm1 = layer_norm(name="norm1", **self.inherited)
        self.norm2 = layer_norm(name="norm2", **self.inherited)
        self.modulation = make_mixer(dim, dropout=dropout, name="modulation", **modulation, **self.inherited)
        self.mlp = Mlp(dim, mlp_ratio, dropout, name="mlp", **self.inherited)
        self.scale1 = self.scale2 = keras.layers.Identity(name="scale", **self.inherited)
        layer_scale = check_layer_scale(layer_scale)
        if layer_scale is not None:
            self.scale1 = LayerScale(layer_scale, name="scale1", **self.inherited)
            self.scale2 = LayerScale(layer_scale, name="scale2", **self.inherited)
        self.drop_path = DropPath(
            check_number("drop_path", drop_path, at_least=0, below=1), name="drop_path", **self.inherited
        )
        self.use_postln = check_flag("use_postln", use_postln)
        recompute = check_flag("recompute", recompute)
        if recompute:
            check_no_dropout(dropout)
            self.residual = self.recomputed
        self.config = {
            **self.mlp.config,
            **self.modulation.config,
            "drop_path": self.drop_path.rate,
            "use_postln": self.use_postln,
            "layer_scale": layer_scale,
            "mixer": mixer,
            "recompute": recompute,
        }

    def build(self, input_shape):
        self.input_spec = check_input("FocalBlock", input_shape, self.config["dim"], self.config.get("sequence"))
        for layer in (self.norm1, self.modulation, self.scale1, self.norm2, self.mlp, self.scale2, self.drop_path):
            layer.build(input_shape)

    def residual(self, x, norm, branch, scale, training):
        """x plus one branch, its LayerNorm before it or after it: (B, H, W, C) in and out."""
        y = norm(branch(x, training=training)) if self.use_postln else branch(norm(x), training=training)
        return x + self.drop_path(scale(y), training=training)

    def recomputed(self, x, norm, branch, scale, training):
        """The same numbers as `residual`, of which training keeps x and which samples skip the branch, and no more.

        A gradient needs all maps that were computed on the way, 10 to 20 in each branch, and they lie in memory until
        it comes back to them. Here it computes them again, branch by branch (Chen et al. 2016, *Training deep nets with
        sublinear memory cost*, section 4; `keras.remat`). What is drawn at random stands outside: it is drawn once.
        """

        def change(x):
            y = norm(branch(x, training=training)) if self.use_postln else branch(norm(x), training=training)
            return scale(y)

        y = keras.remat(change)(x) if training else change(x)
        return x + self.drop_path(y, training=training)

    def call(self, x, training=None):
        x = self.residual(x, self.norm1, self.modulation, self.scale1, training)
        return self.residual(x, self.norm2, self.mlp, self.scale2, training)

    def parts(self, x):
        """What the block's mixer computes on the way for the input x of the block: `FocalParts`, or `Factors`."""
        return self.modulation.parts(x if self.use_postln else self.norm1(x))

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class PatchEmbed(Configured, keras.layers.Layer):
    """A strided convolution, then LayerNorm: (B, H, W, C) → (B, ⌊H/stride⌋, ⌊W/stride⌋, dim).

    The stem (4×4, stride 4) and the downsampling between stages (2×2, stride 2) of Yang et al. 2022, section 4. With
    `overlap` the windows overlap, as in the large variants: 7×7 for stride 4, 3×3 for strides 2 and 1.

    Args:
        dim: channels of the output.
        stride: 2, 4, 16, …: the side of a patch in pixels.
        overlap: overlapping windows; stride 1, 2 or 4 only.
        pad_to_stride: where a side is no multiple of the stride, fill it up with zeros on the right and at the bottom
            (transformers' FocalNet), instead of leaving the last pixels out (the official code and timm).
        positions: whether a learned vector for each place is added (Dosovitskiy et al. 2021, eq. 1), without which
            global attention would not know where a patch lies; focal modulation and windows do without.

    Raises:
        ValueError: an overlapping embedding of another stride, an input that is not 4-D or is smaller than a patch, or
            `positions` for maps of unknown height or width.
    """

    OVERLAP = {4: (7, 2), 2: (3, 1), 1: (3, 1)}  # stride: kernel size, padding

    def __init__(self, dim, stride=4, overlap=False, pad_to_stride=False, positions=False, **kwargs):
        super().__init__(**kwargs)
        self.config = {
            "dim": check_whole("dim", dim, 1, MAX_DIM),
            "stride": check_whole("stride", stride, 1, MAX_KERNEL),
            "overlap": check_flag("overlap", overlap),
            "pad_to_stride": check_flag("pad_to_stride", pad_to_stride),
            "positions": check_flag("positions", positions),
        }
        stride = self.config["stride"]
        if overlap and stride not in self.OVERLAP:
            raise ValueError(f"stride={stride}: overlapping patch embeddings are defined for strides 1, 2 and 4 only.")
        kernel, before = self.OVERLAP[stride] if overlap else (stride, 0)
        after = kernel - 1 - before if pad_to_stride else before  # with kernel − 1 in all, sides are rounded up
        self.pad = keras.layers.ZeroPadding2D(((before, after), (before, after)), name="pad", **self.inherited)
        uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # PyTorch's, so the official start
        self.proj = keras.layers.Conv2D(
            self.config["dim"], kernel, stride, kernel_initializer=uniform, name="proj", **self.inherited
        )
        self.norm = layer_norm(name="norm", **self.inherited)

    def build(self, input_shape):
        check_map("PatchEmbed", input_shape)
        self.check_size(input_shape)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        self.pad.build(input_shape)
        padded = self.pad.compute_output_shape(input_shape)
        self.proj.build(padded)
        embedded = self.proj.compute_output_shape(padded)
        self.norm.build(embedded)
        self.positions = None
        if self.config["positions"]:
            if None in embedded[1:3]:
                raise ValueError("positions=True needs images of a known height and width: give input_shape in full.")
            self.positions = self.add_weight(
                name="positions",
                shape=(1, *embedded[1:]),
                initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            )

    def check_size(self, shape):
        """Raise ValueError where a map of shape (B, H, W, C) is known to be smaller than one window."""
        kernel = self.proj.kernel_size[0]
        if any(side is not None and side < kernel for side in self.pad.compute_output_shape(tuple(shape))[1:3]):
            raise ValueError(
                f"PatchEmbed got a map of {shape[1]}×{shape[2]} pixels, smaller than its {kernel}×{kernel} window of "
                f"stride {self.config['stride']}. Use larger images, fewer stages or a smaller patch_size."
            )

    def call(self, x):
        self.check_size(x.shape)
        patches = self.norm(self.proj(self.pad(x)))
        return patches if self.positions is None else patches + ops.cast(self.positions, patches.dtype)

    def compute_output_shape(self, input_shape):
        return self.proj.compute_output_shape(self.pad.compute_output_shape(input_shape))
