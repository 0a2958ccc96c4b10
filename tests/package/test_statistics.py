"""Intervals and slopes that come out as textbooks say; test_probing_statistics.py has the other statistics."""

import numpy as np
import pytest

from focal_utils import statistics


def test_the_interval_of_a_few_values_is_students():
    mean, half = statistics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.302653 / np.sqrt(3))
    assert statistics.mean_interval([5.0, 5.0]) == (5, 0)
    for bad in ([1.0], [[1.0, 2.0]], 3.0):
        with pytest.raises(ValueError, match="At least two values"):
            statistics.mean_interval(bad)


def test_the_interval_of_strangers_is_welchs():
    difference, half = statistics.unpaired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert difference == 2 and half == pytest.approx(2.776445 * np.sqrt(2 / 3))
    wide = statistics.unpaired_difference([3.0, 4.0, 5.0], [-8.0, 2.0, 12.0])[1]
    assert wide == pytest.approx(4.302653 * np.sqrt(101 / 3), rel=0.02)  # the narrow ones add little certainty
    assert statistics.unpaired_difference([5.0, 5.0], [3.0, 3.0]) == (2, 0)
    with pytest.raises(ValueError, match="At least two values"):
        statistics.unpaired_difference([1.0, 2.0], [1.0])


def test_students_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        mean, half = statistics.mean_interval(rng.normal(1, 2, 3))
        hits += abs(mean - 1) < half
    assert 0.93 < hits / 2000 < 0.97


def test_a_power_is_found_with_its_interval():
    sizes = np.array([10, 20, 40, 80])
    assert statistics.log_log_slope(sizes, 3 * sizes**1.5) == (pytest.approx(1.5), pytest.approx(0, abs=1e-6))
    slope, half = statistics.log_log_slope(sizes, sizes**2 * [1, 1.2, 0.9, 1])
    assert slope - half < 2 < slope + half and half > 0.01
    for bad in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, 3], [1, 0, 2])):
        with pytest.raises(ValueError, match="Three or more pairs of positive numbers"):
            statistics.log_log_slope(*bad)


def test_wilsons_interval():
    assert statistics.wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    low, high = statistics.wilson(10, 10)
    assert low < 1 and high == pytest.approx(1)


def test_values_that_say_nothing_are_refused():
    nan = [1.0, 2.0, np.nan, 4.0]
    for ask in (
        lambda: statistics.rank_correlation(nan, [1, 2, 3, 4]),
        lambda: statistics.bootstrap_interval(nan),
        lambda: statistics.mean_interval([1, np.inf, 3]),
        lambda: statistics.unpaired_difference([1, np.inf, 3], [1, 2, 3]),
        lambda: statistics.log_log_slope([1, 2, 3, 4], nan),
    ):
        with pytest.raises(ValueError, match="NaN or infinite: leave them out"):
            ask()
    with pytest.raises(ValueError, match="neither true nor false"):
        statistics.paired_difference([0, 1, 7], [1, 1, 0])
    for level in (0, 1, 95, np.nan, "0.95"):
        with pytest.raises(ValueError, match="level="):
            statistics.bootstrap_interval([1.0, 2.0], level=level)
        with pytest.raises(ValueError, match="level="):
            statistics.paired_difference([0, 1], [1, 1], level=level)
    for counts in ((3, 2), (-1, 2), (0, 0), (1.5, 2)):
        with pytest.raises((ValueError, TypeError)):
            statistics.wilson(*counts)


def test_ranks_share_their_mean_along_the_last_axis():
    x = np.array([[3, 1, 3, 2], [1, 1, 1, 1]])
    y = np.array([[4, 1, 3, 2], [1, 2, 3, 4]])
    assert np.allclose(statistics.rank_correlation(x, y), [0.9486832980505138, 0])


@pytest.mark.parametrize(
    ("interval", "careful", "word"),
    [
        ((0.1, 0.5), (0.05, 0.6), "shown"),
        ((-0.5, -0.1), (-0.6, -0.05), "shown"),
        ((0.1, 0.5), (-0.1, 0.7), "hint"),
        ((-0.1, 0.5), (-0.3, 0.7), "not shown"),
        ((0.0, 0.5), (0.0, 0.5), "not shown"),
    ],
)
def test_one_word_for_an_interval(interval, careful, word):
    assert statistics.verdict(interval, careful) == word


@pytest.mark.parametrize(("interval", "careful"), [((0.1, 0.5), (0.2, 0.4)), ((0.5, 0.1), (0, 1)), ((0, 1), (0.5, 2))])
def test_a_careful_interval_is_the_wider_one(interval, careful):
    with pytest.raises(ValueError, match="must hold the other"):
        statistics.verdict(interval, careful)


@pytest.mark.parametrize(
    ("values", "comparisons", "word"),
    [
        ([0.010, 0.020, 0.015], 1, "shown"),  # 0.015 ± 0.012
        ([0.010, 0.020, 0.015], 6, "hint"),  # careful ± 0.032
        ([-0.010, -0.020, -0.015], 6, "hint"),
        ([0.010, 0.012, 0.011], 6, "shown"),
        ([0.01, 0.05, 0.001], 1, "not shown"),
    ],
)
def test_a_mean_is_judged_as_one_of_so_many(values, comparisons, word):
    assert statistics.mean_verdict(values, comparisons) == word


@pytest.mark.parametrize(
    ("values", "comparisons"), [([1.0], 1), ([1.0, np.nan], 1), ([1.0, 2.0], 0), ([1.0, 2.0], 1.5)]
)
def test_a_mean_that_cannot_be_judged_is_refused(values, comparisons):
    with pytest.raises((ValueError, TypeError)):
        statistics.mean_verdict(values, comparisons)


def test_an_interval_is_widened_around_its_middle():
    assert statistics.widened((1.0, 3.0), 2) == (0.0, 4.0)
    assert statistics.widened((-2.0, -1.0), 1) == (-2.0, -1.0)
