"""The training recipe: it learns, it logs, it keeps the best, and a run that was interrupted goes on."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils import training


@pytest.fixture(scope="module")
def signs():
    return fu.render_signs(640, classes=(14, 12, 38), seed=0)


def network():
    keras.utils.set_random_seed(0)
    options = {"embed_dim": 12, "depths": (1, 1), "focal_levels": 1, "patch_size": 2, "use_conv_embed": True}
    return fu.FocalNet((32, 32, 3), 43, preprocessing="per_image", **options)


def rows(log):
    with open(log, newline="") as file:
        return list(csv.DictReader(file))


def test_the_rate_warms_up_and_goes_down_to_zero():
    schedule = training.warmup_cosine(100, 0.01)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in (0, 10, 55, 100)]
    assert rates == pytest.approx([0.0005, 0.01, 0.005, 0], abs=1e-5)


@pytest.mark.parametrize(
    ("backend", "devices", "jit"),
    [
        ("tensorflow", [], False),
        ("torch", [], False),
        ("jax", [], "auto"),
        ("tensorflow", ["gpu:0"], "auto"),
    ],
)
def test_xla_is_on_where_it_helps(backend, devices, jit, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(training, "accelerators", lambda: devices)
    assert training.jit_here() == jit


def test_only_kernels_decay():
    model = training.compile_model(network(), 10)
    decays = [model.optimizer._use_weight_decay(variable) for variable in model.trainable_variables]
    assert decays == [len(variable.shape) > 1 for variable in model.trainable_variables]


def test_it_learns_logs_and_keeps_the_best(signs, tmp_path, capsys):
    log, best = tmp_path / "log.csv", tmp_path / "best.weights.h5"
    history = fu.train(network(), signs, 6, 32, augment=None, log=log, best=best, learning_rate=5e-3, ema=0.9).history
    accuracies = [float(row["val_accuracy"]) for row in rows(log)]
    assert accuracies == pytest.approx(history["val_accuracy"]) and max(accuracies) > 0.7
    kept = network()
    kept.load_weights(best)
    assert fu.accuracy(kept, signs.x_val, signs.y_val) == pytest.approx(max(accuracies), abs=1e-6)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and "images/s" in lines[0] and "0.0 min left" in lines[-1]


def test_an_interrupted_run_goes_on_and_keeps_what_was_best(signs, tmp_path, monkeypatch):
    arguments = {"augment": None, "log": tmp_path / "log.csv", "best": tmp_path / "best.weights.h5"}
    arguments |= {"backup": tmp_path / "backup", "learning_rate": 1e-2, "ema": 0.9}
    end = training.Progress.on_epoch_end

    def pulled_plug(self, epoch, logs=None):
        end(self, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Progress, "on_epoch_end", pulled_plug)
        fu.train(network(), signs, 5, 32, **arguments)
    before = rows(arguments["log"])
    assert [row["epoch"] for row in before] == ["0", "1"]
    history = fu.train(network(), signs, 5, 32, **arguments)
    assert history.epoch == [3, 4]  # the third epoch was whole when the plug was pulled
    accuracies = [float(row["val_accuracy"]) for row in rows(arguments["log"])]
    assert len(accuracies) == 4
    kept = network()
    kept.load_weights(arguments["best"])
    assert fu.accuracy(kept, signs.x_val, signs.y_val) == pytest.approx(max(accuracies), abs=1e-6)
    plain = fu.train(network(), signs, 5, 32, augment=None, learning_rate=1e-2, ema=0.9)
    assert history.history["val_accuracy"][-1] == pytest.approx(plain.history["val_accuracy"][-1], abs=0.25)


def test_a_worse_epoch_after_an_interruption_does_not_replace_a_better_one(tmp_path):
    log = tmp_path / "log.csv"
    assert training.best_logged(None) is None and training.best_logged(log) is None
    log.write_text("epoch,val_accuracy\n")
    assert training.best_logged(log) is None
    log.write_text("epoch,val_accuracy\n0,0.5\n1,0.75\n2,0.625\n")
    assert training.best_logged(log) == 0.75


def test_what_cannot_be_trained_is_refused(signs):
    with pytest.raises(ValueError, match="lower batch_size"):
        fu.train(network(), signs, 1, 10_000)
    with pytest.raises(ValueError, match="set classes=43"):
        fu.train(fu.FocalNet((32, 32, 3), 5, embed_dim=4, depths=(1,)), signs, 1)


def test_predictions_do_not_depend_on_the_batch(signs):
    model = network()
    images = signs.x_test[:10]
    assert np.allclose(fu.predict(model, images, 3), fu.predict(model, images), atol=1e-5)
    few = dataclasses.replace(signs, x_test=images)
    assert fu.accuracy(model, few.x_test, signs.y_test[:10]) == np.mean(
        fu.predict(model, images).argmax(-1) == signs.y_test[:10]
    )


def test_the_nearest_neighbour_ignores_light():
    images = np.stack([fu.render_sign(label, seed=1) for label in (14, 12, 17)])
    dimmed = (images * 0.5).astype("uint8")
    assert training.nearest_neighbour(images, np.array([14, 12, 17]), dimmed).tolist() == [14, 12, 17]
