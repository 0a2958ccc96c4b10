"""The variants of the paper as one table, and the network that any row of it builds."""

from typing import NamedTuple

from focal_utils.errors import check_choice
from focal_utils.models.focalnet import FocalNet
from focal_utils.weights.published import load_pretrained


class Variant(NamedTuple):
    """One row of the paper's model zoo: what sets a FocalNet apart from the others."""

    embed_dim: int
    depths: tuple
    focal_level: int
    focal_window: int = 3
    patch_size: int = 4
    use_conv_embed: bool = False
    use_postln: bool = False
    layer_scale: float | None = None
    use_postln_in_modulation: bool = False
    drop_path_rate: float = 0.5


TINY, DEEP = (2, 2, 6, 2), (2, 2, 18, 2)

BIG = {"use_conv_embed": True, "use_postln": True, "layer_scale": 1e-4}

ISO = {"patch_size": 16, "drop_path_rate": 0.2}

# Yang et al. 2022, tables 1, 2, 6 and the official configuration. Sources disagree on `normalize_modulator` for
# large_fl4 and xlarge_fl4 (the official large_fl4 file sets it, timm does not), so it is an argument and no column.
VARIANTS = {
    "tiny_srf": Variant(96, TINY, 2, drop_path_rate=0.2),
    "tiny_lrf": Variant(96, TINY, 3, drop_path_rate=0.2),
    "small_srf": Variant(96, DEEP, 2, drop_path_rate=0.3),
    "small_lrf": Variant(96, DEEP, 3, drop_path_rate=0.3),
    "base_srf": Variant(128, DEEP, 2),
    "base_lrf": Variant(128, DEEP, 3),
    "tiny_iso_16": Variant(192, (12,), 3, **ISO),
    "small_iso_16": Variant(384, (12,), 3, **ISO),
    "base_iso_16": Variant(768, (12,), 3, use_postln=True, layer_scale=1e-4, use_postln_in_modulation=True, **ISO),
    "large_fl3": Variant(192, DEEP, 3, focal_window=5, **BIG),
    "large_fl4": Variant(192, DEEP, 4, **BIG),
    "xlarge_fl3": Variant(256, DEEP, 3, focal_window=5, **BIG),
    "xlarge_fl4": Variant(256, DEEP, 4, **BIG),
    "huge_fl3": Variant(352, DEEP, 3, use_postln_in_modulation=True, **BIG),
    "huge_fl4": Variant(352, DEEP, 4, use_postln_in_modulation=True, **BIG),
}


def focalnet(variant, input_shape=(224, 224, 3), classes=1000, include_top=True, weights=None, **overrides):
    """The FocalNet of a row of `VARIANTS`, by name: `focalnet("tiny_srf")`.

    Args:
        variant: a key of `VARIANTS`.
        input_shape, classes, include_top: as for `FocalNet`.
        weights: None for random ones; "imagenet" for the published ones, which are downloaded once, see
            `load_pretrained`; or the path of a `.weights.h5`, `.safetensors` or `.pth` file.
        overrides: any further argument of `FocalNet`, which then takes precedence over the table.

    Raises:
        ValueError: an unknown variant, with the known ones named; whatever `FocalNet` and `load_pretrained` raise.
    """
    check_choice("variant", variant, tuple(VARIANTS))
    row = VARIANTS[variant]._asdict()
    row["focal_levels"], row["focal_windows"] = row.pop("focal_level"), row.pop("focal_window")
    arguments = {"name": f"focalnet_{variant}"} | row | overrides
    model = FocalNet(input_shape, classes, include_top, **arguments)
    if weights is not None:
        load_pretrained(model, weights, variant)
    return model
