"""The exercises of notebook 05: right answers are accepted, and each wrong one gets its own message."""

import math
import re

import nbformat
import numpy as np
import pytest

from focal_utils.exercises import verdict
from parts.files import ROOT

NOTEBOOK = ROOT / "notebooks" / "05_focalnet.ipynb"
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)


def solutions():
    """The names that the notebook's solutions define."""
    names = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "markdown":
            for code in SOLUTION.findall(cell.source):
                exec(code, names)
    return names


@pytest.mark.parametrize(
    ("exercise", "name"),
    [("5.1 shapes", "my_shapes"), ("5.2 block parameters", "my_block_parameters"), ("5.3 own variant", "my_variant")],
)
def test_the_solution_on_the_page_is_accepted(exercise, name):
    solved, message = verdict(exercise, solutions()[name])
    assert solved, message


def shapes(side, channels=lambda dim, s: dim * 2**s, order=lambda h, w, c: (h, w, c), first=0, extra=0):
    """A wrong answer to 5.1, put together from what may be wrong in it."""

    def answer(height, width, dim, patch, stages):
        return [
            order(side(height, patch, s), side(width, patch, s), channels(dim, s)) for s in range(first, stages + extra)
        ]

    return answer


def floor(side, patch, s):
    return side // (patch * 2**s)


WRONG_SHAPES = {
    "another order": shapes(floor, order=lambda h, w, c: (c, h, w)),
    "have changed places": shapes(floor, order=lambda h, w, c: (w, h, c)),
    "channels stay the same": shapes(floor, channels=lambda dim, s: dim),
    "same amount each time": shapes(floor, channels=lambda dim, s: dim * (s + 1)),
    "one stage too early": shapes(floor, channels=lambda dim, s: dim * 2 ** (s + 1)),
    "The channels are": shapes(floor, channels=lambda dim, s: dim * 3**s),
    "the size of the picture": shapes(lambda side, patch, s: side // 2**s),
    "halved once too often": shapes(lambda side, patch, s: side // (patch * 2 ** (s + 1))),
    "at every stage": shapes(lambda side, patch, s: side // patch ** (s + 1)),
    "stay the same from stage": shapes(lambda side, patch, s: side // patch),
    "fractions of pixels": shapes(lambda side, patch, s: side / (patch * 2**s)),
    "You round up": shapes(lambda side, patch, s: math.ceil(side / (patch * 2**s))),
    "to the nearest": shapes(lambda side, patch, s: round(side / (patch * 2**s))),
    "Follow them": shapes(lambda side, patch, s: side // (patch * 2**s) + 1),
    "downsampled after the last": shapes(floor, extra=1),
    "were asked for": shapes(floor, first=1),
    "no list of triples": lambda height, width, dim, patch, stages: [height // patch, width // patch, dim],
    "stopped with ZeroDivisionError": lambda *sizes: sizes[0] // 0,
    "is there a `return`": lambda *sizes: None,
}


def weights(channels, levels, window, *, norms=4, gates=1, query=2, conv=None, cc=2, mlp=4, bias=1, mlp_bias=1):
    """Number of weights of a block, with whatever a learner may get wrong as an argument."""
    kernels = [window + 2 * level for level in range(levels)]
    conv = conv or (lambda kernels: channels * sum(k * k for k in kernels))
    outputs = query * channels + levels + gates
    total = norms * channels + channels * outputs + bias * outputs + conv(kernels)
    total += cc * (channels**2 + bias * channels)
    if mlp:
        total += 2 * mlp * channels**2 + bias * mlp_bias * (mlp + 1) * channels
    return total


def count(**mistake):
    return lambda channels, levels, window=3: weights(channels, levels, window, **mistake)


def with_kernels(total):
    """An answer whose kernels are counted by `total(channels, kernels)`."""
    return lambda channels, levels, window=3: weights(
        channels, levels, window, conv=lambda kernels: total(channels, kernels)
    )


WRONG_COUNTS = {
    "have biases": with_kernels(lambda c, kernels: c * sum(k * k + 1 for k in kernels)),
    "L gates": count(gates=0),
    "two LayerNorms are missing": count(norms=0),
    "one LayerNorm too few": count(norms=2),
    "The MLP is missing": count(mlp=0),
    "biases of the MLP": count(mlp_bias=0),
    "without biases": count(bias=0),
    "one C → C projection": count(cc=1),
    "Both `h` and `proj`": count(cc=0),
    "2C wide": count(mlp=2),
    "mix channels": with_kernels(lambda c, kernels: c * c * sum(k * k for k in kernels)),
    "shared by all channels": with_kernels(lambda c, kernels: sum(k * k for k in kernels)),
    "convolutions are missing": with_kernels(lambda c, kernels: 0),
    "as wide as the first": with_kernels(lambda c, kernels: c * len(kernels) * kernels[0] ** 2),
    "where does `window` enter": with_kernels(
        lambda c, kernels: c * sum((3 + 2 * i) ** 2 for i in range(len(kernels)))
    ),
    "too many": lambda channels, levels, window=3: weights(channels, levels, window) + 7,
    "single number": lambda channels, levels, window=3: [1, 2, 3],
    "is there a `return`": lambda *sizes: None,
    "stopped with KeyError": lambda *sizes: {}["C"],
}

SMALL = {"embed_dim": 16, "depths": (2, 4, 2), "focal_levels": (3, 2, 2), "patch_size": 4}

WRONG_VARIANTS = {
    "A dictionary": [32, 2, 4, 2],
    "Leave input_shape": SMALL | {"classes": 10},
    "so a tuple": SMALL | {"depths": 8},
    "at least 8 are needed": SMALL | {"depths": (1, 1, 1)},
    "weights, at most": SMALL | {"embed_dim": 64},
    "More levels there": SMALL | {"focal_levels": 0},
    "refuses it: Unrecognized": SMALL | {"heads": 4},
    "refuses it: focal_levels": SMALL | {"focal_levels": (3, 2)},
    "put your answer": None,
}


def cases(exercise, wrong):
    return [pytest.param(exercise, answer, message, id=f"{exercise}: {message}") for message, answer in wrong.items()]


@pytest.mark.parametrize(
    ("exercise", "answer", "message"),
    cases("5.1 shapes", WRONG_SHAPES)
    + cases("5.2 block parameters", WRONG_COUNTS)
    + cases("5.3 own variant", WRONG_VARIANTS),
)
def test_a_wrong_answer_gets_its_own_message(exercise, answer, message):
    solved, said = verdict(exercise, answer)
    assert not solved
    assert message in said, said


@pytest.mark.parametrize(
    ("exercise", "wrong"),
    [("5.1 shapes", WRONG_SHAPES), ("5.2 block parameters", WRONG_COUNTS), ("5.3 own variant", WRONG_VARIANTS)],
)
def test_no_two_wrong_answers_get_the_same_message(exercise, wrong):
    messages = [verdict(exercise, answer)[1] for answer in wrong.values()]
    assert len(set(messages)) == len(messages)


def test_other_right_answers_are_accepted():
    def halved(height, width, dim, patch, stages):
        shapes = [np.array([height // patch, width // patch, dim])]
        while len(shapes) < stages:
            height_, width_, channels = shapes[-1]
            shapes.append(np.array([height_ // 2, width_ // 2, 2 * channels]))
        return shapes

    assert verdict("5.1 shapes", halved)[0]
    assert verdict("5.2 block parameters", count())[0]
    assert verdict("5.3 own variant", SMALL | {"depths": (1, 1, 5, 1), "focal_levels": 1})[0]
