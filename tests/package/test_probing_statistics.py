"""The statistics and the boxes of probing against cases known by hand."""

import numpy as np
import pytest

from focal_utils import statistics, tracing


def test_mean_winner_counts_from_one_and_weighs_pixels():
    amounts = np.zeros((1, 1, 3, 3))
    amounts[0, 0, [0, 1, 2], [0, 2, 1]] = 1  # winners 1, 3, 2
    assert tracing.mean_winner(amounts, np.array([[[1, 1, 0]]])) == 2
    assert tracing.mean_winner(amounts, np.array([[[0, 0.5, 0]]])) == 3


@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        ([1, 2, 3], [10, 20, 99], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 1, 1, 1], 0),
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233),  # Spearman's ρ with ties, as R's cor(method="spearman")
        ([86, 97, 99, 100, 101, 103, 106, 110, 112, 113], [2, 20, 28, 27, 50, 29, 7, 17, 6, 12], -29 / 165),
    ],
)
def test_rank_correlation_of_known_cases(x, y, rho):
    assert statistics.rank_correlation(x, y) == pytest.approx(rho)


def test_rank_correlation_of_many_series_and_of_bad_ones():
    assert np.allclose(statistics.rank_correlation([[1, 2, 3]] * 2, [[1, 2, 3], [6, 5, 4]]), [1, -1])
    for pair in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2, 3, 4])):
        with pytest.raises(ValueError, match="at least 3"):
            statistics.rank_correlation(*pair)


def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [low < 1 < high for low, high in (statistics.bootstrap_interval(rng.exponential(1, 60), 300)
                                             for _ in range(200))]  # fmt: skip
    assert 0.88 <= np.mean(hits) <= 0.99


def test_the_bootstrap_interval_is_that_of_the_normal_and_takes_columns():
    values = np.random.default_rng(1).normal(5, 2, (400, 2))
    low, high = statistics.bootstrap_interval(values)
    assert np.allclose(high - low, 2 * 1.96 * values.std(axis=0) / 20, rtol=0.1)
    for bad in ([1.0], 1.0):
        with pytest.raises(ValueError, match="two values"):
            statistics.bootstrap_interval(bad)


def pairs(both, lost, won, neither):
    before = np.repeat([True, True, False, False], [both, lost, won, neither])
    return before, np.repeat([True, False, True, False], [both, lost, won, neither])


def test_the_paired_interval_is_that_of_agresti_and_min():
    """The example of R's PropCIs::diffpropci.mp(b = 40, c = 20, n = 160)."""
    difference, low, high = statistics.paired_difference(*pairs(60, 40, 20, 40))
    assert difference == -20 / 160
    assert (low, high) == pytest.approx((-0.21601726, -0.03089632), abs=1e-6)


def test_the_paired_interval_covers_and_never_vanishes():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(400):  # truth: 2 % won, 8 % lost
        case = rng.choice(4, 300, p=[0.8, 0.08, 0.02, 0.1])
        _, low, high = statistics.paired_difference(case < 2, (case == 0) | (case == 2))
        hits.append(low < -0.06 < high)
    assert 0.92 <= np.mean(hits) <= 0.99
    _, low, high = statistics.paired_difference(np.ones(100, bool), np.ones(100, bool))
    assert low < 0 < high
    with pytest.raises(ValueError, match="same images"):
        statistics.paired_difference([True], [True, False])


def test_the_share_of_map_pixels_in_a_box_by_hand():
    """A map of 2 × 2 pixels, stride 4, from −1: rows and columns cover [−1, 3) and [3, 7)."""
    inside = tracing.inside_box([[0, 2, 5, 6]], (4, -1), (2, 2))[0]
    assert np.allclose(inside, np.outer([1 / 4, 3 / 4], [3 / 4, 2 / 4]))  # rows 2…6, columns 0…5
    with pytest.raises(ValueError, match="x1 < x2"):
        tracing.inside_box([[3, 0, 3, 4]], (1, 0), (4, 4))


def test_energy_in_a_box_against_a_map_made_by_hand():
    inside = tracing.inside_box([[0, 0, 2, 2]], (1, 0), (4, 4))
    energy = np.ones((1, 4, 4))
    share, chance = tracing.share_inside(energy, inside)
    assert share == chance == 4 / 16
    energy[0, 0, 0] = 17  # 20 of 32 inside
    assert tracing.share_inside(energy, inside)[0] == 20 / 32
    for bad in (-energy, 0 * energy):
        with pytest.raises(ValueError, match="negative"):
            tracing.share_inside(bad, inside)
    with pytest.raises(ValueError, match="same shape"):
        tracing.share_inside(energy[:, :2], inside)
