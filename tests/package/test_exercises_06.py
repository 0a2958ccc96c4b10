"""The exercises of notebook 06: right answers are accepted, each wrong one gets its own message. And no GTSRB image is
committed: the page was executed without the data.
"""

import re

import keras
import nbformat
import numpy as np
import pytest

from focal_utils.exercises import verdict
from focal_utils.exercises.pictures import unseen_signs
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
                if "fu.train(" not in code:  # that of 6.3 takes a minute or two
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


def network(inputs=(32, 32, 3), outputs=43, weights=0, says=None):
    """An untrained answer to 6.3; `says` makes the logits of the images."""
    images = keras.Input(inputs)
    pixels = keras.layers.Flatten()(images)
    logits = says(pixels) if says else keras.layers.Dense(outputs)(pixels)
    spare = keras.layers.Dense(weights, use_bias=False)(pixels[:, :1000]) if weights else None
    return keras.Model(images, logits if spare is None else [logits, spare][0] + 0 * keras.ops.sum(spare))


class Knows(keras.Layer):
    """Says the right class of a share of the signs that it has been shown, by their pixels."""

    def __init__(self, images, labels, share):
        super().__init__()
        known = images.reshape(len(images), -1).astype("float32")
        said = np.where(np.arange(len(labels)) < share * len(labels), labels, (labels + 1) % 43)
        self.known = known / np.linalg.norm(known, axis=1, keepdims=True)
        self.table = np.eye(43, dtype="float32")[said]

    def call(self, pixels):
        length = keras.ops.norm(keras.ops.cast(pixels, "float32"), axis=-1, keepdims=True)
        alike = keras.ops.matmul(pixels / length, self.known.T)  # (B, N): 1 for the sign itself
        return keras.ops.matmul(keras.ops.softmax(1e5 * alike), self.table)

    def compute_output_shape(self, shape):
        return (shape[0], 43)


def knowing(share):
    images, labels = unseen_signs()
    return network(says=Knows(images, labels, share))


def test_a_network_that_reads_new_signs_is_solved():
    solved, message = verdict("6.3 the same seconds", knowing(0.97))
    assert solved and "by 0 weights" in message, message


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
    "6.3 the same seconds": {
        "put your answer": None,
        "A trained Keras model is wanted": lambda: None,
        "It reads pictures of shape": network(inputs=(28, 28, 3)),
        "one number for each": network(outputs=10),
        "at most 200,000": network(weights=100),
        "to every sign": network(
            says=lambda pixels: keras.layers.Dense(43, "relu", kernel_initializer="zeros")(pixels)
        ),
        "is guessing": knowing(0.05),
        "are wanted": knowing(0.7),
    },
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
