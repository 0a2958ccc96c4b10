"""The shipped networks are small, have been tested, and say today what they said when they were."""

import json

import numpy as np
import pytest

import focal_utils as fu
from parts.recipes import RECIPES

WEIGHTS, RESULTS = fu.data_folder() / "weights", fu.data_folder() / "results"
NAMES = fu.load_trained()


def recorded(name):
    """Labels and predictions of a network on its test images, as tools/evaluate.py wrote them."""
    test = np.load(RESULTS / f"{name}_test.npz", allow_pickle=False)
    return test["y_true"], test["y_pred"]


def test_every_recipe_has_shipped_its_network():
    assert set(NAMES) == set(RECIPES)


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
