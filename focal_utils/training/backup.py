"""Backups of a training run: all that it needs to go on from the step where it was, in one file, whole or not at all.

Keras' own `BackupAndRestore` forgets how far into an epoch it was, and writes the weights and the epoch one after the
other: a run killed in between goes on with a mixture. Hence this one. It saves variables, as Keras numbers them; the
input pipeline needs none, since each of its batches follows from the seed and the step (`training_batches`).
"""

import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from focal_utils.errors import DamagedData
from focal_utils.files import DISK_FULL, whole_file
from focal_utils.machine import is_first_process

BROKEN = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile)  # what NumPy raises for a damaged .npz


class Backup(keras.callbacks.Callback):
    """Keeps the last two backups of a run in a folder, and puts a model back into the state of the newer one.

    Put it last among the callbacks, so that what the others write of an epoch is written when the epoch counts as done.
    Where several processes train together, each restores, and the first alone writes.

    Args:
        folder: where the backups are, `step_<number>.npz`; None for no backups. It is made when it is needed.
        steps: steps of an epoch.
        every: steps between backups in the midst of an epoch; None for one backup an epoch.
        run: what must be the same when the run goes on, a dict of JSON's values.

    Attributes:
        step: how many steps of the whole run are done.
    """

    def __init__(self, folder, steps, every=None, run=None):
        super().__init__()
        self.folder, self.steps, self.every = folder and Path(folder), steps, every
        self.run = json.loads(json.dumps(run or {}))
        self.step, self.saved, self.metrics, self.began = 0, 0, None, 0

    def path(self, step):
        """Where the backup of a step is."""
        return self.folder / f"step_{step:09d}.npz"

    def files(self):
        """The backups that there are, the newest first: a list of paths."""
        return sorted(self.folder.glob("step_*.npz"), reverse=True) if self.folder else []

    def variables(self, model):
        """All that training changes, once each: weights, states of random layers, the optimizer's and the metrics'."""
        own = [*model.variables, *model.optimizer.variables]
        known = {id(variable) for variable in own}
        return own, [variable for variable in model.metrics_variables if id(variable) not in known]

    def restore(self, model):
        """Put a compiled and built model into the newest state that can be read; the step where it goes on.

        Raises:
            DamagedData: there are backups, but none can be read.
            ValueError: the backup is of another network or another run; the model stays as it was.
        """
        files = self.files()
        for path in files:
            try:
                with np.load(path, allow_pickle=False) as file:
                    run = json.loads(str(file["run"]))
                    values = [file[str(number)] for number in range(len(file.files) - 2)]
                    step = int(file["step"])
            except BROKEN as error:
                print(f"{path.name} cannot be read ({type(error).__name__}): going on from an older one.", flush=True)
                continue
            self.check(path, run, model, values)
            own, metrics = self.variables(model)
            for variable, value in zip(own, values, strict=False):
                variable.assign(value)
            self.metrics = list(zip(metrics, values[len(own) :], strict=True))
            self.step = self.saved = self.began = step
            return step
        if files:
            raise DamagedData(f"None of the backups in {self.folder} can be read. Delete the folder to start afresh.")
        return 0

    def check(self, path, run, model, values):
        """Raise a ValueError that names the first thing in which a backup is not of this run."""
        for name in sorted(run.keys() | self.run.keys()):
            if run.get(name) != self.run.get(name):
                raise ValueError(
                    f"{path} is of a run with {name}={run.get(name)}, this one has {name}={self.run.get(name)}: "
                    "take another folder, or delete it to start afresh."
                )
        own, metrics = self.variables(model)
        found, here = [value.shape for value in values], [tuple(v.shape) for v in own + metrics]
        if found != here:
            raise ValueError(
                f"{path} is of another network or optimizer: {len(found)} variables there, {len(here)} here, or of "
                "other shapes: take another folder, or delete it to start afresh."
            )

    def save(self):
        """Write a backup of this step, then delete all but it and the one before, newer ones that are damaged too.

        Raises:
            OSError: it could not be written, because the disk is full for instance; older backups are as they were.
        """
        if not self.folder or not is_first_process():
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        own, metrics = self.variables(self.model)
        values = {str(number): keras.ops.convert_to_numpy(v) for number, v in enumerate(own + metrics)}
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with whole_file(self.path(self.step)) as part, open(part, "wb") as file:
                np.savez(file, run=json.dumps(self.run), step=self.step, **values)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise OSError(
                error.errno,
                f"the disk is full: no backup of step {self.step}; that of step {self.saved} is whole. Free some space "
                f"and start the run again with {self.folder}",
            ) from error
        for path in {*self.files()} - {self.path(self.step), self.path(self.saved)}:
            path.unlink(missing_ok=True)
        self.saved = self.step

    def on_epoch_begin(self, epoch, logs=None):
        if self.step != self.saved:
            self.save()
        for variable, value in self.metrics or ():  # means over the part of the epoch that was done before
            variable.assign(value)
        self.metrics = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.ends_early():
            self.model.stop_training = True
        elif self.every and self.step % self.every == 0 and self.step % self.steps:
            self.save()

    def ends_early(self):
        """Whether this step ends an epoch that was begun before: it has fewer steps than `fit` is told."""
        return self.step % self.steps == 0 and self.step - self.began < self.steps

    def on_epoch_end(self, epoch, logs=None):
        if self.ends_early():  # this epoch only; what others stop stays stopped
            self.model.stop_training = False

    def on_train_end(self, logs=None):
        if self.step != self.saved:
            self.save()
