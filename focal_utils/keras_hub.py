"""FocalNet as KerasHub has its models: a backbone with a pyramid, presets, a classifier with its preprocessor.

Needs KerasHub, the extra "hub": `pip install ".[hub]"`. What KerasHub's classes do is not done here again: saving and
loading of presets, resizing of images, `DeepLabV3` and `RetinaNet` on top of the pyramid. Presets that were published,
"focalnet_tiny_srf_imagenet" for instance, are timm's files, fetched, checked and converted by `focal_utils.weights`.

    import focal_utils.keras_hub as hub

    classifier = hub.FocalNetImageClassifier.from_preset("focalnet_tiny_srf_imagenet")     # needs internet, once
    classifier.save_to_preset("mine")
    keras_hub.models.ImageClassifier.from_preset("mine")
"""

import json
from pathlib import Path

import keras
import keras_hub

from focal_utils.layers.basics import changed_parts, serializable, with_changed_parts
from focal_utils.models import VARIANTS, FocalNet, stages
from focal_utils.models.focalnet import imagenet_scaling
from focal_utils.weights import load_checkpoint
from focal_utils.weights.published import FILE, imagenet_weights
from focal_utils.weights.tensors import open_checkpoint

HANDLE = "hf://"

ARCHITECTURE = "focalnet_"  # what timm's names of the variants begin with

HEAD = {"kernel": "head.fc.weight", "bias": "head.fc.bias"}  # of timm's files


def preset_name(variant):
    """What the published weights of a variant are called as a preset: "focalnet_tiny_srf_imagenet"."""
    return f"{ARCHITECTURE}{variant}_imagenet{'' if VARIANTS[variant].classes == 1000 else '22k'}"


# Preset → variant, of all variants whose weights were published.
PRESETS = {preset_name(variant): variant for variant, row in VARIANTS.items() if row.repository}


class Published:
    """The published weights of a variant, for `from_preset`: what to build, and where its numbers come from.

    Args:
        variant: a key of `VARIANTS`.
        folder: with timm's `model.safetensors`; None: the weights are fetched, once.
    """

    def __init__(self, variant, folder=None):
        self.variant = variant
        self.row = VARIANTS[variant]
        self.folder = folder

    @property
    def path(self):
        """Path of the weights, which are fetched where they are not here."""
        return imagenet_weights(self.row.repository) if self.folder is None else Path(self.folder) / FILE

    def load_backbone(self, cls, load_weights=True, **arguments):
        """A backbone of the class `cls`."""
        given = {name: value for name, value in arguments.items() if value is not None}
        backbone = cls(**{"name": f"{ARCHITECTURE}{self.variant}", **self.row.arguments(), **given})
        if load_weights:
            load_checkpoint(backbone, self.path, head=False)
        return backbone

    def load_image_converter(self, cls):
        """What takes pictures 0…255 to the size and the scale that the weights were trained with.

        Timm looks at the middle 90 % of a picture, cut after resizing; KerasHub has no such cut, and gives all of it.
        """
        scale, offset = imagenet_scaling(3)
        size = (self.row.image_size, self.row.image_size)
        return cls(image_size=size, scale=scale, offset=offset, interpolation="bicubic", antialias=True)

    def load_classifier(self, cls, load_weights=True, **arguments):
        """A classifier of the class `cls`, with the published classifier unless `num_classes` is given.

        Raises:
            ValueError: the published weights come without a classifier.
        """
        own = "num_classes" in arguments
        if not own:
            self.row.check_published(self.variant, self.row.classes)
        backbone = {name: arguments.pop(name) for name in ("dtype", "image_shape") if name in arguments}
        if "backbone" not in arguments:
            arguments["backbone"] = self.load_backbone(cls.backbone_cls, load_weights, **backbone)
        if "preprocessor" not in arguments:
            converter = self.load_image_converter(cls.preprocessor_cls.image_converter_cls)
            arguments["preprocessor"] = cls.preprocessor_cls(image_converter=converter)
        classifier = cls(**{"num_classes": self.row.classes, **arguments})
        if load_weights and not own:
            (tensors,) = open_checkpoint(self.path).values()
            classifier.output_dense.kernel.assign(tensors[HEAD["kernel"]].read().T)
            classifier.output_dense.bias.assign(tensors[HEAD["bias"]].read())
        return classifier


