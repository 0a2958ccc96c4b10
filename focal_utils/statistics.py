"""Statistics of measurements: means, shares and their intervals, differences, rank correlations, slopes."""

import numpy as np
from scipy import stats

from focal_utils.errors import check_at_least, check_number


def rank_correlation(x, y):
    """Spearman's rank correlation along the last axis (Spearman 1904).

    `scipy.stats.spearmanr` compares two series at a time and gives NaN where one never changes. Such a series has no
    order to agree with: here the result is 0.

    Args:
        x: (…, n).
        y: (…, n), the same n, at least 3.

    Returns:
        (…), from −1 to 1.

    Raises:
        ValueError: lengths that differ or are below 3, or values that are no finite numbers.

    Example:
        >>> rank_correlation([1, 2, 3, 4], [1, 2, 4, 3])
        np.float64(0.8)
    """
    x = as_numbers(x)
    y = as_numbers(y)
    if x.ndim < 1 or y.ndim < 1 or x.shape[-1] != y.shape[-1] or x.shape[-1] < 3:
        raise ValueError(f"Two series of one length, at least 3, are needed, but got {x.shape} and {y.shape}.")
    x_ranks = centred_ranks(x)
    y_ranks = centred_ranks(y)
    scale = np.sqrt((x_ranks**2).sum(axis=-1) * (y_ranks**2).sum(axis=-1))
    return (x_ranks * y_ranks).sum(axis=-1) / np.where(scale > 0, scale, 1)


def centred_ranks(values):
    """Ranks along the last axis, equal values sharing the mean of theirs, less the mean of all."""
    return stats.rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2


def as_numbers(values):
    """Values as an array of floats; ValueError for NaN and infinity, which would make every result NaN."""
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        raise ValueError("Values are NaN or infinite: leave them out first, and say how many there were.")
    return values


def bootstrap_interval(values, draws=2000, level=0.95, seed=0):
    """Percentile interval of the mean (Efron 1979): the N units are drawn anew, with replacement, again and again.

    `scipy.stats.bootstrap` does the same with other draws, which would move the committed results in their last digit.

    Args:
        values: (N, …), at least two.
        draws: how often.
        level: share of the draws' means within the interval.
        seed: the same seed gives the same interval.

    Returns:
        low and high, (…) each.

    Raises:
        ValueError: fewer than two values, or some that are no finite numbers; a level that is no share.
    """
    values = as_numbers(values)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"At least two values are needed for an interval, but got shape {values.shape}.")
    check_at_least(draws=(draws, 1))
    check_number("level", level, above=0, below=1)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean(axis=0) for _ in range(draws)]
    return tuple(np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0))


def paired_difference(before, after, level=0.95):
    """By how much a share changed on the same images, with its interval (Agresti & Min 2005, section 3).

    Half an image is added to each of the four cases for the interval, which so never vanishes. SciPy has no interval
    for this.

    Args:
        before: (N,) bool, what was right before.
        after: (N,) bool, what was right after.
        level: how often such an interval is to hold the true difference.

    Returns:
        The difference, low and high, as shares.

    Raises:
        ValueError: other shapes, or values that are neither true nor false; a level that is no share.
    """
    before = as_truths(before)
    after = as_truths(after)
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise ValueError(f"The same images are needed before and after, but got {before.shape} and {after.shape}.")
    check_number("level", level, above=0, below=1)
    total = len(before)
    won = np.sum(after & ~before)
    lost = np.sum(before & ~after)
    centre = (won - lost) / (total + 2)
    spread = np.sqrt((won + lost + 1) / (total + 2) - centre**2) / np.sqrt(total + 2)
    half = stats.norm.ppf((1 + level) / 2) * spread
    return float((won - lost) / total), float(centre - half), float(centre + half)


def as_truths(values):
    values = np.asarray(values)
    if not np.isin(values, (0, 1)).all():
        raise ValueError("Values are neither true nor false: compare predictions with labels first.")
    return values.astype(bool)


