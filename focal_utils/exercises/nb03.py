"""The exercises of notebook 03: the product, its parameters, where attention becomes the dearer one, broken layers."""

import math
from collections.abc import Mapping

import numpy as np
from keras import ops

from focal_utils.exercises.checking import NotYet, call, close, compare, exercise, need_shape, number, same_numbers


def judge_numbers(answer, cases, right, mistakes, otherwise):
    """`compare` for a learner's function (C, kernels) → number, tried with `cases`.

    Args:
        answer: the function. cases: pairs (C, kernels).
        right: the right function. mistakes: pairs (wrong function, message).
        otherwise: a function (C, kernels, number) → the message, for the first case whose number is wrong.
    """
    numbers = [number(answer, dim, list(kernels)) for dim, kernels in cases]
    due = [right(dim, kernels) for dim, kernels in cases]
    wrong = [place for place in range(len(cases)) if not close(numbers[place], due[place])]
    message = otherwise(*cases[wrong[0]], numbers[wrong[0]]) if wrong else ""
    told = [([formula(*case) for case in cases], words) for formula, words in mistakes]
    compare(numbers, due, told, message, same_numbers)


@exercise("3.1 modulate")
def judge_modulate(answer):
    rng = np.random.default_rng(31)
    query, context = rng.normal(size=(2, 2, 3, 4, 6)).astype("float32")
    kernels = rng.normal(size=(2, 6, 6)).astype("float32")
    biases = rng.normal(size=(2, 6)).astype("float32")

    def h(x):
        return ops.matmul(x, kernels[0]) + biases[0]

    def proj(x):
        return ops.matmul(x, kernels[1]) + biases[1]

    shape = query.shape
    query = ops.convert_to_tensor(query)
    context = ops.convert_to_tensor(context)
    try:
        y = call(answer, query, context, h, proj)
    except NotYet as reason:
        if "matmul" in str(reason).lower() or "@" in str(reason):
            raise NotYet("You multiply as matrices. ⊙ multiplies number by number: `*`, not `@` or `matmul`.") from None
        raise
    need_shape(y, shape, "The output has the query's shape.")
    m = h(context)
    mistakes = [
        (proj(query + m), "You add the modulator: every query is shifted by the same amount. Who is silenced by that?"),
        (query * m, "The product is right, but each channel ends where it began: what mixes the channels afterwards?"),
        (proj(query * context), "The gathered context meets the query as it is. Which layer makes a modulator of it?"),
        (proj(h(query * context)), "Here h comes after the product. It makes the modulator, so what does it read?"),
        (proj(h(query) * context), "h reads the query here. Which of the two tensors is still to become a modulator?"),
        (proj(query) * m, "proj comes before the product here; it is the last layer. What should it read?"),
        (query * proj(m), "proj comes before the product here, on the modulator; it is the last layer of all."),
        (proj(m), "The query has no say in your output. Would two different pixels in one place get the same answer?"),
        (query + proj(query * m), "You add the query at the end. That sum is the block's business (notebook 04)."),
        (h(query * proj(context)), "h and proj have changed places: h makes the modulator, proj comes last."),
        (proj(query * (1 + m)), "You multiply by 1 + m. A modulator of 0 should silence a channel; does yours?"),
        (proj(query * ops.sigmoid(m)), "Your modulator lies between 0 and 1. Could it flip a sign? It goes in raw."),
        (proj(query * ops.softmax(m)), "Your modulator sums to 1 over the channels. Must they share? It goes in raw."),
        (proj(query * ops.tanh(m)), "Your modulator is squashed by a tanh. The paper lets h say any number."),
    ]
    otherwise = "The shape is right, the values are not. Read y = proj(q ⊙ h(z_out)) from the inside out."
    compare(y, proj(query * m), mistakes, otherwise)
    return "Six letters of an equation, and the whole of 01 and 02 stand behind one of them."


def squares(kernels):
    return sum(k * k for k in kernels)


def count_parameters(c, kernels):
    return 4 * c**2 + c * (len(kernels) + 1) + c * squares(kernels) + 4 * c + len(kernels) + 1


PARAMETER_MISTAKES = [
    (
        lambda c, ks: count_parameters(c, ks) - 4 * c - len(ks) - 1,
        "The biases are missing. Every Dense has one for each of its outputs; the convolutions have none.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) + c * len(ks),
        "Your depthwise convolutions have biases; the paper's have none.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - c**2 - c,
        "One C → C projection with its bias is missing. You need four: q, z, h and proj.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - c**2,
        "You have 3C², as the paper's text counts. The module has four projections of C² weights: q, z, h and proj.",
    ),
    (
        lambda c, ks: 3 * c**2 + c * (len(ks) + 1) + c * squares(ks),
        "This is the paper's formula: three projections, no biases. Our module has proj too, and biases.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - 2 * (c**2 + c),
        "Two C → C projections with their biases are missing. You need four: q, z, h and proj.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - c - 1,
        "You have L gates. The global average is a level too, so f says L + 1 of them.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) + (c * c - c) * squares(ks),
        "Kernels of k²·C² weights mix channels. Depthwise ones keep to their own channel: how many weights is that?",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - (c - 1) * squares(ks),
        "You count one k×k kernel for all channels. Depthwise means one for each channel.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - c * squares(ks) + c * sum(ks),
        "You count k weights for a kernel of k×k.",
    ),
    (
        lambda c, ks: count_parameters(c, ks) - c * squares(ks),
        "The depthwise kernels are missing: k×k weights for each channel and level.",
    ),
]


