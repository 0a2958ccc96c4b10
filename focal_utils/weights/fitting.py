"""A checkpoint's tensors made to fit a model that differs in what can be told: kernels, bands of the image, norms."""

import re
from functools import partial

import numpy as np

from focal_utils.errors import check_choice

KERNELS = (None, "pad")

STEMS = (None, "mean", "repeat")


def fitted(tensors, rows, kernels, stem):
    """Tensors of a checkpoint as a model takes them, and what was done to them.

    Args:
        tensors: name → `Tensor`, by a family's names. rows: the model's, a list of `Row`.
        kernels, stem: see `load_checkpoint`.

    Returns:
        A dict like `tensors`; the names of the kernels that get zeros around them; what the stem's kernel goes through,
        in words, or ""; the names of norms that the model has not.
    """
    check_choice("kernels", kernels, KERNELS)
    check_choice("stem", stem, STEMS)
    tensors, norms = with_one_norm(tensors)
    tensors = dict(tensors)
    padded = []
    done = ""
    for row in rows:
        tensor = tensors.get(row.theirs)
        here = tuple(row.variable.shape)
        if tensor is None or tensor.shape is None or len(tensor.shape) != 4:
            continue
        *outer, height, width = tensor.shape
        if kernels == "pad" and "/level_" in row.ours and height == width < here[0] and (here[0] - width) % 2 == 0:
            change = partial(pad_kernel, size=here[0])
            tensors[row.theirs] = tensor._replace(shape=(*outer, *here[:2]), read=partial(changed, tensor, change))
            padded.append(row.theirs)
        if stem and row.ours == "stem/proj/kernel" and tensor.shape[1] != here[2]:
            change = partial(mix_bands, bands=here[2], how=stem)
            shape = (tensor.shape[0], here[2], height, width)
            tensors[row.theirs] = tensor._replace(shape=shape, read=partial(changed, tensor, change))
            done = f"{tensor.shape[1]} bands to {here[2]} by {stem!r}"
    return tensors, padded, done, norms


def changed(tensor, change):
    """A tensor's array after a change; what holds no real numbers is left as it is, to be refused as it is."""
    value = tensor.read()
    return change(value) if value.dtype.kind == "f" else value


def pad_kernel(value, size):
    """A depthwise kernel (C, 1, k, k) with zeros around it, (C, 1, size, size): the convolution is the same."""
    around = (size - value.shape[-1]) // 2
    return np.pad(value, ((0, 0), (0, 0), (around, around), (around, around)))


def mix_bands(value, bands, how):
    """A stem's kernel (out, in, k, k) for images of another number of bands, (out, bands, k, k).

    "mean": every band gets the mean over the kernel's own; "repeat": they go round. Either is scaled by in/bands, so
    that with "mean" an image of equal bands gives what it gave.
    """
    before = value.shape[1]
    if how == "mean":
        value = np.repeat(value.mean(axis=1, keepdims=True), bands, axis=1)
    else:
        value = value[:, np.arange(bands) % before]
    return value * value.dtype.type(before / bands)


def with_one_norm(tensors):
    """Of dense-prediction checkpoints, which have a norm for each stage's map, the last as `norm`; and the others.

    So the official release keeps them: "norm0.weight", …, "norm3.weight".
    """
    numbers = {name: re.fullmatch(r"norm(\d+)\.(weight|bias)", name) for name in tensors}
    numbers = {name: int(match[1]) for name, match in numbers.items() if match}
    if not numbers or "norm.weight" in tensors:
        return tensors, []
    last = max(numbers.values())
    kept = {}
    for name, tensor in tensors.items():
        if name not in numbers:
            kept[name] = tensor
        elif numbers[name] == last:
            kept[name.replace(f"norm{last}", "norm")] = tensor
    return kept, [name for name, number in numbers.items() if number < last]
