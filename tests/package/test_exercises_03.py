"""The exercises of notebook 03: right answers are accepted, and every mistake gets its own words."""

import math

import keras
import nbformat
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils import FocalModulation
from focal_utils.exercises import verdict
from focal_utils.exercises.nb03 import WARD, count_parameters
from parts.files import ROOT
from tests.package.exercise_pages import mistakes_told_apart, solution

RIGHT = {
    "3.1 modulate": [lambda q, z, h, proj: proj(h(z) * q)],
    "3.2 parameters": [lambda c, ks: (c + 1) * (4 * c + len(ks) + 1) + sum(c * k**2 for k in ks)],
    "3.3 crossover": [lambda c, ks: math.floor(math.sqrt((2 * len(ks) + 3 + sum(k * k for k in ks)) / 2)) + 1],
}


def pixels(ks, gates=True, kernels=lambda ks: sum(k * k for k in ks), products=2):
    """Pixels from which attention is dearer, with whatever a learner may get wrong as an argument."""
    return ((2 * len(ks) + 3 if gates else 0) + kernels(ks)) / products


def side(number):
    return math.floor(math.sqrt(number)) + 1


WRONG = {
    "3.1 modulate": {
        "returned None": lambda q, z, h, proj: None,
        "stopped with TypeError": lambda q, z: q * z,
        "shape (2, 3, 4, 1)": lambda q, z, h, proj: ops.sum(proj(q * h(z)), axis=-1, keepdims=True),
        "a list of 2": lambda q, z, h, proj: [q, h(z)],
        "You add": lambda q, z, h, proj: proj(q + h(z)),
        "ends where it began": lambda q, z, h, proj: q * h(z),
        "meets the query as it is": lambda q, z, h, proj: proj(q * z),
        "comes after the product": lambda q, z, h, proj: proj(h(q * z)),
        "h reads the query": lambda q, z, h, proj: proj(h(q) * z),
        "What should it read?": lambda q, z, h, proj: proj(q) * h(z),
        "on the modulator": lambda q, z, h, proj: q * proj(h(z)),
        "no say": lambda q, z, h, proj: proj(h(z)),
        "1 + m": lambda q, z, h, proj: proj(q * (1 + h(z))),
        "between 0 and 1": lambda q, z, h, proj: proj(q * ops.sigmoid(h(z))),
        "sums to 1": lambda q, z, h, proj: proj(q * ops.softmax(h(z))),
        "tanh": lambda q, z, h, proj: proj(q * ops.tanh(h(z))),
        "from the inside out": lambda q, z, h, proj: proj(q * h(z)) / 2,
    },
    "3.2 parameters": {
        "returned None": lambda c, ks: None,
        "One number": lambda c, ks: [c, 4 * c],
        "biases are missing": lambda c, ks: count_parameters(c, ks) - (4 * c + len(ks) + 1),
        "convolutions have biases": lambda c, ks: count_parameters(c, ks) + c * len(ks),
        "One C → C": lambda c, ks: count_parameters(c, ks) - c * c - c,
        "Two C → C": lambda c, ks: count_parameters(c, ks) - 2 * (c * c + c),
        "the paper's formula": lambda c, ks: 3 * c * c + c * (len(ks) + 1) + c * sum(k * k for k in ks),
        "L gates": lambda c, ks: count_parameters(c, ks) - c - 1,
        "mix channels": lambda c, ks: count_parameters(c, ks) + (c - 1) * c * sum(k * k for k in ks),
        "for all channels": lambda c, ks: count_parameters(c, ks) - (c - 1) * sum(k * k for k in ks),
        "k weights for": lambda c, ks: count_parameters(c, ks) - c * sum(k * k - k for k in ks),
        "kernels are missing": lambda c, ks: count_parameters(c, ks) - c * sum(k * k for k in ks),
        "Go through f": lambda c, ks: 4 * c * c,
        "returned array('many'": lambda c, ks: "many",
    },
    "3.3 crossover": {
        "returned None": lambda c, ks: None,
        "stopped with TypeError": lambda c: 5,
        "two products": lambda c, ks: side(pixels(ks, products=1)),
        "a number of pixels": lambda c, ks: math.floor(pixels(ks)) + 1,
        "One less": lambda c, ks: side(pixels(ks)) - 1,
        "between two sides": lambda c, ks: math.sqrt(pixels(ks)),
        "convolutions are missing": lambda c, ks: side(pixels(ks, kernels=lambda ks: 0)),
        "gates are missing": lambda c, ks: side(pixels(ks, gates=False)),
        "k products": lambda c, ks: side(pixels(ks, kernels=sum)),
        "read one channel": lambda c, ks: side(pixels(ks, kernels=lambda ks: c * sum(k * k for k in ks))),
        "Put that side": lambda c, ks: 8,
    },
}


