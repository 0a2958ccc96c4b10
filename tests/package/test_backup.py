"""Backups: whole or not at all, the newest that can be read, never that of another run."""

import errno

import keras
import numpy as np
import pytest

from focal_utils.errors import DamagedData
from focal_utils.training import Backup, backup


def compiled(units=3):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def train(model, keeper, epochs=3):
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, x[:, :3], batch_size=4, epochs=epochs, callbacks=[keeper], verbose=0, shuffle=False)
    return model.get_weights()


@pytest.fixture
def kept(tmp_path):
    """A folder with the backups of steps 6 and 9, and the weights at step 9."""
    weights = train(compiled(), Backup(tmp_path / "run", steps=3, run={"seed": 1}))
    return tmp_path / "run", weights


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_and_the_newer_is_restored(kept):
    folder, weights = kept
    assert names(folder) == ["step_000000006.npz", "step_000000009.npz"]
    model, keeper = compiled(), Backup(folder, steps=3, run={"seed": 1})
    assert keeper.restore(model) == 9 == keeper.step
    assert all(np.array_equal(one, other) for one, other in zip(weights, model.get_weights(), strict=True))
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 9


@pytest.mark.parametrize("damage", ["cut short", "empty", "one bit", "not an archive", "pickled"])
def test_a_damaged_backup_falls_back_to_the_one_before(damage, kept, capsys):
    newest = kept[0] / "step_000000009.npz"
    content = bytearray(newest.read_bytes())
    if damage == "one bit":
        content[content.index(b"NUMPY", 600) + 100] ^= 1
    whole = {"cut short": content[:-200], "empty": b"", "one bit": content, "not an archive": b"no archive at all"}
    if damage == "pickled":
        np.savez(newest, run=np.array([{"seed": 1}], dtype=object), step=9)
    else:
        newest.write_bytes(whole[damage])
    assert Backup(kept[0], steps=3, run={"seed": 1}).restore(compiled()) == 6
    assert "step_000000009.npz cannot be read" in capsys.readouterr().out


def test_a_damaged_newer_backup_does_not_crowd_out_a_good_one(kept):
    (kept[0] / "step_000000009.npz").write_bytes(b"")
    model, keeper = compiled(), Backup(kept[0], steps=3, every=1, run={"seed": 1})
    keeper.set_model(model)
    keeper.step = keeper.restore(model) + 1
    keeper.save()
    assert names(kept[0]) == ["step_000000006.npz", "step_000000007.npz"]


def test_where_none_can_be_read_it_says_so_and_leaves_the_model(kept):
    for path in kept[0].iterdir():
        path.write_bytes(b"")
    model = compiled()
    before = model.get_weights()
    with pytest.raises(DamagedData, match="None of the backups in .*run can be read. Delete the folder"):
        Backup(kept[0], steps=3, run={"seed": 1}).restore(model)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("units", "run", "message"),
    [(3, {"seed": 2}, "a run with seed=1, this one has seed=2"), (5, {"seed": 1}, "another network or optimizer")],
)
def test_the_backup_of_another_run_is_refused(units, run, message, kept):
    model = compiled(units)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        Backup(kept[0], steps=3, run=run).restore(model)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_full_disk_is_told_and_the_older_backup_is_whole(kept, monkeypatch):
    folder, weights = kept
    model, keeper = compiled(), Backup(folder, steps=3, run={"seed": 1})
    keeper.restore(model)

    def full(file, **values):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(backup.np, "savez", full)
        with pytest.raises(OSError, match="the disk is full: no backup of step 12; that of step 9 is whole") as caught:
            train(model, keeper)
    assert caught.value.errno == errno.ENOSPC
    assert names(folder) == ["step_000000006.npz", "step_000000009.npz"]
    assert Backup(folder, steps=3, run={"seed": 1}).restore(compiled()) == 9


def test_without_a_folder_it_only_counts():
    keeper = Backup(None, steps=3)
    assert keeper.restore(compiled()) == 0
    train(compiled(), keeper, epochs=2)
    assert keeper.step == 6


def test_keras_own_backup_repeats_the_epoch(tmp_path):
    """Why there is a `Backup` beside Keras' `BackupAndRestore`; once this fails, there need not be."""

    def run(*callbacks):
        model, x = compiled(), np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
        keeper = keras.callbacks.BackupAndRestore(tmp_path, save_freq=1)
        model.fit(x, x[:, :3], batch_size=4, epochs=2, callbacks=[keeper, *callbacks], verbose=0)
        return int(keras.ops.convert_to_numpy(model.optimizer.iterations))

    def pull_the_plug(batch, logs):
        pulled.append(batch)
        if len(pulled) == 5:  # the second of three steps of the second epoch
            raise KeyboardInterrupt

    pulled = []
    with pytest.raises(KeyboardInterrupt):
        run(keras.callbacks.LambdaCallback(on_train_batch_end=pull_the_plug))
    assert run() > 6  # the undisturbed run's steps
