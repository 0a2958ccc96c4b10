"""What went wrong, in words: errors that say what was got, what is expected and what to do."""

import difflib
import math
import operator
from numbers import Real

import numpy as np

# Every check_… takes the argument's name and its value, raises ValueError where the value does not fit, and returns it
# as a plain Python value, so that what came from NumPy can be saved as JSON.


def check_choice(argument, value, choices):
    """One of `choices`."""
    choices = tuple(choices)
    try:
        return choices[choices.index(value)]
    except ValueError:  # also what NumPy says when an array is compared
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{argument}={value!r} is not known: choose one of {known}.") from None


def check_whole(argument, value, at_least=0, at_most=2**31 - 1):
    """A whole number within bounds: an `int`, of Python, NumPy or a tensor, but no `bool` and no `float`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < at_least:
        raise ValueError(f"{argument}={value!r}: a whole number of at least {at_least} is needed.")
    if number > at_most:
        raise ValueError(f"{argument}={value!r}: a whole number of at most {at_most} is needed.")
    return number


def check_number(argument, value, above=-math.inf, at_least=-math.inf, below=math.inf, at_most=math.inf):
    """A finite number within the bounds that are given, as a `float`; no `bool`, no text."""
    is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if is_number and above < value < below and at_least <= value <= at_most and math.isfinite(value):
        return float(value)
    bounds = {"above": above, "of at least": at_least, "below": below, "of at most": at_most}
    wanted = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound))
    raise ValueError(f"{argument}={value!r}: a finite number {wanted} is needed.".replace("  ", " "))


def check_flag(argument, value):
    """True or False; no other value is taken for one, as `"no"` would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{argument}={value!r}: True or False is needed.")
    return bool(value)


def check_at_least(**arguments):
    """`check_whole` for several arguments at once, each given as `name=(value, least)`."""
    for name, (value, least) in arguments.items():
        check_whole(name, value, least)


def as_list(value):
    """What is in a tuple, a list or an array of one axis, as a list; None for anything else, such as a text."""
    if isinstance(value, (tuple, list)) or getattr(value, "ndim", None) == 1:
        return list(value)
    return None


def check_names(owner, names, known):
    """Raise ValueError where one of `names` is no argument of `owner`; the message names the one that it is like."""
    for name in names:
        if name not in known:
            alike = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {alike[0]}?" if alike else f"It takes {', '.join(known)}."
            raise ValueError(f"Unrecognized argument of {owner}: {name}. {meant}")


def check_map(layer, shape, channels=None):
    """Raise ValueError unless `shape` is (B, H, W, C), with C = `channels` where that is given."""
    if len(shape) != 4:
        raise ValueError(
            f"{layer} takes a 4-D map (batch, height, width, channels), but got rank {len(shape)}, shape {shape}. "
            "For tokens of a map (batch, length, channels), reshape to (batch, height, width, channels) first; for "
            'sequences, focal modulation takes sequence="whole" or "causal".'
        )
    if channels is not None:
        check_channels(layer, shape, channels)


def check_channels(layer, shape, channels):
    """Raise ValueError unless the last axis of `shape` is `channels`."""
    if shape[-1] != channels:
        raise ValueError(
            f"{layer} was made for {channels} channels, but the last axis of {shape} has {shape[-1]}. "
            f"Channels come last; project to {channels} channels first, or build the layer with dim={shape[-1]}."
        )


def check_sequence(layer, shape, channels):
    """Raise ValueError unless `shape` is (B, T, C), with C = `channels`."""
    if len(shape) != 3:
        raise ValueError(
            f"{layer} was made for sequences (batch, steps, channels), but got rank {len(shape)}, shape {shape}. For "
            "maps (batch, height, width, channels) leave sequence=None."
        )
    check_channels(layer, shape, channels)


class DataNotFound(FileNotFoundError):
    """A data set is neither on this machine nor to be had from its source; the message names the ways out."""


class DamagedData(ValueError):
    """A file is cut short, altered, or not what it should be; the message names the file."""


def damaged(path, error):
    """The `DamagedData` that says which file could not be read, and why."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return DamagedData(f"{path} is cut short or damaged ({reason}). Fetch or save it again.")
