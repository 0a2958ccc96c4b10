"""The comparison of segmenters, and what training takes on large pictures: what is run next, and what is told."""

import numpy as np
import pytest

import compare_segmenters as compare
import measure_large as large
from focal_utils.training import average_precision
from parts.compared import FIXED, NETWORKS, AnySize, OtsuAndWatershed
from parts.segmenters import MIXERS
from parts.series import Series


def row(network, precision=0.5, **more):
    """A finished run, as far as the choice and the summary read it."""
    test = {"dice": 0.9, "average_precision_50": 0.8, "average_precision_mean": precision}
    validation = {"average_precision_mean": precision}
    return compare.case(network, **more) | {"parameters": 9, "validation": validation, "test": test}


@pytest.fixture
def series(tmp_path):
    return Series(tmp_path / "found.json", "classical", "runs")


def test_every_network_comes_first_with_one_seed_and_rate(series):
    assert [case["network"] for case in compare.missing(series)] == list(NETWORKS)
    assert {(case["seed"], case["learning_rate"]) for case in compare.missing(series)} == {(0, compare.RATES[0])}
    first, *others = NETWORKS
    series.add("runs", row(first), told=compare.head)
    assert [case["network"] for case in compare.missing(series)] == others
    above = compare.head(series)
    assert not above["complete"] and list(above["summary"]) == [first]
    assert above["summary"][first]["seeds"] == above["summary"][first]["rates"] == 1
    assert above["summary"][first]["dice"] == {"mean": 0.9, "standard_deviation": None}


def test_validation_chooses_the_rate_that_further_seeds_have(series):
    for rate, precision in zip(compare.RATES, (0.5, 0.7, 0.6), strict=True):
        for network in NETWORKS:
            series.rows["runs"].append(row(network, precision, rate=rate))
    best = compare.RATES[1]
    left = compare.missing(series)
    assert {case["learning_rate"] for case in left} == {best}
    assert [case["seed"] for case in left if case["side"] == compare.SIDE] == [1] * 5 + [2] * 5
    assert {case["network"] for case in left if case["side"] != compare.SIDE} == {compare.FOCAL}
    series.rows["runs"] += [row(case["network"], 0.7, **renamed(case)) for case in left]
    series.rows["classical"].append({})
    above = compare.head(series)
    assert above["complete"] and above["summary"]["U-Net"]["seeds"] == 3


def renamed(case):
    return {"rate": case["learning_rate"], "seed": case["seed"], "side": case["side"]}


def test_the_networks_are_of_one_size():
    sizes = [build((192, 192, 3)).count_params() for build in NETWORKS.values()]
    assert max(sizes) <= 1.04 * min(sizes)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_comparison_reads_pictures_of_any_size(name):
    network = NETWORKS[name]((128, 128, 3) if name in FIXED else (None, None, 3))
    picture = np.random.default_rng(0).integers(0, 255, (1, 150, 131, 3)).astype("float32")
    logits = np.asarray(AnySize(name, network, 128)(picture))
    assert logits.shape == (1, 150, 131, 2) and np.isfinite(logits).all()
    square = picture[:, :128, :128]
    np.testing.assert_allclose(AnySize(name, network, 128)(square), network(square), atol=1e-4)


@pytest.mark.parametrize("bright", [True, False])
def test_the_classical_method_finds_discs(bright):
    rows, columns = np.mgrid[:90, :120]
    true = np.zeros((90, 120), int)
    for number, (row, column) in enumerate([(20, 20), (60, 40), (60, 62), (30, 95)], start=1):
        true[(rows - row) ** 2 + (columns - column) ** 2 <= 12**2] = number
    light = np.where((true > 0) == bright, 200, 40)
    found = OtsuAndWatershed(5).find(np.repeat(light[..., None], 3, axis=2).astype("uint8"))
    assert found.max() == 4 and average_precision(true, found)[:6].tolist() == [1] * 6
    assert OtsuAndWatershed(5).find(np.full((40, 40, 3), 7, "uint8")).max() == 0


def measured(name, height, width, peak, rounds=(1.0, 2.0, 3.0), note=""):
    return {"name": name, "input_shape": [height, width, 3], "peak_bytes": peak, "rounds": list(rounds), "note": note}


def test_what_large_pictures_take_is_summed_up():
    focal, _, attention = MIXERS
    rows = [
        measured(focal, 256, 256, 100),
        measured(focal, 1024, 1024, 1600),
        measured(focal + large.AGAIN, 256, 256, 50, rounds=(1.5, 2.4, 6.0)),
        measured(attention, 256, 256, 100),
        measured(attention, 1024, 1024, None, (), "did not fit in 8.0 GB"),
        measured(attention, 768, 768, None, (), "did not fit in 8.0 GB"),
    ]
    found = large.summary("training", rows)
    assert found[focal]["growth"] == {"power": 1, "from": [256, 256], "to": [1024, 1024]}
    assert found[focal]["growth_recomputing"] is None and found[focal]["first_that_does_not_fit"] is None
    assert found[focal]["recomputing"] == [{"height": 256, "width": 256, "memory": 0.5, "time": 1.5}]
    assert found[attention]["growth"] is None and found[attention]["first_that_does_not_fit"] == [768, 768]
    assert not large.complete("training", rows)
    rows[2]["rounds"] = [1.0]
    assert large.summary("training", rows)[focal]["recomputing"][0]["time"] is None
    names = [mixer + ending for mixer in MIXERS for ending in ("", large.AGAIN)]
    assert large.complete("training", [measured(name, *size, 1) for name in names for size in large.SIZES])


def test_what_an_answer_takes_is_summed_up():
    focal, windows, attention = MIXERS
    rows = [
        measured(focal, 1024, 1024, 1600) | {"seconds": 0.9},
        measured(focal, 256, 256, 100) | {"seconds": 0.1},
        measured(attention, 1024, 1024, None, (), "did not fit in 8.0 GB") | {"seconds": None},
    ]
    found = large.summary("forward", rows)
    assert found[focal]["answering"] == [
        {"height": 256, "width": 256, "seconds": 0.1, "peak_bytes": 100},
        {"height": 1024, "width": 1024, "seconds": 0.9, "peak_bytes": 1600},
    ]
    assert found[attention] == {"growth": None, "first_that_does_not_fit": [1024, 1024], "answering": []}
    assert "recomputing" not in found[windows] and not large.complete("forward", rows)
    assert large.complete("forward", [measured(mixer, *size, 1) for mixer in MIXERS for size in large.SIZES])
