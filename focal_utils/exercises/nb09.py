"""The exercise of notebook 09: how many seeds an effect of a given size needs."""

import math

from focal_utils.exercises.checking import NotYet, exercise, number


@exercise("9.1 seeds")
def judge_seeds(answer):
    for spread, effect in ((0.5, 0.3), (0.5, 0.1), (0.2, 0.4)):
        given = number(answer, spread, effect)
        exact = (1.96 * spread / effect) ** 2
        if given == math.ceil(exact):
            continue
        if abs(given - exact) < 0.01 or given == math.floor(exact):
            raise NotYet(f"{exact:.2f} seeds do not exist, and fewer are not enough: round up.")
        if abs(given - math.sqrt(exact)) < 0.01 or given == math.ceil(math.sqrt(exact)):
            raise NotYet("That is √n: square it.")
        if given == math.ceil((spread / effect) ** 2):
            raise NotYet("The 1.96 is missing: without it the interval covers the mean two times in three.")
        if given == math.ceil((1.96 * effect / spread) ** 2):
            raise NotYet("Upside down: a smaller effect needs more seeds, not fewer.")
        raise NotYet(f"For a spread of {spread} and an effect of {effect} it takes {math.ceil(exact)}, not {given:g}.")
    return "Next: halve the effect. How many times as many seeds does it take?"
