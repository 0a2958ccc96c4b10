"""Weights from a `.weights.h5` file into a model, all or nothing."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from focal_utils.errors import DamagedData
from focal_utils.files import file_to_read, reading


class Stored(NamedTuple):
    """One array in a `.weights.h5` file."""

    shape: tuple
    dtype: str  # "float32", "bfloat16", …

    def __str__(self):
        return f"shape {self.shape}" if self.dtype == "float32" else f"shape {self.shape} of {self.dtype}"


def load_weights(model, path):
    """Load a `.weights.h5` file, as `model.save_weights` writes it, into `model`: all of it, or nothing.

    Keras' own `load_weights` stops where something does not fit and leaves the weights before that overwritten. Here
    all arrays are compared and looked through first, and what the model held is put back should loading fail later.
    The optimizer's state in the file, if any, is not loaded. The format has no checksums: a damage that leaves
    plausible numbers cannot be seen.

    Args:
        model: any `keras.Model` whose weights are there: one of layers of its own (subclassed) must have been called.
        path: of the file.

    Raises:
        TypeError: no model of Keras', or no path.
        FileNotFoundError, IsADirectoryError, PermissionError: no such file, a folder, a file that may not be read.
        ValueError: another kind of file, a model without weights yet, or the weights of another architecture: the
            message names the file and the first layer that differs.
        DamagedData: a file that is cut short or damaged, or holds NaN. In each case the model is as it was.

    Example:
        >>> model.save_weights("mine.weights.h5")
        >>> fu.load_weights(same_model, "mine.weights.h5")
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model={model!r} is a {type(model).__name__}: give the keras.Model that takes the weights.")
    if isinstance(path, (str, os.PathLike)) and not str(path).endswith(".weights.h5"):
        raise ValueError(
            f"{path} is no .weights.h5 file. Whole models (.keras) are read by keras.saving.load_model, the shipped "
            "ones by load_trained."
        )
    path = file_to_read(path, "weights file")
    if not model.built:
        raise ValueError(f"{model.name} has no weights yet to load {path} into: call it once, on any images.")
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before.weights.h5"
        after = Path(folder) / "after.weights.h5"
        model.save_weights(before)
        difference = first_difference(model, before, path)
        if difference:
            raise ValueError(
                f"{path} holds the weights of another architecture than {model.name}'s: {difference}. Nothing was "
                "loaded. Build the model with the arguments that the saved one had."
            )
        exchange_optimizer(path, before, after)
        try:
            model.load_weights(after)
        except BaseException:
            model.load_weights(before)
            raise


def arrays_in(path):
    """The weights in a `.weights.h5` file: path in it → `Stored`, without an optimizer's; and path → layer's name.

    Raises:
        DamagedData: the file is cut short or damaged.
    """
    arrays = {}
    names = {}

    def visit(key, item):
        if isinstance(item, h5py.Dataset) and not key.startswith("optimizer/"):
            # Keras keeps bfloat16, which HDF5 does not know, as other bytes, and says so in an attribute.
            arrays[key] = Stored(item.shape, str(item.attrs.get("dtype", item.dtype)))
        elif key.endswith("/vars") and "name" in item.attrs:
            names[key.removesuffix("/vars")] = str(item.attrs["name"])

    with reading(path), h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays, names


def first_difference(model, before, path):
    """Says where the file at `path` first differs from `before`, which holds the model's weights; "" if nowhere."""
    wanted, names = arrays_in(before)
    got, other_names = arrays_in(path)
    names = other_names | names
    order = {layer.name: position for position, layer in enumerate(model.layers)}

    def layer_of(key):
        """The name of a layer in the model, and what of it: "layers/dense/vars/0" is ("head", "vars/0")."""
        parts = key.split("/")
        top = "/".join(parts[:2])
        return names.get(top, top), "/".join(parts[2:])

    def position(key):
        return order.get(layer_of(key)[0], len(order)), key

    def alike(one, other):
        return one and other and one.shape == other.shape and is_real(one.dtype) == is_real(other.dtype)

    for key in sorted(wanted.keys() | got.keys(), key=position):
        here = wanted.get(key)
        there = got.get(key)
        if not alike(here, there):
            layer, weight = layer_of(key)
            return (
                f"weight {weight} of layer {layer} has {here or 'none'} in the model and {there or 'none'} in the file"
            )
    return ""


def is_real(dtype):
    """Whether a type's numbers are real ones, of any precision; weights are, seeds and counters are not."""
    return dtype in ("float64", "float32", "float16", "bfloat16")


def exchange_optimizer(path, before, after):
    """Write to `after` what the file at `path` holds, with the optimizer's state of `before` in the place of its own.

    Raises:
        DamagedData: an array cannot be read, or holds NaN or infinite numbers.
    """
    shutil.copyfile(path, after)
    keys, _ = arrays_in(path)
    with reading(path), h5py.File(before, "r") as own, h5py.File(after, "r+") as file:
        for key in keys:
            if file[key].dtype.kind == "f" and not np.isfinite(file[key][()]).all():
                raise DamagedData(f"{path} is damaged: {key} holds NaN or infinite numbers. Nothing was loaded.")
        if "optimizer" in file:
            del file["optimizer"]
        if "optimizer" in own:
            own.copy("optimizer", file)
