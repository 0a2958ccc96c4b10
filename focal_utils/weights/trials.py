"""Every export is run once before it is believed: on a trial input, beside the model that it was made of."""

import re
import warnings
from importlib.util import find_spec

import keras
import numpy as np

BATCH = 2  # inputs in a trial

SIDES = (64, 224)  # what a side that may vary is tried with: the first that the model takes

# The largest difference over the largest number of an answer. Another order of sums changes the last digits; half
# precision has three; int8 is another computation, of which only the size can be expected to be right.
TOLERANCE = 1e-3
TOLERANCE_HALF = 0.1
TOLERANCE_INT8 = 1.0


class Trial:
    """A trial of a model's exports: an input of the right form, and the model's answer to it.

    Args:
        model: a built `keras.Model`.
        images: what to try it on, (N, …), for a model of one input; None for random numbers from 0 to 1.

    Raises:
        ValueError: the model says what it takes neither by its inputs nor by its first call, or does not take it.
    """

    def __init__(self, model, images=None):
        self.model = model
        for side in SIDES:
            arguments = example_arguments(model, side)
            if images is not None and len(images):
                arguments = [np.asarray(images[:BATCH], "float32")]
            try:
                model(*arguments, training=False)
            except Exception as error:  # whatever a layer raises for a size that it does not take
                reason = error
                continue
            self.arguments = arguments
            self.inputs = keras.tree.flatten(arguments)
            self.names = [one.name for one in model.inputs] if has_inputs(model) else []
            return
        first = next(iter(str(reason).splitlines()), type(reason).__name__)
        advice = (
            "build it with a fixed input_shape, and export that"
            if has_inputs(model)
            else "a subclassed model can be exported if its call takes one argument, which may be a dict or list"
        )
        raise ValueError(
            f"{model.name} cannot be exported: random inputs of sides {' and '.join(map(str, SIDES))} were tried, and "
            f"it takes neither ({first}). What helps: {advice}."
        ) from reason

    def answer(self):
        """The model's answer: a list of arrays."""
        outputs = self.model(*self.arguments, training=False)
        return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]

    def compare(self, path, expected, quantize=None):
        """Raise ValueError unless an export runs and says what was `expected`; warn where nothing here can run it."""
        run = RUNNERS[path.suffix]()
        if run is None:
            warnings.warn(
                f"{path.name} was written but not tried: nothing here runs {path.suffix} files.", stacklevel=3
            )
            return
        try:
            got = run(path, self)
        except Exception as error:  # of whatever runs the format
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ValueError(f"The export of {self.model.name} does not run, and was not kept: {first}") from error
        if [np.shape(one) for one in got] != [one.shape for one in expected]:
            shapes = ", ".join(str(np.shape(one)) for one in got)
            raise ValueError(f"The export of {self.model.name} gives {shapes}, not what the model gives: not kept.")
        tolerance = TOLERANCE_INT8 if quantize else tolerance_of(self.model)
        apart = max(map(difference, got, expected), default=0)
        if not apart <= tolerance:
            raise ValueError(
                f"The export of {self.model.name} says something else than the model, and was not kept: the answers to "
                f"a trial input are {apart:.1g} of the largest number apart, at most {tolerance:g} are to be expected."
            )


def has_inputs(model):
    """Whether a model was made of Keras tensors, and so says what it takes."""
    return bool(getattr(model, "inputs", None))


def example_arguments(model, side):
    """Random arguments of a model's call, a list: as its inputs are, or as it was first called."""
    rng = np.random.default_rng(0)

    def example(shape, dtype):
        sizes = [side if size is None else size for size in shape[1:]]
        if dtype is None or "float" in dtype:
            return rng.uniform(size=(BATCH, *sizes)).astype("float32" if dtype is None else dtype)
        return rng.integers(0, 2, (BATCH, *sizes)).astype(dtype)

    if has_inputs(model):
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return [keras.tree.map_structure(lambda one: example(one.shape, one.dtype), inputs)]
    built = model.get_build_config() or {}
    shapes = built.get("shapes_dict", {"input": built.get("input_shape")})
    if None in shapes.values():
        raise ValueError(f"{model.name} does not say what it takes: call it once, on any images, and export it then.")
    return [
        keras.tree.map_shape_structure(lambda shape: example(shape, model.input_dtype), one) for one in shapes.values()
    ]


def difference(got, expected):
    """The largest difference of two arrays over the largest number of the second; equal NaN and infinities are 0."""
    got = np.asarray(got, "float64")
    expected = np.asarray(expected, "float64")
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    if same.all():
        return 0.0
    return float(np.abs(got - expected)[~same].max() / max(np.abs(expected).max(), np.finfo("float32").tiny))


def tolerance_of(model):
    """How far an export's answer may be from a model's, by the precision that its layers compute in."""
    half = any(layer.compute_dtype in ("float16", "bfloat16") for layer in model._flatten_layers())
    return TOLERANCE_HALF if half else TOLERANCE


def saved_model_runner():
    """What runs a SavedModel: a function (path, `Trial`) → list of arrays."""
    import tensorflow as tf

    def run(path, trial):
        loaded = tf.saved_model.load(str(path))  # named, since its variables go when it goes
        return [output.numpy() for output in keras.tree.flatten(loaded.serve(*trial.arguments))]

    return run


def litert_interpreter():
    """The class that runs LiteRT files, of LiteRT's own package or of TensorFlow; None where there is none."""
    if find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter
    import tensorflow as tf

    return getattr(tf.lite, "Interpreter", None)


def opened(path):
    """An interpreter of a LiteRT file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's announces its end in TensorFlow's log as well
        return litert_interpreter()(str(path))


def int8_tensors(path):
    """How many arrays of a LiteRT file are int8; all, where nothing can tell."""
    if litert_interpreter() is None:
        return True
    return sum(tensor["dtype"] == np.int8 for tensor in opened(path).get_tensor_details())


def litert_runner():
    """As `saved_model_runner`, for LiteRT files."""
    if litert_interpreter() is None:
        return None

    def run(path, trial):
        runner = opened(path).get_signature_runner()
        outputs = runner(**by_name(runner.get_input_details(), trial))
        return [outputs[name] for name in in_order(outputs)]

    return run


def onnx_runner():
    """As `saved_model_runner`, for ONNX files; None without onnxruntime."""
    if not find_spec("onnxruntime"):
        return None
    import onnxruntime

    def run(path, trial):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, by_name([value.name for value in session.get_inputs()], trial))

    return run


def by_name(names, trial):
    """The arrays of a trial by the names that an export has for them: those of the inputs, or "args_0", "args_1", ….

    ONNX adds ":0" to some.
    """
    ours = {name.removesuffix(":0"): name for name in names}
    if set(ours) == set(trial.names):
        return {ours[name]: array for name, array in zip(trial.names, trial.inputs, strict=True)}
    return dict(zip(in_order(names), trial.inputs, strict=True))


def in_order(names):
    """Names as Keras flattens them: sorted, the numbers at their ends as numbers."""
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def keras_runner():
    """As `saved_model_runner`, for Keras' own files."""

    def run(path, trial):
        outputs = keras.saving.load_model(path, compile=False)(*trial.arguments, training=False)
        return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]

    return run


RUNNERS = {".keras": keras_runner, "": saved_model_runner, ".tflite": litert_runner, ".onnx": onnx_runner}
