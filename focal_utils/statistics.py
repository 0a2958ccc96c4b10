"""Statistics of measurements: means, shares and their intervals, differences, rank correlations, slopes."""

from statistics import NormalDist

import numpy as np
from scipy import stats


def ranks(values):
    """Ranks from 1 along the last axis; equal values share the mean of theirs."""
    values = np.asarray(values)
    below = (values[..., None, :] < values[..., None]).sum(axis=-1)
    return below + ((values[..., None, :] == values[..., None]).sum(axis=-1) + 1) / 2


def rank_correlation(x, y):
    """Spearman's rank correlation along the last axis (Spearman 1904): shapes (…, n), result (…), from −1 to 1.

    Where a series never changes it has no order to agree with; the result is then 0. Lengths that differ or are below
    3 raise ValueError.
    """
    if np.shape(x)[-1] != np.shape(y)[-1] or np.shape(x)[-1] < 3:
        raise ValueError(f"Two series of one length, at least 3, are needed, but got {np.shape(x)} and {np.shape(y)}.")
    x, y = (ranks(series) - (np.shape(series)[-1] + 1) / 2 for series in (x, y))
    scale = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return (x * y).sum(axis=-1) / np.where(scale > 0, scale, 1)


def bootstrap_interval(values, draws=2000, level=0.95, seed=0):
    """Percentile interval of the mean over the first axis (Efron 1979): values (N, …), low and high (…).

    The N units are drawn anew `draws` times, with replacement; fewer than two raise ValueError.
    """
    values = np.asarray(values, float)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"At least two values are needed for an interval, but got shape {values.shape}.")
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean(axis=0) for _ in range(draws)]
    return tuple(np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0))


def paired_difference(before, after, level=0.95):
    """By how much a share changed on the same images: the difference, low and high (Agresti & Min 2005, section 3).

    Half an image is added to each of the four cases for the interval, which so never vanishes. `before` and `after` are
    (N,) bool, what was right; other shapes raise ValueError.
    """
    before, after = np.asarray(before, bool), np.asarray(after, bool)
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise ValueError(f"The same images are needed before and after, but got {before.shape} and {after.shape}.")
    won, lost, total = np.sum(after & ~before), np.sum(before & ~after), len(before)
    centre = (won - lost) / (total + 2)
    spread = np.sqrt((won + lost + 1) / (total + 2) - centre**2) / np.sqrt(total + 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * spread
    return float((won - lost) / total), float(centre - half), float(centre + half)


def wilson(right, total, level=0.95):
    """The interval of a share, `right` of `total` (Wilson 1927): low and high."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = right / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * np.sqrt(share * (1 - share) / total + weight / (4 * total))
    return float(centre - half), float(centre + half)


def mean_interval(values, level=0.95):
    """Mean of a few values, such as one for each seed, and half its interval after Student's t: (mean, half).

    Raises:
        ValueError: fewer than two values.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"At least two values are needed for an interval, but got shape {values.shape}.")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def log_log_slope(sizes, amounts, level=0.95):
    """The power with which amounts grow with sizes, the slope of log amount against log size: (slope, half interval).

    Least squares; the interval says how far the points are from one straight line.

    Raises:
        ValueError: fewer than three points, lengths that differ, or values that are not positive.
    """
    sizes, amounts = np.asarray(sizes, float), np.asarray(amounts, float)
    if sizes.shape != amounts.shape or len(sizes) < 3 or sizes.min() <= 0 or amounts.min() <= 0:
        raise ValueError(f"Three or more pairs of positive numbers are needed, but got {sizes} and {amounts}.")
    line = stats.linregress(np.log(sizes), np.log(amounts))
    return float(line.slope), float(stats.t.ppf((1 + level) / 2, len(sizes) - 2) * line.stderr)
