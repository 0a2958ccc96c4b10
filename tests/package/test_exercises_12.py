"""The exercises of notebook 12: the folded solutions are right, each wrong answer gets its own message."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import feature, measure, segmentation

from focal_utils.exercises import verdict
from tests.package.exercise_pages import mistakes_told_apart, solution

PAGE = "12_large_pictures.ipynb"
EXERCISES = ("12.1 Dice", "12.2 reach", "12.3 touching")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_folded_solution_is_right(exercise):
    solved, said = verdict(exercise, solution(PAGE, exercise, np=np))
    assert solved and said.startswith("solved. Next: "), said


def inside_both(true, found):
    return np.sum((true > 0) & (found > 0))


def sizes(true, found):
    return np.sum(true > 0) + np.sum(found > 0)


def every_peak(mask):
    """Watershed from every local maximum of the distance, so that a ridge falls to pieces."""
    depth = ndimage.distance_transform_edt(mask)
    peaks = np.zeros(mask.shape, int)
    for number, place in enumerate(feature.peak_local_max(depth, min_distance=1, labels=mask.astype(int)), start=1):
        peaks[tuple(place)] = number
    return segmentation.watershed(-depth, peaks, mask=mask)


def deepest_only(mask):
    """Middles above two thirds of the picture's largest depth, so that a small neighbour has none."""
    depth = ndimage.distance_transform_edt(mask)
    middles = measure.label(depth > 2 * depth.max() / 3)
    whole = measure.label(mask)
    lonely = mask & ~np.isin(whole, np.unique(whole[middles > 0]))
    return segmentation.watershed(-depth, middles + np.where(lonely, whole + middles.max(), 0), mask=mask)


WRONG = {
    "12.1 Dice": {
        "put your answer": None,
        "is there a `return`": lambda true, found: None,
        "One number is wanted": lambda true, found: true,
        "over the union": lambda true, found: inside_both(true, found) / np.sum((true > 0) | (found > 0)),
        "Half of it": lambda true, found: inside_both(true, found) / sizes(true, found),
        "a black picture": lambda true, found: np.mean((true > 0) == (found > 0)),
        "need not agree": lambda true, found: 2 * np.sum((true == found) & (true > 0)) / sizes(true, found),
        "are in your sums": lambda true, found: 2 * np.sum(true * found) / (true.sum() + found.sum()),
        "yours says 5": lambda true, found: 5,
        "Where nothing was found": lambda true, found: (
            2 * inside_both(true, found) / sizes(true, found) if np.any(found) else 1
        ),
    },
    "12.2 reach": {
        "put your answer": None,
        "is there a `return`": lambda kernels, stride: None,
        "One number is wanted": lambda kernels, stride: kernels,
        "pixels of the map": lambda kernels, stride: sum(kernel // 2 for kernel in kernels),
        "A kernel reaches to both sides": lambda kernels, stride: stride * sum(kernels),
        "both sides together": lambda kernels, stride: stride * sum(kernel - 1 for kernel in kernels),
        "stand on each other": lambda kernels, stride: stride * (kernels[-1] // 2),
        "28 pixels to one side; yours says 1": lambda kernels, stride: 1,
        "do not multiply": lambda kernels, stride: stride * np.prod([kernel // 2 for kernel in kernels]),
    },
    "12.3 touching": {
        "put your answer": None,
        "is there a `return`": lambda mask: None,
        "A label map of shape": lambda mask: int(mask.sum()),
        "must stay inside": lambda mask: measure.label(ndimage.binary_erosion(mask)),
        "Connected parts": measure.label,
        "Two peaks count only": every_peak,
        "A shallower valley": deepest_only,
        "have changed too": lambda mask: np.copyto(mask, False) or measure.label(mask),
    },
}


def test_the_whole_width_is_recognised_with_and_without_the_pixel_itself():
    for own in (0, 1):
        said = verdict("12.2 reach", lambda kernels, stride, own=own: stride * (own + sum(k - 1 for k in kernels)))[1]
        assert "both sides together" in said


test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
