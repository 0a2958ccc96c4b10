"""The examination of keras.io's example: its design from our layers, verdicts by code, and what is committed."""

import json

import keras
import numpy as np
import pytest

import focal_utils as fu
import measure_keras_io as tool
from parts import keras_io
from parts.files import RESULTS
from parts.recipes import RECIPES, focalnet
from parts.series import Series


def modulations(model):
    return [layer for layer in model.layers if isinstance(layer, fu.FocalModulation)]


def test_the_pages_module_of_2026_sees_one_pixel_and_that_of_2023_seven():
    assert tool.what_it_sees(keras_io.SAID["2026"]) == {"widths_of_levels": [1], "impulse_width": 1, "gates": 2}
    assert tool.what_it_sees(keras_io.SAID["2023"]) == {"widths_of_levels": [3, 7], "impulse_width": 7, "gates": 3}


def test_the_rebuilt_network_is_what_the_page_says():
    said = keras_io.SAID["2026"]
    model = keras_io.network((48, 48, 3), 10)
    found = modulations(model)
    assert [layer.config["dim"] for layer in found] == [64] * 2 + [128] * 3 + [256] * 2
    for layer in found:
        config = layer.get_config()
        assert config["focal_level"] == said["focal_level"] and config["focal_window"] == said["focal_window"]
        assert config["gating"] == said["gating"]
    # One norm a block, one in each of the three embeddings, one at the end.
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.LayerNormalization)]
    assert len(norms) == 7 + 3 + 1


@pytest.mark.parametrize(("name", "switches"), keras_io.SWITCHES.items())
def test_each_switch_changes_what_it_says(name, switches):
    model = keras_io.network((16, 16, 3), 4, embed_dim=8, depths=(1, 1), **switches)
    config = modulations(model)[0].get_config()
    both = name == "all three"
    assert (config["focal_window"] == 3) == (both or "kernels" in name)
    assert (config["gating"] == "linear") == (both or "gates" in name)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.LayerNormalization)]
    assert len(norms) == 3 + 2 * (both or "norm" in name)
    assert model(np.zeros((2, 16, 16, 3))).shape == (2, 4)


def test_seeds_are_compared_with_the_same_seed_of_the_pages_network(tmp_path):
    series = Series(tmp_path / "keras_io.json", *tool.PARTS)
    for seed in range(3):
        for name, accuracy in (("the page's", 0.5 + seed / 10), ("linear gates", 0.51 + seed / 10 + seed / 1000)):
            series.rows["switches"].append({"network": name, "seed": seed, "test_accuracy": accuracy})
    series.rows["switches"].append({"network": "linear gates", "seed": 3, "test_accuracy": 0.1})  # nothing beside it
    found = tool.switch_summary(series)
    gain = found["linear gates"]["gain"]
    assert gain["verdict"] == "shown" and gain["difference"] == 0.011 and gain["seeds"] == 3
    assert found["linear gates"]["seeds"] == 4 and found["all three"]["gain"]["verdict"] == "not shown"
    assert "gain" not in found["the page's"]


def with_boxes(count=60):
    """Rendered signs whose boxes are known: the middle half of each picture."""
    data = fu.render_signs(count * 10, classes=(14, 12), seed=0)
    total = len(data.x_test)
    facts = {"size_test": np.full((total, 2), 64), "roi_test": np.tile([16, 16, 48, 48], (total, 1))}
    return fu.ImageSet(
        "signs",
        "rendered",
        data.class_names,
        data.x_train,
        data.y_train,
        data.x_val,
        data.y_val,
        data.x_test,
        data.y_test,
        **facts,
    )


def test_a_film_is_measured_at_every_epoch(monkeypatch):
    data = with_boxes()
    np.testing.assert_array_equal(tool.boxes_of(data, [0, 1]), [[8, 8, 24, 24]] * 2)  # of 32 pixels
    monkeypatch.setitem(tool.FILM, "epochs", 2)
    row = tool.run_film({"seed": 0}, data)
    assert [at["epoch"] for at in row["epochs"]] == [0, 1, 2]
    assert "validation_accuracy" not in row["epochs"][0] and 0 <= row["epochs"][2]["validation_accuracy"] <= 1
    assert all(at["energy_in_box"] > 0 and at["gate_spread"] > 0 for at in row["epochs"])


def test_energy_in_the_box_is_over_that_of_a_flat_map():
    """Where all pixels are alike, a box has its share and no more."""
    model = fu.FocalNet((16, 16, 3), 4, embed_dim=8, depths=(1,), patch_size=2, focal_levels=0)
    flat = np.full((2, 16, 16, 3), 0.5) + np.random.default_rng(0).normal(size=(2, 1, 1, 3))
    found = tool.look(model, flat, [[2, 2, 9, 9], [0, 0, 16, 8]])
    assert found["energy_in_box"] == pytest.approx(1, abs=1e-3)
    assert found["gate_spread"] == pytest.approx(0, abs=1e-3)


def test_cifar10s_recipe_is_below_a_million_parameters():
    blank = np.zeros((10, 32, 32, 3), "uint8")
    data = fu.ImageSet("blank", "own split", tuple("abcdefghij"), blank, np.arange(10))
    assert focalnet("cifar10", data).count_params() <= 1_000_000
    assert RECIPES["cifar10"].epochs == keras_io.SAID["2026"]["epochs"]


def test_what_is_committed_says_what_is_in():
    report = json.loads((RESULTS / "keras_io.json").read_text())
    assert report["command"].startswith("python tools/measure_keras_io.py") and report["machine"] and report["date"]
    assert {row["version"]: row["impulse_width"] for row in report["design"]} == {"2023": 7, "2026": 1}
    for row in report["design"]:
        assert row["said"] == json.loads(json.dumps(keras_io.SAID[row["version"]]))
    wanted = {(name, seed) for name in keras_io.SWITCHES for seed in tool.SEEDS}
    done = {(row["network"], row["seed"]) for row in report["switches"]}
    assert done <= wanted and report["complete"] == (done == wanted and len(report["films"]) == len(tool.SEEDS))
    series = Series(RESULTS / "keras_io.json", *tool.PARTS, fixed={"course": tool.COURSE, "film": tool.FILM})
    assert series.rows["design"] == report["design"]  # the course is the tool's
    assert tool.switch_summary(series) == report["switches_summary"]
    assert tool.film_summary(series) == report["films_summary"]
