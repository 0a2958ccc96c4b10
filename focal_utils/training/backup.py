"""What is kept of a training run: backups to go on from, and the best weights, each in a file, whole or not at all.

Keras' own `BackupAndRestore` forgets how far into an epoch it was, and writes the weights and the epoch one after the
other: a run killed in between goes on with a mixture. Hence `Backup`. It saves variables, as Keras numbers them; the
input pipeline needs none, since each of its batches follows from the seed and the step (`training_batches`).

Keras' own `ModelCheckpoint` writes over the older file in place: where the disk is full, neither is left, and HDF5, in
which it writes, ends the process. Hence `Best`.
"""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from focal_utils.errors import DamagedData, damaged
from focal_utils.files import DISK_FULL, whole_file
from focal_utils.machine import is_first_process
from focal_utils.training.facts import flat

BLOCK = 1 << 20


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
        self.folder = Path(folder) if folder else None
        self.steps = steps
        self.every = every
        self.run = json.loads(json.dumps(run or {}, default=lambda number: number.item()))  # NumPy's numbers too
        self.step = 0
        self.saved = 0  # the step of the newest backup
        self.began = 0  # the step where this process began
        self.metrics = None  # values to put back when the epoch has begun

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
                run, step, values = read(path)
            except DamagedData as error:
                print(f"{path.name} cannot be read: going on from an older one. {error}", flush=True)
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
        there = flat(run)
        here = flat(self.run)
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise ValueError(
                    f"{path} is of a run with {name}={there.get(name)}, this one has {name}={here.get(name)}: "
                    "take another folder, or delete it to start afresh."
                )
        own, metrics = self.variables(model)
        shapes = [tuple(variable.shape) for variable in own + metrics]
        if [value.shape for value in values] != shapes:
            raise ValueError(
                f"{path} is of another network or optimizer: {len(values)} variables there, {len(shapes)} here, or of "
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
        loss = (
            f"no backup of step {self.step}; that of step {self.saved} is whole. Free some space and start the run "
            f"again with {self.folder}"
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        with telling_of_a_full_disk(loss), whole_file(self.path(self.step)) as part:
            write(part, self.run, self.step, own + metrics)
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


class Best(keras.callbacks.Callback):
    """Keeps the weights of the best validation accuracy in a file; an older one stays whole until the new one is.

    Args:
        path: where the weights go, a `.weights.h5` file.
        reached: accuracy that an epoch has to beat; None: the first epoch is kept in any case.

    Raises:
        OSError: they could not be written, because the disk is full for instance; the older file is as it was.
    """

    def __init__(self, path, reached=None):
        super().__init__()
        self.path = Path(path)
        self.reached = reached

    def on_epoch_end(self, epoch, logs=None):
        if self.reached is None or logs["val_accuracy"] > self.reached:
            save(self.model, self.path)
            self.reached = logs["val_accuracy"]


def save(model, path):
    """Write a model (`.keras`) or its weights (`.weights.h5`): under its name the file is whole, or as it was before.

    Raises:
        OSError: it could not be written, because the disk is full for instance.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with telling_of_a_full_disk(f"{path} was not written"), whole_file(path) as part:
        find_room(part, model)
        if path.suffix == ".keras":
            model.save(part)
        else:
            model.save_weights(part)


def find_room(path, model):
    """Fill a file with as many zeros as a model will need there: on a full disk that fails, and does no harm.

    HDF5 does not bear it: it ends the process when it cannot write, so it is not let near a disk that is too full.
    """
    optimizer = getattr(model, "optimizer", None)  # a compiled model's is written too
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    needed = sum(np.dtype("float32").itemsize * int(np.prod(variable.shape)) + 4096 for variable in variables) + BLOCK
    with open(path, "wb") as file:
        for start in range(0, needed, BLOCK):
            file.write(bytes(min(BLOCK, needed - start)))


@contextmanager
def telling_of_a_full_disk(loss):
    """Where the block finds the disk full, an OSError that says so, and what was lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise OSError(error.errno, f"the disk is full: {loss}") from error


def write(path, run, step, variables):
    """Write a backup: a run's facts, the step, the variables' values by their numbers, and a checksum over all."""
    values = {str(number): keras.ops.convert_to_numpy(variable) for number, variable in enumerate(variables)}
    arrays = {"run": np.array(json.dumps(run)), "step": np.array(step), **values}
    with open(path, "wb") as file:
        np.savez(file, checksum=checksum(arrays), **arrays)
        file.flush()
        os.fsync(file.fileno())


def read(path):
    """A run's facts, the step, and the variables' values, from a file that `write` has written.

    Raises:
        DamagedData: it is cut short or altered, be it by one bit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if str(arrays.pop("checksum")) != checksum(arrays):
            raise ValueError("its checksum is not that of what it holds")
        run = json.loads(str(arrays.pop("run")))
        step = int(arrays.pop("step"))
    except Exception as error:  # one flipped bit shows in any of a dozen ways, by where it falls
        raise damaged(path, error) from error
    return run, step, [arrays[str(number)] for number in range(len(arrays))]


def checksum(arrays):
    """SHA-256 over the names, types, shapes and contents of a dict of arrays, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
