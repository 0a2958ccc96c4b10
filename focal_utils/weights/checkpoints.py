"""Published FocalNet weights into our models and back: official release, timm, transformers; all or nothing."""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from keras import Model, ops

from focal_utils.errors import check_choice
from focal_utils.weights.differences import refuse_unless_same
from focal_utils.weights.fitting import fitted
from focal_utils.weights.names import FAMILIES, table_of, to_keras, to_peer
from focal_utils.weights.tensors import open_checkpoint

# Dictionaries and prefixes of a training's running averages of the weights; they are taken before the weights.
AVERAGES = re.compile(r"(^|[._/])(ema|averaged|swa)([._/]|$)")

HEADS = ("head", "head.fc", "classifier")


class LoadReport(NamedTuple):
    """What `load_checkpoint` did."""

    family: str  # "official", "timm" or "transformers"
    tensors: int  # that were loaded
    parameters: int  # numbers in them
    skipped: list  # names in the checkpoint that were left out: its classifier, and what is not of the FocalNet
    untouched: list  # weights of the model that kept their values: its classifier
    taken: str = ""  # which of the checkpoint's dictionaries: "model_ema"
    stripped: str = ""  # what stood before each name: "module."
    padded: tuple = ()  # names of the kernels that got zeros around them
    stem: str = ""  # what the stem's kernel went through: "3 bands to 1 by 'mean'"

    def __str__(self):
        text = f"{self.tensors} tensors, {self.parameters:,} parameters, named as in {self.family} checkpoints"
        if self.taken:
            text += f", from the checkpoint's {self.taken!r}"
        if self.stripped:
            text += f", each behind {self.stripped!r}"
        if self.stem:
            text += f"; stem: {self.stem}"
        if self.padded:
            text += f"; zeros around {len(self.padded)} kernels"
        for verb, names in (("left out", self.skipped), ("not changed", self.untouched)):
            text += f"; {verb}: {', '.join(names)}" if names else ""
        return text


