"""FocalNet: stem, stages of blocks with downsampling between, LayerNorm, mean, classifier."""

import keras

from focal_utils.errors import check_at_least, check_choice
from focal_utils.layers.basics import dense, layer_norm, serializable
from focal_utils.layers.blocks import FocalBlock, PatchEmbed

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)


def per_stage(name, value, stages):
    """One whole number per stage, from one number for all or a sequence of them."""
    values = [value] * stages if isinstance(value, int) else list(value)
    if len(values) != stages:
        raise ValueError(
            f"{name}={value!r} has {len(values)} entries for {stages} stages (depths): give one, or one each."
        )
    return values


def preprocess(kind, channels, dtype=None):
    """The layer that takes raw images, 0…255, to what the network reads.

    "imagenet": minus ImageNet's mean, over its standard deviation (for other than 3 channels, their averages);
    "per_image": each image to mean 0 and variance 1, so that a sign at night looks like a sign by day.
    """
    check_choice("preprocessing", kind, (None, "imagenet", "per_image"))
    if kind == "per_image":
        return keras.layers.LayerNormalization(
            axis=(1, 2, 3), center=False, scale=False, dtype=dtype, name="preprocessing"
        )
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if channels != 3:
        mean, std = [sum(mean) / 3] * channels, [sum(std) / 3] * channels
    # Not keras.layers.Normalization: exported to ONNX, it would ask for its mean and variance as further inputs.
    scale, offset = [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]
    return keras.layers.Rescaling(scale, offset, dtype=dtype, name="preprocessing")


def trunk(x, embed_dim, depths, mixing, patch_size, drop_path_rate, embed, block):
    """Stem and stages (Yang et al. 2022, section 4): (B, H, W, any) → (B, H/r, W/r, C), r = patch_size·2^(stages − 1).

    Channels start at embed_dim and double where sides halve; the drop-path rate grows linearly from block to block.

    Args:
        x: Keras tensor of images. embed_dim, patch_size, drop_path_rate: see `FocalNet`.
        depths: number of blocks of each stage.
        mixing: a function (stage, index of the block) → the arguments of `FocalBlock` that differ from block to block.
        embed: further arguments of `PatchEmbed`. block: further arguments of `FocalBlock`.
    """
    x = PatchEmbed(embed_dim, patch_size, name="stem", **embed)(x)
    rates = iter([drop_path_rate * i / max(1, sum(depths) - 1) for i in range(sum(depths))])
    for stage, depth in enumerate(depths):
        dim = embed_dim * 2**stage
        if stage:
            x = PatchEmbed(dim, 2, name=f"stage{stage}_downsample", **embed)(x)
        for index in range(depth):
            x = FocalBlock(
                dim, drop_path=next(rates), name=f"stage{stage}_block{index}", **mixing(stage, index), **block
            )(x)
    return x


