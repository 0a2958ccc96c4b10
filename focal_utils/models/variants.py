"""The variants of the paper as one table, and the network that any row of it builds."""

from typing import NamedTuple

from focal_utils.errors import check_choice
from focal_utils.models.focalnet import FocalNet
from focal_utils.weights.published import load_pretrained


class Variant(NamedTuple):
    """One row of the paper's model zoo: what sets a FocalNet apart from the others, and what of it was published.

    All columns but the last three are arguments of `FocalNet`, under their names there.
    """

    embed_dim: int
    depths: tuple
    focal_levels: int
    focal_windows: int = 3
    patch_size: int = 4
    use_conv_embed: bool = False
    use_postln: bool = False
    layer_scale: float | None = None
    use_postln_in_modulation: bool = False
    drop_path_rate: float = 0.5
    image_size: int = 224  # side in pixels of the images that it was trained on
    repository: str | None = None  # of its published weights on the Hugging Face hub; None: there are none
    classes: int = 0  # of the classifier in the published file; 0: there is none in it

    def arguments(self):
        """What `FocalNet` takes of the row: a dict from argument to value."""
        published = ("image_size", "repository", "classes")
        return {name: value for name, value in self._asdict().items() if name not in published}

    def check_published(self, name, classes):
        """Raise ValueError unless there are published weights for so many classes, or, with None, for no classifier.

        Asked before the network is built, which for the largest takes gigabytes.
        """
        if self.repository is None:
            known = ", ".join(other for other, row in VARIANTS.items() if row.repository)
            raise ValueError(f"There are no published weights of {name!r}. There are: {known}.")
        if classes is None:
            return
        if self.classes == 0:
            raise ValueError(
                f"The published weights of {name} come without a classifier: take include_top=False and add your own."
            )
        if classes != self.classes:
            raise ValueError(
                f'weights="imagenet" has a classifier of {self.classes} classes for {name}, not of {classes}: take '
                f"include_top=False and add your own, or classes={self.classes}."
            )


TINY = (2, 2, 6, 2)

DEEP = (2, 2, 18, 2)

ISO = {"patch_size": 16, "drop_path_rate": 0.2}

BIG = {"use_conv_embed": True, "use_postln": True, "layer_scale": 1e-4}

LARGE = {**BIG, "image_size": 384, "classes": 21842}

HUGE = {**BIG, "use_postln_in_modulation": True}

# Yang et al. 2022, tables 1, 2, 6 and the official configuration. Sources disagree on `normalize_modulator` for
# large_fl4 and xlarge_fl4 (the official large_fl4 file sets it, timm does not), so it is an argument and no column.
# Published are timm's conversions (MIT licence); timm's own table gives their classes and image sizes: huge_fl4 came
# without its classifier. The isotropic networks' files are no longer to be had.
VARIANTS = {
    "tiny_srf": Variant(96, TINY, 2, drop_path_rate=0.2, repository="timm/focalnet_tiny_srf.ms_in1k", classes=1000),
    "tiny_lrf": Variant(96, TINY, 3, drop_path_rate=0.2, repository="timm/focalnet_tiny_lrf.ms_in1k", classes=1000),
    "small_srf": Variant(96, DEEP, 2, drop_path_rate=0.3, repository="timm/focalnet_small_srf.ms_in1k", classes=1000),
    "small_lrf": Variant(96, DEEP, 3, drop_path_rate=0.3, repository="timm/focalnet_small_lrf.ms_in1k", classes=1000),
    "base_srf": Variant(128, DEEP, 2, repository="timm/focalnet_base_srf.ms_in1k", classes=1000),
    "base_lrf": Variant(128, DEEP, 3, repository="timm/focalnet_base_lrf.ms_in1k", classes=1000),
    "tiny_iso_16": Variant(192, (12,), 3, **ISO),
    "small_iso_16": Variant(384, (12,), 3, **ISO),
    "base_iso_16": Variant(768, (12,), 3, use_postln=True, layer_scale=1e-4, use_postln_in_modulation=True, **ISO),
    "large_fl3": Variant(192, DEEP, 3, 5, repository="timm/focalnet_large_fl3.ms_in22k", **LARGE),
    "large_fl4": Variant(192, DEEP, 4, repository="timm/focalnet_large_fl4.ms_in22k", **LARGE),
    "xlarge_fl3": Variant(256, DEEP, 3, 5, repository="timm/focalnet_xlarge_fl3.ms_in22k", **LARGE),
    "xlarge_fl4": Variant(256, DEEP, 4, repository="timm/focalnet_xlarge_fl4.ms_in22k", **LARGE),
    "huge_fl3": Variant(352, DEEP, 3, repository="timm/focalnet_huge_fl3.ms_in22k", classes=21842, **HUGE),
    "huge_fl4": Variant(352, DEEP, 4, repository="timm/focalnet_huge_fl4.ms_in22k", **HUGE),
}


def focalnet(variant, input_shape=None, classes=None, include_top=True, weights=None, stem=None, **overrides):
    """The FocalNet of a row of `VARIANTS`, by name. Grown in notebook 05.

    It is called as the networks of `keras.applications` are, but gives logits unless `classifier_activation` is set,
    and takes normalised images unless `preprocessing` is.

    Args:
        variant: a key of `VARIANTS`.
        input_shape: (height, width, channels) as for `FocalNet`; None for the size that the variant was trained on.
        classes: as for `FocalNet`; None for those of the published classifier where that is asked for, else 1000.
        include_top: as for `FocalNet`.
        weights: None for random ones; "imagenet" for the published ones, which are downloaded once, see
            `load_pretrained`; or the path of a `.weights.h5`, `.safetensors` or `.pth` file.
        stem: how a checkpoint for three channels becomes one for images of another number: "mean" or "repeat", see
            `load_checkpoint`; None where they are as many.
        overrides: any further argument of `FocalNet`, pooling and classifier_activation among them, which then takes
            precedence over the table.

    Raises:
        ValueError: an unknown variant, with the known ones named; published weights that there are not, or of another
            classifier; a stem without weights; whatever `FocalNet` and `load_pretrained` raise.

    Example:
        >>> model = fu.focalnet("tiny_srf", (64, 64, 3), classes=10, preprocessing="imagenet")
        >>> model.output_shape
        (None, 10)
        >>> features = fu.focalnet("tiny_srf", (64, 64, 3), include_top=False, pooling="avg")
        >>> features.output_shape
        (None, 768)
        >>> fu.focalnet("tiny_srf", weights="imagenet", preprocessing="imagenet")  # doctest: +SKIP
        >>> fu.focalnet("tiny_srf", (64, 64, 5), include_top=False, weights="imagenet", stem="mean")  # doctest: +SKIP
    """
    check_choice("variant", variant, tuple(VARIANTS))
    row = VARIANTS[variant]
    if stem is not None and weights is None:
        raise ValueError(f"stem={stem!r} says how weights are fitted to the images, but weights=None asks for none.")
    if input_shape is None:
        input_shape = (row.image_size, row.image_size, 3)
    if classes is None:
        classes = row.classes if weights == "imagenet" and include_top else 1000
    if weights == "imagenet":
        row.check_published(variant, classes if include_top else None)
    arguments = {"name": f"focalnet_{variant}"} | row.arguments() | overrides
    model = FocalNet(input_shape, classes, include_top, **arguments)
    if weights is not None:
        load_pretrained(model, weights, row.repository, stem)
    return model
