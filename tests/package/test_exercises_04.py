"""The exercises of notebook 04: right answers are accepted, and every mistake gets its own words."""

import keras
import numpy as np
import pytest
from keras import ops

from focal_utils.exercises import verdict
from tests.package.exercise_pages import mistakes_told_apart, solution


def right_block(x, n1, mod, n2, mlp):
    x = x + mod(n1(x))
    return x + mlp(n2(x))


def post_norm(x, n1, mod, n2, mlp):
    x = x + n1(mod(x))
    return x + n2(mlp(x))


def original_transformer(x, n1, mod, n2, mlp):
    x = n1(x + mod(x))
    return n2(x + mlp(x))


def norm_on_the_path(x, n1, mod, n2, mlp):
    x = n1(x)
    x = n2(x + mod(x))
    return x + mlp(x)


def mask(u, rate):
    return ops.cast(u >= rate, "float32")[:, None, None, None]


def right_drop(x, rate, u):
    return x * mask(u, rate) / (1 - rate)


def strict_drop(x, rate, u):
    return x * ops.cast(u > rate, "float32")[:, None, None, None] / (1 - rate)


def dropped_samples_removed(x, rate, u):
    return ops.convert_to_numpy(x)[ops.convert_to_numpy(u) >= rate] / (1 - rate)


RIGHT = {
    "4.1 block": [right_block],
    "4.2 drop path": [right_drop, lambda x, rate, u: ops.where(u[:, None, None, None] >= rate, x / (1 - rate), 0.0)],
    "4.3 drop rates": [lambda rate, depth: [rate * i / max(1, depth - 1) for i in range(depth)]],
}

WRONG = {
    "4.1 block": {
        "returned None": lambda x, n1, mod, n2, mlp: None,
        "stopped with TypeError": lambda x: x,
        "shape (2, 6)": lambda x, n1, mod, n2, mlp: ops.mean(right_block(x, n1, mod, n2, mlp), axis=(1, 2)),
        "a list of 2": lambda x, n1, mod, n2, mlp: [x, mod(n1(x))],
        "plain stack": lambda x, n1, mod, n2, mlp: mlp(n2(mod(n1(x)))),
        "One long branch": lambda x, n1, mod, n2, mlp: x + mlp(n2(mod(n1(x)))),
        "And the MLP?": lambda x, n1, mod, n2, mlp: x + mod(n1(x)),
        "And the modulation": lambda x, n1, mod, n2, mlp: x + mlp(n2(x)),
        "what is it added to?": lambda x, n1, mod, n2, mlp: mlp(n2(x + mod(n1(x)))),
        "first branch alone": lambda x, n1, mod, n2, mlp: x + mod(n1(x)) + mlp(n2(mod(n1(x)))),
        "lost its sum": lambda x, n1, mod, n2, mlp: mod(n1(x)) + mlp(n2(mod(n1(x)))),
        "side by side": lambda x, n1, mod, n2, mlp: x + mod(n1(x)) + mlp(n2(x)),
        "the block's input": lambda x, n1, mod, n2, mlp: x + mlp(n2(x + mod(n1(x)))),
        "Which one is left over": lambda x, n1, mod, n2, mlp: x + mod(n1(x)) + mlp(x + mod(n1(x))),
        "needs one most": lambda x, n1, mod, n2, mlp: x + mod(x) + mlp(n2(x + mod(x))),
        "No norm anywhere": lambda x, n1, mod, n2, mlp: x + mod(x) + mlp(x + mod(x)),
        "norm1 is used twice": lambda x, n1, mod, n2, mlp: right_block(x, n1, mod, n1, mlp),
        "after the branches": post_norm,
        "after the sums": original_transformer,
        "goes through the norm": norm_on_the_path,
        "The MLP comes first": lambda x, n1, mod, n2, mlp: right_block(x, n2, mlp, n1, mod),
        "Two lines: x": lambda x, n1, mod, n2, mlp: 2 * right_block(x, n1, mod, n2, mlp),
    },
    "4.2 drop path": {
        "returned None": lambda x, rate, u: None,
        "stopped with": lambda x, rate: x,
        "Dropped samples stay": dropped_samples_removed,
        "Nothing is dropped": lambda x, rate, u: x,
        "nothing dropped": lambda x, rate, u: x / (1 - rate),
        "What makes up for it": lambda x, rate, u: x * mask(u, rate),
        "Is u < 0 ever": lambda x, rate, u: x * (1 - mask(u, rate)),
        "make up for that": lambda x, rate, u: x * (1 - mask(u, rate)) / rate,
        "The scale is right": lambda x, rate, u: x * (1 - mask(u, rate)) / (1 - rate),
        "with which probability": lambda x, rate, u: x * mask(u, rate) / rate,
        "Multiply or divide": lambda x, rate, u: x * mask(u, rate) * (1 - rate),
        "You drop channels: u": lambda x, rate, u: x * ops.cast(u >= rate, "float32") / (1 - rate),
        "You drop channels, and": lambda x, rate, u: x * ops.cast(u >= rate, "float32"),
        "kept this time": lambda x, rate, u: x * mask(u, rate) / ops.mean(mask(u, rate)),
        "x is added": lambda x, rate, u: x + right_drop(x, rate, u),
        "Neither": lambda x, rate, u: 3 * right_drop(x, rate, u),
        "u ≥ rate?": strict_drop,
    },
    "4.3 drop rates": {
        "returned None": lambda rate, depth: None,
        "8 rates for 7": lambda rate, depth: np.linspace(0, rate, depth + 1),
        "The same rate": lambda rate, depth: [rate] * depth,
        "dropped most": lambda rate, depth: np.linspace(rate, 0, depth),
        "6 steps": lambda rate, depth: np.arange(depth) * rate / depth,
        "starts at 0": lambda rate, depth: np.arange(1, depth + 1) * rate / depth,
        "past 1": lambda rate, depth: rate * np.arange(depth),
        "being kept": lambda rate, depth: 1 - np.linspace(0, rate, depth),
        "Equal steps": lambda rate, depth: np.linspace(0, 1, depth) ** 2 * rate,
        "but not for a network of 1": lambda rate, depth: [rate * i / (depth - 1) for i in range(depth)],
        "1 block has only": lambda rate, depth: [rate] if depth == 1 else np.linspace(0, rate, depth),
    },
}


