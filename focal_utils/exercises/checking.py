"""How an exercise is registered and an answer judged; the exercises themselves are beside, a file for each notebook."""

import importlib
import pkgutil

import numpy as np
from keras import ops

EXERCISES = {}


class NotYet(Exception):  # noqa: N818, it is no error
    """An answer that is not right yet; the message says what kind of mistake it holds and what to think about."""


def exercise(name):
    """Register a function that judges one exercise: it raises `NotYet`, or returns a sentence on what comes next."""

    def register(judge):
        EXERCISES[name] = judge
        return judge

    return register


def call(answer, *inputs):
    """The learner's function on `inputs`, as NumPy arrays; whatever goes wrong in it becomes a `NotYet`."""
    if not callable(answer):
        raise NotYet(
            f"A function is needed here, but this is a {type(answer).__name__}. Give its name, without brackets."
        )
    try:
        result = answer(*inputs)
    except Exception as error:
        raise NotYet(f"{answer.__name__} stopped with {type(error).__name__}: {error}".split("\n")[0]) from error
    if result is None or result is Ellipsis:
        raise NotYet(f"{answer.__name__} returned None: is there a `return`?")
    several = isinstance(result, list | tuple)
    arrays = [np.asarray(ops.convert_to_numpy(item)) for item in (result if several else [result])]
    for array in arrays:
        if array.dtype.kind in "OSU":
            raise NotYet(f"{answer.__name__} returned {array!r}: numbers are wanted.")
    return arrays if several else arrays[0]


def number(answer, *inputs):
    """The learner's number for `inputs`, or a `NotYet` that says what came instead."""
    result = call(answer, *inputs)
    if isinstance(result, list) or result.ndim:
        raise NotYet(f"One number is wanted here, but {answer.__name__} returned {result!r}.")
    return float(result)


def verdict(name, answer):
    """Whether `answer` solves the exercise `name`, and the sentence that says so: (bool, str).

    Raises:
        ValueError: an unknown exercise, with the known ones named.
    """
    from focal_utils import exercises

    for module in pkgutil.iter_modules(exercises.__path__):
        importlib.import_module(f"{exercises.__name__}.{module.name}")
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}. There are: {', '.join(sorted(EXERCISES))}.")
    if answer is None or answer is Ellipsis:
        return False, "not solved yet: put your answer in place of the dots."
    try:
        return True, f"solved. {EXERCISES[name](answer)}"
    except NotYet as reason:
        started = "returned None" not in str(reason)
        return False, f"not yet. {reason}" if started else f"not solved yet: {reason}"


def check(name, answer):
    """Judge an answer to an exercise and print what kind of mistake it holds, or that it is solved."""
    print(f"{name}   {verdict(name, answer)[1]}")
