"""The studies compare what they say: equal sizes, one argument at a time; an interrupted study goes on."""

import json
from itertools import product

import pytest

import focal_utils as fu
import run_study
from parts.studies import ABLATIONS, COMPARISON, PLAIN, STUDIES


@pytest.mark.parametrize(("shape", "classes"), [((32, 32, 3), 43), ((28, 28, 3), 8)])
def test_the_compared_networks_are_of_equal_size(shape, classes):
    networks = {name: fu.FocalNet(shape, classes, **arguments) for name, arguments in COMPARISON.items()}
    parameters = [model.count_params() for name, model in networks.items() if "operations" not in name]
    assert len(parameters) == 4 and max(parameters) / min(parameters) < 1.015
    macs = {name: fu.count_macs(model) for name, model in networks.items()}
    assert macs["FocalNet"] / macs["Swin"] == pytest.approx(1, abs=0.035)
    assert macs["isotropic FocalNet"] / macs["ViT of equal operations"] == pytest.approx(1, abs=0.035)


def test_an_ablation_is_one_argument():
    assert all(len(change) == 1 for name, change in ABLATIONS.items() if name != "the paper's")
    for change in ABLATIONS.values():
        assert fu.FocalNet((32, 32, 3), 43, **PLAIN | change).count_params() > 80_000


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_results_are_complete_and_of_this_study(name):
    facts = json.loads((run_study.ROOT / "data" / "results" / f"{name}.json").read_text())
    study = STUDIES[name]
    assert facts["complete"] and facts["command"] == f"python tools/run_study.py {name}"
    assert facts["networks"] == json.loads(json.dumps(study.networks))
    wanted = set(product(study.networks, study.courses, study.seeds))
    assert {(run["network"], run["course"], run["seed"]) for run in facts["runs"]} == wanted
    assert all(run["learning_rate"] in study.learning_rates for run in facts["runs"])


@pytest.mark.parametrize(
    ("accuracies", "rate"),
    [((0.5, 0.9, 0.7), 2), ((0.88, 0.9, 0.7), 1), ((0.5, 0.88, 0.9), 2), ((0.5, 0.6, 0.9), 4), ((0.0, 0.0, 0.0), 1)],
)
def test_of_rates_that_are_as_good_the_smallest_is_taken(accuracies, rate):
    tried = [
        {"learning_rate": r, "validation_accuracy": a, "validation_images": 200}
        for r, a in zip((1, 2, 4), accuracies, strict=True)
    ]
    assert run_study.chosen_rate(tried) == rate


def test_finished_runs_are_kept_and_a_failure_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(run_study, "ROOT", tmp_path)
    pool = run_study.Pool("ablations", workers=2)
    done = []
    good = ("the paper's", "bloodcells", 0.004, 0, True)
    bad = ("nobody", "bloodcells", 0.004, 0, True)
    facts = {"network": good[0], "course": "bloodcells", "learning_rate": 0.004, "seed": 0, "seconds": 1}
    pool.path(good).write_text(json.dumps(facts | {"validation_accuracy": 0.5}))
    pool.run([good], done.append)
    assert done == [] and pool.facts(good)["seconds"] == 1
    with pytest.raises(RuntimeError, match="(?s)nobody.*failed.*KeyError"):
        pool.run([good, bad], done.append)
    assert done == [] and pool.facts(bad) is None