@serializable
class FocalNet(keras.Model):
    """A FocalNet: patch embedding, stages of focal blocks with downsampling between, LayerNorm, mean, Dense.

    Maps images (B, H, W, channels) to logits (B, classes), or, with `include_top=False`, to the last stage's normalised
    map (B, H/32, W/32, 8·embed_dim) for the usual four stages. Yang et al. 2022, section 4.

    Args:
        input_shape: (height, width, channels); None for a side that may vary.
        classes: number of classes.
        include_top: whether the mean over pixels and the classifier are there.
        embed_dim: channels of the first stage; each further stage doubles them.
        depths: number of blocks of each stage.
        focal_levels, focal_windows: levels and first kernel size: one number, or one for each stage.
        focal_factor: pixels by which kernels grow from level to level.
        mlp_ratio: width of the blocks' MLPs over their channels.
        patch_size: side of a patch of the stem, in pixels.
        use_conv_embed: overlapping patch embeddings (the large variants).
        use_postln, layer_scale, use_postln_in_modulation, normalize_modulator: see `FocalBlock`, `FocalModulation`.
        drop_rate: dropout in the blocks. drop_path_rate: of the last block; it grows linearly from 0 at the first.
        pad_to_stride: zeros fill up odd sides, as in transformers, instead of being cut; see `PatchEmbed`.
        preprocessing: None, images come normalised; "imagenet" or "per_image", images come as 0…255 (uint8 or float)
            and the network normalises them itself; see `preprocess`.
        name: of the model. dtype: a dtype policy, "mixed_bfloat16" for instance.
        mixer: "focal", or another of `FocalBlock`'s, which makes it another network: with "attention" a ViT (one stage)
            or a PVT (several), which adds learned positions to its patches; with "window" a Swin, every other block
            shifted. What is said of focal levels, windows and modulators is then left aside.
        modulation: further arguments of the mixer. Of `FocalModulation`: context, gating, global_context, modulate; of
            the others: num_heads, window, fused.

    Raises:
        ValueError: an unknown option, lists that do not fit the stages, or images too small for the stages.
    """

    def __init__(
        self,
        input_shape=(224, 224, 3),
        classes=1000,
        include_top=True,
        embed_dim=96,
        depths=(2, 2, 6, 2),
        focal_levels=2,
        focal_windows=3,
        focal_factor=2,
        mlp_ratio=4.0,
        patch_size=4,
        use_conv_embed=False,
        use_postln=False,
        layer_scale=None,
        use_postln_in_modulation=False,
        normalize_modulator=False,
        drop_rate=0.0,
        drop_path_rate=0.0,
        pad_to_stride=False,
        preprocessing=None,
        mixer="focal",
        name="focalnet",
        dtype=None,
        **modulation,
    ):
        config = {key: value for key, value in locals().items() if key not in ("self", "modulation", "__class__")}
        check_at_least(classes=(classes, 1), embed_dim=(embed_dim, 1), patch_size=(patch_size, 1))
        if isinstance(depths, int) or not depths:
            raise ValueError(f"depths={depths!r}: give the number of blocks of each stage, such as (2, 2, 6, 2).")
        check_at_least(**{f"depths[{stage}]": (depth, 1) for stage, depth in enumerate(depths)})
        if len(input_shape) != 3:
            raise ValueError(f"input_shape={input_shape!r}: give (height, width, channels), without the batch.")
        levels = per_stage("focal_levels", focal_levels, len(depths))
        windows = per_stage("focal_windows", focal_windows, len(depths))
        embed = {"overlap": use_conv_embed, "pad_to_stride": pad_to_stride, "dtype": dtype}
        embed |= {"positions": mixer == "attention"}
        block = {
            "mlp_ratio": mlp_ratio,
            "dropout": drop_rate,
            "use_postln": use_postln,
            "layer_scale": layer_scale,
            "mixer": mixer,
            "dtype": dtype,
        } | modulation
        if mixer == "focal":
            block |= {"focal_factor": focal_factor, "use_postln_in_modulation": use_postln_in_modulation}
            block |= {"normalize_modulator": normalize_modulator}

        def mixing(stage, index):
            if mixer == "focal":
                return {"focal_level": levels[stage], "focal_window": windows[stage]}
            return {"shift": index % 2 == 1} if mixer == "window" else {}

        # What comes in and what goes out, images and logits, is in full precision, also in mixed precision.
        full = keras.dtype_policies.get(dtype or keras.config.dtype_policy()).variable_dtype
        images = keras.Input(input_shape, name="images", dtype=full)
        x = preprocess(preprocessing, input_shape[-1], full)(images) if preprocessing else images
        x = trunk(x, embed_dim, depths, mixing, patch_size, drop_path_rate, embed, block)
        x = layer_norm(name="norm", dtype=dtype)(x)
        if include_top:
            x = keras.layers.GlobalAveragePooling2D(name="pool", dtype=dtype)(x)
            x = dense(classes, keras.layers.Dense, name="head", dtype=full)(x)
        super().__init__(images, x, name=name)
        self.config = config | modulation

    def get_config(self):
        return dict(self.config)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