def wilson(right, total, level=0.95):
    """The interval of a share, `right` of `total` (Wilson 1927): low and high.

    Raises:
        ValueError: counts that are no whole numbers, more right than there are, or none at all.

    Example:
        >>> low, high = wilson(12_500, 12_630)
    """
    interval = stats.binomtest(right, total).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(values, level=0.95):
    """Mean of a few values, such as one for each seed, and half its interval after Student's t: (mean, half).

    Raises:
        ValueError: fewer than two values, or some that are no finite numbers.
    """
    values = as_numbers(values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"At least two values are needed for an interval, but got shape {values.shape}.")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def unpaired_difference(values, others, level=0.95):
    """By how much one mean is above another, where no value belongs to one of the others: (difference, half interval).

    Welch's interval (Welch 1947): the spreads may differ. `mean_interval` of differences is for values in pairs.

    Args:
        values: (N,), at least two.
        others: (M,), at least two.
        level: how often such an interval is to hold the true difference.

    Raises:
        ValueError: fewer than two values, or some that are no finite numbers.

    Example:
        >>> unpaired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])  # 2, and half an interval of 2.27
    """
    for given in (values, others):
        mean_interval(given)  # refuses what has no interval
    values = as_numbers(values)
    others = as_numbers(others)
    difference = float(values.mean() - others.mean())
    if values.std() == others.std() == 0:  # SciPy divides by it
        return difference, 0.0
    interval = stats.ttest_ind(values, others, equal_var=False).confidence_interval(level)
    return difference, float((interval.high - interval.low) / 2)


VERDICTS = ("shown", "hint", "not shown")


def verdict(interval, careful):
    """What an interval of an effect says, in a word: "shown", "hint" or "not shown".

    Args:
        interval: (low, high), that of 95 %.
        careful: (low, high), as wide as the number of comparisons or the doubt about the images asks for.

    Returns:
        "shown" where even the careful interval excludes no effect, "hint" where the plain one alone does.

    Raises:
        ValueError: bounds in the wrong order or no finite numbers, or a careful interval that is the narrower one.

    Example:
        >>> verdict((0.1, 0.5), (-0.1, 0.7))
        'hint'
    """
    low, high = as_numbers(interval)
    lowest, highest = as_numbers(careful)
    if low > high or lowest > low or highest < high:
        raise ValueError(f"The careful interval must hold the other one, but got {careful} for {interval}.")
    if low <= 0 <= high:
        return "not shown"
    return "hint" if lowest <= 0 <= highest else "shown"


def mean_verdict(values, comparisons):
    """What the mean of a few values says, such as differences of one for each seed: `verdict`, with Student's t.

    Args:
        values: (N,), at least two.
        comparisons: how many such means are looked at together. The careful interval misses as seldom for all of them
            as the plain one, of 95 %, does for one (Bonferroni): 99.5 % for ten.

    Raises:
        ValueError: fewer than two values, some that are no finite numbers, or no comparison.

    Example:
        >>> mean_verdict([0.010, 0.020, 0.015], comparisons=6)
        'hint'
    """
    check_at_least(comparisons=(comparisons, 1))
    mean, half = mean_interval(values)
    _, careful = mean_interval(values, level=1 - 0.05 / comparisons)
    return verdict((mean - half, mean + half), (mean - careful, mean + careful))


def widened(interval, factor):
    """An interval, (low, high), that many times as wide around the same middle.

    Example:
        >>> widened((1.0, 3.0), 2)
        (0.0, 4.0)
    """
    low, high = interval
    middle = (low + high) / 2
    half = factor * (high - low) / 2
    return middle - half, middle + half


def log_log_slope(sizes, amounts, level=0.95):
    """The power with which amounts grow with sizes, the slope of log amount against log size: (slope, half interval).

    Least squares; the interval says how far the points are from one straight line.

    Raises:
        ValueError: fewer than three points, lengths that differ, or values that are no positive finite numbers.
    """
    sizes = as_numbers(sizes)
    amounts = as_numbers(amounts)
    if sizes.shape != amounts.shape or sizes.ndim != 1 or len(sizes) < 3 or sizes.min() <= 0 or amounts.min() <= 0:
        raise ValueError(f"Three or more pairs of positive numbers are needed, but got {sizes} and {amounts}.")
    line = stats.linregress(np.log(sizes), np.log(amounts))
    return float(line.slope), float(stats.t.ppf((1 + level) / 2, len(sizes) - 2) * line.stderr)
