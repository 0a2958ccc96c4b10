"""The exercises of notebook 06: right answers are accepted, each wrong one gets its own message. And no GTSRB image is
committed: the page was executed without the data.
"""

import re

import nbformat
import numpy as np
import pytest

from focal_utils.exercises import verdict
from parts.files import ROOT
from tests.package.exercise_pages import mistakes_told_apart

NOTEBOOK = ROOT / "notebooks" / "06_train_traffic_signs.ipynb"
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)


def cells():
    return nbformat.read(NOTEBOOK, as_version=4).cells


def solutions():
    """The names that the notebook's solutions define."""
    names = {"np": np}
    for cell in cells():
        if cell.cell_type == "markdown":
            for code in SOLUTION.findall(cell.source):
                exec(code, names)
    return names


def test_no_photograph_of_gtsrb_is_committed():
    """Its images may not be passed on, so the committed outputs must come from a run on rendered signs."""
    outputs = [out.get("text", "") for cell in cells() if cell.cell_type == "code" for out in cell.outputs]
    assert any("this page runs on rendered signs" in text for text in outputs)
    assert not any("GTSRB (official)" in text for text in outputs)


@pytest.mark.parametrize(("exercise", "name"), [("6.1 split by track", "my_split"), ("6.2 mirrored", "my_pairs")])
def test_the_solution_on_the_page_is_accepted(exercise, name):
    solved, message = verdict(exercise, solutions()[name])
    assert solved, message


@pytest.mark.parametrize("pairs", [{20: 19, 34: 33, 37: 36, 39: 38}, {(38, 39), (36, 37), (33, 34), (19, 20)}])
def test_pairs_in_any_order_are_accepted(pairs):
    assert verdict("6.2 mirrored", pairs)[0]


def held(labels, tracks, share, per_class=True, count=round, at_least=0):
    """A split by track with things to get wrong."""
    groups = [np.unique(tracks[labels == label]) for label in np.unique(labels)] if per_class else [np.unique(tracks)]
    chosen = [group[: max(at_least, count(share * len(group)))] for group in groups]
    return np.isin(tracks, np.concatenate(chosen))


def uneven(labels, tracks, share):
    chosen = [np.unique(tracks[labels == label])[:n] for label, n in enumerate((2, 4, 3, 3, 3))]
    return np.isin(tracks, np.concatenate(chosen))


def one_class_only(labels, tracks, share):
    return np.isin(tracks, np.unique(tracks[labels == 2])[:6])


def whole_classes(labels, tracks, share):
    return held(labels, tracks, share) | (labels == 1)


WRONG = {
    "6.1 split by track": {
        "is there a `return`": lambda labels, tracks, share: None,
        "stopped with TypeError": lambda labels: labels,
        "A function is needed": 3,
        "for each image": lambda labels, tracks, share: np.flatnonzero(held(labels, tracks, share)),
        "True or false is needed": lambda labels, tracks, share: held(labels, tracks, share).astype(int),
        "on both sides": lambda labels, tracks, share: np.random.default_rng(0).random(len(labels)) < share,
        "no validation image": one_class_only,
        "no training image": whole_classes,
        "Three quarters": lambda labels, tracks, share: ~held(labels, tracks, share),
        "was asked for": lambda labels, tracks, share: held(labels, tracks, 0.1),
        "yours give": uneven,
        "All of the images": lambda labels, tracks, share: np.ones(len(labels), bool),
        "None of the images": lambda labels, tracks, share: np.zeros(len(labels), bool),
    },
    "6.2 mirrored": {
        "put your answer": None,
        "A list of pairs": [33, 34],
        "two class numbers": [(33, 34, 36)],
        "There is no class 43": [(42, 43)],
        "stays what it is": [(13, 13)],
        "no mirror image among": [(19, 20), (23, 24)],
        "with another class": [(33, 36)],
        "not mirror images": [(13, 14)],
        "red triangles": [(33, 34), (38, 39)],
        "blue discs": [(19, 20), (33, 34), (38, 39)],
    },
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
