"""Published FocalNet weights into our models and back: official release, timm, transformers; all or nothing."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import ops

from focal_utils.errors import DamagedData
from focal_utils.weights.names import FAMILIES, keras_shape, names_in, to_keras, to_peer, weights_by_name

# Not weights of the network: what a training leaves beside them.
WRAPPERS = ("model", "state_dict", "model_state_dict")


class LoadReport(NamedTuple):
    """What `load_checkpoint` did."""

    family: str  # "official", "timm" or "transformers"
    tensors: int  # that were loaded
    parameters: int  # numbers in them
    skipped: list  # names in the checkpoint that were left out: its classifier
    untouched: list  # weights of the model that kept their values: its classifier

    def __str__(self):
        text = f"{self.tensors} tensors, {self.parameters:,} parameters, named as in {self.family} checkpoints"
        for verb, names in (("left out", self.skipped), ("not changed", self.untouched)):
            text += f"; {verb}: {', '.join(names)}" if names else ""
        return text


def load_checkpoint(model, source, head=True):
    """Load published FocalNet weights into `model`: all of them, or nothing.

    The naming family is found out from the names. Every tensor is accounted for, by name and shape, and read, before
    the first weight of the model is changed.

    Args:
        model: a `FocalNet` of the checkpoint's variant; with `include_top=False` the checkpoint's classifier is left
            out.
        source: path of a `.safetensors` file (needs no PyTorch), of an official `.pth` or `.pt` file (needs PyTorch,
            which reads it with `weights_only=True`, so that no code in it can run), or a dict, name → array.
        head: False leaves the model's classifier as it is, for another number of classes.

    Returns:
        A `LoadReport`.

    Raises:
        FileNotFoundError: no such file.
        ImportError: a `.pth` file, and no PyTorch.
        DamagedData: a file that is cut short, damaged, or holds something else than tensors.
        ValueError: tensors that are missing, that the model has no place for, or of another shape; the message names
            the first ones and the likely cause. In each case the model is as it was.
    """
    weights = weights_by_name(model)
    tensors = open_checkpoint(source)
    family, names = recognise(model, tensors.shapes, source)
    shapes, skipped = dict(tensors.shapes), []
    if not head or not any(ours.startswith("head/") for ours in names.values()):
        names = {theirs: ours for theirs, ours in names.items() if not ours.startswith("head/")}
        skipped = [name for name in shapes if is_head(name)]
        shapes = {name: shape for name, shape in shapes.items() if name not in skipped}
    check(model, source, family, names, shapes, weights)
    values = {ours: to_keras(tensors.read(theirs), weights[ours].shape) for theirs, ours in names.items()}
    untouched = sorted(set(weights) - set(values))
    report = LoadReport(family, len(values), sum(v.size for v in values.values()), skipped, untouched)
    while values:  # each goes once it is in its place: on JAX that is a copy, and all would be there twice
        name, value = values.popitem()
        weights[name].assign(value)
    return report


def is_head(name):
    """Whether a checkpoint's tensor belongs to its classifier, in any family."""
    return name.removesuffix(".weight").removesuffix(".bias") in ("head", "head.fc", "classifier")


def peer_weights(model, family):
    """A model's weights as a family has them: a dict, their name → array, for `safetensors.numpy.save_file`.

    The inverse of `load_checkpoint`, bit for bit. `family` is "official", "timm" or "transformers".

    Raises:
        ValueError: an unknown family, or a model that the family has no names for.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is not known: choose one of {', '.join(map(repr, FAMILIES))}.")
    weights = weights_by_name(model)
    return {
        theirs: to_peer(ops.convert_to_numpy(weights[ours]), ours, family)
        for theirs, ours in names_in(family, model).items()
    }


def recognise(model, shapes, source):
    """The family whose names for this model's weights fit those of a checkpoint best, and these names."""
    found = {family: names_in(family, model) for family in FAMILIES}
    family = max(found, key=lambda family: len(found[family].keys() & shapes.keys()))
    if not found[family].keys() & shapes.keys():
        some = ", ".join(list(shapes)[:3]) or "nothing"
        raise ValueError(
            f"{described(source)} is no FocalNet checkpoint: it holds {some} …, which neither the official release nor "
            "timm nor transformers call a part of a FocalNet. Nothing was loaded."
        )
    return family, found[family]