@pytest.mark.parametrize("exercise", RIGHT)
def test_right_answers_are_accepted(exercise):
    page = solution("03_modulation.ipynb", exercise)
    for answer in [page, *RIGHT[exercise]]:
        solved, said = verdict(exercise, answer)
        assert solved, said


test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)


@pytest.mark.parametrize("exercise", WRONG)
def test_no_answer_yet(exercise):
    assert verdict(exercise, None) == verdict(exercise, ...) != verdict(exercise, "text")
    assert "A function is needed" in verdict(exercise, 5)[1]


@pytest.mark.parametrize(("dim", "level", "window"), [(8, 0, 3), (12, 2, 3), (6, 3, 5)])
def test_the_formula_is_what_the_layer_weighs(dim, level, window):
    layer = FocalModulation(dim, level, window)
    layer.build((None, 8, 8, dim))
    assert count_parameters(dim, layer.contextualize.kernel_sizes) == layer.count_params()


PATIENTS = "3.4 patients"


def ward():
    """The patients as the page makes them."""
    cells = nbformat.read(ROOT / "notebooks" / "03_modulation.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if cell.cell_type == "code" and "ward = {}" in cell.source]
    names = {"np": np, "fu": fu, "ops": ops}
    exec(source, names)
    return names["patients"]


@pytest.mark.parametrize("seed", range(3))
def test_the_patients_on_the_page_are_told_apart_by_its_solution(seed):
    keras.utils.set_random_seed(seed)
    solved, said = verdict(PATIENTS, solution("03_modulation.ipynb", PATIENTS, np=np, patients=ward()))
    assert solved, said


def findings(**said):
    return {**WARD, **said}


def exchanged(one, other):
    """The right findings, but for two that have changed places; the first of them in the alphabet is told."""
    letters = {fault: letter for letter, fault in WARD.items()}
    return findings(**{letters[one]: other, letters[other]: one})


def by_letter(fault):
    """Findings in which the patient with this fault is the first wrong one, where that can be."""
    letter = next(letter for letter, kind in WARD.items() if kind == fault)
    later = [other for other in WARD if other > letter]
    return exchanged(fault, WARD[later[0]]) if later else exchanged(fault, WARD[min(WARD)])


def test_each_wrong_finding_is_told_where_to_look_again():
    messages = {verdict(PATIENTS, by_letter(fault))[1] for fault in WARD.values()}
    assert len(messages) == 5 or len(messages) == 4  # the last letter is never the first wrong one
    assert all("3 of 5 are right" in message for message in messages)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("healthy", "A dictionary is wanted"),
        ({"A": "healthy"}, "Nothing is said of B, C, D, E"),
        (findings(A="ill"), "'ill' is no finding"),
        ({letter: "healthy" for letter in "ABCDE"}, "stands there twice"),
    ],
)
def test_findings_that_are_none_are_refused_in_words(answer, message):
    solved, said = verdict(PATIENTS, answer)
    assert not solved and message in said
