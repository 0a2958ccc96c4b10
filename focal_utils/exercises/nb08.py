"""The exercises of notebook 08: from where on attention needs more operations, and a place for the class token."""

import math

import numpy as np

from focal_utils.exercises.checking import NotYet, call, close, exercise, layer_of, need_shape, number
from focal_utils.layers import FocalModulation


def break_even(kernels):
    return (len(kernels) + 1 + sum(size**2 for size in kernels)) / 2


@exercise("8.1 break-even")
def judge_break_even(answer):
    for kernels in ([3, 5], [3, 5, 7], [5]):
        given = number(answer, kernels)
        due = break_even(kernels)
        if close(given, due):
            continue
        if abs(given - due) < 0.51:
            raise NotYet(f"Nearly: {given} instead of {due} for kernels {kernels}. Leave it as it is, do not round.")
        if close(given, 2 * due):
            raise NotYet("Twice too many. Attention mixes with 2·T·C operations for each pixel: q·kᵀ and weights·v.")
        if close(given, due + 0.5 * (len(kernels) + 2)):
            raise NotYet(
                "That is notebook 03's count, eq. (3.5), with the weighing and the product. (8.1) leaves them out."
            )
        if close(given, math.ceil(math.sqrt(due))):
            raise NotYet("Is that the side of a map? T is its number of pixels, and need not be whole.")
        if close(given, math.sqrt(due)):
            raise NotYet("That is the side of the map. T is its number of pixels.")
        if close(given, due - 0.5 * (len(kernels) + 1)):
            raise NotYet("The gates are missing: L + 1 of them are computed for each pixel, at C operations each.")
        if close(given, (len(kernels) + 1 + sum(kernels)) / 2):
            raise NotYet("A depthwise kernel of size k has k² weights, not k.")
        raise NotYet(f"For kernels {kernels} the two sides of eq. (8.1) are equal at another T than {given:g}.")
    return "Next: C has cancelled. At which C would the share of the mixing in all operations become small?"


# ---- the open task

SIDE = 12  # of the map that the patches make
DIM = 16
REACH = 3  # patches to each side that two levels of kernels 3 and 5 see


@exercise("8.2 a place for the class token")
def judge_class_token(answer):
    layer = layer_of(answer, DIM, wanted=", which a ViT can hold")
    tokens = np.random.default_rng(0).normal(size=(1, 1 + SIDE**2, DIM)).astype("float32")
    still = tokens_through(layer, tokens)
    if not any(isinstance(part, FocalModulation) for part in layer._flatten_layers()):
        raise NotYet("There is no fu.FocalModulation in it. Attention takes a class token anyway: do it without.")
    moved = tokens.copy()
    at = 1 + SIDE * (SIDE // 2) + SIDE // 2  # a patch in the middle
    moved[0, at] += 100
    change = np.abs(tokens_through(layer, moved) - still)[0].max(axis=-1)  # (1 + T,)
    if change[0] == 0:
        raise NotYet(
            "The class token hears nothing: moving a patch leaves it as it is. It is what reads the answer out."
        )
    if np.count_nonzero(change[1:]) <= 1:
        raise NotYet("A patch moves only itself. Where is focal modulation in the call?")
    rows, columns = np.divmod(np.arange(SIDE**2), SIDE)
    far = np.maximum(abs(rows - SIDE // 2), abs(columns - SIDE // 2)) > REACH
    if min(change[at - SIDE], change[at + SIDE]) <= 3 * change[1:][far].mean():
        raise NotYet(
            "The patches above and below the moved one hear no more of it than a far one does. Is it a map of √T rows, "
            "and are they in order?"
        )
    moved = tokens.copy()
    moved[0, -1] += 100
    if np.abs(tokens_through(layer, moved) - still)[0, 0].max() == 0:
        raise NotYet("The class token hears of some patches, but not of the last one. All are to be heard.")
    moved = tokens.copy()
    moved[0, 0] += 100
    if np.abs(tokens_through(layer, moved) - still)[0, 0].max() == 0:
        raise NotYet("The class token forgets what it was: its own value changes nothing. Let it read itself, too.")
    return "Next: put it into `vit(…, class_token=True)`. Does it need the token at all, beside the mean that it has?"


def tokens_through(layer, tokens):
    """What the layer makes of tokens (B, 1 + T, C), or a `NotYet` that says what is wrong with it."""
    result = call(lambda x: layer(x, x), tokens)
    need_shape(result, tokens.shape, "As many tokens come out as went in, the class token first.")
    return result
