"""Fine-tuning: what is frozen stays, what is chosen is kept, the command writes all that it says, or nothing."""

import csv
import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils import __main__ as command
from focal_utils.training import augment_photographs, batch_that_fits, started
from focal_utils.training.finetuning import LowestLoss, phases
from parts.files import ROOT


@pytest.fixture(scope="module")
def data(own_pictures):
    return fu.load_folder(own_pictures, size=32)


def small(**changes):
    arguments = {"embed_dim": 8, "depths": (1, 1, 1), "patch_size": 2, "preprocessing": "imagenet"}
    return fu.FocalNet((32, 32, 3), 7, **{**arguments, **changes})


@pytest.mark.slow
def test_a_folder_is_learned_from_the_sign_network(data):
    tuned = fu.finetune(data, "gtsrb", epochs=8, head_epochs=4)
    right, total = tuned.accuracies["test"]
    assert right / total > 0.8  # a third is chance
    assert [row["open_stages"] for row in tuned.log] == sorted(row["open_stages"] for row in tuned.log)
    assert tuned.chosen == int(np.argmin([row["val_loss"] for row in tuned.log]))
    assert tuned.model.class_names == list(data.class_names)
    assert round(fu.accuracy(tuned.model, data.x_test, data.y_test) * total) == right
    assert f"test: {right} of {total} pictures right" in str(tuned) and "95 % interval" in str(tuned)
    assert all(layer.trainable for layer in tuned.model.layers) and not tuned.model.compiled


def test_the_first_phase_trains_the_classifier_alone(data, monkeypatch):
    seen = []

    def train(model, data, epochs, batch_size, augment, seed, callbacks, learning_rate, layer_rates):
        trained = sorted({weight.path.split("/")[0] for weight in model.trainable_weights})
        seen.append((trained, epochs, learning_rate, layer_rates))
        (keeper,) = callbacks
        keeper.set_model(model)
        keeper.on_train_begin()
        keeper.on_epoch_end(0, {"val_loss": 1.0, "loss": 1.0})

    monkeypatch.setattr("focal_utils.training.finetuning.train", train)
    fu.finetune(data, small(), epochs=7, head_epochs=2, learning_rate=1e-3, head_rate=5e-3, decay=0.5)
    (head, *first), (everything, *last) = seen
    assert head == ["head", "norm"] and first == [2, 5e-3, None]
    assert "stem" in everything and last[:2] == [7, 1e-3]
    assert last[2]["stage2_block0"] == 0.5 and last[2]["stem"] == 0.125


def test_stages_are_freed_one_by_one():
    assert phases(small(), 9, 2, True) == [(3, 2), (2, 3), (1, 3), (0, 3)]
    assert phases(small(), 9, 0, False) == [(0, 9)]
    assert phases(small(), 1, 0, True) == [(2, 1), (1, 1), (0, 1)]


def test_weights_of_the_lowest_loss_are_kept_over_all_phases_and_a_phase_ends():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    keeper = LowestLoss(patience=2)
    keeper.set_model(model)
    stopped = []
    for losses in ((3.0, 1.0), (2.0, 2.5, 2.2, 0.5)):
        keeper.on_train_begin()
        model.stop_training = False
        for loss in losses:
            model.set_weights([np.full((1, 1), loss), np.zeros(1)])
            if not model.stop_training:
                keeper.on_epoch_end(0, {"val_loss": loss})
        stopped.append(model.stop_training)
    assert stopped == [False, True] and keeper.chosen == 1 and len(keeper.log) == 5
    assert keeper.weights[0] == 1.0


def test_all_but_the_classifier_is_taken_over(data):
    source = small()
    model = started(source, data)
    for layer in source.layers:
        same = [np.array_equal(*pair) for pair in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(),
                                                      strict=True) if pair[0].shape == pair[1].shape]  # fmt: skip
        assert all(same) or layer.name == "head"
    assert model.get_layer("head").units == 3 and model.class_names == list(data.class_names)
    assert source.class_names is None and source.get_layer("head").units == 7
    pooled = started(fu.FocalNet((32, 32, 3), 7, include_top=False, embed_dim=4, depths=(1,), pooling="max"), data)
    assert pooled.output_shape == (None, 3)
    grey = fu.ImageSet("grey", "own split", data.class_names, data.x_train[..., :1], data.y_train)
    assert started(source, grey).input_shape == (None, 32, 32, 1)


@pytest.mark.parametrize("images", [4, 5, 17, 31, 61, 84, 99, 1000])
def test_the_batch_leaves_few_out(images):
    size = batch_that_fits(images)
    assert 4 <= size <= 32 and images % size <= 0.1 * images


