"""What a training says on its way: a line an epoch, and a log that a resumed run goes on in."""

import csv
import math
import time
from pathlib import Path

import keras
import numpy as np

from focal_utils.files import whole_file


class Progress(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, images per second and an estimate of the time that is left.

    The epoch's duration joins its logs as `seconds`, for the callbacks after this one and the log.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()
        self.first = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.first is None:
            self.first = epoch
        self.epoch_start = time.perf_counter()
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += self.batch_size

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        epochs = self.params["epochs"]
        left = (now - self.start) / (epoch + 1 - self.first) * (epochs - epoch - 1)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name != "learning_rate")
        logs["seconds"] = now - self.epoch_start
        speed = self.seen / logs["seconds"]
        print(f"epoch {epoch + 1:3d}/{epochs}  {figures}  {speed:4.0f} images/s  {left / 60:.1f} min left", flush=True)


class StopAtNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more, before anything of it is kept: nothing will come of it.

    Put it first among the callbacks. Keras' own `TerminateOnNaN` ends the training as if it were done, after the
    weights have been written.

    Raises:
        FloatingPointError: the loss is NaN or infinite. Where it is scaled for float16, weights must be so too: a step
            that overflows is left out then, and harms nothing.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if math.isfinite(logs["loss"]) or self.was_left_out():
            return
        raise FloatingPointError(
            f"The loss became {logs['loss']} in epoch {self.epoch + 1}: nothing of this epoch is kept. A lower "
            "learning_rate is the first thing to try, then a network that brings images to its scale (preprocessing=)."
        )

    def was_left_out(self):
        """Whether the step overflowed and has been left out, as is done where the loss is scaled."""
        scaled = isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)
        return scaled and all(np.isfinite(weight).all() for weight in self.model.get_weights())


def cut_log(log, epochs):
    """Drop from a CSV log the rows of all but the first `epochs` epochs: what a run that goes on will write again."""
    if not log or not Path(log).exists():
        return
    with open(log, newline="") as file:
        lines = file.read().splitlines(keepends=True)
    with whole_file(log) as part:
        part.write_text("".join(lines[: 1 + epochs]))


def best_logged(log):
    """The best validation accuracy in a log of an earlier part of the run, or None: what a later epoch has to beat."""
    if not log or not Path(log).exists():
        return None
    with open(log, newline="") as file:
        return max((float(row["val_accuracy"]) for row in csv.DictReader(file)), default=None)
