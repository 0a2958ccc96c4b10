"""Numbers out of range are refused on the command line; the names to choose from are those of the tables."""

import argparse
import os
import subprocess
import sys

import pytest

from focal_utils.training import OPTIMIZERS
from parts import arguments, recipes, segmenters, studies
from parts.files import ROOT


def test_the_names_to_choose_from_are_those_of_the_tables():
    assert list(arguments.RECIPES) == list(recipes.RECIPES)
    assert list(arguments.SEGMENTERS) == list(segmenters.SEGMENTERS)
    assert list(arguments.NETWORKS) == list(recipes.NETWORKS)
    assert list(arguments.STUDIES) == list(studies.STUDIES)
    assert list(arguments.OPTIMIZERS) == list(OPTIMIZERS)


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        (arguments.at_least(1), "0", "'0': a whole number of at least 1 is needed"),
        (arguments.at_least(1), "2.5", "a whole number of at least 1"),
        (arguments.at_least(0), "-1", "at least 0"),
        (arguments.between(0), "nan", "'nan': a finite number above 0 is needed"),
        (arguments.between(0), "inf", "a finite number above 0"),
        (arguments.between(0, 1), "1", "above 0 and below 1"),
        (arguments.between(0, 1), "much", "above 0 and below 1"),
    ],
)
def test_a_number_out_of_range_is_refused(kind, text, wanted):
    with pytest.raises(argparse.ArgumentTypeError, match=wanted):
        kind(text)


def test_numbers_in_range_are_taken():
    assert [arguments.at_least(1)("1"), arguments.between(0)("2e-3"), arguments.between(0, 1)("0.5")] == [1, 0.002, 0.5]


@pytest.mark.parametrize(
    "command",
    [
        "train.py breastmnist --epochs 0",
        "train.py gtsrb --epochs -3",
        "train.py gtsrb --learning-rate nan",
        "train.py gtsrb --ema 1.5",
        "train.py gtsrb --accumulate 0",
        "train.py gtsrb --seeds -1",
        "run_study.py ablations --workers 0",
        "run_study.py ablations --workers -2",
        "measure_speedups.py --rounds 0",
        "train_distributed.py --steps 0",
        "train_distributed.py --restarts -1",
        "train_distributed.py --batch-size 2.5",
    ],
)
def test_a_tool_refuses_them_before_anything_is_begun(command):
    tool, *options = command.split()
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / tool, *options],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and options[-2] in done.stderr and "is needed" in done.stderr
    assert not done.stdout