def load_checkpoint(model, source, head=True, kernels=None, stem=None):
    """Load published FocalNet weights into `model`: all of them, or nothing.

    The naming family is found out from the names; so is what stands before them (`module.`, `_orig_mod.`, `backbone.`
    and the like), and in which of a training's dictionaries they lie. Where it kept a running average of the weights
    (`model_ema`, `state_dict_ema`), that is taken. Every tensor is accounted for, by name and shape, then read and
    looked through, before the first weight of the model is changed.

    Args:
        model: a `FocalNet` of the checkpoint's variant; with `include_top=False` the checkpoint's classifier is left
            out.
        source: path of a `.safetensors` file (needs no PyTorch); or of PyTorch's own, `.pth`, `.pt`, `.bin`, `.ckpt`,
            `.pth.tar` (needs PyTorch, which reads it with `weights_only=True`, so that no code in it can run); or a
            dict, name → array. Of `.safetensors` and of files of PyTorch before 1.6 no checksum is known.
        head: False leaves the model's classifier as it is, for another number of classes.
        kernels: "pad" puts zeros around kernels that are smaller than the model's, which gives the same network: a
            classifier's weights (first kernel 3) for dense prediction (9, say). None refuses other kernels.
        stem: for images of another number of bands than the checkpoint's, grey or five-band ones: "mean" gives every
            band the mean over the kernel's own, as timm does for grey images, "repeat" goes round, as timm does for
            more bands; either is scaled by their numbers. None refuses other bands.

    Returns:
        A `LoadReport`.

    Raises:
        TypeError: no model of Keras', or neither a path nor a dict.
        FileNotFoundError, IsADirectoryError, PermissionError: no such file, a folder, a file that may not be read.
        ImportError: a file of PyTorch's, and no PyTorch.
        DamagedData: a file that is cut short, damaged, or holds something else than tensors.
        ValueError: an unknown word for `kernels` or `stem`; tensors that are missing, that the model has no place for,
            of another shape, or that are no weights (NaN, infinite, complex, whole numbers, text); the message names
            the first ones, and the cause where names and shapes tell it. In each case the model is as it was.

    Example:
        >>> model = fu.focalnet("tiny_srf", classes=3)
        >>> print(fu.load_checkpoint(model, "focalnet_tiny_srf.safetensors", head=False))
        >>> dense = fu.focalnet("tiny_srf", (None, None, 1), include_top=False, focal_windows=9)
        >>> print(fu.load_checkpoint(dense, "focalnet_tiny_srf.safetensors", kernels="pad", stem="mean"))
    """
    if not isinstance(model, Model):
        raise TypeError(f"model={model!r} is a {type(model).__name__}: give a FocalNet, such as fu.focalnet(…) builds.")
    tables = {family: table_of(model, family) for family in FAMILIES}
    found = find_weights(open_checkpoint(source), tables, described(source))
    rows = tables[found.family]
    tensors, padded, mixed, norms = fitted(found.tensors, rows, kernels, stem)
    skipped = norms + found.others
    if not head or not any(is_head(row.theirs) for row in rows):
        rows = [row for row in rows if not is_head(row.theirs)]
        skipped = [name for name in tensors if is_head(name)] + skipped
        tensors = {name: tensor for name, tensor in tensors.items() if not is_head(name)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if None in shapes.values():
        no_arrays = [name for name, shape in shapes.items() if shape is None]
        raise ValueError(f"Nothing was loaded: in {found.source} these are no arrays: {', '.join(no_arrays[:3])}.")
    refuse_unless_same(model.name, found.source, found.family, shapes, rows)
    values = [as_weight(tensors[row.theirs].read(), row, found.source) for row in rows]
    parameters = sum(value.size for value in values)
    put_in_place([row.variable for row in rows], values)
    loaded = {row.ours for row in rows}
    untouched = sorted(row.ours for row in tables[found.family] if row.ours not in loaded)
    return LoadReport(
        family=found.family,
        tensors=len(rows),
        parameters=parameters,
        skipped=skipped,
        untouched=untouched,
        taken=found.taken,
        stripped=found.stripped,
        padded=tuple(padded),
        stem=mixed,
    )


def peer_weights(model, family):
    """A model's weights as a family has them: a dict, their name → array, for `safetensors.numpy.save_file`.

    The inverse of `load_checkpoint`, bit for bit. `family` is "official", "timm" or "transformers".

    Raises:
        ValueError: an unknown family, or a model that the family has no names for.

    Example:
        >>> save_file(fu.peer_weights(model, "timm"), "mine.safetensors")
    """
    check_choice("family", family, FAMILIES)
    return {
        row.theirs: to_peer(ops.convert_to_numpy(row.variable), row.ours, family) for row in table_of(model, family)
    }


class Found(NamedTuple):
    """A FocalNet's tensors in a checkpoint."""

    source: str  # what messages call the checkpoint, or the part of it
    family: str
    tensors: dict  # their name, without what stood before it → `Tensor`
    others: list  # names beside them, of other parts of a network: a decoder, a counter
    taken: str
    stripped: str


def find_weights(dictionaries, tables, source):
    """Where in a checkpoint the weights of a model lie, under which family's names, and behind which prefix: `Found`.

    Each name counts for all ways to read it that give the name of a weight; the way with the highest count is taken.

    Raises:
        ValueError: no name in the checkpoint is that of a part of a FocalNet.
    """
    known = {(family, ""): {row.theirs for row in rows} for family, rows in tables.items()}
    # transformers' FocalNetModel is saved without the first part of its names.
    known["transformers", "focalnet."] = {name.removeprefix("focalnet.") for name in known["transformers", ""]}
    counts = Counter()
    for where, tensors in dictionaries.items():
        for name in tensors:
            counts.update((where, *way) for way in ways_to_read(name, known))
    if not counts:
        names = [name for tensors in dictionaries.values() for name in tensors]
        some = f"{', '.join(names[:3])} …" if names else "nothing"
        raise ValueError(
            f"Nothing was loaded: {source} is no FocalNet checkpoint. It holds {some}, which neither the official "
            "release nor timm nor transformers call a part of a FocalNet."
        )

    def preference(way):
        where, prefix, family, added = way
        return counts[way], bool(AVERAGES.search(f"{where}/{prefix}")), -len(prefix + added), -FAMILIES.index(family)

    where, prefix, family, added = max(counts, key=preference)
    inside = {}
    others = []
    for name, tensor in dictionaries[where].items():
        ours = added + name.removeprefix(prefix)
        if not name.startswith(prefix) or (tensor.shape is None and ours not in known[family, ""]):
            others.append(name)
        else:
            inside[ours] = tensor
    if where:
        source = f"{where!r} in {source}"
    return Found(source, family, inside, others, where, prefix)


def ways_to_read(name, known):
    """The prefixes and families, (prefix, family, what the family adds), that make a name that of a weight."""
    for prefix in beginnings(name):
        for (family, added), names in known.items():
            if name.removeprefix(prefix) in names:
                yield prefix, family, added


def beginnings(name):
    """What may stand before the name of a weight: nothing, or any of its first parts, "module.", "module.backbone."."""
    return [name[:end] for end in (0, *(match.end() for match in re.finditer(r"\.", name)))]


def is_head(name):
    """Whether a checkpoint's tensor belongs to its classifier, in any family."""
    return name.removesuffix(".weight").removesuffix(".bias") in HEADS


def described(source):
    """What messages call a checkpoint."""
    return "the checkpoint" if isinstance(source, dict) else str(source)


def as_weight(value, row, source):
    """A tensor of theirs as it lies here, of the variable's precision.

    Raises:
        ValueError: numbers that are no weights: whole, complex, boolean, text, NaN or infinite.
    """
    if value.dtype.kind != "f":
        raise ValueError(
            f"Nothing was loaded: {row.theirs} in {source} holds {value.dtype}, but weights are real numbers, of 16, "
            "32 or 64 bits."
        )
    value = to_keras(value, row.variable.shape)
    if str(value.dtype) != row.variable.dtype:
        value = ops.convert_to_numpy(ops.cast(value, row.variable.dtype))
    wrong = value.size - np.count_nonzero(np.isfinite(value))
    if wrong:
        raise ValueError(
            f"Nothing was loaded: {row.theirs} in {source} holds {wrong:,} numbers that are NaN or infinite in "
            f"{row.variable.dtype}."
        )
    return value


def put_in_place(variables, values):
    """Assign each value to its variable; should one fail, all variables get back what they held. Empties `values`."""
    before = []
    try:
        for variable in reversed(variables):
            value = values.pop()  # goes once it is in its place: on JAX that is a copy, and all would be there twice
            before.append((variable, np.array(ops.convert_to_numpy(variable))))
            variable.assign(value)
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise
