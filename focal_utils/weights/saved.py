"""Weights from a `.weights.h5` file into a model, all or nothing."""

import tempfile
from pathlib import Path

import h5py
import keras

from focal_utils.errors import damaged


def load_weights(model, path):
    """Load a `.weights.h5` file, as `model.save_weights` writes it, into `model`: all of it, or nothing.

    Keras' own `load_weights` stops where something does not fit and leaves the weights before that overwritten. Here
    the shapes are compared first, and what the model held is put back should reading fail later. The optimizer's state
    in the file, if any, is not loaded.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or the weights of another architecture: the message names the file and the
            first layer that differs.
        DamagedData: a file that is cut short or damaged. In each case the model is as it was.
    """
    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            f"{path} is no .weights.h5 file. Whole models (.keras) are read by keras.saving.load_model, the shipped "
            "ones by load_trained."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    weights = keras.Model(model.inputs, model.outputs)  # the same layers, without an optimizer
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before.weights.h5"
        weights.save_weights(before)
        difference = _first_difference(model, before, path)
        if difference:
            raise ValueError(
                f"{path} holds the weights of another architecture than {model.name}'s: {difference}. Nothing was "
                "loaded. Build the model with the arguments that the saved one had."
            )
        try:
            weights.load_weights(path)
        except Exception as error:
            weights.load_weights(before)
            raise damaged(path, error) from error


def _layout(path):
    """The weights in a `.weights.h5` file, path → shape, without an optimizer's; and the layers' names, path → name."""
    shapes, names = {}, {}

    def visit(key, item):
        if isinstance(item, h5py.Dataset) and not key.startswith("optimizer/"):
            shapes[key] = item.shape
        elif key.endswith("/vars") and "name" in item.attrs:
            names[key.removesuffix("/vars")] = item.attrs["name"]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as error:
        raise damaged(path, error) from error
    return shapes, names


def _first_difference(model, before, path):
    """Says where the file at `path` first differs from `before`, which holds the model's weights; "" if nowhere."""
    (wanted, names), (got, other_names) = _layout(before), _layout(path)
    names = other_names | names
    order = {layer.name: position for position, layer in enumerate(model.layers)}

    def layer_of(key):
        """The name of a layer in the model, and what of it: "layers/dense/vars/0" is ("head", "vars/0")."""
        parts = key.split("/")
        top = "/".join(parts[:2])
        return names.get(top, top), "/".join(parts[2:])

    def position(key):
        return order.get(layer_of(key)[0], len(order)), key

    for key in sorted(wanted.keys() | got.keys(), key=position):
        if wanted.get(key) != got.get(key):
            layer, weight = layer_of(key)
            here, there = (f"shape {shapes[key]}" if key in shapes else "none" for shapes in (wanted, got))
            return f"weight {weight} of layer {layer} has {here} in the model and {there} in the file"
    return ""
