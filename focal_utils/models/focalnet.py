"""FocalNet: stem, stages of blocks with downsampling between, LayerNorm, mean, classifier."""

import keras

from focal_utils.errors import as_list, check_choice, check_flag, check_names, check_number, check_whole
from focal_utils.layers.basics import (
    MAX_DIM,
    MAX_KERNEL,
    MAX_LEVELS,
    MAX_RATIO,
    MAX_SIDE,
    changed_parts,
    dense,
    layer_norm,
    serializable,
    with_changed_parts,
)
from focal_utils.layers.blocks import MIXERS, FocalBlock, PatchEmbed, check_layer_scale

IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_CLASSES = 10**6

MAX_DEPTH = 1000  # blocks of a stage

POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}

ACTIVATIONS = (None, "softmax", "sigmoid")

# Further arguments of each mixer that `FocalNet` hands on.
FURTHER = {
    "focal": ("context", "gating", "global_context", "modulate"),
    "attention": ("num_heads", "fused"),
    "window": ("num_heads", "window", "fused"),
    "convnext": ("kernel_size",),
    "gated_convolution": ("kernel_size", "expansion"),
    "product": ("expansion", "activation"),
    "pooling": ("pool_size",),
    "identity": (),
}


def check_shape(argument, value):
    """(height, width, channels) as a tuple of whole numbers, or None for a side that may vary."""
    sides = as_list(value)
    if sides is None or len(sides) != 3:
        raise ValueError(
            f"{argument}={value!r}: give (height, width, channels), without the batch, such as (224, 224, 3)."
        )
    height, width = (
        None if side is None else check_whole(f"{argument}[{axis}]", side, 1, MAX_SIDE)
        for axis, side in enumerate(sides[:2])
    )
    return height, width, check_whole(f"{argument}[2]", sides[2], 1, MAX_DIM)


def check_depths(depths):
    """The number of blocks of each stage, as a tuple of whole numbers."""
    if not as_list(depths):
        raise ValueError(f"depths={depths!r}: give the number of blocks of each stage, such as (2, 2, 6, 2).")
    return tuple(check_whole(f"depths[{stage}]", depth, 1, MAX_DEPTH) for stage, depth in enumerate(depths))


def check_per_stage(argument, value, stages, at_least, at_most):
    """One whole number for all stages, or a tuple of one for each."""
    values = as_list(value)
    if values is None:
        return check_whole(argument, value, at_least, at_most)
    if len(values) != stages:
        raise ValueError(
            f"{argument}={value!r} has {len(values)} entries for {stages} stages (depths): give one, or one each."
        )
    return tuple(check_whole(f"{argument}[{stage}]", entry, at_least, at_most) for stage, entry in enumerate(values))


def check_class_names(names, classes):
    """A list of as many texts as there are classes, or None."""
    if names is None:
        return None
    listed = as_list(names)
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"class_names={names!r}: a list of texts is needed, one for each class.")
    if len(listed) != classes:
        raise ValueError(
            f"class_names has {len(listed)} names for {classes} classes: give one each, or class_names=None."
        )
    return [str(name) for name in listed]


def check_pooling(pooling, include_top):
    """A word of `POOLINGS`, or None; None alone where there is a classifier."""
    pooling = check_choice("pooling", pooling, (None, *POOLINGS))
    if pooling and include_top:
        raise ValueError(
            f"pooling={pooling!r} is for a network without its top: set include_top=False. The classifier always reads "
            "the mean over pixels."
        )
    return pooling


def check_activation(activation, classes):
    """A word of `ACTIVATIONS`; no softmax over a single class, which is always 1."""
    activation = check_choice("classifier_activation", activation, ACTIVATIONS)
    if activation == "softmax" and classes == 1:
        raise ValueError('classifier_activation="softmax" of a single class is always 1: take "sigmoid", or classes=2.')
    return activation


