"""The exercises of notebook 02: right answers are accepted, wrong ones are told apart."""

import itertools

import keras
import nbformat
import numpy as np
import pytest
from keras import ops

from focal_utils.exercises import verdict
from focal_utils.exercises.nb02 import ENOUGH, HIDDEN, map_of, off
from focal_utils.layers import aggregate
from parts.files import ROOT
from tests.package.exercise_pages import solution


def dense(units, **kwargs):
    return keras.layers.Dense(units, **kwargs)


def stacked(contexts, gates):
    spread = ops.stack([ops.broadcast_to(context, contexts[0].shape) for context in contexts], axis=-1)
    return ops.sum(spread * ops.expand_dims(gates, -2), axis=-1)


RIGHT = {
    "2.1 gates": [
        lambda x, levels: dense(levels + 1)(x),
        lambda x, levels: keras.layers.Conv2D(levels + 1, 1)(x),
    ],
    "2.2 aggregate": [aggregate, stacked, lambda contexts, gates: ops.convert_to_numpy(aggregate(contexts, gates))],
}

WRONG = {
    "2.1 gates": [
        (None, "not solved yet"),
        (3, "A function is needed"),
        (lambda x, levels: None, "not solved yet"),
        (lambda x: x, "stopped with TypeError"),
        (lambda x, levels: [dense(1)(x) for _ in range(levels + 1)], "A list of 4"),
        (lambda x, levels: dense(levels + 1)(ops.mean(x, axis=(1, 2))), "One set of gates for the whole picture"),
        (lambda x, levels: dense(levels + 1)(x)[..., 0], "(B, H, W, L + 1) is wanted"),
        (lambda x, levels: dense((levels + 1) * x.shape[-1])(x), "One gate for each channel"),
        (lambda x, levels: dense(levels)(x), "I see 3 gates for 3 levels; the global average"),
        (lambda x, levels: dense(levels + 3)(x), "I see 6 gates"),
        (lambda x, levels: ops.repeat(dense(1)(x), levels + 1, axis=-1), "All gates of a pixel are the same number"),
        (lambda x, levels: dense(levels + 1, activation="softmax")(x), "Is there a softmax?"),
        (lambda x, levels: dense(levels + 1, use_bias=False)(x), "Your layer has no bias"),
        (lambda x, levels: ops.ones((*x.shape[:-1], levels + 1)), "the same whatever x is"),
        (lambda x, levels: dense(levels + 1, activation="sigmoid")(x), "Is there a sigmoid?"),
        (lambda x, levels: dense(levels + 1, activation="relu")(x), "Is there a ReLU?"),
        (lambda x, levels: keras.layers.Conv2D(levels + 1, 3, padding="same")(x), "changes the gates of 9 pixels"),
        (lambda x, levels: dense(levels + 1, activation="tanh")(x), "Something bends"),
        (lambda x, levels: dense(4)(x), "I see 4 gates for 2 levels"),
    ],
    "2.2 aggregate": [
        (None, "not solved yet"),
        (lambda contexts, gates: None, "not solved yet"),
        (lambda contexts, gates: contexts @ gates, "stopped with"),
        (lambda contexts, gates: [gates[..., i : i + 1] * c for i, c in enumerate(contexts)], "still to be added up"),
        (lambda contexts, gates: ops.sum(aggregate(contexts, gates), axis=-1), "channels have been added up too"),
        (lambda contexts, gates: ops.concatenate([c * gates[..., :1] for c in contexts], -1), "(B, H, W, C) is wanted"),
        (lambda contexts, gates: sum(contexts), "the gates are not used"),
        (lambda contexts, gates: 0 * contexts[0] + gates.sum(-1, keepdims=True), "You add up the gates"),
        (lambda contexts, gates: aggregate(contexts, gates) / len(contexts), "A mean where"),
        (lambda contexts, gates: aggregate(contexts, ops.softmax(gates)), "softmax"),
        (lambda contexts, gates: aggregate(contexts[:-1], gates), "The last context is missing"),
        (lambda contexts, gates: aggregate(contexts, gates[..., ::-1]), "opposite order"),
        (lambda contexts, gates: aggregate(contexts, np.maximum(gates, 0)), "set to zero"),
        (lambda contexts, gates: aggregate(contexts, np.abs(gates)), "lost their sign"),
        (
            lambda contexts, gates: aggregate(contexts, gates.mean((1, 2), keepdims=True)),
            "one gate for the whole picture",
        ),
        (lambda contexts, gates: sum(gates[..., i] * c for i, c in enumerate(contexts)), "lost its last axis"),
        (lambda contexts, gates: ops.sum(ops.stack(contexts, -1) * gates[..., None, :], -1), "cannot be stacked"),
        (lambda contexts, gates: 2 * aggregate(contexts, gates), "the numbers are not"),
    ],
}


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name, answers in RIGHT.items() for answer in answers])
def test_right_answers(name, answer):
    solved, message = verdict(name, answer)
    assert solved and message.startswith("solved"), message


