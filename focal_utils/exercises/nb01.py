"""Judges for the exercises of notebook 01, hierarchical contextualization."""

from itertools import product

import keras
import numpy as np
from keras import ops

from focal_utils.exercises.checking import (
    NotYet,
    call,
    close,
    compare,
    exercise,
    number,
    same,
    same_numbers,
    whole_numbers,
)
from focal_utils.layers.basics import gelu
from focal_utils.layers.focal import contextualize

# Of exercise 1.3.
REACH = 31
MOST_LEVELS = 4


def stack(z, convs, activation=gelu, following=lambda source, conv, context: context):
    """A stack of contexts as a learner may write it: `following` makes what the next level reads."""
    contexts = []
    source = z
    for conv in convs:
        contexts.append(activation(conv(source)))
        source = following(source, conv, contexts[-1])
    return contexts


def wrong_contexts(z, convs):
    """Pairs of wrong contexts and what to say about them."""
    yield (
        contextualize(z, convs, hierarchical=False, global_context=False),
        "Every level reads z: that is the article's way, and it sees 7 pixels. What should level 2 read?",
    )
    yield (
        contextualize(z, convs, global_context=False)[::-1],
        "The right maps in the wrong order: from near to far is expected, the smallest kernel first.",
    )
    yield (
        stack(z, convs, activation=lambda x: x),
        "The convolutions are stacked, but there is no GELU. Three linear maps in a row are one linear map.",
    )
    yield stack(z, convs, ops.relu), "I see a ReLU where eq. (1.3) has a GELU."
    yield (
        stack(z, convs, ops.gelu),
        "Close: off by less than a thousandth. Is it `ops.gelu`, which approximates by tanh? Use this page's `gelu`.",
    )
    yield (
        stack(z, convs, following=lambda source, conv, context: conv(source)),
        "Each level reads the convolution before it without its GELU. Eq. (1.3) passes on the finished level.",
    )
    yield (
        stack(z, convs, following=lambda source, conv, context: source + context),
        "Each level reads the sum of all before it. A residual is a good idea, and notebook 04 has it elsewhere: here "
        "a level reads the level before, and nothing else.",
    )


def same_maps(maps, expected):
    """Whether lists of maps are the same. The two kinds of GELU differ by 1e-4, so these are compared more sharply."""
    return len(maps) == len(expected) and all(same(a, b, 1e-5) for a, b in zip(maps, expected, strict=True))


@exercise("1.1 contexts")
def judge_contexts(answer):
    z = np.random.default_rng(1).normal(size=(1, 12, 12, 4)).astype("float32")
    shape = z.shape
    z = ops.convert_to_tensor(z)
    convs = [keras.layers.DepthwiseConv2D(size, padding="same", use_bias=False) for size in (3, 5, 7)]
    maps = call(answer, z, convs)
    if not isinstance(maps, list):
        raise NotYet(f"One array of shape {maps.shape}. All levels are wanted: a list of 3 maps, from near to far.")
    if len(maps) == 1:
        raise NotYet("Only one map came back for 3 convolutions. Does the `return` stand inside the loop?")
    if len(maps) == 4 and same_maps(maps[:1], [z]):
        raise NotYet(
            "Four maps for 3 convolutions, and the first is z itself. The input is no level: level 1 reads it."
        )
    if len(maps) != len(convs):
        raise NotYet(f"{len(maps)} maps for 3 convolutions: one each. The global average has its turn later on.")
    wrong = [context.shape for context in maps if context.shape != shape]
    if wrong:
        raise NotYet(f"A map has shape {wrong[0]}; every one should be as large as z, {shape}.")
    expected = contextualize(z, convs, global_context=False)
    wrong = [level for level in range(3) if not same_maps(maps[level : level + 1], expected[level : level + 1])]
    first = min(wrong, default=0) + 1
    otherwise = f"Level {first} is the first that is not what eq. (1.3) says. What does it read, and what then?"
    compare(maps, expected, wrong_contexts(z, convs), otherwise, same_maps)
    return "Each level looks at neighbourhoods of neighbourhoods. Read on to see how far that is."


def sizes_of(levels, window, factor, first=0):
    return [window + factor * level for level in range(first, levels + first)]


def receptive_field(*design):
    """Width in pixels of what the last of (levels, window, factor) sees."""
    return 1 + sum(size - 1 for size in sizes_of(*design))


