"""What went wrong, in words: errors that say what was got, what is expected and what to do."""

import math
from numbers import Integral, Real


def check_choice(argument, value, choices):
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{argument}={value!r} is not known: choose one of {', '.join(map(repr, choices))}.")


def check_at_least(**arguments):
    """Raise ValueError unless each `name=(value, least)` is a whole number that is not smaller than `least`."""
    for name, (value, least) in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name}={value!r}: a whole number of at least {least} is needed.")


def check_number(argument, value, above=-math.inf, at_least=-math.inf, below=math.inf):
    """Raise ValueError unless `value` is a finite number within the bounds that are given."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and above < value < below and at_least <= value:
        return
    bounds = {"above": above, "of at least": at_least, "below": below}
    wanted = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound))
    raise ValueError(f"{argument}={value!r}: a finite number {wanted} is needed.")


def check_map(layer, shape, channels=None):
    """Raise ValueError unless `shape` is (B, H, W, C), with C = `channels` where that is given."""
    if len(shape) != 4:
        raise ValueError(
            f"{layer} takes a 4-D map (batch, height, width, channels), but got rank {len(shape)}, shape {shape}. "
            "For tokens (batch, length, channels), reshape to (batch, height, width, channels) first."
        )
    if channels is not None and shape[-1] != channels:
        raise ValueError(
            f"{layer} was made for {channels} channels, but the last axis of {shape} has {shape[-1]}. "
            f"Channels come last; project to {channels} channels first, or build the layer with dim={shape[-1]}."
        )


class DataNotFound(FileNotFoundError):
    """A data set is neither on this machine nor to be had from its source; the message names the ways out."""


class DamagedData(ValueError):
    """A file is cut short, altered, or not what it should be; the message names the file."""


def damaged(path, error):
    """The `DamagedData` that says which file could not be read, and why."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return DamagedData(f"{path} is cut short or damaged ({reason}). Fetch or save it again.")
