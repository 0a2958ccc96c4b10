"""Answer for an exported network, in a process that cannot import what the export is to do without.

    python -I tools/parts/exported.py build/exports/gtsrb/gtsrb.onnx

Each line of stdin is a request. {"images": "in.npy", "batch": 64, "logits": "out.npy"} asks for the logits of all
images, 64 at a time; {"images": "in.npy", "batch": 64, "rounds": 5} for the milliseconds of processor time that the
first 64 take, mean of 5. One thread computes, so that this is the time on a machine with nothing else to do.
"""

import os
import runpy
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = {  # what cannot be imported, by the ending of the path
    ".keras": (),
    "": ("focal_utils", "keras"),
    ".tflite": ("focal_utils", "keras", "tensorflow"),
    ".onnx": ("focal_utils", "keras", "tensorflow"),
}


def hide(ending):
    """Make it an error to import what an export whose path has this ending does without."""
    sys.modules.update(dict.fromkeys(WITHOUT[ending]))


def one_thread():
    """Keep TensorFlow, and this process, to one thread on one processor."""
    for threads in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[threads] = "1"
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def keras_file(path):
    """A .keras file as a function from images to logits, NumPy arrays both."""
    sys.path.insert(0, str(ROOT))
    import keras

    import focal_utils  # noqa: F401 (Keras needs to know its layers)

    return keras.saving.load_model(path, compile=False).predict_on_batch


def saved_model(path):
    """A SavedModel as a function from images to logits, NumPy arrays both."""
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda images: model.serve(images).numpy()


def litert(path):
    """A LiteRT file as a function from images to logits, NumPy arrays both."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    shape = None
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def logits(images):
        nonlocal shape
        if shape != images.shape:
            interpreter.resize_tensor_input(source, images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return logits


def onnx(path):
    """An ONNX file as a function from images to logits, NumPy arrays both."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


READERS = {".keras": keras_file, "": saved_model, ".tflite": litert, ".onnx": onnx}


def main(path):
    ending = Path(path).suffix
    hide(ending)
    one_thread()
    model = READERS[ending](path)
    # This file of focal_utils alone.
    serve = runpy.run_path(str(ROOT / "focal_utils" / "measuring" / "processes.py"))["serve"]

    def answer(request):
        images = np.load(request["images"], allow_pickle=False).astype("float32")
        batch = request["batch"]
        if "logits" in request:
            parts = [model(images[start : start + batch]) for start in range(0, len(images), batch)]
            return np.save(request["logits"], np.concatenate(parts))
        images = images[:batch]
        model(images)
        start = time.process_time()
        for _ in range(request["rounds"]):
            model(images)
        return 1000 * (time.process_time() - start) / request["rounds"]

    serve(answer)


if __name__ == "__main__":
    main(sys.argv[1])
