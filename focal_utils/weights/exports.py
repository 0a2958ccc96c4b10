"""Taking a model out: a file or folder that runs without focal_utils and Keras, or a small one that needs both."""

import re
import tempfile
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from focal_utils.errors import check_choice
from focal_utils.files import whole_file_or_folder
from focal_utils.weights.trials import Trial, int8_tensors

FORMATS = {"": "tf_saved_model", ".tflite": "litert", ".onnx": "onnx"}  # Keras' names, by the ending of the path

NAMES = {"": "a SavedModel", ".tflite": "LiteRT", ".onnx": "ONNX", ".keras": "Keras' own format"}

QUANTIZATIONS = {".tflite": ("weights", "int8"), ".keras": ("int8",)}

ONNX_PACKAGES = ("onnx", "tf2onnx")


def export_model(model, path, quantize=None, images=None):
    """Write a model in the format that the ending of `path` names, by Keras' `model.export`: whole, or not at all.

    "signs" is a SavedModel (a folder), "signs.tflite" LiteRT, "signs.onnx" ONNX. All take what the model takes and give
    what it gives, for any number of images. Exports are made on the TensorFlow backend; a model of another one is saved
    as `.keras` and loaded there. "signs.keras" is Keras' own format, for those who have focal_utils, on any backend:
    what `model.save` writes, without an optimizer and compressed; with int8 a third of the size.

    Before it gets its name, every export is run once, and its answer compared with the model's, where what runs the
    format is installed (TensorFlow runs a SavedModel and LiteRT, onnxruntime ONNX; elsewhere a warning says that it was
    not run). A model in mixed precision goes into LiteRT and ONNX in float32, in which its weights are kept.

    Args:
        model: a built `keras.Model`, of any kind: with several inputs or outputs, or subclassed (and called once).
        path: a new name in a folder that is there.
        quantize: for LiteRT and Keras' format. None keeps float32; "weights" (LiteRT) keeps weights as int8, a third of
            the size; "int8" computes in int8 too, images and logits stay float. In Keras' format that is a copy after
            `quantize("int8")`: dense layers become int8, convolutions and norms stay as they are.
        images: for "int8" in LiteRT: (N, H, W, channels), some hundred training images as the model takes them, which
            tell how large the values between the layers get (post-training quantization: Jacob et al. 2018, arXiv
            1712.05877). Keras finds that out picture by picture.

    Returns:
        The `Path` that was written.

    Raises:
        TypeError: no model of Keras'.
        FileExistsError: there is something of that name. FileNotFoundError: there is no such folder.
        ModuleNotFoundError: a package that ONNX needs is missing; the message names it.
        ValueError: another ending or backend, a quantization or images that do not fit, a model without weights yet, or
            one that the format cannot say; an export that does not run, or says something else than the model.

    Example:
        >>> fu.export_model(fu.load_trained("gtsrb"), "signs.tflite")
        >>> fu.export_model(fu.load_trained("gtsrb"), "signs.keras", "int8")
    """
    path = Path(path)
    check_request(model, path)
    options = quantization(model, path, quantize, images)
    if path.suffix == ".onnx":
        check_packages()
    trial = Trial(model, images)
    with in_float32(model, path.suffix):
        expected = trial.answer()
        with whole_file_or_folder(path) as part:
            if path.suffix == ".keras":
                write_keras(model, part, quantize)
            else:
                write(model, part, options)
            if path.suffix == ".onnx":
                check_onnx(part, len(trial.inputs))
            if path.suffix == ".tflite" and quantize is not None and not int8_tensors(part):
                raise ValueError(
                    f'quantize="{quantize}" had no effect on {model.name}, and nothing was written: TensorFlow leaves '
                    "arrays of fewer than 1,024 numbers as they are, and there are no larger ones."
                )
            trial.compare(part, expected, quantize)
    return path


