"""What makes a training step faster, and what only seems to: one training, changed in one thing at a time.

    python tools/measure_speedups.py                                   this machine's CPU, or its GPU
    KERAS_BACKEND=jax python tools/measure_speedups.py --name gpu      another backend; data/results/speedups_gpu.json

Trains the architecture of the shipped sign network for some steps on rendered signs. Each way runs in a process of its
own, by turns, so that whatever else the machine does hits all alike. Speeds leave out the first steps, which compile.
Writes data/results/speedups.json after each run; when interrupted, the same command goes on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import focal_utils as fu  # noqa: E402
from focal_utils import training  # noqa: E402
from focal_utils.measuring import child_environment  # noqa: E402
from focal_utils.training import (
    augment_signs,  # noqa: E402
    training_batches,  # noqa: E402
)
from parts.files import ROOT, how_made, write_text  # noqa: E402
from parts.recipes import SIGN_NETWORK  # noqa: E402

BATCH, FIRST, STEPS = 128, 4, 24  # images a step, steps before the clock starts, steps timed
SIGNS = {"input_shape": (32, 32, 3), "classes": 43, "preprocessing": "per_image"} | SIGN_NETWORK
WAYS = {  # what differs from the recipe in float32
    "float32": {},
    "bfloat16": {"dtype": "mixed_bfloat16"},
    "float16, loss scaled": {"dtype": "mixed_float16"},
    "XLA": {"jit": True},
    "moving average of the weights": {"ema": 0.99},
    "4 batches of 32 accumulated": {"accumulate": 4},
}
PAPER = "tiny_srf, 224², float32"  # the paper's smallest network, in small batches: what the plan of a training needs


class Clock(keras.callbacks.Callback):
    """When each step ended, and the running mean of the loss after it."""

    def __init__(self):
        super().__init__()
        self.ends, self.means = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.means.append(float(logs["loss"]))  # reading it waits for the step
        self.ends.append(time.perf_counter())


def timed_fit(model, data, batch, first, steps):
    """Images a second over `steps` steps after the first ones, and the mean loss of the last quarter of all steps."""
    clock, total = Clock(), first + steps
    model.fit(data, epochs=1, steps_per_epoch=total, callbacks=[clock], verbose=0)
    sums = np.asarray(clock.means) * np.arange(1, total + 1)
    speed = batch * steps / (clock.ends[-1] - clock.ends[first - 1])
    return {"images_per_second": round(speed, 2), "loss": round((sums[-1] - sums[-1 - total // 4]) / (total // 4), 4)}


def sign_training(dtype=None, accumulate=1, **recipe):
    """The shipped sign network's architecture and augmentation, on rendered signs."""
    keras.utils.set_random_seed(0)
    model, signs = fu.FocalNet(**SIGNS, dtype=dtype), fu.render_signs(2000, seed=0)
    batch, first, steps = BATCH // accumulate, FIRST * accumulate, STEPS * accumulate
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
    return facts | {"forward_images_per_second": round(batch * times / (time.perf_counter() - start), 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", help="for data/results/speedups_<name>.json")
    parser.add_argument("--way", choices=[*WAYS, PAPER], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(paper_training() if options.way == PAPER else sign_training(**WAYS[options.way])))
        return
    path = ROOT / "data" / "results" / ("_".join(["speedups", *filter(None, [options.name])]) + ".json")
    runs, begin = (json.loads(path.read_text())["runs"] if path.exists() else []), time.time()
    done = {(run["round"], run["way"]) for run in runs}
    for turn in range(options.rounds):
        for way in [*WAYS, PAPER]:
            if (turn, way) in done:
                continue
            command = [sys.executable, __file__, "--way", way]
            said = subprocess.run(command, capture_output=True, text=True, env=child_environment())
            if said.returncode:
                raise RuntimeError(f"{way} failed. The end of what it said:\n{said.stderr[-2000:]}")
            runs.append({"round": turn, "way": way} | json.loads(said.stdout.splitlines()[-1]))
            print(runs[-1], flush=True)
            head = how_made(time.time() - begin) | {"rounds": options.rounds, "batch": BATCH, "steps": FIRST + STEPS}
            write_text(path, json.dumps(head | {"runs": runs}, indent=1) + "\n")
    for way in [*WAYS, PAPER]:
        print(f"{statistics.median(r['images_per_second'] for r in runs if r['way'] == way):8.1f} images/s  {way}")


if __name__ == "__main__":
    main()