def check(model, source, family, names, shapes, weights):
    """Raise ValueError unless the tensors of a checkpoint are those of the model, each of the right shape."""
    missing = [name for name in names if name not in shapes]
    extra = [name for name in shapes if name not in names]
    wrong = [
        (theirs, keras_shape(shapes[theirs], weights[ours].shape), tuple(weights[ours].shape), ours)
        for theirs, ours in names.items()
        if theirs in shapes and keras_shape(shapes[theirs], weights[ours].shape) != tuple(weights[ours].shape)
    ]
    if not (missing or extra or wrong):
        return
    lines = [f"{described(source)} ({family} names) does not fit {model.name}. Nothing was loaded."]
    for theirs, there, here, ours in wrong[:3]:
        lines.append(f"  {theirs} has shape {there} in the checkpoint, {here} in the model ({ours})")
    lines += [f"  {name} is missing in the checkpoint" for name in missing[:3]]
    lines += [f"  {name} has no place in the model" for name in extra[:3]]
    shown = min(3, len(wrong)) + min(3, len(missing)) + min(3, len(extra))
    if (more := len(wrong) + len(missing) + len(extra) - shown) > 0:
        lines.append(f"  … and {more} more")
    lines.append(f"Likely cause: {cause([w[0] for w in wrong], missing, extra)}.")
    raise ValueError("\n".join(lines))


def cause(wrong, missing, extra):
    """What most likely makes a checkpoint and a model differ, in words."""

    def any_of(names, *parts):
        return any(part in name for name in names for part in parts)

    if all(is_head(name) for name in wrong + missing + extra):
        what = "another number of classes" if wrong else "a checkpoint without a classifier"
        return f"{what}; load_checkpoint(…, head=False) keeps the model's own"
    if any_of(missing + extra, "mlp."):
        return "another depth, so another variant"
    if any_of(missing + extra, "gamma_", "ls1.", "ls2."):
        return "LayerScale on one side only: layer_scale=1e-4 belongs to the large, xlarge and huge variants"
    if any_of(missing + extra, "_post."):
        return "norms after the branches on one side only: use_postln=True belongs to the large variants"
    if any_of(missing + extra, "modulation.ln", "modulation.norm", "modulation.layernorm"):
        return "a norm inside the modulation on one side only: use_postln_in_modulation=True belongs to the huge ones"
    if any_of(missing + extra, "focal_layers"):
        return "another number of focal levels: srf has 2, lrf and fl3 have 3, fl4 has 4"
    if all("focal_layers" in name for name in wrong):
        return "another first kernel: focal_window is 5 in large_fl3 and xlarge_fl3, 3 elsewhere"
    if all(any_of([name], "proj", "patch_embed", "stem", "downsample", "projection") for name in wrong):
        return "patch embeddings that overlap on one side only: use_conv_embed belongs to the large variants"
    return "another width, so another variant"


def described(source):
    return "The checkpoint" if isinstance(source, dict) else str(source)


class Tensors(NamedTuple):
    """A checkpoint's tensors: their shapes, known without reading them, and how to read one."""

    shapes: dict  # name → tuple
    read: Callable  # name → NumPy array


def open_checkpoint(source):
    """The `Tensors` of a dict of arrays or of a file, whose bytes are not read before they are asked for."""
    if isinstance(source, dict):
        tensors = held(source)
    else:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"There is no checkpoint {path}.")
        if path.suffix == ".safetensors":
            tensors = open_safetensors(path)
        elif path.suffix in (".pth", ".pt", ".bin"):
            tensors = held(torch_tensors(path))
        else:
            raise ValueError(f"{path}: a .safetensors or .pth file is needed. For .weights.h5, see load_weights.")
    if "embeddings.norm.weight" not in tensors.shapes:
        return tensors
    # transformers' FocalNetModel, which is saved without classifier and without the first part of its names
    shapes = {f"focalnet.{name}": shape for name, shape in tensors.shapes.items()}
    return Tensors(shapes, lambda name: tensors.read(name.removeprefix("focalnet.")))


def held(arrays):
    """`Tensors` of a dict, name → array or tensor of PyTorch's."""
    return Tensors({name: tuple(value.shape) for name, value in arrays.items()}, lambda name: as_array(arrays[name]))


def open_safetensors(path):
    """`Tensors` of a `.safetensors` file."""
    from safetensors import SafetensorError, safe_open

    def read(name):
        try:
            return file.get_tensor(name)
        except (SafetensorError, OSError, TypeError) as error:
            raise DamagedData(f"{path}: {name} cannot be read ({error}).") from error

    try:
        file = safe_open(path, framework="numpy")
        return Tensors({name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}, read)
    except (SafetensorError, OSError) as error:
        raise DamagedData(f"{path} is cut short or damaged ({error}). Fetch it again.") from error


def as_array(value):
    """A NumPy array from an array or a tensor of PyTorch's; half precision becomes float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.dtype.itemsize < 4 else value).numpy()
    return np.asarray(value)


def torch_tensors(path):
    """The tensors of a `.pth` file, by name, read by PyTorch without running what is in it."""
    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"{path} is PyTorch's own format, and PyTorch is not installed. Install it (pip install torch), or use the "
            "same weights as .safetensors, which need no PyTorch: timm and transformers publish them."
        )
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).splitlines()[0]
        raise DamagedData(f"{path} holds something else than tensors, and nothing of it was run ({first}).") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DamagedData(f"{path} is cut short or damaged ({first}). Fetch it again.") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(hasattr(value, "shape") for value in content.values()):
        raise DamagedData(f"{path} holds no tensors by name.")
    return content
