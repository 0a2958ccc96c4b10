"""Numbers on a command line, refused when they are out of range, before anything is begun; and names to choose from.

What imports nothing stands here, so that a tool answers `--help` and wrong arguments at once.
"""

import argparse
import math

# The keys of the tables of the same names, which a test compares: these import TensorFlow.
RECIPES = ("gtsrb", "bloodcells", "breastmnist", "cifar10")
SEGMENTERS = ("nuclei",)
NETWORKS = ("focalnet", "four-stages", "resnet18")
OPTIMIZERS = ("adamw", "muon")
STUDIES = ("comparison", "ablations", "optimizers")


def parser(description):
    """A parser that shows a tool's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def at_least(least):
    """A type of argument: whole numbers from `least` on."""

    def whole(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least:
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least {least} is needed")
        return number

    return whole


def one_of(names):
    """A type of argument: one of some names. `choices` of argparse refuses a list of arguments that may be empty."""

    def name(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is not known: choose from {', '.join(names)}")
        return text

    return name


def between(low, high=math.inf):
    """A type of argument: finite numbers above `low` and below `high`."""

    def number(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value < high:
            above = f"a finite number above {low:g}" + (f" and below {high:g}" if math.isfinite(high) else "")
            raise argparse.ArgumentTypeError(f"{text!r}: {above} is needed")
        return value

    return number
