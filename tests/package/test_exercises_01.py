"""The exercises of notebook 01: right answers are accepted, wrong ones are told apart."""

import pytest
from keras import ops

from focal_utils.exercises import verdict
from focal_utils.layers import contextualize, gelu
from tests.package.exercise_pages import solution


def stacked(z, convs, activation=gelu):
    contexts = []
    source = z
    for conv in convs:
        source = activation(conv(source))
        contexts.append(source)
    return contexts


def without_gelu_between(z, convs):
    contexts = []
    source = z
    for conv in convs:
        source = conv(source)
        contexts.append(gelu(source))
    return contexts


def residual(z, convs):
    contexts = []
    source = z
    for conv in convs:
        contexts.append(gelu(conv(source)))
        source = source + contexts[-1]
    return contexts


def relu_at_the_last_level(z, convs):
    *first, _ = stacked(z, convs)
    return [*first, ops.relu(convs[-1](first[-1]))]


RIGHT = {
    "1.1 contexts": [stacked, lambda z, convs: contextualize(z, convs, global_context=False)],
    "1.2 receptive field": [
        lambda levels, window=3, factor=2: levels * (window - 1) + factor * levels * (levels - 1) // 2 + 1
    ],
    "1.3 reach": [(4, 9, 0), [4, 9, 0]],
}

WRONG = {
    "1.1 contexts": [
        (lambda z, convs: None, "not solved yet"),
        (lambda z, convs: convs[0](z, 1, 2, 3, 4), "stopped with"),
        (lambda z, convs: stacked(z, convs)[-1], "One array of shape"),
        (lambda z, convs: stacked(z, convs)[:1], "inside the loop"),
        (lambda z, convs: [z, *stacked(z, convs)], "the first is z itself"),
        (contextualize, "one each"),
        (lambda z, convs: [m[:, :6] for m in stacked(z, convs)], "as large as z"),
        (lambda z, convs: [gelu(conv(z)) for conv in convs], "Every level reads z"),
        (lambda z, convs: stacked(z, convs)[::-1], "wrong order"),
        (lambda z, convs: stacked(z, convs, lambda x: x), "no GELU"),
        (lambda z, convs: stacked(z, convs, ops.relu), "ReLU"),
        (lambda z, convs: stacked(z, convs, ops.gelu), "tanh"),
        (without_gelu_between, "without its GELU"),
        (residual, "sum of all before it"),
        (relu_at_the_last_level, "Level 3 is the first"),
    ],
    "1.2 receptive field": [
        (lambda levels, window=3, factor=2: None, "not solved yet"),
        (lambda levels: 13, "stopped with TypeError"),
        (lambda levels, window=3, factor=2: [window + factor * i for i in range(levels)], "I got several"),
        (lambda n, w=3, f=2: sum(w + f * i - 1 for i in range(n)), "the pixel they start from"),
        (lambda n, w=3, f=2: sum(w + f * i for i in range(n)), "it adds 2, not 3"),
        (lambda n, w=3, f=2: 1 + sum(w + f * i for i in range(n)), "adds k − 1"),
        (lambda n, w=3, f=2: w + f * (n - 1), "side by side"),
        (lambda n, w=3, f=2: 1 + sum(w + f * i - 1 for i in range(1, n + 1)), "first kernel is too wide"),
        (lambda n, w=3, f=2: 1 + n * (w - 1), "grow by `factor`"),
        (lambda n, w=3, f=2: 13, "an impulse reaches 7"),
        (lambda n, w=3, f=2: 1 + sum(w + f * i - 1 for i in range(n)) if n else 0, "no level at all"),
        (lambda n, w=5, f=2: 1 + sum(w + f * i - 1 for i in range(n)), "defaults"),
    ],
    "1.3 reach": [
        (None, "not solved yet"),
        (..., "not solved yet"),
        (31, "Three whole numbers"),
        ((4, 9.0, 0), "Three whole numbers"),
        ((5, 7, 0), "1 to 4 are allowed"),
        ((2, 0, 2), "at least 1 pixel"),
        ((4, 8, 0), "no centre pixel"),
        ((3, 3, 2), "see 13 pixels; 31 are wanted"),
        ((4, 5, 2), "each adds its size less one"),
        ((1, 31, 0), "a stack is meant to avoid"),
        ((4, 3, 4), "Must they grow so fast?"),
        ((3, 11, 0), "What do more, smaller ones cost?"),
        ((4, 11, 0), "more than is asked for"),
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
    parts = [part for _, part in WRONG[name]]
    messages = {verdict(name, answer)[1] for answer, part in WRONG[name] if part != "not solved yet"}
    assert len(messages) == len([part for part in parts if part != "not solved yet"]) >= 4


@pytest.mark.parametrize("name", RIGHT)
def test_solutions_on_the_page(name):
    solved, message = verdict(name, solution("01_hierarchical_contextualization.ipynb", name, gelu=gelu))
    assert solved, message
