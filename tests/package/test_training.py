"""The training recipe: it learns, it logs, it keeps the best, and a run that was interrupted goes on."""

import csv
import dataclasses

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils import machine, training
from focal_utils.training import augment_signs, optimizers


@pytest.fixture(scope="module")
def signs():
    return fu.render_signs(640, classes=(14, 12, 38), seed=0)


def network(**more):
    keras.utils.set_random_seed(0)
    options = {"embed_dim": 12, "depths": (1, 1), "focal_levels": 1, "patch_size": 2, "use_conv_embed": True}
    return fu.FocalNet((32, 32, 3), 43, preprocessing="per_image", **options, **more)


def rows(log):
    with open(log, newline="") as file:
        return list(csv.DictReader(file))


def test_the_rate_warms_up_and_goes_down_to_zero():
    schedule = optimizers.warmup_cosine(100, 0.01)
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
    monkeypatch.setattr(machine, "accelerators", lambda: devices)
    assert machine.jit_here() == jit


@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
def test_only_kernels_decay(optimizer):
    model = training.compile_model(network(), 10, optimizer=optimizer)
    decays = [model.optimizer._use_weight_decay(variable) for variable in model.trainable_variables]
    assert decays == [len(variable.shape) > 1 for variable in model.trainable_variables]


@pytest.mark.usefixtures("untraced")
def test_muon_turns_matrices_evenly_and_leaves_the_rest_to_adamw(signs, monkeypatch):
    monkeypatch.setattr(optimizers, "warmup_cosine", lambda steps, rate: rate)
    model = training.compile_model(network(), 10, optimizer="muon", learning_rate=0.03, weight_decay=0.0)
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    model.train_on_batch(signs.x_train[:32].astype("float32"), np.eye(43, dtype="float32")[signs.y_train[:32]])
    moved = {v.path: keras.ops.convert_to_numpy(v) - before[v.path] for v in model.trainable_variables}
    matrices = [path for path, step in moved.items() if step.ndim == 2 and "head" not in path]
    assert len(matrices) == 10  # f, h, proj, fc1 and fc2 of two blocks
    for path in matrices:
        lengths = np.linalg.svd(moved[path], compute_uv=False) / (0.03 * 0.2 * max(moved[path].shape) ** 0.5)
        assert np.median(lengths) > 0.5 and lengths.max() < 1.3, path
    for path in ("stem/proj/kernel", "head/kernel"):  # the first step of Adam is the rate itself, up or down
        assert np.median(np.abs(moved[path])) == pytest.approx(0.01, rel=0.01), path


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="choose one of 'adamw', 'muon'"):
        training.compile_model(network(), 10, optimizer="sgd")


@pytest.mark.slow
def test_it_learns_logs_and_keeps_the_best(signs, tmp_path, capsys):
    log = tmp_path / "log.csv"
    best = tmp_path / "best.weights.h5"
    history = fu.train(network(), signs, 6, 32, augment=None, log=log, best=best, learning_rate=5e-3, ema=0.9).history
    accuracies = [float(row["val_accuracy"]) for row in rows(log)]
    assert accuracies == pytest.approx(history["val_accuracy"]) and max(accuracies) > 0.7
    kept = network()
    kept.load_weights(best)
    assert fu.accuracy(kept, signs.x_val, signs.y_val) == pytest.approx(max(accuracies), abs=1e-6)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and "images/s" in lines[0] and "0.0 min left" in lines[-1]


