"""The recipes of the shipped networks, and the tools that train and test by them, on small rendered data."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest

import evaluate
import focal_utils as fu
import train
from focal_utils.tracing import map_geometry
from parts import recipes
from parts.cards import classifier_rows, table
from parts.files import write_text
from parts.networks import resnet18, stock_focalnet


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The sign recipe cut down to a minute's work in folders of its own; the data."""
    data = fu.render_signs(400, classes=(14, 12, 38), seed=0)
    recipe = dataclasses.replace(
        recipes.RECIPES["gtsrb"],
        load=lambda: data,
        network={"embed_dim": 8, "depths": (1, 1), "focal_levels": 1, "patch_size": 4, "preprocessing": "per_image"},
        epochs=2,
        batch_size=64,
        enrich=lambda data: data,
        seeds=(0, 1),
        choose="augmented_validation_accuracy",
    )
    for folder in ("weights", "results"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    monkeypatch.setitem(recipes.RECIPES, "gtsrb", recipe)
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    for tool in (train, evaluate):
        monkeypatch.setattr(tool, "RESULTS", tmp_path / "data" / "results")
    monkeypatch.setattr(train, "ROOT", tmp_path)
    return data


@pytest.mark.slow
def test_seeds_are_trained_shipped_and_tested(small, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "gtsrb"])
    train.main()
    runs = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("data/cache/runs/*/*/facts.json"))]
    assert [run["seed"] for run in runs] == [0, 1] and all(run["seconds"] >= 0 for run in runs)
    shipped = json.loads((tmp_path / "data" / "results" / "gtsrb.json").read_text())
    assert shipped["augmented_validation_accuracy"] == max(run["augmented_validation_accuracy"] for run in runs)
    model = keras.saving.load_model(tmp_path / "data" / "weights" / "gtsrb.keras", compile=False)
    assert fu.accuracy(model, small.x_val, small.y_val) == pytest.approx(shipped["validation_accuracy"], abs=1e-5)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/cache/runs/*/*/*")}
    train.main()  # what is done is not trained again
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/cache/runs/*/*/*")}

    policy = keras.config.dtype_policy()
    try:
        flags = "--precision=mixed_bfloat16 --optimizer=muon --accumulate=2 --ema=0.9 --xla=off --backup-every=3"
        monkeypatch.setattr("sys.argv", ["train.py", "gtsrb", "--keep=best", *flags.split()])
        train.main()  # another training: in a folder of its own, and nothing is shipped
    finally:
        keras.config.set_dtype_policy(policy)
    changed = "mixed_bfloat16_optimizer-muon_accumulate-2_ema-0.9_jit-False_keep-best"
    other = tmp_path / f"data/cache/runs/gtsrb_focalnet_{changed}/seed_0"
    assert json.loads((other / "facts.json").read_text())["precision"] == "mixed_bfloat16"
    assert not (other / "backup").exists()
    assert shipped == json.loads((tmp_path / "data" / "results" / "gtsrb.json").read_text())

    monkeypatch.setattr(fu, "load_trained", lambda name: model)
    evaluate.evaluate_shipped("gtsrb", small)
    evaluate.evaluate_runs("gtsrb", small)
    facts = json.loads((tmp_path / "data" / "results" / "gtsrb.json").read_text())
    report = json.loads((tmp_path / "data" / "results" / "gtsrb_runs.json").read_text())
    found = [run["test_accuracy"] for run in report["runs"]]
    assert facts["test_accuracy"] in found and report["summary"]["focalnet"]["runs"] == 2
    assert set(report["summary"]) == {"focalnet", other.parent.name.removeprefix("gtsrb_")}
    assert report["runs"][-1]["keep"] == "best" and all(
        run[f"validation_{run['keep']}_epoch"] == pytest.approx(run["validation_accuracy"], abs=1e-4)
        for run in report["runs"][:2]
    )
    assert report["summary"]["focalnet"]["mean"] == pytest.approx(np.mean(found[:2]), abs=1e-5)
    card = table("gtsrb", classifier_rows("gtsrb", facts, report, None))
    assert f"(2 seeds, {facts['parameters']:,} parameters)" in card and f"{100 * facts['test_accuracy']:.2f} %" in card


def test_what_was_tested_before_is_not_forgotten(small, tmp_path, monkeypatch):
    results = tmp_path / "data" / "results"
    for seed, tested in ((0, []), (1, [0.25]), (1, [0.25])):
        monkeypatch.setattr("sys.argv", ["train.py", "gtsrb", "--seeds", str(seed)])
        train.main()
        earlier = results / "gtsrb_tried.json"
        rows = json.loads(earlier.read_text()) if earlier.exists() else []
        assert [row["test_accuracy"] for row in rows] == tested
        facts = json.loads((results / "gtsrb.json").read_text())
        write_text(results / "gtsrb.json", json.dumps(facts | {"test_accuracy": 0.25 + seed / 4}))
    assert json.loads((results / "gtsrb.json").read_text())["seed"] == 1


def test_views_are_of_the_same_images():
    images = np.random.default_rng(0).integers(0, 255, (2, 6, 6, 3), dtype="uint8")
    for recipe in recipes.RECIPES.values():
        views = recipe.views(images)
        assert all(view.shape == images.shape for view in views) and np.array_equal(views[0], images)
        assert len({view.tobytes() for view in views}) == len(views)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_networks_stay_within_a_million_parameters(name):
    shapes = {
        "gtsrb": ((32, 32, 3), 43),
        "bloodcells": ((28, 28, 3), 8),
        "breastmnist": ((28, 28, 1), 2),
        "cifar10": ((32, 32, 3), 10),
    }
    assert fu.FocalNet(*shapes[name], **recipes.RECIPES[name].network).count_params() <= 1_000_000


def test_the_network_with_four_stages_reads_every_pixel_and_is_as_large():
    data = types.SimpleNamespace(image_shape=(32, 32, 3), num_classes=43)
    own, finer = (recipes.NETWORKS[name]("gtsrb", data) for name in ("focalnet", "four-stages"))
    strides = [[place.stride for place in map_geometry(model).values()] for model in (own, finer)]
    assert strides == [[2, 4, 4, 4, 8, 8], [1, 2, 4, 4, 4, 8, 8]]
    assert finer.count_params() == pytest.approx(own.count_params(), rel=0.02)
    with pytest.raises(ValueError, match="bloodcells has patches of 1 pixels, not 2"):
        recipes.NETWORKS["four-stages"]("bloodcells", data)


def test_peers_are_what_they_say():
    trained = sum(np.prod(weight.shape) for weight in resnet18((28, 28, 3), 8).trainable_weights)
    assert trained == 11_173_962 - 2 * 513  # ResNet-18 with this stem for ten classes, less two of them
    network = {"embed_dim": 8, "depths": (1, 2), "focal_levels": (2, 1), "patch_size": 2}
    ours = fu.FocalNet((16, 16, 3), 5, **network)
    stock = stock_focalnet((16, 16, 3), 5, **network)
    assert ours.count_params() == stock.count_params()