WRONG_FORMULAS = [
    (
        lambda *design: sum(size - 1 for size in sizes_of(*design)),
        "You count how far the kernels reach, but not the pixel they start from: 1 + …",
    ),
    (
        lambda *design: sum(sizes_of(*design)),
        "You add the kernel sizes. A kernel of 3 reaches one pixel to each side: it adds 2, not 3.",
    ),
    (
        lambda *design: 1 + sum(sizes_of(*design)),
        "You add 1 to the sum of the sizes. A kernel of k adds k − 1 to what was seen before.",
    ),
    (
        lambda *design: max(sizes_of(*design)),
        "That is the largest kernel: what levels side by side would see. In a stack the reaches add up.",
    ),
    (
        lambda *design: 1 + sum(size - 1 for size in sizes_of(*design, first=1)),
        "Your first kernel is too wide: it should be `window`, and the growth begin with the second.",
    ),
    (
        lambda levels, window, factor: 1 + levels * (window - 1),
        "All your kernels are as wide as the first. From level to level they grow by `factor`.",
    ),
]


@exercise("1.2 receptive field")
def judge_receptive_field(answer):
    cases = [(3, 3, 2), (2, 3, 2), (4, 5, 2), (3, 7, 4), (1, 5, 2)]
    if any(isinstance(result, list) or result.ndim for result in (call(answer, *case) for case in cases)):
        raise NotYet("One number is wanted, the width in pixels; I got several. Is a `sum` missing?")
    results = [number(answer, *case) for case in cases]
    expected = [receptive_field(*case) for case in cases]
    wrong = [
        place
        for place in range(len(cases))
        if not same_numbers(results[place : place + 1], expected[place : place + 1])
    ]
    otherwise = ""
    if wrong:
        levels, window, factor = cases[wrong[0]]
        otherwise = (
            f"For levels={levels}, window={window}, factor={factor} you say {results[wrong[0]]:g}, but an impulse "
            f"reaches {expected[wrong[0]]} pixels: the kernels are {sizes_of(levels, window, factor)}."
        )
    mistakes = [([formula(*case) for case in cases], message) for formula, message in WRONG_FORMULAS]
    compare(results, expected, mistakes, otherwise, same_numbers)
    if not close(number(answer, 0, 3, 2), 1):
        raise NotYet("Right for one level and more. But with no level at all, a pixel still sees itself: 1.")
    if not close(number(answer, 3), 13):
        raise NotYet("Right when all arguments are given. The defaults should be window=3, factor=2, as in the paper.")
    return "Now turn it round, in exercise 1.3: which kernels for a given reach?"


def weights_of(levels, window, factor):
    return sum(size**2 for size in sizes_of(levels, window, factor))


def fewest_weights():
    """The cheapest (levels, window, factor) that reaches far enough, by trying all with odd kernels."""
    designs = product(range(1, MOST_LEVELS + 1), range(1, REACH + 1, 2), range(0, REACH, 2))
    reaching = [design for design in designs if receptive_field(*design) >= REACH]
    return min(reaching, key=lambda design: weights_of(*design))


@exercise("1.3 reach")
def judge_reach(answer):
    design = whole_numbers(answer)
    if design is None or len(design) != 3:
        raise NotYet(f"Three whole numbers are wanted, (levels, window, factor); I got {answer!r}.")
    levels, window, factor = design
    if not 1 <= levels <= MOST_LEVELS:
        raise NotYet(
            f"{levels} levels: 1 to {MOST_LEVELS} are allowed here. Each costs a gate, and a step in sequence."
        )
    if window < 1 or factor < 0:
        raise NotYet(f"window={window}, factor={factor}: a kernel has at least 1 pixel, and they do not shrink.")
    sizes = sizes_of(*design)
    reach = receptive_field(*design)
    weights = weights_of(*design)
    best = weights_of(*fewest_weights())
    if any(size % 2 == 0 for size in sizes):
        raise NotYet(f"Kernels {sizes}: an even one has no centre pixel, so its view would be shifted. Odd sizes only.")
    if reach < REACH <= sum(sizes):
        raise NotYet(f"Kernels {sizes} add up to {sum(sizes)}, but see {reach} pixels: each adds its size less one.")
    if reach < REACH:
        raise NotYet(f"Kernels {sizes} see {reach} pixels; {REACH} are wanted.")
    if weights == best:
        return (
            f"{weights} weights per channel, and {reach} pixels. Cost grows with the square of the size, so equal "
            f"kernels are cheapest; with no limit on levels, fifteen of 3 × 3 would do with {15 * 9}. The paper's "
            "kernels grow instead, which spends more and gives views of very different sizes to choose from."
        )
    costs = f"Far enough, {reach} pixels, with {weights} weights per channel; fewer will do."
    if levels == 1:
        raise NotYet(f"{costs} One wide kernel is what a stack is meant to avoid.")
    if factor:
        share = sizes[-1] ** 2 / weights
        raise NotYet(f"{costs} The widest kernel, {sizes[-1]} pixels, alone takes {share:.0%}. Must they grow so fast?")
    if levels < MOST_LEVELS:
        raise NotYet(f"{costs} Equal kernels are a good idea. What do more, smaller ones cost?")
    raise NotYet(f"{costs} You see more than is asked for: can the kernels be smaller?")
