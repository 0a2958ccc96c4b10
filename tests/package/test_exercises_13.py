"""The exercises of notebook 13: the folded solutions are right, each wrong answer gets its own message."""

import keras
import numpy as np
import pytest
from keras.layers import DepthwiseConv2D

import focal_utils as fu
from focal_utils.exercises import nb13, verdict
from tests.package.exercise_pages import mistakes_told_apart, solution

PAGE = "13_relatives.ipynb"


@pytest.mark.parametrize("exercise", ["13.1 an equal block", "13.2 wide and cheap"])
def test_the_folded_solution_is_right(exercise):
    solved, said = verdict(exercise, solution(PAGE, exercise, np=np, keras=keras))
    assert solved and " Next: " in said, said


def test_other_wide_mixers_are_right_too():
    def stacked(dim):
        return keras.Sequential(
            [DepthwiseConv2D(3, padding="same"), DepthwiseConv2D(3, padding="same", dilation_rate=2)]
        )

    def pooled(dim):
        return keras.layers.AveragePooling2D(9, 1, "same")

    for answer in (stacked, pooled):
        solved, said = verdict("13.2 wide and cheap", answer)
        assert solved, said


def mixer(*layers):
    return lambda dim: keras.Sequential([make() for make in layers])


def conv(size, **options):
    return lambda: DepthwiseConv2D(size, padding="same", **options)


class Everywhere(keras.layers.Layer):
    """The mean of the whole map, at every pixel."""

    def call(self, x):
        return 0 * x + keras.ops.mean(x, axis=(1, 2), keepdims=True)


class Blind(keras.layers.Layer):
    def call(self, x):
        return 0 * x


WRONG = {
    "13.1 an equal block": {
        "put your answer": None,
        "is there a `return`": lambda mixer, wanted, dim: None,
        "One number is wanted": lambda mixer, wanted, dim: [mixer, wanted],
        "The biases are missing": lambda mixer, wanted, dim: (wanted - mixer) / (2 * dim**2),
        "the second layer has C biases": lambda mixer, wanted, dim: (wanted - mixer) / (2 * dim**2 + dim),
        "take it off first": lambda mixer, wanted, dim: (wanted - dim) / (2 * dim**2 + dim),
        "two dense layers": lambda mixer, wanted, dim: (wanted - mixer) / dim**2,
        "yours says 4": lambda mixer, wanted, dim: 4,
        "is rounded": lambda mixer, wanted, dim: round((wanted - mixer - dim) / (2 * dim**2 + dim)),
    },
    "13.2 wide and cheap": {
        "put your answer": None,
        "give its name alone": DepthwiseConv2D(7),
        "is there a `return`": lambda dim: None,
        "a Keras layer is wanted": lambda dim: 7,
        "keeps the shape": lambda dim: DepthwiseConv2D((7, 1)),
        "does the layer look at its input": lambda dim: Blind(),
        "global level": lambda dim: Everywhere(),
        "It sees 3 pixels high": mixer(conv(3)),
        "It sees 1 pixels high and 7 wide": mixer(conv((1, 7))),
        "It has 400 weights": mixer(conv(7)),
        "It has holes: of the 49 pixels nearest to the middle one it sees 9": mixer(conv(3, dilation_rate=3)),
    },
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)


# ---- the open task


@pytest.fixture(scope="module")
def untrained():
    keras.utils.set_random_seed(0)
    return fu.FocalNet((32, 32, 3), 43, embed_dim=8, depths=(1, 1), preprocessing="per_image")


@pytest.fixture(scope="module")
def another(untrained):
    return keras.models.clone_model(untrained)


def test_what_is_no_pair_of_networks_is_said(untrained, another):
    wider = fu.FocalNet((32, 32, 3), 43, embed_dim=16, depths=(1, 1))
    few = fu.FocalNet((32, 32, 3), 5, embed_dim=8, depths=(1, 1))
    wrong = {
        "put your answer": ...,
        "A dictionary with two": untrained,
        "is a float": {"before": 0.4, "after": 0.6},
        "signs have (32, 32, 3)": {"before": few, "after": few},
        "the same network": {"before": untrained, "after": untrained},
        "They differ in size": {"before": untrained, "after": wider},
        "train it longer": {"before": untrained, "after": another},
    }
    for message, answer in wrong.items():
        solved, said = verdict("13.3 noise", answer)
        assert not solved and message in said, said


@pytest.mark.parametrize(
    ("clean", "noisy", "message"),
    [
        ((0.8, 0.8), (0.4, 0.45), "Let it meet noise"),
        ((0.8, 0.7), (0.4, 0.6), "stay clean"),
        ((0.8, 0.79), (0.4, 0.6), "Noisy signs: 40.0% before, 60.0% after"),
    ],
)
def test_gains_and_losses_are_told(untrained, another, monkeypatch, clean, noisy, message):
    """The judge asks for the accuracies on clean signs first, then on noisy ones."""
    found = iter([*clean, *noisy])
    monkeypatch.setattr(nb13, "accuracy", lambda *_: next(found))
    assert message in verdict("13.3 noise", {"before": untrained, "after": another})[1]
