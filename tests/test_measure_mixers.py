"""The search for the largest image ends where it should; the shipped measurements are there and say what they are."""

import json

import pytest

import measure_mixers


@pytest.mark.parametrize(("limit", "start", "expected"), [(1000, 64, 992), (64, 64, 64), (95, 64, 64), (40, 64, None)])
def test_the_largest_side_that_fits_is_found(limit, start, expected, monkeypatch):
    asked = []

    def fits(name, side, gigabytes):
        asked.append(side)
        return side <= limit

    monkeypatch.setattr(measure_mixers, "fits", fits)
    assert measure_mixers.largest("a network", 2, start) == expected
    assert all(side % measure_mixers.STEP == 0 for side in asked) and len(asked) < 16


def test_shipped_measurements():
    for part in measure_mixers.PARTS:
        report = json.loads(measure_mixers.path(part).read_text())
        assert report["command"].startswith("python tools/measure_mixers.py") and report["machine"] and report["date"]
        assert all(row["seconds"] or row["note"] or part == "largest" for row in report["rows"])
    rows = json.loads(measure_mixers.path("sizes").read_text())["rows"]
    found = {(row["name"], row["input_shape"][0], row["training"]) for row in rows if row["backend"] == "tensorflow"}
    wanted = {(n, side, t) for n in measure_mixers.MIXERS for side in measure_mixers.SIDES for t in (False, True)}
    assert found == wanted