@pytest.mark.parametrize(("name", "answer", "part"), [(name, *pair) for name, pairs in WRONG.items() for pair in pairs])
def test_wrong_answers(name, answer, part):
    solved, message = verdict(name, answer)
    assert not solved and part in message


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_has_its_own_message(name):
    tried = [answer for answer, part in WRONG[name] if part != "not solved yet"]
    assert len({verdict(name, answer)[1] for answer in tried}) == len(tried) >= 4


@pytest.mark.parametrize("name", RIGHT)
def test_solutions_on_the_page(name):
    solved, message = verdict(name, solution("02_gated_aggregation.ipynb", name, keras=keras))
    assert solved, message


FOUR = "2.3 four gates"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: None, "not a function"),
        ((1, 2, 3), "one for each level"),
        ("near", "one for each level"),
        ((1, 0, float("nan"), 0), "no finite number"),
        ((0, 0, 0, 0), "All gates are closed"),
        ((0.25, 0.25, 0.25, 0.25), "a softmax could say this"),
        (tuple(-gate for gate in HIDDEN), "upside down"),
        (tuple(gate / 2 for gate in HIDDEN), "2.0 times as strong"),
        ((2, 0.5, 0, 0), "None of your gates is negative"),
        ((2, 0, -1, 0), "Move two together"),
    ],
)
def test_wrong_gates_are_told_apart(answer, message):
    solved, said = verdict(FOUR, answer)
    assert not solved and message in said, said


def test_the_gates_that_are_hidden_and_what_lies_near_them_solve_it():
    assert verdict(FOUR, HIDDEN)[0]
    assert verdict(FOUR, (2.0, 0.5, -2.0, 0.3))[0]


def descended(moves, gates=(1.0, 0.0, 0.0, 0.0), step=0.25):
    """How far off the gates are where none of the moves, up or down by a step of the sliders, brings them nearer."""
    wanted = map_of(HIDDEN)
    best = off(map_of(gates), wanted)
    while True:
        tried = [gates + sign * step * np.array(move) for move in moves for sign in (1, -1)]
        missed = [off(map_of(other), wanted) for other in tried]
        if min(missed) >= best:
            return best
        best = min(missed)
        gates = tried[int(np.argmin(missed))]


def test_the_advice_leads_to_the_gates_and_one_gate_alone_does_not():
    single = list(np.eye(4))
    pairs = [one - other for one, other in itertools.combinations(single, 2)]
    assert descended(single) > 0.15
    assert descended(single + pairs) < ENOUGH


def test_the_page_hides_the_same_gates():
    cells = nbformat.read(ROOT / "notebooks" / "02_gated_aggregation.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if "wanted_map =" in cell.source and cell.cell_type == "code"]
    assert str(HIDDEN).strip("()") in source
