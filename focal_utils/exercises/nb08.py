"""The exercise of notebook 08: the number of pixels from which attention needs more operations."""

import math

from focal_utils.exercises.checking import NotYet, close, exercise, number


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