def published(preset):
    """`Published` for what is a preset's name, timm's repository on the hub or a folder like it; else None.

    Raises:
        ValueError: a folder or repository of timm's with another FocalNet than those of `VARIANTS`.
    """
    preset = str(preset)
    if preset in PRESETS:
        return Published(PRESETS[preset])
    repositories = {row.repository: variant for variant, row in VARIANTS.items() if row.repository}
    if preset.removeprefix(HANDLE) in repositories:
        return Published(repositories[preset.removeprefix(HANDLE)])
    config = Path(preset) / "config.json"
    if "://" in preset or not config.is_file():
        return None
    architecture = json.loads(config.read_text(encoding="utf-8")).get("architecture")
    if architecture is None:
        return None
    variant = architecture.removeprefix(ARCHITECTURE)
    if variant not in VARIANTS:
        raise ValueError(f"{config} is of {architecture!r}, no FocalNet of the paper: {', '.join(VARIANTS)}.")
    return Published(variant, preset)


@serializable
class FocalNetBackbone(keras_hub.models.FeaturePyramidBackbone):
    """A FocalNet without its classifier, as a backbone of KerasHub.

    Maps normalised images (B, H, W, channels) to the last stage's normalised map, as `FocalNet(include_top=False)`
    does, of whose layers it is made. `pyramid_outputs` has the map that each stage ends with, by KerasHub's names: "P2"
    is 4 times smaller than the images.

    Args:
        image_shape: (height, width, channels); None for a side that may vary.
        dtype: a dtype policy, or None for Keras' global one.
        name, trainable: of the model.
        architecture: arguments of `FocalNet`: embed_dim, depths, focal_levels, focal_windows, patch_size, …

    Raises:
        ValueError: an unknown argument or one out of range; a patch size that is no power of 2, which KerasHub has no
            name for.

    Example:
        >>> backbone = FocalNetBackbone(embed_dim=32, depths=(1, 1, 1), patch_size=4)
        >>> sorted(backbone.pyramid_outputs)
        ['P2', 'P3', 'P4']
    """

    def __init__(self, image_shape=(None, None, 3), dtype=None, name=None, trainable=True, **architecture):
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        network = FocalNet(image_shape, include_top=False, dtype=policy, **architecture)
        first = network.config["patch_size"]
        if first & (first - 1):
            raise ValueError(f"patch_size={first}: KerasHub names maps by powers of 2, take 1, 2, 4, 8, ….")
        super().__init__(inputs=network.input, outputs=network.output, dtype=policy, name=name, trainable=trainable)
        level = first.bit_length() - 1
        self.pyramid_outputs = {
            f"P{level + number}": layers[-1].output for number, layers in enumerate(stages(network))
        }
        self.image_shape = network.config["input_shape"]
        self.architecture = {key: network.config[key] for key in architecture}
        self.use_postln = network.config["use_postln"]

    @property
    def config(self):
        """What `focal_utils.weights` asks of a network."""
        return {"use_postln": self.use_postln}

    def get_config(self):
        own = {"dtype": keras.dtype_policies.serialize(self.dtype_policy), "image_shape": self.image_shape}
        return {**super().get_config(), **own, **self.architecture, **changed_parts(self)}

    @classmethod
    def from_config(cls, config):
        return with_changed_parts(super().from_config, config)

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """As `keras_hub.models.Backbone.from_preset`; of `PRESETS`, and of timm's files, too."""
        found = published(preset)
        if found is None:
            return super().from_preset(preset, load_weights, **kwargs)
        return found.load_backbone(cls, load_weights, **kwargs)


@serializable
class FocalNetImageConverter(keras_hub.layers.ImageConverter):
    """Pictures 0…255 to the size and the scale that a FocalNet was trained with."""

    backbone_cls = FocalNetBackbone

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """As `keras_hub.layers.ImageConverter.from_preset`; of `PRESETS`, and of timm's files, too."""
        found = published(preset)
        return super().from_preset(preset, **kwargs) if found is None else found.load_image_converter(cls)


@serializable
class FocalNetImageClassifierPreprocessor(keras_hub.models.ImageClassifierPreprocessor):
    """What `FocalNetImageClassifier` does to pictures and labels before its network sees them."""

    backbone_cls = FocalNetBackbone
    image_converter_cls = FocalNetImageConverter


@serializable
class FocalNetImageClassifier(keras_hub.models.ImageClassifier):
    """A FocalNet that tells classes apart, as a task of KerasHub: pictures 0…255 in, logits (B, num_classes) out.

    The mean over pixels and a dense layer on `FocalNetBackbone`; with published weights its logits are the original's.

    Example:
        >>> backbone = FocalNetBackbone(embed_dim=32, depths=(1, 1, 1))
        >>> FocalNetImageClassifier(backbone, num_classes=5).fit(images, labels)  # doctest: +SKIP
    """

    backbone_cls = FocalNetBackbone
    preprocessor_cls = FocalNetImageClassifierPreprocessor

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """As `keras_hub.models.ImageClassifier.from_preset`; of `PRESETS`, and of timm's files, too."""
        found = published(preset)
        if found is None:
            return super().from_preset(preset, load_weights, **kwargs)
        return found.load_classifier(cls, load_weights, **kwargs)
