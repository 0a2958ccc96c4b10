"""What makes a training step faster, and what only seems to: one training, changed in one thing at a time.

    python tools/measure_speedups.py                                   this machine's CPU, or its GPU
    KERAS_BACKEND=jax python tools/measure_speedups.py --name gpu      another backend; data/results/speedups_gpu.json

Trains the architecture of the shipped sign network for some steps on rendered signs. Each way runs in a process of its
own, by turns, so that whatever else the machine does hits all alike. Speeds leave out the first steps, which compile.
Writes data/results/speedups.json after each run; when interrupted, the same command goes on.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from parts import arguments, files
from parts.series import Series

BATCH = 128  # images a step
FIRST = 4  # steps before the clock starts
STEPS = 24  # steps timed
WAYS = {  # what differs from the recipe in float32
    "float32": {},
    "bfloat16": {"dtype": "mixed_bfloat16"},
    "float16, loss scaled": {"dtype": "mixed_float16"},
    "XLA": {"jit": True},
    "moving average of the weights": {"ema": 0.99},
    "4 batches of 32 accumulated": {"accumulate": 4},
}
PAPER = "tiny_srf, 224², float32"  # the paper's smallest network, in small batches: what the plan of a training needs


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--rounds", type=arguments.at_least(1), default=3)
    options.add_argument("--name", help="for data/results/speedups_<name>.json")
    options.add_argument("--way", choices=[*WAYS, PAPER], help=argparse.SUPPRESS)
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np

import focal_utils as fu
from focal_utils import training
from focal_utils.measuring import child_environment
from focal_utils.training import augment_signs, training_batches
from parts.recipes import SIGN_NETWORK

SIGNS = {"input_shape": (32, 32, 3), "classes": 43, "preprocessing": "per_image", **SIGN_NETWORK}


class Clock(keras.callbacks.Callback):
    """When each step ended, and the running mean of the loss after it."""

    def __init__(self):
        super().__init__()
        self.ends = []
        self.means = []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(float(logs["loss"]))  # reading it waits for the step
        self.ends.append(time.perf_counter())


def timed_fit(model, data, batch, first, steps):
    """Images a second over `steps` steps after the first ones, and the mean loss of the last quarter of all steps."""
    clock = Clock()
    total = first + steps
    model.fit(data, epochs=1, steps_per_epoch=total, callbacks=[clock], verbose=0)
    sums = np.asarray(clock.means) * np.arange(1, total + 1)
    speed = batch * steps / (clock.ends[-1] - clock.ends[first - 1])
    return {"images_per_second": round(speed, 2), "loss": round((sums[-1] - sums[-1 - total // 4]) / (total // 4), 4)}


def sign_training(dtype=None, accumulate=1, **recipe):
    """The shipped sign network's architecture and augmentation, on rendered signs."""
    keras.utils.set_random_seed(0)
    model = fu.FocalNet(**SIGNS, dtype=dtype)
    signs = fu.render_signs(2000, seed=0)
    batch = BATCH // accumulate
    first = FIRST * accumulate
    steps = STEPS * accumulate
    training.make_variables(training.compile_model(model, first + steps, accumulate=accumulate, **recipe))
    stream = training_batches(signs.x_train, signs.y_train, 43, batch, augment_signs)
    return timed_fit(model, stream, batch, first, steps)


def paper_training(batch=8, times=4):
    """The paper's smallest network at its own image size, on noise: training, and the forward pass alone."""
    model = fu.focalnet("tiny_srf")
    images = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3)).astype("uint8")
    training.make_variables(training.compile_model(model, 100))
    facts = timed_fit(model, training_batches(images, np.arange(batch), 1000, batch), batch, first=2, steps=times)
    model.predict_on_batch(images)
    start = time.perf_counter()
    for _ in range(times):
        model.predict_on_batch(images)
    return {**facts, "forward_images_per_second": round(batch * times / (time.perf_counter() - start), 2)}


def run_apart(way):
    """The facts of one way, run in a process of its own.

    Raises:
        RuntimeError: it failed; the message has the end of what it said.
    """
    command = [sys.executable, __file__, "--way", way]
    said = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    if said.returncode:
        raise RuntimeError(f"{way} failed. The end of what it said:\n{said.stderr[-2000:]}")
    return json.loads(said.stdout.splitlines()[-1])


def main():
    options = parser().parse_args()
    if options.way:
        print(json.dumps(paper_training() if options.way == PAPER else sign_training(**WAYS[options.way])))
        return
    name = f"speedups_{options.name}" if options.name else "speedups"
    series = Series(files.RESULTS / f"{name}.json", "runs", fixed={"batch": BATCH, "steps": FIRST + STEPS})
    cases = [{"round": turn, "way": way} for turn in range(options.rounds) for way in [*WAYS, PAPER]]
    for case in series.missing("runs", cases):
        row = series.add("runs", {**case, **run_apart(case["way"])}, rounds=options.rounds)
        print(row, flush=True)
    for way in [*WAYS, PAPER]:
        speeds = [run["images_per_second"] for run in series.rows["runs"] if run["way"] == way]
        print(f"{statistics.median(speeds):8.1f} images/s  {way}")


if __name__ == "__main__":
    main()
