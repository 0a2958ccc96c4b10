"""Corruptions of pictures: stronger and stronger, the same each time; what cannot be spoilt is refused in words."""

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.data import CORRUPTIONS


@pytest.fixture(scope="module")
def signs():
    return fu.render_signs(200, classes=(14, 12), seed=0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_are_spoilt_more_and_more_and_the_same_each_time(signs, name):
    images = signs.x_test[:20]
    before = images.copy()
    distances = []
    for strength in range(1, 6):
        spoilt = fu.corrupt(images, name, strength)
        assert spoilt.shape == images.shape and spoilt.dtype == np.uint8
        np.testing.assert_array_equal(spoilt, fu.corrupt(images, name, strength))
        distances.append(np.abs(spoilt.astype(int) - images).mean())
    assert distances == sorted(distances) and distances[0] > 0 and len(set(distances)) == 5
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_size_and_no_picture_at_all(name):
    assert fu.corrupt(np.zeros((2, 40, 60, 3), "uint8"), name, 5).shape == (2, 40, 60, 3)
    assert fu.corrupt(np.zeros((0, 8, 8, 3), "uint8"), name, 5).shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    ("images", "how", "strength", "said"),
    [
        (np.zeros((8, 8, 3), "uint8"), "blur", 1, "(N, H, W, 3) of uint8 are needed, but got (8, 8, 3)"),
        (np.zeros((1, 8, 8, 1), "uint8"), "blur", 1, "but got (1, 8, 8, 1)"),
        (np.zeros((1, 8, 8, 3)), "blur", 1, "of float64"),
        (np.zeros((1, 8, 8, 3), "uint8"), "fog", 1, "fog"),
        (np.zeros((1, 8, 8, 3), "uint8"), "noise", 0, "at least 1"),
        (np.zeros((1, 8, 8, 3), "uint8"), "noise", 6, "at most 5"),
        (np.zeros((1, 8, 8, 3), "uint8"), "noise", 2.5, "whole number"),
    ],
)
def test_what_cannot_be_spoilt_is_refused_in_words(images, how, strength, said):
    with pytest.raises(ValueError, match=r".*") as error:
        fu.corrupt(images, how, strength)
    assert said in str(error.value)
