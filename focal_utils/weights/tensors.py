"""What is in a checkpoint: tensors by name, from a dict or a file, read only when they are asked for, and run never."""

import argparse
import importlib.util
import zipfile
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from focal_utils.errors import DamagedData, damaged
from focal_utils.files import file_to_read, reading

PYTORCH = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")

DEEPEST = 4  # dictionaries inside dictionaries, in a checkpoint


class Tensor(NamedTuple):
    """One entry of a checkpoint: its shape, known without reading it, and how to read it."""

    shape: tuple | None  # None: a number, a text, a list, anything but an array
    read: Callable  # no arguments → NumPy array


def open_checkpoint(source):
    """The dictionaries of tensors that a checkpoint holds: where in it → {name: `Tensor`}.

    "" is the checkpoint itself; a training's has several, such as "model", "model_ema", "optimizer/state".

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: no such file, a folder, a file that may not be read.
        TypeError: neither a dict nor a path. ValueError: a file of another kind.
        ImportError: a file of PyTorch's, and no PyTorch.
        DamagedData: a file that is cut short or damaged, or holds something else than tensors.
    """
    if isinstance(source, dict):
        return dictionaries(source)
    path = file_to_read(source, "checkpoint")
    if path.suffix == ".safetensors":
        return {"": safetensors_of(path)}
    if path.name.endswith(PYTORCH):
        return dictionaries(content_of(path))
    raise ValueError(
        f"{path}: a .safetensors file is needed, or one of PyTorch's ({', '.join(PYTORCH)}). For .weights.h5, see "
        "load_weights."
    )


def dictionaries(content, where="", depth=0):
    """All dictionaries in a dict of dicts, flat: where → {name: `Tensor`}."""
    found = {where: {name: entry(value) for name, value in content.items() if isinstance(name, str)}}
    for name, value in content.items():
        if isinstance(value, dict) and depth < DEEPEST:
            found.update(dictionaries(value, f"{where}/{name}".lstrip("/"), depth + 1))
    return found


def entry(value):
    """The `Tensor` of an array, a tensor of PyTorch's, or anything else."""
    shape = getattr(value, "shape", None)
    return Tensor(None if shape is None else tuple(shape), partial(as_array, value))


def as_array(value):
    """A NumPy array from an array or a tensor of PyTorch's; half precision becomes float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        half = value.is_floating_point() and value.dtype.itemsize == 2
        value = (value.float() if half else value).numpy()
    value = np.asarray(value)
    return value.astype("float32") if str(value.dtype) in ("float16", "bfloat16") else value


def safetensors_of(path):
    """The tensors of a `.safetensors` file. The format has no checksums; its header is checked against its length."""
    from safetensors import safe_open

    def read(name):
        with reading(path):
            return as_array(file.get_tensor(name))

    with reading(path):
        file = safe_open(path, framework="numpy")
        names = list(file.keys())
        return {name: Tensor(tuple(file.get_slice(name).get_shape()), partial(read, name)) for name in names}


def content_of(path):
    """What PyTorch has saved in a file, read by PyTorch without running what is in it (`weights_only=True`)."""
    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"{path} is PyTorch's own format, and PyTorch is not installed. Install it (pip install torch), or use the "
            "same weights as .safetensors, which need no PyTorch: timm and transformers publish them."
        )
    refuse_wrong_checksums(path)
    import pickle

    import torch

    # What trainings put beside the weights: a plain record of options, and NumPy's numbers.
    harmless = [argparse.Namespace, *numpy_numbers()]
    with reading(path):
        try:
            with torch.serialization.safe_globals(harmless):
                content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            first = str(error).splitlines()[0]
            raise DamagedData(
                f"{path} holds something else than tensors, and nothing of it was run ({first})."
            ) from error
    if not isinstance(content, dict):
        raise DamagedData(f"{path} holds no tensors by name.")
    return content


def numpy_numbers():
    """What a pickled NumPy number, such as the best accuracy of a training, is made of."""
    types = [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")]
    return [np._core.multiarray.scalar, np.dtype, *types]


def refuse_wrong_checksums(path):
    """Raise `DamagedData` unless each member of a zip file has its checksum; PyTorch itself does not look at them.

    PyTorch stores members as they are. A compressed one is not PyTorch's, and may unpack to any size: it is refused.
    Files of PyTorch before 1.6 are no zip files and have no checksums.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return
    with reading(path), zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise DamagedData(f"{path} has compressed members, so PyTorch did not write it. Nothing was read.")
        wrong = archive.testzip()
        if wrong is not None:
            raise damaged(path, f"the checksum of {wrong} is wrong")