def test_what_cannot_be_fine_tuned_is_said(data):
    alone = fu.ImageSet("alone", "own split", data.class_names, data.x_train, data.y_train)
    with pytest.raises(ValueError, match="alone has no validation images"):
        fu.finetune(alone, "gtsrb")
    with pytest.raises(TypeError, match="takes an ImageSet, not ndarray: fu.load_folder"):
        fu.finetune(data.x_train)
    with pytest.raises(ValueError, match="go up to 0.98.*: give them from 0 to 255"):
        shares = {f"x_{part}": getattr(data, f"x_{part}") / np.float32(255) for part in data.parts}
        fu.finetune(fu.ImageSet("shares", "own split", data.class_names, y_train=data.y_train, y_val=data.y_val,
                                y_test=data.y_test, **shares))  # fmt: skip
    with pytest.raises(ValueError, match="start='nobody' is not known.*tiny_srf.*gtsrb"):
        fu.finetune(data, "nobody")
    with pytest.raises(ValueError, match="nuclei is no classifier"):
        fu.finetune(data, "nuclei")
    with pytest.raises(TypeError, match="start is a int"):
        fu.finetune(data, 3)
    with pytest.raises(ValueError, match="decay=0"):
        fu.finetune(data, "gtsrb", decay=0)
    with pytest.raises(ValueError, match="too few to learn from"):
        batch_that_fits(3)


def test_published_weights_that_cannot_be_fetched_are_said(data, monkeypatch, tmp_path):
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path))
    with pytest.raises(fu.DataNotFound, match="could not be fetched"):
        fu.finetune(data)


def test_photographs_are_changed_the_same_way_by_the_same_seed():
    images = np.random.default_rng(0).integers(0, 255, (16, 24, 40, 3), dtype="uint8")
    changed = [np.asarray(augment_photographs(images, (seed, 7))) for seed in (1, 1, 2)]
    assert np.array_equal(changed[0], changed[1]) and not np.array_equal(changed[0], changed[2])
    assert changed[0].shape == images.shape and changed[0].min() >= 0 and changed[0].max() <= 255


def test_only_what_may_be_mirrored_is():
    ramp = np.tile(np.linspace(20, 200, 40, dtype="float32")[:, None], (64, 40, 1, 3))
    plain = partial(augment_photographs, geometry=0.0, light=0.0, colour=0.0)

    def falling(mirror):
        changed = np.asarray(plain(ramp, (0, 0), mirror=mirror))
        return np.mean(changed[:, 0, 0, 0] > changed[:, 0, -1, 0])

    assert 0.3 < falling(True) < 0.7 and falling(False) == 0


@pytest.mark.slow
def test_the_command_writes_all_that_it_says(own_pictures, tmp_path, capsys):
    target = tmp_path / "new" / "fruit"
    arguments = f"finetune {own_pictures} --to {target} --start gtsrb --size 32 --epochs 1 --head-epochs 1"
    assert command.main([*arguments.split(), "--export", "litert", "savedmodel"]) == 0
    written = {path.name for path in target.iterdir()}
    assert written == {"network.keras", "network.tflite", "network", "explorer.html", "report.txt", "log.csv"}
    network = keras.saving.load_model(target / "network.keras")
    assert network.class_names == ["apples", "leaves", "plums"]
    report = (target / "report.txt").read_text()
    assert report.split("Skipped:")[1].count("plums/") == 5  # of one file, its copy is named too
    assert "plums/empty.png: it is empty" in report and "pictures right" in report
    with open(target / "log.csv", newline="") as file:
        assert [row["phase"] for row in csv.DictReader(file)] == ["1", "2"]
    assert "leaves" in (target / "explorer.html").read_text()
    assert "12 files skipped" in capsys.readouterr().out
    assert "is there already. It was not touched" in command.main(arguments.split())


def test_the_command_says_what_is_wrong_and_leaves_nothing(tmp_path):
    said = command.main(["finetune", str(tmp_path / "nowhere")])
    assert "There is no folder" in said and list(tmp_path.iterdir()) == []


def run(*arguments):
    script = "import runpy, sys; sys.argv = ['-m', *sys.argv[1:]]\n"
    script += "try:\n    runpy.run_module('focal_utils', run_name='__main__', alter_sys=True)\n"
    script += "finally:\n    print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.mark.parametrize("arguments", [["--help"], ["finetune", "--help"]])
def test_help_is_given_at_once(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m focal_utils")
    assert not {"keras", "tensorflow", "numpy"} & set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments", ["finetune x --epochs 0", "finetune x --size 4", "finetune x --export pdf", "finetune", "train x"]
)
def test_wrong_arguments_are_refused_at_once(arguments):
    done = run(*arguments.split())
    assert done.returncode == 2 and "usage:" in done.stderr and "tensorflow" not in done.stderr.split()


def test_the_package_is_whole_when_it_is_run_as_a_command():
    script = "import sys; sys.argv = ['-m']; import focal_utils as fu; print(fu.FocalNet.__name__, fu.layers.__name__)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split() == ["FocalNet", "focal_utils.layers"], done.stderr