def check_request(model, path):
    """Raise an error unless a model can be exported to a path: see `export_model`."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model={model!r} is a {type(model).__name__}: give a keras.Model.")
    if path.suffix not in NAMES:
        raise ValueError(
            f"{path} does not say which format: end it with .tflite (LiteRT), .onnx (ONNX), .keras (Keras) or no "
            "ending (SavedModel)."
        )
    if path.exists():
        raise FileExistsError(f"{path} is there already. It was not touched: delete it or choose another name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}: make it first.")
    if path.suffix != ".keras" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Exports are made on the TensorFlow backend, this is {keras.backend.backend()}: save the model as .keras, "
            "set KERAS_BACKEND=tensorflow, load and export it there."
        )
    if not model.built:
        raise ValueError(f"{model.name} has no weights yet: call it once, on any images, and export it then.")
    others = {weight.dtype for weight in model.weights if weight.dtype in ("float64", "float16", "bfloat16")}
    if path.suffix == ".tflite" and others:
        raise ValueError(
            f"LiteRT computes in float32, and {model.name} has weights in {', '.join(sorted(others))}: build the same "
            'model with dtype="float32", give it these weights by set_weights(model.get_weights()), and export that.'
        )


def check_packages():
    """Raise ModuleNotFoundError unless what writes ONNX is installed."""
    missing = " ".join(package for package in ONNX_PACKAGES if not find_spec(package))
    if missing:
        raise ModuleNotFoundError(f"An export to ONNX needs more than Keras: pip install {missing}")


def quantization(model, path, quantize, images):
    """The options of the LiteRT converter for `export_model`'s `quantize` and `images`: a dict."""
    check_choice("quantize", quantize, (None, "weights", "int8"))
    if quantize not in (None, *QUANTIZATIONS.get(path.suffix, ())):
        fits = " and ".join(suffix for suffix, words in QUANTIZATIONS.items() if quantize in words)
        raise ValueError(f"quantize={quantize!r} is for {fits}, not for {path.name}.")
    if (quantize == "int8" and path.suffix == ".tflite") != (images is not None):
        raise ValueError(
            'images are needed for quantize="int8" of .tflite, some hundred of them, and for nothing else.'
        )
    if path.suffix != ".tflite":
        return {}
    import tensorflow as tf

    # Not TensorFlow's own operations, which Keras lets in: a file that has them does not run where LiteRT runs.
    options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if quantize is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "int8":
        images = calibration(model, images)
        options["representative_dataset"] = lambda: ([image[None]] for image in images)
        options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]}
    return options


def calibration(model, images):
    """Images for "int8" as an array (N, H, W, channels), float32.

    Raises:
        ValueError: none, of another shape than the model takes, not finite; or a model of several inputs.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        raise ValueError(f'quantize="int8" takes models of one input, and {model.name} has another form.')
    shape = tuple(inputs[0].shape[1:])
    images = np.asarray(images, "float32")
    fits = images.ndim == len(shape) + 1 and all(
        side in (None, got) for side, got in zip(shape, images.shape[1:], strict=True)
    )
    if not fits or not len(images) or not np.isfinite(images).all():
        wanted = ", ".join(map(str, ("N", *shape)))
        raise ValueError(
            f'quantize="int8" needs images as {model.name} takes them, ({wanted}), some hundred, at least one, all '
            f"numbers finite; got {images.shape}."
        )
    return images


def write_keras(model, path, quantize):
    """Write a copy of a model as a compressed `.keras` file, without an optimizer; with `quantize` after Keras' own.

    Raises:
        ValueError: Keras finds no layer that it could quantize.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.keras"
        model.save(whole)
        copy = keras.saving.load_model(whole, compile=False)
        if quantize is not None:
            copy.quantize(quantize)
            if not any(getattr(layer, "quantization_mode", None) for layer in copy._flatten_layers()):
                raise ValueError(f'quantize="{quantize}" had no effect on {model.name}: it has no dense layers.')
        copy.save(whole)
        compress(whole, path)


def compress(source, target, changes=None):
    """Write a zip, such as a .keras file, anew with its members compressed: what it holds stays, byte for byte.

    Keras writes them as they are, with gaps that HDF5 leaves.

    Args:
        source: path of the zip.
        target: path to write to, another one.
        changes: name of a member → function of its bytes, for those that do not stay as they are.
    """
    changes = changes or {}
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as small:
        for member in whole.infolist():
            content = whole.read(member)
            if member.filename in changes:
                content = changes[member.filename](content)
            small.writestr(member, content, zipfile.ZIP_DEFLATED, 9)


def write(model, path, options):
    """Let Keras write an export.

    Raises:
        ValueError: the format cannot say what the model does; the message names the operations where it can.
    """
    try:
        model.export(str(path), format=FORMATS[path.suffix], verbose=False, **options)
    except OSError:
        raise
    except Exception as error:  # of Keras, TensorFlow and their converters
        unknown = sorted(set(re.findall(r"\bFlex(\w+)", str(error))))
        reason = f"it has no {', '.join(unknown)}" if unknown else next(iter(str(error).strip().splitlines()), "")
        raise ValueError(
            f"{NAMES[path.suffix].capitalize()} cannot say all of {model.name}, and nothing was written: {reason}."
        ) from error


@contextmanager
def in_float32(model, suffix):
    """Where the format is one for machines without half precision, let a mixed model compute in float32 for a while.

    Its weights are in float32 in any case. LiteRT and ONNX on a processor have no half-precision convolutions.
    """
    layers = model._flatten_layers() if suffix in (".tflite", ".onnx") else ()  # no public way to the layers inside
    mixed = [(layer, layer.dtype_policy) for layer in layers if layer.dtype_policy.name.startswith("mixed_")]
    try:
        for layer, _ in mixed:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in mixed:
            layer.dtype_policy = policy


def check_onnx(path, inputs):
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
