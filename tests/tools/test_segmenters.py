"""The recipe of the shipped segmenter, and what is written of its tests."""

import numpy as np
import pytest

from parts.segmenters import SEGMENTERS, by_kind, figures, focal_segmenter
from write_results import segmenter_card

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
    card = segmenter_card("nuclei", facts)
    for text in (
        "1,196,117",
        "Dice 0.700 (95 % interval 0.600 to 0.800)",
        "AP at 0.5 0.500",
        "stained (3): Dice 0.700",
    ):
        assert text in card