def imagenet_scaling(channels):
    """What takes images from 0…255 to ImageNet's mean 0 and deviation 1, as x·scale + offset: two lists by channel.

    For other than 3 channels, mean and deviation are the averages of ImageNet's three.
    """
    mean = IMAGENET_MEAN
    std = IMAGENET_STD
    if channels != 3:
        mean = [sum(mean) / 3] * channels
        std = [sum(std) / 3] * channels
    scale = [1 / (255 * s) for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    return scale, offset


def preprocess(kind, channels, dtype=None):
    """The layer that takes raw images, 0…255, to what the network reads.

    "imagenet": minus ImageNet's mean, over its standard deviation, see `imagenet_scaling`; "per_image": each image to
    mean 0 and variance 1, so that a sign at night looks like a sign by day.
    """
    if kind == "per_image":
        return keras.layers.LayerNormalization(
            axis=(1, 2, 3), center=False, scale=False, dtype=dtype, name="preprocessing"
        )
    # Not keras.layers.Normalization: exported to ONNX, it would ask for its mean and variance as further inputs.
    scale, offset = imagenet_scaling(channels)
    return keras.layers.Rescaling(scale, offset, dtype=dtype, name="preprocessing")


def plan(depths, drop_path_rate=0.0, **of_stages):
    """What differs from block to block, as data: for each stage a list with the arguments of each of its blocks.

    The drop-path rate grows linearly, from 0 at the first block to `drop_path_rate` at the last (Yang et al. 2022,
    section 4). Grown in notebook 05.

    Args:
        depths: number of blocks of each stage.
        of_stages: arguments of `FocalBlock` that differ from stage to stage, one each: `focal_level=(3, 2, 1)`.

    Example:
        >>> plan((1, 2), 0.1, focal_level=(3, 2))
        [[{'focal_level': 3, 'drop_path': 0.0}], [{'focal_level': 2, 'drop_path': 0.05}, {'focal_level': 2, ...}]]
    """
    stages = []
    before = 0  # blocks of the stages before
    for stage, depth in enumerate(depths):
        own = {name: values[stage] for name, values in of_stages.items()}
        rates = [drop_path_rate * (before + index) / max(1, sum(depths) - 1) for index in range(depth)]
        stages.append([{**own, "drop_path": rate} for rate in rates])
        before += depth
    return stages


def trunk(x, embed_dim, stages, patch_size=4, embed=None, block=None):
    """Stem and stages (Yang et al. 2022, section 4): (B, H, W, any) → (B, H/r, W/r, C), r = patch_size·2^(stages − 1).

    Channels start at embed_dim and double where sides halve. Grown in notebook 05.

    Args:
        x: Keras tensor of images. embed_dim, patch_size: see `FocalNet`.
        stages: what differs from block to block; see `plan`.
        embed: arguments of every `PatchEmbed`. block: arguments that all `FocalBlock`s share.
    """
    embed = embed or {}
    block = block or {}
    x = PatchEmbed(embed_dim, patch_size, name="stem", **embed)(x)
    for stage, blocks in enumerate(stages):
        dim = embed_dim * 2**stage
        if stage:
            x = PatchEmbed(dim, 2, name=f"stage{stage}_downsample", **embed)(x)
        for index, own in enumerate(blocks):
            x = FocalBlock(dim, name=f"stage{stage}_block{index}", **own, **block)(x)
    return x


def stages_of(config):
    """`plan` for the arguments of a `FocalNet`: what its mixer wants to differ from block to block."""
    depths = config["depths"]
    if config["mixer"] != "focal":
        stages = plan(depths, config["drop_path_rate"])
        if config["mixer"] == "window":  # every other block's windows are shifted
            stages = [[{**own, "shift": index % 2 == 1} for index, own in enumerate(blocks)] for blocks in stages]
        return stages
    levels = config["focal_levels"]
    windows = config["focal_windows"]
    return plan(
        depths,
        config["drop_path_rate"],
        focal_level=levels if isinstance(levels, tuple) else [levels] * len(depths),
        focal_window=windows if isinstance(windows, tuple) else [windows] * len(depths),
    )


def shared_by_blocks(config, modulation, policy):
    """The arguments of `FocalBlock` that all blocks of a `FocalNet` share."""
    names = ["mlp_ratio", "use_postln", "layer_scale", "mixer", "recompute"]
    if config["mixer"] == "focal":
        names += ["focal_factor", "use_postln_in_modulation", "normalize_modulator"]
    return {**{name: config[name] for name in names}, "dropout": config["drop_rate"], "dtype": policy, **modulation}


@serializable
class FocalNet(keras.Model):
    """A FocalNet: patch embedding, stages of focal blocks with downsampling between, LayerNorm, mean, Dense.

    Maps images (B, H, W, channels) to logits (B, classes), or, with `include_top=False`, to the last stage's normalised
    map (B, H/32, W/32, 8·embed_dim) for the usual four stages, or to a vector (B, 8·embed_dim) with `pooling`. Yang et
    al. 2022, section 4.

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
        name: of the model.
        dtype: a dtype policy, "mixed_bfloat16" for instance; None for Keras' global one. It is saved with the network.
        mixer: "focal", or another of `FocalBlock`'s, which makes it another network: with "attention" a ViT (one stage)
            or a PVT (several), which adds learned positions to its patches; with "window" a Swin, every other block
            shifted; "convnext", "gated_convolution", "product", "pooling" and "identity" leave parts of focal
            modulation out. What is said of focal levels, windows and modulators is then left aside.
        recompute: whether training keeps only what goes into each branch of a block, and computes the rest a second
            time for the gradient: less memory, more time, the same numbers; see `FocalBlock.recomputed`.
        class_names: what the classes are called, as many texts as there are classes, or None; saved with the network.
        pooling: what `include_top=False` gives: None, the map; "avg" or "max", its mean or largest number over pixels.
        classifier_activation: None, the classifier gives logits, as `fu.train` wants them; "softmax" or "sigmoid", it
            gives probabilities. Left aside where there is no classifier.
        modulation: further arguments of the mixer. Of `FocalModulation`: context, gating, global_context, modulate; of
            the others: num_heads, window, fused, kernel_size, expansion, activation, pool_size.

    Raises:
        ValueError: an unknown option, a number out of bounds, lists that do not fit the stages, names that do not fit
            the classes, or images too small for the stages.

    Example:
        >>> model = fu.FocalNet((64, 64, 3), classes=10, embed_dim=32, depths=(2, 2, 2), preprocessing="imagenet")
        >>> model.output_shape
        (None, 10)
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
        class_names=None,
        recompute=False,
        pooling=None,
        classifier_activation=None,
        **modulation,
    ):
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        depths = check_depths(depths)
        count = len(depths)
        config = {
            "input_shape": check_shape("input_shape", input_shape),
            "classes": check_whole("classes", classes, 1, MAX_CLASSES),
            "include_top": check_flag("include_top", include_top),
            "embed_dim": check_whole("embed_dim", embed_dim, 1, MAX_DIM),
            "depths": depths,
            "focal_levels": check_per_stage("focal_levels", focal_levels, count, 0, MAX_LEVELS),
            "focal_windows": check_per_stage("focal_windows", focal_windows, count, 1, MAX_KERNEL),
            "focal_factor": check_whole("focal_factor", focal_factor, 0, MAX_KERNEL),
            "mlp_ratio": check_number("mlp_ratio", mlp_ratio, above=0, at_most=MAX_RATIO),
            "patch_size": check_whole("patch_size", patch_size, 1, MAX_KERNEL),
            "use_conv_embed": check_flag("use_conv_embed", use_conv_embed),
            "use_postln": check_flag("use_postln", use_postln),
            "layer_scale": check_layer_scale(layer_scale),
            "use_postln_in_modulation": check_flag("use_postln_in_modulation", use_postln_in_modulation),
            "normalize_modulator": check_flag("normalize_modulator", normalize_modulator),
            "drop_rate": check_number("drop_rate", drop_rate, at_least=0, below=1),
            "drop_path_rate": check_number("drop_path_rate", drop_path_rate, at_least=0, below=1),
            "pad_to_stride": check_flag("pad_to_stride", pad_to_stride),
            "preprocessing": check_choice("preprocessing", preprocessing, (None, "imagenet", "per_image")),
            "mixer": check_choice("mixer", mixer, MIXERS),
            "recompute": check_flag("recompute", recompute),
            "name": name,
            "dtype": policy.name,
            "class_names": check_class_names(class_names, classes) if include_top else None,
            "pooling": check_pooling(pooling, include_top),
            "classifier_activation": check_activation(classifier_activation, classes) if include_top else None,
        }
        check_names("FocalNet", modulation, (*config, *FURTHER[mixer]))
        check_whole("embed_dim, doubled from stage to stage,", config["embed_dim"] * 2 ** (count - 1), 1, MAX_DIM)

        # Images come in and what the classifier says goes out in full precision, also in mixed precision.
        full = policy.variable_dtype
        images = keras.Input(config["input_shape"], name="images", dtype=full)
        x = images
        if preprocessing:
            x = preprocess(preprocessing, images.shape[-1], full)(x)
        embed = {
            "overlap": config["use_conv_embed"],
            "pad_to_stride": config["pad_to_stride"],
            "positions": mixer == "attention",
            "dtype": policy,
        }
        block = shared_by_blocks(config, modulation, policy)
        x = trunk(x, config["embed_dim"], stages_of(config), config["patch_size"], embed, block)
        x = layer_norm(name="norm", dtype=policy)(x)
        if include_top:
            x = keras.layers.GlobalAveragePooling2D(name="pool", dtype=policy)(x)
            activation = config["classifier_activation"]
            x = dense(config["classes"], keras.layers.Dense, activation=activation, name="head", dtype=full)(x)
        elif pooling:
            x = POOLINGS[pooling](name="pool", dtype=policy)(x)
        super().__init__(images, x, name=name)
        self.dtype_policy = policy
        first = self.get_layer("stage0_block0").modulation.config
        self.config = {**config, **{name: first[name] for name in modulation}}

    @property
    def class_names(self):
        """What the classes are called: a list of texts, or None where nobody said."""
        names = self.config["class_names"]
        return None if names is None else list(names)

    @class_names.setter
    def class_names(self, names):
        if names is not None and not self.config["include_top"]:
            raise ValueError(f"{self.name} has no classifier (include_top=False), so there are no classes to name.")
        self.config["class_names"] = check_class_names(names, self.config["classes"])

    def get_config(self):
        config = dict(self.config)
        if not self.trainable:
            config["trainable"] = False
        return {**config, **changed_parts(self)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return with_changed_parts(cls.from_arguments, config)

    @classmethod
    def from_arguments(cls, arguments):
        """A network from its arguments, and whether it is trained at all."""
        trainable = arguments.pop("trainable", True)
        # Files of former versions do not say what policy the network was built under, if it was the global one.
        arguments["dtype"] = arguments.get("dtype") or "float32"
        model = cls(**arguments)
        if not trainable:
            model.trainable = False
        return model
