"""Backups: whole or not at all, the newest that can be read, never that of another run."""

import errno
import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.errors import DamagedData
from focal_utils.training import Backup, Best, augment_signs, backup, facts, save


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
    model = compiled()
    keeper = Backup(folder, steps=3, run={"seed": 1})
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
    model = compiled()
    keeper = Backup(kept[0], steps=3, every=1, run={"seed": 1})
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
    model = compiled()
    keeper = Backup(folder, steps=3, run={"seed": 1})
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
        model = compiled()
        x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
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


def test_no_flipped_bit_goes_unseen(kept):
    """Whichever bit of the newest backup flips: it is restored as it was, or the one before is."""
    folder, weights = kept
    newest = folder / "step_000000009.npz"
    content = newest.read_bytes()
    model = compiled()
    Backup(folder, steps=3, run={"seed": 1}).restore(model)
    rng = np.random.default_rng(0)
    places = {*rng.integers(0, len(content), 250).tolist(), *range(0, 120), *range(len(content) - 120, len(content))}
    fell_back = 0
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        newest.write_bytes(damaged)
        step = Backup(folder, steps=3, run={"seed": 1}).restore(model)
        whole = step == 9 and all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
        assert whole or step == 6, f"byte {place}"
        fell_back += step == 6
    assert fell_back > 100


def test_arrays_that_changed_places_are_noticed(kept):
    newest = kept[0] / "step_000000009.npz"
    with np.load(newest) as file:
        arrays = {name: file[name] for name in file.files}
    changes = ({"0": arrays["0"].T.copy()}, {"step": np.array(8)}, {"0": arrays["0"].astype("float64")})
    for change in changes:
        np.savez(newest, **{**arrays, **change})
        with pytest.raises(DamagedData, match="its checksum is not that of what it holds"):
            backup.read(newest)
    del arrays["checksum"]
    np.savez(newest, **arrays)
    assert Backup(kept[0], steps=3, run={"seed": 1}).restore(compiled()) == 6


def focal(**more):
    keras.utils.set_random_seed(0)
    options = {"embed_dim": 8, "depths": (1,), "focal_levels": 1, "preprocessing": "per_image"}
    return fu.FocalNet((16, 16, 3), 3, **{**options, **more})


def noise(seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (32, 16, 16, 3)).astype("uint8")
    labels = np.arange(32) % 3
    return fu.ImageSet("noise", "own split", ("a", "b", "c"), images, labels, images[:8], labels[:8])


OTHERS = {
    "modulate": (lambda: focal(modulate="add"), {}, "network.config.modulate=None, this one has .*modulate=add"),
    "gating": (lambda: focal(gating="softmax"), {}, "network.config.gating"),
    "global_context": (lambda: focal(global_context=False, focal_levels=2), {}, "network.config.focal_levels|global"),
    "drop_path": (lambda: focal(drop_path_rate=0.5), {}, "network.config.drop_path_rate=0.0, this one has"),
    "precision": (lambda: focal(dtype="mixed_bfloat16"), {}, "network.config.dtype"),
    "images": (focal, {"data": noise(1)}, "of a run with data="),
    "labels": (focal, {"data": noise().exchange("train", noise().x_train, [0] * 32)}, "of a run with data="),
    "augment": (focal, {"augment": augment_signs}, "augment=None, this one has augment=augment_signs"),
    "strength": (
        focal,
        {"augment": functools.partial(augment_signs, light=0.9)},
        "augment=None, this one has None|augment",
    ),
    "smoothing": (focal, {"label_smoothing": 0.2}, "label_smoothing=0.05, this one has label_smoothing=0.2"),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    fu.train(focal(), noise(), 1, 16, backup=folder)
    return folder


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_does_not_go_on_from_another_network_or_other_data(other, begun):
    make, changes, reason = OTHERS[other]
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match=reason):
        fu.train(model, **{"data": noise(), "epochs": 1, "batch_size": 16, "backup": begun, **changes})
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_the_same_network_under_another_name_goes_on(begun):
    assert not fu.train(focal(name="again"), noise(), 1, 16, backup=begun).history


