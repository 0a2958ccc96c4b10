"""Taking a model out: a file or folder that runs without focal_utils, and without Keras."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from focal_utils.errors import check_choice

FORMATS = {"": "tf_saved_model", ".tflite": "litert", ".onnx": "onnx"}  # Keras' names, by the ending of the path

ONNX_PACKAGES = ("onnx", "tf2onnx")


def export_model(model, path, quantize=None, images=None):
    """Write a model in the format that the ending of `path` names, by Keras' `model.export`: whole, or not at all.

    "signs" is a SavedModel (a folder), "signs.tflite" LiteRT, "signs.onnx" ONNX. All take what the model takes and give
    what it gives, for any number of images. (`model.save("signs.keras")` is for those who have focal_utils.) Exports
    are made on the TensorFlow backend; a model of another one is saved as `.keras` and loaded there.

    Args:
        model: a built `keras.Model` with one input.
        path: a new name in a folder that is there.
        quantize: for LiteRT only. None keeps float32; "weights" keeps weights as int8, a third of the size; "int8"
            computes in int8 too, images and logits stay float.
        images: (N, H, W, channels), some hundred training images as the model takes them, which tell "int8" how large
            the values between the layers get (post-training quantization: Jacob et al. 2018, arXiv 1712.05877).

    Returns:
        The `Path` that was written.

    Raises:
        FileExistsError: there is something of that name. FileNotFoundError: there is no such folder.
        ModuleNotFoundError: a package that ONNX needs is missing; the message names it.
        ValueError: another ending or backend, a quantization that does not fit, or a model that ONNX cannot say.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(
            f"{path} does not say which format: end it with .tflite (LiteRT), .onnx (ONNX) or no ending (SavedModel)."
        )
    if path.exists():
        raise FileExistsError(f"{path} is there already. It was not touched: delete it or choose another name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}: make it first.")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Exports are made on the TensorFlow backend, this is {keras.backend.backend()}: save the model as .keras, "
            "set KERAS_BACKEND=tensorflow, load and export it there."
        )
    options = _quantization(path, quantize, images)
    if path.suffix == ".onnx":
        missing = " ".join(package for package in ONNX_PACKAGES if not find_spec(package))
        if missing:
            raise ModuleNotFoundError(f"An export to ONNX needs more than Keras: pip install {missing}")
        options["input_signature"] = list(model.inputs)  # else Keras refuses a model that was not called yet
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        model.export(str(part), format=FORMATS[path.suffix], verbose=False, **options)
        if path.suffix == ".onnx":
            _check_onnx(part, len(model.inputs))
        os.replace(part, path)
    return path


def _quantization(path, quantize, images):
    """The options of the LiteRT converter for `export_model`'s `quantize` and `images`: a dict."""
    check_choice("quantize", quantize, (None, "weights", "int8"))
    if (quantize == "int8") != (images is not None):
        raise ValueError('images are needed for quantize="int8", some hundred of them, and for nothing else.')
    if quantize is None:
        return {}
    if path.suffix != ".tflite":
        raise ValueError(f"quantize={quantize!r} is for LiteRT (.tflite), not for {path.name}.")
    import tensorflow as tf

    options = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if quantize == "int8":
        images = np.asarray(images, "float32")
        options["representative_dataset"] = lambda: ([image[None]] for image in images)
        options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
    return options


def _check_onnx(path, inputs):
    """Raise ValueError unless the ONNX file has `inputs` inputs and only operations that ONNX knows.

    Keras calls an export a success even where its converter has left TensorFlow's own operations in the file.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise ValueError(
            f"ONNX cannot say all of this model, and nothing was written: {str(error).splitlines()[0]}. If it is Erfc, "
            'that is Keras\' "gelu" on TensorFlow: fu.gelu is the same function, built on Erf, which ONNX has.'
        ) from error
    names = [value.name for value in onnx.load(str(path), load_external_data=False).graph.input]
    if len(names) != inputs:
        raise ValueError(
            f"In ONNX the model would ask for {len(names)} inputs instead of {inputs}, {', '.join(names)}, and nothing "
            "was written. A layer holds constant tensors, as keras.layers.Normalization does: keras.layers.Rescaling "
            "does the same with plain numbers."
        )
