"""The exercises of notebook 09: how many seeds an effect of a given size needs, and an ablation of one's own."""

import inspect
import math
from collections.abc import Mapping

import numpy as np

from focal_utils.exercises.checking import NotYet, array_of, exercise, number
from focal_utils.layers import FocalModulation
from focal_utils.models import FocalNet
from focal_utils.statistics import mean_interval, mean_verdict


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


# ---- the open task

LEAST_SEEDS = 3


def arguments_of_networks():
    """What a network of focal modulation can be told: name → what it is without being told."""
    known = {}
    for made in (FocalNet.__init__, FocalModulation.__init__):
        for name, parameter in inspect.signature(made).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                known[name] = parameter.default
    return known


def as_accuracies(answer, key):
    """A list of accuracies as shares, or a `NotYet`."""
    values = array_of(answer[key])
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise NotYet(f"“{key}” should be a list of accuracies, one for each seed.")
    if len(values) < LEAST_SEEDS:
        raise NotYet(f"“{key}” has {len(values)} numbers. Of fewer than {LEAST_SEEDS} seeds no spread can be seen.")
    if values.min() < 0 or values.max() > 100:
        raise NotYet(f"“{key}” goes from {values.min():g} to {values.max():g}; accuracies are shares or per cent.")
    return values if values.max() <= 1 else values / 100


@exercise("9.2 an ablation")
def judge_ablation(answer):
    if not isinstance(answer, Mapping):
        raise NotYet(
            f"A dictionary with “change”, “before” and “after” is wanted, and this is a {type(answer).__name__}."
        )
    if missing := [key for key in ("change", "before", "after") if key not in answer]:
        raise NotYet(f"“{missing[0]}” is missing.")
    change = answer["change"]
    if not isinstance(change, Mapping) or len(change) != 1:
        raise NotYet("“change” should hold one argument and its value. With two, who would know which one did it?")
    ((name, value),) = change.items()
    known = arguments_of_networks()
    if name not in known:
        raise NotYet(f"Neither fu.FocalNet nor fu.FocalModulation has an argument {name!r}.")
    if value == known[name]:
        raise NotYet(f"{name}={value!r} is what they do anyway: nothing has been changed.")
    before = as_accuracies(answer, "before")
    after = as_accuracies(answer, "after")
    if len(before) != len(after):
        raise NotYet(f"{len(before)} seeds before and {len(after)} after: pairs are compared, so as many of both.")
    if np.ptp(before) == 0 or np.ptp(after) == 0:
        raise NotYet("All seeds give the same accuracy. Has the seed changed, or was one run copied?")
    points = 100 * (after - before)
    mean, half = mean_interval(points)
    word = mean_verdict(points, comparisons=10)
    return (
        f"{name}={value!r}: {mean:+.1f} ± {half:.1f} points, {word}; your numbers are taken on trust. Next: how many "
        "seeds would make it certain?"
    )