class PulledPlug(keras.callbacks.Callback):
    """Ends a run at one step, as a power cut does."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
def test_an_interrupted_run_ends_where_an_undisturbed_one_does(optimizer, signs, tmp_path, request):
    if optimizer == "muon":  # its steps are long to trace, and those of the other are traced
        request.getfixturevalue("untraced")
    few = dataclasses.replace(signs, x_train=signs.x_train[:160], y_train=signs.y_train[:160])
    options = {"augment": augment_signs, "optimizer": optimizer, "learning_rate": 1e-2, "ema": 0.9}

    def run(name, *callbacks):
        model = network(drop_path_rate=0.2)
        place = tmp_path / name
        paths = {"log": place / "log.csv", "best": place / "best.weights.h5", "backup": place / "backup"}
        place.mkdir(exist_ok=True)
        history = fu.train(model, few, 3, 32, backup_every=2, callbacks=callbacks, **paths, **options).history
        logged = [{k: v for k, v in row.items() if k != "seconds"} for row in rows(paths["log"])]
        return model.get_weights(), logged, history

    weights, logged, history = run("undisturbed")
    assert len(logged) == 3
    for step in (1, 8, 4):  # within the first epoch, within the second, and at the end of the third
        with pytest.raises(KeyboardInterrupt):
            run("killed", PulledPlug(step))
    again, logged_again, _ = run("killed")
    for one, other in zip(weights, again, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-6)
    for one, other in zip(logged, logged_again, strict=True):
        assert {k: float(v) for k, v in one.items()} == pytest.approx({k: float(v) for k, v in other.items()}, abs=1e-5)
    ready, rows_ready, nothing = run("killed")  # all epochs are done: the weights are there at once
    assert not nothing and rows_ready == logged_again
    assert all(np.array_equal(one, other) for one, other in zip(again, ready, strict=True))


@pytest.mark.usefixtures("untraced")
def test_a_callback_that_stops_the_training_stops_it(signs, tmp_path):
    few = dataclasses.replace(signs, x_train=signs.x_train[:64], y_train=signs.y_train[:64])
    patience = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
    history = fu.train(network(), few, 5, 32, augment=None, backup=tmp_path, callbacks=[patience])
    assert history.epoch == [0, 1]


def test_a_worse_epoch_after_an_interruption_does_not_replace_a_better_one(tmp_path):
    log = tmp_path / "log.csv"
    assert training.best_logged(None) is None and training.best_logged(log) is None
    log.write_text("epoch,val_accuracy\n")
    assert training.best_logged(log) is None
    log.write_text("epoch,val_accuracy\n0,0.5\n1,0.75\n2,0.625\n")
    assert training.best_logged(log) == 0.75


@pytest.mark.usefixtures("untraced")
def test_accumulated_gradients_are_those_of_a_larger_batch(signs, monkeypatch):
    monkeypatch.setattr(optimizers, "warmup_cosine", lambda steps, rate: rate)
    x, y = signs.x_train[:64].astype("float32"), np.eye(43, dtype="float32")[signs.y_train[:64]]
    start = network().get_weights()

    def moved(model):
        return np.concatenate([(a - b).ravel() for a, b in zip(model.get_weights(), start, strict=True)])

    whole = training.compile_model(network(), 10)
    parts = training.compile_model(network(), 10, accumulate=2)
    whole.train_on_batch(x, y)
    parts.train_on_batch(x[:32], y[:32])
    assert not moved(parts).any()
    parts.train_on_batch(x[32:], y[32:])
    one = moved(whole)
    other = moved(parts)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
    assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(other), rel=1e-3)


def test_the_loss_is_scaled_where_layers_compute_in_float16(signs):
    few = dataclasses.replace(signs, x_train=signs.x_train[:64], y_train=signs.y_train[:64])
    model = network(dtype="mixed_float16")
    history = fu.train(model, few, 2, 32, augment=None, learning_rate=5e-3, ema=0.9).history
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert np.isfinite(history["loss"]).all() and history["loss"][1] < history["loss"][0]
    plain = training.compile_model(network(dtype="mixed_bfloat16"), 10)
    assert not isinstance(plain.optimizer, keras.optimizers.LossScaleOptimizer)


def test_what_cannot_be_trained_is_refused(signs):
    with pytest.raises(ValueError, match="lower batch_size"):
        fu.train(network(), signs, 1, 10_000)
    with pytest.raises(ValueError, match="set classes=43"):
        fu.train(fu.FocalNet((32, 32, 3), 5, embed_dim=4, depths=(1,)), signs, 1)


def test_predictions_do_not_depend_on_the_batch(signs):
    model = network()
    images = signs.x_test[:10]
    assert np.allclose(fu.predict(model, images, 3), fu.predict(model, images), atol=1e-5)
    few = dataclasses.replace(signs, x_test=images, y_test=signs.y_test[:10])
    assert fu.accuracy(model, few.x_test, signs.y_test[:10]) == np.mean(
        fu.predict(model, images).argmax(-1) == signs.y_test[:10]
    )


def test_the_nearest_neighbour_ignores_light():
    images = np.stack([fu.render_sign(label, seed=1) for label in (14, 12, 17)])
    dimmed = (images * 0.5).astype("uint8")
    assert training.nearest_neighbour(images, np.array([14, 12, 17]), dimmed).tolist() == [14, 12, 17]