def branched(joined=True):
    images = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(4, 3, padding="same")(images)
    second = keras.layers.Conv2D(4, 3, padding="same")(images)
    both = keras.layers.Add()([first, second if joined else first])
    more = [] if joined else [second]
    return keras.Model(images, [keras.layers.Dense(2)(both), *more])


def test_what_keras_numbers_anew_does_not_make_another_network():
    assert facts.blueprint(compiled()) == facts.blueprint(compiled())
    assert facts.blueprint(branched()) == facts.blueprint(branched())
    assert facts.blueprint(branched()) != facts.blueprint(branched(joined=False))
    assert facts.blueprint(compiled(3)) != facts.blueprint(compiled(4))
    assert facts.blueprint(focal()) != facts.blueprint(focal(modulate="add"))


def test_an_augmentation_is_known_by_name_and_arguments():
    strong = functools.partial(augment_signs, light=0.6)
    names = [facts.named(function) for function in (None, augment_signs, strong, functools.partial(strong, light=0.7))]
    assert names[0] is None and names[1] == "augment_signs" and len({str(name) for name in names}) == 4


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("at", ["find_room", "save_weights", "replace"])
def test_where_the_disk_is_full_the_older_weights_stay(at, tmp_path, monkeypatch):
    best = tmp_path / "best.weights.h5"
    model = focal()
    save(model, best)
    before = best.read_bytes()
    with monkeypatch.context() as patch:
        if at == "find_room":
            patch.setattr(backup, "find_room", full)
        elif at == "save_weights":
            patch.setattr(model, "save_weights", full)
        else:
            patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="the disk is full: .*best.weights.h5 was not written") as caught:
            fu.train(model, noise(), 1, 16, best=best)
    assert caught.value.errno == errno.ENOSPC
    assert best.read_bytes() == before and os.listdir(tmp_path) == ["best.weights.h5"]
    focal().load_weights(best)


ON_A_FULL_DISK = """
import os, sys
import keras
from test_backup import focal, noise
import focal_utils as fu
from focal_utils.training import save
keras.Model.run_eagerly = property(lambda model: True, lambda model, value: None)  # the fixture "untraced"
folder, *lefts = sys.argv[1:]
best = os.path.join(folder, "best.weights.h5")
other = os.path.join(folder, "other")
for left in lefts:
    save(focal(), best)
    before = open(best, "rb").read()
    space = os.statvfs(folder)
    with open(other, "wb") as file:
        file.write(bytes(space.f_bavail * space.f_bsize - int(left)))
    for _ in range(3):
        try:
            fu.train(focal(), noise(), 1, 16, best=best)
        except OSError as error:
            print("told:", error)
    assert open(best, "rb").read() == before
    os.remove(other)
fu.train(focal(), noise(), 1, 16, best=best)
focal().load_weights(best)
print("alive")
"""


@pytest.mark.slow
def test_a_full_disk_does_not_end_the_process(tmp_path):
    """On a disk of 3 MB, where Keras' own `save_weights` ends it with a segmentation fault."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: that takes Linux and root")
    bytes_left = ("0", "8192", "100000")
    try:
        done = subprocess.run(
            [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path), *bytes_left],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), os.path.dirname(__file__)]),
            },
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("told: [Errno 28] the disk is full") == 3 * len(bytes_left) and done.stdout.endswith(
        "alive\n"
    )


@pytest.mark.parametrize(("reached", "kept_epochs"), [(None, [0, 2]), (0.6, [2]), (0.9, [])])
def test_only_a_better_epoch_is_kept(reached, kept_epochs, tmp_path):
    model = focal()
    best = Best(tmp_path / "new" / "best.weights.h5", reached)
    best.set_model(model)
    written = []
    for epoch, accuracy in enumerate((0.5, 0.5, 0.75, 0.625)):
        model.get_layer("head").bias.assign(np.full(3, epoch))
        best.on_epoch_end(epoch, {"val_accuracy": accuracy})
        if best.path.exists():
            again = focal()
            again.load_weights(best.path)
            written.append(int(again.get_layer("head").get_weights()[1][0]))
    assert list(dict.fromkeys(written)) == kept_epochs


def test_a_whole_model_is_saved_the_same_way(tmp_path):
    model = focal()
    save(model, tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), again.get_weights(), strict=True))
