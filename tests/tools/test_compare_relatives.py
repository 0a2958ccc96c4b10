"""The comparison of relatives: networks of one size, rates between others, verdicts by code, spoilt pictures."""

import json

import keras
import pytest

import compare_relatives as tool
import focal_utils as fu
from focal_utils.data import CORRUPTIONS
from parts.files import RESULTS
from parts.series import Series


def empty(tmp_path):
    return Series(tmp_path / "relatives.json", "grid", "runs")


def tried(series, course, network, **accuracies):
    """Put rates into the grid: r4=0.5 is a validation accuracy of 0.5 at 4e-3."""
    for name, accuracy in accuracies.items():
        rate = float(name[1:]) * 1e-3
        row = {"course": course, "network": network, "learning_rate": rate, "validation_accuracy": accuracy}
        series.rows["grid"].append(row)


@pytest.mark.parametrize("shape", [((32, 32, 3), 43), ((28, 28, 3), 8)])
def test_all_have_as_many_parameters_and_operations(shape):
    costs = {}
    for name, arguments in tool.NETWORKS.items():
        rows = fu.layer_costs(fu.FocalNet(*shape, **tool.SHARED, **arguments))
        costs[name] = (sum(row.parameters for row in rows), sum(row.macs for row in rows))
    parameters, macs = costs[tool.FOCAL]
    for name, (own, operations) in costs.items():
        assert own == pytest.approx(parameters, rel=0.02), name
        assert operations == pytest.approx(macs, rel=0.09), name


def test_what_is_weighed_are_networks_that_are_compared():
    assert {name for _, *pair in tool.MADE_OF for name in pair} <= set(tool.NETWORKS)


def test_a_rate_is_chosen_only_between_two_others(tmp_path):
    series = empty(tmp_path)
    assert tool.rates_wanted(series, "signs", "product") == list(tool.FIRST_RATES)
    tried(series, "signs", "product", r2=0.3, r4=0.4, r8=0.5)
    assert tool.rates_wanted(series, "signs", "product") == [16e-3]
    assert tool.chosen_rate(series, "signs", "product") is None
    tried(series, "signs", "product", r16=0.45)
    assert tool.rates_wanted(series, "signs", "product") == []
    assert tool.chosen_rate(series, "signs", "product") == 8e-3
    tried(series, "signs", "pooling", r2=0.5, r4=0.4, r8=0.3)
    assert tool.rates_wanted(series, "signs", "pooling") == [1e-3]
    assert tool.rates_wanted(series, "blood cells", "pooling") == list(tool.FIRST_RATES)


def test_rates_come_first_then_short_runs_then_long_ones_then_the_other_course(tmp_path):
    series = empty(tmp_path)
    assert tool.next_case(series)[0] == "grid" and tool.next_case(series)[1]["course"] == "signs"
    seen = []
    while found := tool.next_case(series):
        kind, case = found
        seen.append((kind, case["course"], case.get("length"), case.get("seed")))
        if kind == "grid":
            series.rows["grid"].append(case | {"validation_accuracy": 0.5 if case["learning_rate"] == 4e-3 else 0.4})
        else:
            series.rows["runs"].append(case | {"test_accuracy": 0.5})
    order = list(dict.fromkeys(seen))
    due = []
    for course in tool.COURSES:
        due.append(("grid", course, None, None))
        due += [("runs", course, length, seed) for length in tool.LENGTHS for seed in tool.SEEDS]
    assert order == due
    assert len(seen) == 2 * 7 * 3 + 2 * 7 * 2 * 5
    assert tool.next_case(series) is None


@pytest.mark.parametrize(
    ("differences", "comparisons", "word"),
    [
        ([0.01, 0.012, 0.011], 1, "shown"),
        ([0.01, 0.012, 0.011], 6, "shown"),
        ([-0.01, -0.012, -0.011], 6, "shown"),
        ([0.01, 0.02, 0.015], 6, "hint"),  # 0.015 ± 0.012, careful ± 0.032
        ([-0.01, -0.02, -0.015], 6, "hint"),
        ([0.01, 0.05, 0.001], 1, "not shown"),
        ([0.01, -0.05, 0.001], 6, "not shown"),
        ([0.01, 0.01], 6, "not shown"),
        ([], 6, "not shown"),
    ],
)
def test_verdicts(differences, comparisons, word):
    found = tool.verdict(differences, comparisons)
    assert found["verdict"] == word and found["seeds"] == len(differences)
    assert ("difference" in found) == (len(differences) > 2)


def test_gains_are_of_the_same_seeds(tmp_path):
    series = empty(tmp_path)
    for seed in range(3):
        for network, accuracy in (("product", 0.6 + seed / 10), ("nothing", 0.5 + seed / 10 + seed / 1000)):
            case = {"course": "signs", "network": network, "length": "long", "seed": seed}
            series.rows["runs"].append(case | {"test_accuracy": accuracy})
    found = tool.gain(series, "signs", "long", "product", "nothing", 6)
    assert found["verdict"] == "shown" and found["difference"] == 0.099
    assert tool.gain(series, "signs", "short", "product", "nothing", 6)["seeds"] == 0


@pytest.fixture(scope="module")
def signs():
    return fu.render_signs(400, classes=(14, 12), seed=0)


def test_a_run_is_trained_tested_and_looked_into(signs, monkeypatch):
    monkeypatch.setitem(tool.LENGTHS, "long", 1)
    case = {"course": "signs", "network": "product", "length": "long", "seed": 0, "learning_rate": 8e-3}
    row = tool.run(case, signs)
    assert row.items() >= case.items() and row["test_interval"][0] <= row["test_accuracy"] <= row["test_interval"][1]
    assert {name: len(shares) for name, shares in row["robustness"].items()} == dict.fromkeys(CORRUPTIONS, 5)
    # No pixel sees another but in its patch: the middle of the last map sees 8 × 8 pixels of the picture.
    assert row["reach"]["outside_its_patch"] == 0 and row["reach"]["side_of_0.95"] <= 8
    rate = tool.try_rate({"course": "signs", "network": "product", "learning_rate": 8e-3}, signs)
    assert 0 <= rate["validation_accuracy"] <= 1


def test_a_large_kernel_sees_further_than_its_patch(signs):
    keras.utils.set_random_seed(0)
    data = signs.take(test=slice(20))
    near = tool.reach(tool.build("signs", "nothing", data), data.x_test)
    far = tool.reach(tool.build("signs", "focal modulation", data), data.x_test)
    assert near["outside_its_patch"] == 0 < far["outside_its_patch"]


def test_what_is_committed_says_what_is_in():
    path = RESULTS / "relatives.json"
    if not path.exists():
        pytest.skip("no run has been committed")
    report = json.loads(path.read_text())
    assert report["command"].startswith("python tools/compare_relatives.py") and report["machine"] and report["date"]
    assert report["networks"] == tool.NETWORKS and report["seeds_wanted"] == len(tool.SEEDS)
    series = Series(path, "grid", "runs")
    assert report["complete"] == (tool.next_case(series) is None)
    assert json.loads(json.dumps(tool.summary(series))) == report["summary"]
    assert json.loads(json.dumps(tool.robustness_summary(series))) == report["robustness_summary"]
