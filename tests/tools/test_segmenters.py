"""The recipe of the shipped segmenter, and what is written of its tests."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from focal_utils.training import targets
from focal_utils.weights import compress
from parts.cards import segmenter_rows, table
from parts.segmenters import (
    SEGMENTERS,
    by_kind,
    chosen_separation,
    figures,
    focal_segmenter,
    without_new_options,
)

SCORES = {
    "dice": np.array([0.9, 0.8, 0.4]),
    "average_precision": np.array([[1.0] * 10, [0.5] * 5 + [0.0] * 5, [0.0] * 10]),
    "true": np.array([3, 2, 1]),
    "found": np.array([3, 3, 0]),
}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_the_network_is_small_enough_to_ship(name):
    assert focal_segmenter(name).count_params() <= 1_240_000  # 4 bytes each, in a file of at most 5 MB


def test_figures_are_means_over_pictures():
    assert figures(SCORES) == {"dice": 0.7, "average_precision_50": 0.5, "average_precision_mean": 0.4167}


def test_kinds_are_told_apart():
    dark = np.full((4, 4, 3), 9, "uint8")
    found = by_kind(SCORES, [dark, dark, np.full((4, 4, 3), 250, "uint8")])
    assert found["fluorescence"] == {
        "pictures": 2,
        "dice": 0.85,
        "average_precision_50": 0.75,
        "average_precision_mean": 0.625,
    }
    assert found["brightfield"]["dice"] == 0.4 and "stained" not in found


def test_the_card_tells_the_figures():
    facts = {
        "parameters": 1_196_117,
        "pictures": {"train": 4, "validation": 2, "test": 3},
        "data": "mended",
        "epochs": 10,
        "seed": 0,
        "seconds": 120,
        "machine": "2 cores",
        "versions": {"keras": "3.15.1"},
        "date": "2026-01-01",
        "commit": "abc",
        "validation": {"dice": 0.91, "average_precision_50": 0.82},
        "test": {
            **figures(SCORES),
            "dice_interval": [0.6, 0.8],
            "average_precision_50_interval": [0.4, 0.6],
            "by_kind": {"stained": {"pictures": 3, **figures(SCORES)}},
        },
        "test_command": "python tools/evaluate.py nuclei",
    }
    card = table("nuclei", segmenter_rows("nuclei", facts))
    for text in (
        "1,196,117",
        "Dice 0.700 (95 % interval 0.600 to 0.800)",
        "AP at 0.5 0.500",
        "stained (3): Dice 0.700",
    ):
        assert text in card


def test_validation_chooses_how_nuclei_are_told_apart():
    true = np.zeros((40, 60), int)
    true[5:25, 5:25] = 1
    true[5:25, 30:50] = 2
    share = np.clip(targets(true) / 255, 0.01, 0.99)
    logits = np.log(share / (1 - share))
    rows, columns = np.indices(true.shape) % 6 < 3
    logits[..., 1] += np.where(rows & columns, 3.0, -3.0)
    data = SimpleNamespace(x_val=[true], y_val=[true])
    found = chosen_separation(SEGMENTERS["nuclei"], lambda picture, training: logits[None], data)
    assert found["smooth"] > 0 and found["validation"]["average_precision_50"] == 1
    tried = {(row["prominence"], row["smooth"]): row["average_precision_50"] for row in found["validation_tried"]}
    assert len(tried) == len(SEGMENTERS["nuclei"].prominences) * len(SEGMENTERS["nuclei"].smooths)
    assert tried[found["prominence"], found["smooth"]] == 1 and min(tried.values()) < 1


def test_a_compressed_network_is_smaller_and_the_same(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights", bytes(10_000))
        file.writestr("config", b"{}")
    size = path.stat().st_size
    small = tmp_path / "small.zip"
    compress(path, small)
    with zipfile.ZipFile(small) as file:
        assert file.read("weights") == bytes(10_000) and file.read("config") == b"{}"
    assert small.stat().st_size < size / 10


def test_new_options_that_nobody_has_set_are_left_out(tmp_path):
    path = tmp_path / "net.keras"
    small = tmp_path / "small.keras"
    config = {"layers": [{"config": {"seed": None, "input_axes": None, "output_axes": [0]}}], "input_axes": None}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", b"numbers")
    compress(path, small, {"config.json": without_new_options})
    with zipfile.ZipFile(small) as file:
        assert json.loads(file.read("config.json")) == {"layers": [{"config": {"seed": None, "output_axes": [0]}}]}
        assert file.read("model.weights.h5") == b"numbers"
