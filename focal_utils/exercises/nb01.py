"""Judges for the exercises of notebook 01, hierarchical contextualization."""

import keras
import numpy as np
from keras import ops

from focal_utils.exercises.checking import NotYet, call, exercise
from focal_utils.layers.basics import gelu
from focal_utils.layers.focal import contextualize

REACH, MOST_LEVELS = 31, 4  # of exercise 1.3


def stack(z, convs, activation=gelu, following=lambda source, conv, context: context):
    """A stack of contexts as a learner may write it: `following` makes what the next level reads."""
    contexts, source = [], z
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


def same(maps, expected):
    pairs = [(a, ops.convert_to_numpy(b)) for a, b in zip(maps, expected, strict=True)]
    return all(a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in pairs)


@exercise("1.1 contexts")
def judge_contexts(answer):
    z = np.random.default_rng(1).normal(size=(1, 12, 12, 4)).astype("float32")
    convs = [keras.layers.DepthwiseConv2D(size, padding="same", use_bias=False) for size in (3, 5, 7)]
    shape, z = z.shape, ops.convert_to_tensor(z)
    maps = call(answer, z, convs)
    if not isinstance(maps, list):
        raise NotYet(f"One array of shape {maps.shape}. All levels are wanted: a list of 3 maps, from near to far.")
    if len(maps) == 1:
        raise NotYet("Only one map came back for 3 convolutions. Does the `return` stand inside the loop?")
    if len(maps) == 4 and same(maps[:1], [z]):
        raise NotYet(
            "Four maps for 3 convolutions, and the first is z itself. The input is no level: level 1 reads it."
        )
    if len(maps) != len(convs):
        raise NotYet(f"{len(maps)} maps for 3 convolutions: one each. The global average has its turn later on.")
    wrong = [context.shape for context in maps if context.shape != shape]
    if wrong:
        raise NotYet(f"A map has shape {wrong[0]}; every one should be as large as z, {shape}.")
    expected = contextualize(z, convs, global_context=False)
    if same(maps, expected):
        return "Each level looks at neighbourhoods of neighbourhoods. Read on to see how far that is."
    for mistaken, message in wrong_contexts(z, convs):
        if same(maps, mistaken):
            raise NotYet(message)
    first = next(level for level in range(3) if not same(maps[level : level + 1], expected[level : level + 1]))
    raise NotYet(f"Level {first + 1} is the first that is not what eq. (1.3) says. What does it read, and what then?")


def sizes_of(levels, window, factor, first=0):
    return [window + factor * level for level in range(first, levels + first)]


WRONG_FORMULAS = {
    "You count how far the kernels reach, but not the pixel they start from: 1 + …": lambda *given: sum(
        size - 1 for size in sizes_of(*given)
    ),
    "You add the kernel sizes. A kernel of 3 reaches one pixel to each side: it adds 2, not 3.": lambda *given: sum(
        sizes_of(*given)
    ),
    "You add 1 to the sum of the sizes. A kernel of k adds k − 1 to what was seen before.": lambda *given: (
        1 + sum(sizes_of(*given))
    ),
    "That is the largest kernel: what levels side by side would see. In a stack the reaches add up.": lambda *given: (
        max(sizes_of(*given))
    ),
    "Your first kernel is too wide: it should be `window`, and the growth begin with the second.": lambda *given: (
        1 + sum(size - 1 for size in sizes_of(*given, first=1))
    ),
    "All your kernels are as wide as the first. From level to level they grow by `factor`.": lambda levels, window, _: (
        1 + levels * (window - 1)
    ),
}


@exercise("1.2 receptive field")
def judge_receptive_field(answer):
    cases = [(3, 3, 2), (2, 3, 2), (4, 5, 2), (3, 7, 4), (1, 5, 2)]
    results = [call(answer, *case) for case in cases]
    if any(isinstance(result, list) or result.ndim for result in results):
        raise NotYet("One number is wanted, the width in pixels; I got several. Is a `sum` missing?")
    results = [float(result) for result in results]
    expected = [1 + sum(size - 1 for size in sizes_of(*case)) for case in cases]
    for message, formula in WRONG_FORMULAS.items():
        if results == [formula(*case) for case in cases] != expected:
            raise NotYet(message)
    for case, result, right in zip(cases, results, expected, strict=True):
        if result != right:
            levels, window, factor = case
            raise NotYet(
                f"For levels={levels}, window={window}, factor={factor} you say {result:g}, but an impulse reaches "
                f"{right} pixels: the kernels are {sizes_of(*case)}."
            )
    if float(call(answer, 0, 3, 2)) != 1:
        raise NotYet("Right for one level and more. But with no level at all, a pixel still sees itself: 1.")
    if float(call(answer, 3)) != 13:
        raise NotYet("Right when all arguments are given. The defaults should be window=3, factor=2, as in the paper.")
    return "Now turn it round, in exercise 1.3: which kernels for a given reach?"


def weights_of(levels, window, factor):
    return sum(size**2 for size in sizes_of(levels, window, factor))


def fewest_weights():
    """The cheapest (levels, window, factor) that reaches far enough, by trying all with odd kernels."""
    designs = [
        (levels, window, factor)
        for levels in range(1, MOST_LEVELS + 1)
        for window in range(1, REACH + 1, 2)
        for factor in range(0, REACH, 2)
    ]
    reaching = [design for design in designs if 1 + sum(size - 1 for size in sizes_of(*design)) >= REACH]
    return min(reaching, key=lambda design: weights_of(*design))


@exercise("1.3 reach")
def judge_reach(answer):
    if not isinstance(answer, tuple | list) or len(answer) != 3 or not all(type(n) is int for n in answer):
        raise NotYet(f"Three whole numbers are wanted, (levels, window, factor); I got {answer!r}.")
    levels, window, factor = answer
    if not 1 <= levels <= MOST_LEVELS:
        raise NotYet(
            f"{levels} levels: 1 to {MOST_LEVELS} are allowed here. Each costs a gate, and a step in sequence."
        )
    if window < 1 or factor < 0:
        raise NotYet(f"window={window}, factor={factor}: a kernel has at least 1 pixel, and they do not shrink.")
    sizes = sizes_of(*answer)
    reach, weights, best = 1 + sum(size - 1 for size in sizes), weights_of(*answer), weights_of(*fewest_weights())
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
