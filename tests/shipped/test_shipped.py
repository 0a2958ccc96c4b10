"""The shipped networks are small, have been tested, and say today what they said when they were."""

import json
import zipfile

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.training import PROMINENCE, SMOOTH
from parts.recipes import RECIPES
from parts.segmenters import NEW_OPTIONS, SEGMENTERS, figures

WEIGHTS = fu.data_folder() / "weights"
RESULTS = fu.data_folder() / "results"
SHIPPED = fu.load_trained()
NAMES = [name for name in SHIPPED if name in RECIPES]


def recorded(name):
    """Labels and predictions of a network on its test images, as tools/evaluate.py wrote them."""
    test = np.load(RESULTS / f"{name}_test.npz", allow_pickle=False)
    return test["y_true"], test["y_pred"]


UNTRAINED = {"cifar10"}  # its images are fetched by Keras, and were not to be had where the others were trained


def test_every_recipe_has_shipped_its_network():
    assert set(NAMES) | UNTRAINED == set(RECIPES)
    assert set(SHIPPED) <= set(RECIPES) | set(SEGMENTERS)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_its_accuracy_is_the_recorded_one(name):
    facts = json.loads((RESULTS / f"{name}.json").read_text())
    y_true, y_pred = recorded(name)
    assert facts["test_accuracy"] == pytest.approx(np.mean(y_true == y_pred), abs=1e-5)
    assert len(y_true) == facts["test_images"]
    assert facts["test_interval"][0] < facts["test_accuracy"] < facts["test_interval"][1]
    assert fu.load_trained(name).count_params() == facts["parameters"] <= 1_000_000
    assert (WEIGHTS / f"{name}.keras").stat().st_size <= 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_said(name, monkeypatch):
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    try:
        data = RECIPES[name].load()
    except fu.DataNotFound:
        pytest.skip(f"the images of {name} are not on this machine")
    y_true, y_pred = recorded(name)
    assert np.array_equal(data.y_test, y_true)
    some = slice(None, None, max(1, len(y_true) // 300))
    assert np.mean(fu.predict(fu.load_trained(name), data.x_test[some]).argmax(-1) == y_pred[some]) > 0.995


@pytest.mark.parametrize("name", [name for name in SHIPPED if name in SEGMENTERS])
def test_a_segmenter_is_small_and_finds_what_it_found(name):
    facts = json.loads((RESULTS / f"{name}.json").read_text())
    model = fu.load_trained(name)
    assert model.count_params() == facts["parameters"] <= 2_000_000
    assert (WEIGHTS / f"{name}.keras").stat().st_size <= 5_000_000
    test = np.load(RESULTS / f"{name}_test.npz", allow_pickle=False)
    assert figures(test).items() <= facts["test"].items()
    assert (facts["prominence"], facts["smooth"]) == (PROMINENCE, SMOOTH)
    data = fu.load_nuclei(shipped=True)
    rows = {picture: row for row, picture in enumerate(test["ids"].tolist())}
    for picture, labels, number in zip(data.x_test, data.y_test, data.id_test.tolist(), strict=True):
        found = fu.find_nuclei(model, picture)  # whose defaults are what validation has chosen
        assert fu.dice(labels, found) == pytest.approx(test["dice"][rows[number]], abs=0.01)


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.keras")), ids=lambda path: path.stem)
def test_an_older_keras_knows_every_option(path):
    """Keras 3.13, Colab's, refuses what Keras 3.15 writes of its initializers."""
    with zipfile.ZipFile(path) as file:
        config = file.read("config.json").decode()
    assert not [name for name in NEW_OPTIONS if f'"{name}"' in config]
