"""The search for the largest image ends where it should; the shipped measurements are there and say what they are."""

import json
from itertools import product
from types import SimpleNamespace

import pytest

import measure_mixers


@pytest.mark.parametrize(
    ("limit", "start", "expected"), [(1000, 64, 992), (1000, 992, 992), (95, 256, 64), (64, 64, 64), (20, 64, None)]
)
def test_the_largest_side_that_fits_is_found(limit, start, expected, monkeypatch):
    asked = []

    def fits(name, side, gigabytes):
        asked.append(side)
        return side <= limit

    monkeypatch.setattr(measure_mixers, "fits", fits)
    assert measure_mixers.largest("a network", 2, start) == expected
    assert len(asked) == len(set(asked)) and all(side % measure_mixers.STEP == 0 for side in asked)


def test_the_search_starts_where_memory_should_reach_the_limit(monkeypatch):
    def row(name, side, rounds, save):
        return SimpleNamespace(process_bytes=6e8 + 3000 * side**2 + 0.01 * side**4)

    monkeypatch.setattr(measure_mixers, "training_row", row)
    for side, gigabytes in zip(measure_mixers.expected_sides("a network"), measure_mixers.LIMITS, strict=True):
        below, above = (row("", s, 1, None).process_bytes for s in (side - measure_mixers.STEP, side + 1))
        assert below <= gigabytes * 1e9 <= above


def test_shipped_measurements():
    for part in measure_mixers.PARTS:
        report = json.loads(measure_mixers.path(part).read_text())
        assert report["command"].startswith("python tools/measure_mixers.py") and report["machine"] and report["date"]
        assert all(row["seconds"] or row["note"] or part == "largest" for row in report["rows"])
    rows = json.loads(measure_mixers.path("sizes").read_text())["rows"]
    found = {(row["name"], row["input_shape"][0], row["training"]) for row in rows if row["backend"] == "tensorflow"}
    assert found == set(product(measure_mixers.MIXERS, measure_mixers.SIDES, (False, True)))
