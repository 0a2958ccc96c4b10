"""What a FocalNet's weights are called elsewhere, and how they lie there: official release, timm, transformers.

One table from our names to theirs; the other direction is its inverse, so a round trip cannot lose anything.
"""

import re
from typing import NamedTuple

import keras
import numpy as np

# Ours, then theirs. {s} is the stage, {t} the one before, {b} the block, {l} the level from 0.
STAGE = {"official": "layers.{s}", "timm": "layers.{s}", "transformers": "focalnet.encoder.stages.{s}"}

BEFORE = {"official": "layers.{t}", "timm": "layers.{s}", "transformers": "focalnet.encoder.stages.{t}"}

BLOCK = {"official": "blocks.{b}", "timm": "blocks.{b}", "transformers": "layers.{b}"}

TOP = {
    "stem/proj": ("patch_embed.proj", "stem.proj", "focalnet.embeddings.patch_embeddings.projection"),
    "stem/norm": ("patch_embed.norm", "stem.norm", "focalnet.embeddings.norm"),
    "norm": ("norm", "norm", "focalnet.layernorm"),
    "head": ("head", "head.fc", "classifier"),
}

DOWNSAMPLE = {
    "proj": ("downsample.proj", "downsample.proj", "downsample.projection"),
    "norm": ("downsample.norm", "downsample.norm", "downsample.norm"),
}

IN_BLOCK = {
    "norm1": ("norm1", "norm1", "norm1"),
    "norm2": ("norm2", "norm2", "norm2"),
    "modulation/f": ("modulation.f", "modulation.f", "modulation.projection_in"),
    "modulation/h": ("modulation.h", "modulation.h", "modulation.projection_context"),
    "modulation/proj": ("modulation.proj", "modulation.proj", "modulation.projection_out"),
    "modulation/norm": ("modulation.ln", "modulation.norm", "modulation.layernorm"),
    "modulation/contextualize/level_{l}": ("modulation.focal_layers.{l}.0",) * 3,
    "mlp/fc1": ("mlp.fc1",) * 3,
    "mlp/fc2": ("mlp.fc2",) * 3,
    "scale1/gamma": ("gamma_1", "ls1.gamma", "gamma_1"),
    "scale2/gamma": ("gamma_2", "ls2.gamma", "gamma_2"),
}

FAMILIES = ("official", "timm", "transformers")

KINDS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}

# Dense layers that they store as 1×1 convolutions, (out, in, 1, 1).
AS_CONVOLUTION = {
    "official": ("modulation/h",),
    "timm": ("modulation/f", "modulation/h", "modulation/proj", "mlp/fc1", "mlp/fc2"),
    "transformers": ("modulation/h",),
}


class Row(NamedTuple):
    """One weight of a model, and what a family calls it."""

    theirs: str  # "layers.0.blocks.1.modulation.f.weight"
    ours: str  # "stage0_block1/modulation/f/kernel"
    variable: keras.Variable


def table_of(model, family):
    """All weights of a model with a family's names for them: a list of `Row`, in the model's order.

    Raises:
        ValueError: a model with weights that the family has no name for, such as one of self-attention.
    """
    post_norm = bool(getattr(model, "config", {}).get("use_postln"))
    rows = []
    for variable in model.weights:
        ours = variable.path.removeprefix(f"{model.name}/")
        try:
            theirs = peer_name(ours, family, post_norm)
        except KeyError:
            raise ValueError(
                f"{model.name} has a weight {ours!r}, for which there is no name in {family} checkpoints: they hold "
                "FocalNets of the paper. If a FocalNet is a part of your model, give that part."
            ) from None
        rows.append(Row(theirs, ours, variable))
    return rows


def peer_name(name, family, post_norm=False):
    """What one of our weights is called in a family, "official", "timm" or "transformers".

        >>> fu.peer_name("stem/proj/kernel", "timm")
        'stem.proj.weight'

    `post_norm`: whether the model's blocks have their norms after the branches, which timm's names tell.

    Raises:
        KeyError: a weight that a FocalNet of the paper does not have.
    """
    column = FAMILIES.index(family)
    part, _, kind = name.rpartition("/")
    suffix = f".{KINDS[kind]}"
    if part in TOP:
        return TOP[part][column] + suffix
    if match := re.fullmatch(r"stage(\d+)_downsample/(proj|norm)", part):
        stage = BEFORE[family].format(s=match[1], t=int(match[1]) - 1)
        return f"{stage}.{DOWNSAMPLE[match[2]][column]}{suffix}"
    match = re.fullmatch(r"stage(\d+)_block(\d+)/(.+)", part)
    if not match:
        raise KeyError(name)
    stage, block, inside = match.groups()
    where = f"{STAGE[family].format(s=stage)}.{BLOCK[family].format(b=block)}."
    if inside in ("scale1", "scale2"):
        return where + IN_BLOCK[f"{inside}/gamma"][column]
    if match := re.fullmatch(r"(.+/level_)(\d+)", inside):
        return where + IN_BLOCK[f"{match[1]}{{l}}"][column].format(l=int(match[2]) - 1) + suffix
    late = "_post" if post_norm and family == "timm" and inside in ("norm1", "norm2") else ""
    return where + IN_BLOCK[inside][column] + late + suffix


def axes_here(shape, ours):
    """Which axis of a tensor of theirs each axis here is, for one of ours of shape `ours`.

    PyTorch's Dense (out, in), which may lie as a 1×1 convolution, is (in, out) here; a convolution (out, in, k, k) is
    (k, k, in, out), a depthwise one (C, 1, k, k) is (k, k, C, 1).
    """
    if len(shape) == 4 and len(ours) == 2 and tuple(shape[2:]) == (1, 1):
        return 1, 0
    if len(shape) == 4:
        return (2, 3, 0, 1) if shape[1] == 1 and ours[-1] == 1 else (2, 3, 1, 0)
    return tuple(reversed(range(len(shape))))


def keras_shape(shape, ours):
    """The shape that a tensor of theirs has here."""
    return tuple(shape[axis] for axis in axes_here(shape, ours))


def to_keras(value, ours):
    """A tensor of theirs as it lies here."""
    axes = axes_here(value.shape, ours)
    return value.reshape(value.shape[: len(axes)]).transpose(axes)


def to_peer(value, name, family):
    """One of our weights as it lies in a family, contiguous: the inverse of `to_keras`."""
    if "/level_" in name:
        return np.ascontiguousarray(value.transpose(2, 3, 0, 1))
    if value.ndim == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    value = value.T
    if value.ndim == 2 and any(name.endswith(f"{part}/kernel") for part in AS_CONVOLUTION[family]):
        value = value[:, :, None, None]
    return np.ascontiguousarray(value)