@pytest.mark.parametrize("exercise", RIGHT)
def test_right_answers_are_accepted(exercise):
    page = solution("04_residual_block.ipynb", exercise, ops=ops, np=np)
    for answer in [page, *RIGHT[exercise]]:
        solved, said = verdict(exercise, answer)
        assert solved, said


CALM = "4.4 without a norm"


def normed(x, branch):
    y = x + branch(x)
    return (y - ops.mean(y, axis=-1, keepdims=True)) / ops.std(y, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, branch: x + 0.2 * branch(x),
        lambda x, branch: x + 0.3 * ops.tanh(branch(x)),
        lambda x, branch: x + 0.3 * branch(ops.tanh(x)),
    ],
)
def test_calm_blocks_are_accepted(answer):
    solved, said = verdict(CALM, answer)
    assert solved and "32 blocks add" in said, said


def test_a_calm_block_that_returns_nothing_is_called_by_its_name():
    def my_calm_block(x, branch): ...

    assert "my_calm_block returned None" in verdict(CALM, my_calm_block)[1]


def test_the_calm_block_on_the_page_is_accepted():
    assert verdict(CALM, solution("04_residual_block.ipynb", CALM))[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "put your answer"),
        (5, "A function is needed"),
        (lambda x, branch: None, "is there a `return`"),
        (lambda x, branch: x[:, :4], "a map like its input"),
        (lambda x, branch: branch(x), "nothing is left of the signal"),
        (lambda x, branch: x + branch(x), "leaves all measure in block"),
        (lambda x, branch: 1.2 * x, "the largest value is"),
        (lambda x, branch: x + 1e-5 * branch(x), "do nothing"),
        (lambda x, branch: x + ops.tanh(branch(x)), "A small change of the input becomes"),
        (normed, "there is a norm in it"),
        (lambda x, branch: x + branch(keras.layers.LayerNormalization()(x)), "a norm before it"),
        (lambda x, branch: x + 0.1 * branch(x / ops.sqrt(ops.mean(x**2, axis=-1, keepdims=True))), "a norm before it"),
        (lambda x, branch: x + 0.2 * keras.layers.LayerNormalization()(branch(x)), "a norm behind it"),
    ],
)
def test_blocks_that_are_not_calm_are_told_why(answer, message):
    solved, said = verdict(CALM, answer)
    assert not solved and message in said, said


test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)


@pytest.mark.parametrize("exercise", WRONG)
def test_no_answer_yet(exercise):
    assert verdict(exercise, None) == verdict(exercise, ...) != verdict(exercise, "text")
    assert "A function is needed" in verdict(exercise, 5)[1]
