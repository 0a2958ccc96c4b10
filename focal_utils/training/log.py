"""What a training says on its way: a line an epoch, and a log that a resumed run goes on in."""

import csv
import time
from pathlib import Path

import keras

from focal_utils.files import whole_file


class Progress(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, images per second and an estimate of the time that is left.

    The epoch's duration joins its logs as `seconds`, for the callbacks after this one and the log.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        self.start, self.first = time.perf_counter(), None

    def on_epoch_begin(self, epoch, logs=None):
        self.first = epoch if self.first is None else self.first
        self.epoch_start, self.seen = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += self.batch_size

    def on_epoch_end(self, epoch, logs=None):
        now, epochs = time.perf_counter(), self.params["epochs"]
        left = (now - self.start) / (epoch + 1 - self.first) * (epochs - epoch - 1)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name != "learning_rate")
        logs["seconds"] = now - self.epoch_start
        speed = self.seen / logs["seconds"]
        print(f"epoch {epoch + 1:3d}/{epochs}  {figures}  {speed:4.0f} images/s  {left / 60:.1f} min left", flush=True)


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
