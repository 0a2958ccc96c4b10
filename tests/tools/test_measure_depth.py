"""Stacks of the article's layers: how many of the runs have learned; the shipped measurement is whole."""

import itertools
import json

import measure_depth
from parts.files import RESULTS


def row(way, loss, depth=12):
    return {"way": way, "depth": depth, "loss": loss}


def test_a_stack_has_learned_whose_loss_is_well_below_chance():
    rows = [row("block", 2.4), row("block", 3.7), row("bare", 3.6), row("network", 2.0, depth=3)]
    told = {(entry["way"], entry["depth"]): entry for entry in measure_depth.summary(rows, chance=3.61)}
    assert told["block", 12]["learned"] == 1 and told["block", 12]["runs"] == 2
    assert (told["block", 12]["lowest"], told["block", 12]["median"], told["block", 12]["highest"]) == (2.4, 3.05, 3.7)
    assert told["bare", 12]["learned"] == 0
    assert told["network", 3]["learned"] == 1
    assert told["network", 12] == {
        "way": "network",
        "depth": 12,
        "runs": 0,
        "learned": 0,
        "lowest": None,
        "median": None,
        "highest": None,
    }


def test_shipped_measurement():
    report = json.loads((RESULTS / "article_depth.json").read_text())
    assert report["complete"] and report["machine"] and report["date"]
    cases = {(row["way"], row["depth"], row["seed"], row["arithmetic"]) for row in report["runs"]}
    product = itertools.product(measure_depth.STACKS, measure_depth.SEEDS, measure_depth.ARITHMETICS)
    wanted = {(*stack, seed, arithmetic) for stack, seed, arithmetic in product}
    assert cases == wanted and len(report["runs"]) == len(wanted)
    assert report["summary"] == measure_depth.summary(report["runs"], report["chance"])