@exercise("3.2 parameters")
def judge_parameters(answer):
    def otherwise(dim, kernels, got):
        right = count_parameters(dim, kernels)
        return (
            f"For C = {dim} and kernels {list(kernels)} I count {right:,} and you {got:,.0f}, {got - right:+,.0f}. "
            "Go through f, the kernels, h and proj: weights, then biases."
        )

    cases = [(12, (3, 5)), (32, (3, 5, 7)), (7, (5,)), (5, ())]
    judge_numbers(answer, cases, count_parameters, PARAMETER_MISTAKES, otherwise)
    return "You can say what a module weighs before you build it; notebook 05 does so for whole networks."


def side_above(pixels):
    """The smallest side of a square of more than `pixels` pixels."""
    return math.isqrt(math.floor(pixels)) + 1


def meeting_point(c, kernels):
    """Pixels at which both cost the same: 4C² + 2NC = 4C² + C(2L + 3) + CΣk²."""
    return (2 * len(kernels) + 3 + squares(kernels)) / 2


CROSSOVER_MISTAKES = [
    (
        lambda c, ks: side_above(2 * meeting_point(c, ks)),
        "You count N²C for attention. It makes two products of that size: the scores, and the weighted means.",
    ),
    (
        lambda c, ks: math.floor(meeting_point(c, ks)) + 1,
        "This is a number of pixels, H·W. How long is the side of the smallest square that holds as many?",
    ),
    (
        lambda c, ks: side_above(meeting_point(c, ks)) - 1,
        "One less than the side I find. At yours, is attention's count really the larger one?",
    ),
    (
        lambda c, ks: math.sqrt(meeting_point(c, ks)),
        "This is where the two lines meet, between two sides. Which is the first whole side beyond?",
    ),
    (
        lambda c, ks: side_above((2 * len(ks) + 3) / 2),
        "The depthwise convolutions are missing: CΣk² products at each pixel.",
    ),
    (
        lambda c, ks: side_above(squares(ks) / 2),
        "The gates are missing: C(2L + 3) products at each pixel, to make them, to weigh with them, and for q ⊙ m.",
    ),
    (
        lambda c, ks: side_above((2 * len(ks) + 3 + sum(ks)) / 2),
        "You count k products for a k×k kernel.",
    ),
    (
        lambda c, ks: side_above((2 * len(ks) + 3 + c * squares(ks)) / 2),
        "You count k²·C² for the convolutions. Depthwise ones read one channel: k²·C.",
    ),
    (
        lambda c, ks: round(math.sqrt(meeting_point(c, ks))),
        "You round where the two lines meet. Which is the first whole side beyond that place?",
    ),
    (
        lambda c, ks: side_above((len(ks) + 2 + squares(ks)) / 2),
        "You have C(L + 2) for the gates and the product. L + 1 gates are made, L + 1 contexts weighed: C(2L + 3).",
    ),
]


@exercise("3.3 crossover")
def judge_crossover(answer):
    def right(dim, kernels):
        return side_above(meeting_point(dim, kernels))

    def otherwise(dim, kernels, got):
        return (
            f"For C = {dim} and kernels {list(kernels)} you say {got:g}. Put that side, and the one below, "
            "into both formulas: attention must be the dearer one at the first, and not yet at the second."
        )

    cases = [(32, (3, 5)), (96, (3, 5, 7)), (16, (3, 5, 7, 9)), (8, (3, 3, 3)), (8, (1, 1, 1))]
    judge_numbers(answer, cases, right, CROSSOVER_MISTAKES, otherwise)
    return "C has dropped out: width makes both dearer alike, and only the size of the map decides."


# ---- the open task

FAULTS = ("parallel", "softmax", "sum", "no global", "healthy")
WARD = dict(zip(map(str, np.random.default_rng(7).permutation(list("ABCDE"))), FAULTS, strict=True))  # as on the page
# What to look at again, by what the patient has.
LOOK_AGAIN = {
    "parallel": "Change one pixel and look at the pixels around it: how wide is the square that notices most?",
    "softmax": "Double a tiny input. One factor of its product does not grow with it: which one always adds up to 1?",
    "sum": "Double a tiny input. Do three factors grow here, or does one term outweigh the rest?",
    "no global": "Change one pixel. Does the far corner of the map notice, however little?",
    "healthy": "Which of your tests has it failed?",
}


@exercise("3.4 patients")
def judge_patients(answer):
    if not isinstance(answer, Mapping):
        raise NotYet(f'A dictionary is wanted, {{"A": "healthy", …}}, and this is a {type(answer).__name__}.')
    if missing := [letter for letter in "ABCDE" if letter not in answer]:
        raise NotYet(f"Nothing is said of {', '.join(missing)}. Each of the five has one word.")
    for letter in "ABCDE":
        if answer[letter] not in FAULTS:
            raise NotYet(f"{letter}: {answer[letter]!r} is no finding. They are {', '.join(FAULTS)}.")
    said = [answer[letter] for letter in "ABCDE"]
    if twice := [fault for fault in FAULTS if said.count(fault) > 1]:
        raise NotYet(f"“{twice[0]}” stands there twice. Each finding belongs to one patient.")
    wrong = [letter for letter in "ABCDE" if answer[letter] != WARD[letter]]
    if wrong:
        right = 5 - len(wrong)
        raise NotYet(f"{right} of 5 are right. {wrong[0]} is not “{answer[wrong[0]]}”. {LOOK_AGAIN[WARD[wrong[0]]]}")
    return "Next: how would you find a layer whose gates had all lost their sign?"
