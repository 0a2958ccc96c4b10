"""The exercises of notebook 07: right answers are accepted, each wrong one gets its own message."""

import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.exercises import verdict
from parts.files import ROOT
from tests.package.exercise_pages import mistakes_told_apart, solution

NOTEBOOK = "07_gate_maps.ipynb"


SIGN = fu.render_sign(14, seed=1)


def shuffled(gates, rng):
    flat = gates.reshape(len(gates), -1, gates.shape[-1])
    return np.stack([rng.permutation(picture) for picture in flat]).reshape(gates.shape)


def ratio(energy, inside):
    share = (energy * inside).sum(axis=(1, 2)) / energy.sum(axis=(1, 2))
    return share / inside.mean(axis=(1, 2))


@pytest.mark.parametrize(("exercise", "answer"), [("7.1 shuffle", shuffled), ("7.2 ratio", ratio)])
def test_a_right_answer_is_accepted(exercise, answer):
    solved, message = verdict(exercise, answer)
    assert solved, message


@pytest.mark.skipif(not (ROOT / "notebooks" / NOTEBOOK).is_file(), reason="the notebook is not there")
@pytest.mark.parametrize("exercise", ["7.1 shuffle", "7.2 ratio", "7.3 a picture that needs its gates"])
def test_the_solution_on_the_page_is_accepted(exercise):
    solved, message = verdict(exercise, solution(NOTEBOOK, exercise, np=np, fu=fu, ops=ops))
    assert solved, message


def in_place(gates, rng):
    gates[:] = shuffled(gates, rng)
    return gates


def with_repeats(gates, rng):
    flat = gates.reshape(len(gates), -1, gates.shape[-1])
    return flat[:, rng.integers(0, flat.shape[1], flat.shape[1])].reshape(gates.shape)


def one_order(gates, rng):
    flat = gates.reshape(len(gates), -1, gates.shape[-1])
    return flat[:, rng.permutation(flat.shape[1])].reshape(gates.shape)


def whole_lines(gates, rng):
    return np.stack([rng.permutation(picture) for picture in gates])


def halves(energy, inside):
    return ratio(energy, (inside > 0.5).astype(float))


WRONG = {
    "7.1 shuffle": {
        "is there a `return`": lambda gates, rng: None,
        "stopped with TypeError": lambda gates: gates,
        "A function is needed": 3,
        "`np.stack` makes it": lambda gates, rng: list(shuffled(gates, rng)),
        "the shape should stay": lambda gates, rng: shuffled(gates, rng).reshape(4, 30, 3),
        "return a copy": in_place,
        "Nothing has moved": lambda gates, rng: gates,
        "a permutation": with_repeats,
        "one picture to another": lambda gates, rng: rng.permutation(gates.reshape(-1, 3)).reshape(gates.shape),
        "one level to another": lambda gates, rng: np.stack(
            [rng.permutation(picture.ravel()).reshape(5, 6, 3) for picture in gates]
        ),
        "shuffled by itself": lambda gates, rng: rng.permuted(gates.reshape(4, 30, 3), axis=1).reshape(gates.shape),
        "the same order": one_order,
        "whole rows or columns": whole_lines,
    },
    "7.2 ratio": {
        "put your answer": None,
        "for five pictures": lambda energy, inside: (energy * inside).sum() / energy.sum() / inside.mean(),
        "(5,) is wanted": lambda energy, inside: (energy * inside).sum(axis=1) / energy.sum(axis=1),
        "share itself": lambda energy, inside: (energy * inside).sum(axis=(1, 2)) / energy.sum(axis=(1, 2)),
        "Upside down": lambda energy, inside: 1 / ratio(energy, inside),
        "the quotient": lambda energy, inside: (ratio(energy, inside) - 1) * inside.mean(axis=(1, 2)),
        "mean energy in the box": lambda energy, inside: (energy * inside).sum(axis=(1, 2)) / inside.sum(axis=(1, 2)),
        "Chance is a share": lambda energy, inside: ratio(energy, inside) / inside[0].size,
        "taken whole": halves,
        "touches was taken whole": lambda energy, inside: ratio(energy, (inside > 0.0).astype(float)),
        "squared it again": lambda energy, inside: ratio(energy**2, inside),
        "inside with outside": lambda energy, inside: (
            (energy * inside).sum(axis=(1, 2)) / (energy * (1 - inside)).sum(axis=(1, 2))
        ),
        "yours is": lambda energy, inside: ratio(energy**3, inside),
    },
    "7.3 a picture that needs its gates": {
        "put your answer": None,
        "not a function": lambda: SIGN,
        "crop or resize it": SIGN[:20],
        "a picture has 0…255": SIGN - 300.0,
        "multiply by 255": SIGN / 255,
        "All its pixels are alike": np.full((32, 32, 3), 128),
        "nearer to a decision": SIGN,
        "was not sure before": fu.render_sign(0, scale=0.45, seed=3),
    },
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
