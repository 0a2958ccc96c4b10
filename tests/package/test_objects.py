import sys
from importlib.util import find_spec

import numpy as np
import pytest

from focal_utils.training import objects, targets
from focal_utils.training.objects import (
    average_precision,
    dice,
    iou,
    object_ious,
    pixel_logits,
    score,
    separate,
    tile_spans,
)


def discs(*circles, shape=(60, 80)):
    """A label map (H, W): circles (row, column, radius), numbered from 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, "uint16")
    for number, (row, column, radius) in enumerate(circles, start=1):
        labels[((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & (labels == 0)] = number
    return labels


def as_logits(labels):
    """What a segmenter that is right would say: logits (H, W, 2)."""
    share = np.clip(targets(labels) / 255.0, 0.01, 0.99)
    return np.log(share / (1 - share))


def squares(*boxes, shape=(20, 20)):
    labels = np.zeros(shape, int)
    for number, (top, left, height, width) in enumerate(boxes, start=1):
        labels[top : top + height, left : left + width] = number
    return labels


TRUE = squares((0, 0, 4, 5), (10, 10, 4, 5))


@pytest.mark.parametrize(
    ("found", "expected_dice", "expected_iou"),
    [
        (TRUE, 1, 1),
        (squares((0, 0, 4, 5)), 2 * 20 / 60, 20 / 40),
        (squares((0, 0, 4, 10), (10, 10, 4, 5)), 2 * 40 / 100, 40 / 60),
        (squares(), 0, 0),
    ],
)
def test_dice_and_iou_by_hand(found, expected_dice, expected_iou):
    assert dice(TRUE, found) == pytest.approx(expected_dice)
    assert iou(TRUE, found) == pytest.approx(expected_iou)


def test_nothing_found_where_nothing_is_is_right():
    nothing = squares()
    assert dice(nothing, nothing) == iou(nothing, nothing) == 1
    assert (average_precision(nothing, nothing) == 1).all()
    assert (average_precision(nothing, TRUE) == 0).all()


def test_ious_by_hand():
    found = squares((0, 0, 4, 4), (10, 12, 4, 6), (16, 0, 2, 2))
    np.testing.assert_allclose(object_ious(TRUE, found), [[16 / 20, 0, 0], [0, 12 / 32, 0]])
    numbers_with_gaps = np.where(found > 0, 7 * found, 0)
    np.testing.assert_allclose(object_ious(TRUE, numbers_with_gaps), object_ious(TRUE, found))


def test_average_precision_by_hand():
    # One object with IoU 16/20 = 0.8, one with 12/20 = 0.6, one that is not there.
    found = squares((0, 0, 4, 4), (10, 10, 4, 3), (16, 0, 2, 2))
    expected = [2 / 3] * 2 + [1 / 4] * 4 + [0] * 4  # 0.6 is not above 0.6, 0.8 not above 0.8
    np.testing.assert_allclose(average_precision(TRUE, found), expected)
    np.testing.assert_allclose(average_precision(TRUE, TRUE), 1)
    assert average_precision(TRUE, squares((0, 0, 4, 5)))[0] == 1 / 2


def test_two_objects_in_one_count_as_one_at_most():
    merged = squares((0, 0, 4, 10))
    split = squares((0, 0, 4, 6), (0, 6, 4, 4))
    assert average_precision(split, merged)[0] == 1 / 2  # the larger half has an IoU of 0.6
    assert average_precision(merged, split, [0.5, 0.65]).tolist() == [1 / 2, 0]


@pytest.mark.parametrize("function", [dice, iou, object_ious, average_precision])
@pytest.mark.parametrize("other", [np.zeros((20, 21), int), np.zeros((1, 20, 20), int)])
def test_label_maps_of_other_shapes_are_refused(function, other):
    with pytest.raises(ValueError, match="Two label maps"):
        function(TRUE, other)


def test_thresholds_below_one_half_are_refused():
    with pytest.raises(ValueError, match="found twice"):
        average_precision(TRUE, TRUE, [0.3, 0.5])


skimage = pytest.mark.skipif(not find_spec("skimage"), reason="scikit-image is not installed")


@skimage
@pytest.mark.parametrize(
    "circles",
    [
        [(20, 20, 10), (20, 38, 10)],  # they touch
        [(20, 20, 12), (22, 37, 7), (40, 24, 8)],  # of several sizes
        [(30, 40, 3), (0, 0, 9), (59, 79, 6)],  # a small one, two at the picture's corners
    ],
)
def test_touching_objects_are_told_apart(circles):
    true = discs(*circles)
    found = separate(as_logits(true))
    assert found.dtype == np.uint16 and found.max() == len(circles)
    assert (average_precision(true, found) == 1).all()


@skimage
def test_small_ones_are_dropped_and_numbers_follow_each_other():
    true = discs((10, 10, 2), (30, 30, 8), (50, 60, 8))
    assert (true == 1).sum() < 20
    found = separate(as_logits(true))
    assert np.unique(found).tolist() == [0, 1, 2]
    assert separate(as_logits(true), smallest=1).max() == 3


@skimage
def test_what_has_no_middle_is_one_object_all_the_same():
    logits = as_logits(discs((30, 30, 8), (30, 60, 8)))
    logits[:, 45:, 1] = -3  # nowhere deep
    assert separate(logits).max() == 2


@skimage
def test_nothing_inside_gives_no_object():
    assert separate(np.full((20, 30, 2), -4.0)).max() == 0


def test_logits_of_another_shape_are_refused():
    for shape in ((1, 20, 20, 2), (20, 20, 3), (20, 20)):
        with pytest.raises(ValueError, match="expected \\(height, width, 2\\)"):
            separate(np.zeros(shape))


def test_without_scikit_image_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-image"):
        separate(np.zeros((20, 20, 2)))


@skimage
def test_scores_of_a_model_that_is_right():
    true = [discs((20, 20, 10), (20, 38, 10)), discs((10, 10, 8), shape=(31, 45))]
    pictures = [np.repeat(labels[..., None], 3, axis=-1).astype("uint8") for labels in true]
    answers = {labels.shape: as_logits(labels).astype("float32")[None] for labels in true}
    found = score(lambda x, training: answers[x.shape[1:3]], pictures, true)
    assert found["dice"].tolist() == [1, 1] and found["true"].tolist() == found["found"].tolist() == [2, 1]
    assert found["average_precision"].shape == (2, 10) and (found["average_precision"] == 1).all()
    np.testing.assert_array_equal(objects.find_nuclei(lambda x, training: answers[x.shape[1:3]], pictures[1]), true[1])


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 32, 0), (101, 32, 10), (30, 32, 4), (64, 32, 31)])
def test_tiles_keep_every_pixel_once(length, tile, overlap):
    line = np.arange(length)
    spans = tile_spans(length, tile, overlap)
    assert np.array_equal(np.concatenate([line[read][kept] for read, kept in spans]), line)
    assert all(len(line[read]) == min(tile, length) for read, _ in spans)
    for (first, _), (second, _) in zip(spans[:-1], spans[1:], strict=True):
        assert first.stop - second.start >= overlap


class Local:
    """Logits that are the picture's own values, plus what a global level would add: the mean of what is read."""

    def __init__(self, strength=0.0):
        self.strength = strength

    def __call__(self, pictures, training):
        return pictures[..., :2] + self.strength * pictures.mean(axis=(1, 2, 3), keepdims=True)


def test_tiles_say_what_the_whole_says_unless_something_is_global():
    picture = np.random.default_rng(0).normal(size=(70, 95, 3)).astype("float32")
    whole = pixel_logits(Local(), picture)
    np.testing.assert_array_equal(pixel_logits(Local(), picture, tile=32, overlap=8), whole)
    assert np.abs(pixel_logits(Local(1.0), picture, tile=32) - pixel_logits(Local(1.0), picture)).max() > 0.01
    for wrong in ({"tile": 16, "overlap": 16}, {"tile": 0}, {"tile": 8, "overlap": -1}):
        with pytest.raises(ValueError, match="overlap|tile"):
            pixel_logits(Local(), picture, **wrong)


@pytest.mark.parametrize("radius", [8, 14, 20])
def test_bumps_in_depth_are_no_middles(radius):
    true = discs((30, 25, radius), (30, 25 + 2 * radius - 1, radius))
    logits = as_logits(true)
    rows, columns = np.indices(true.shape) % 4 < 2
    logits[..., 1] += np.where(rows & columns, 1.5, -1.5)  # a spot in every 4×4 pixels
    assert average_precision(true, separate(logits, smooth=0))[0] < 1
    found = separate(logits)
    assert found.max() == 2 and average_precision(true, found)[0] == 1
    with pytest.raises(ValueError, match="smooth=-1"):
        separate(logits, smooth=-1)
    for wrong in (0, 1, -0.1, "a"):
        with pytest.raises((ValueError, TypeError), match="prominence="):
            separate(logits, prominence=wrong)


def test_a_shallow_valley_is_one_object_and_a_deep_one_two():
    rows, columns = np.indices((30, 60))
    inside = (rows > 4) & (rows < 25) & (columns > 4) & (columns < 55)
    for valley, due in ((0.78, 1), (0.6, 2)):
        share = np.where(abs(columns - 30) < 5, valley, 0.8 + 0.0005 * columns) * inside
        logits = np.stack([np.where(inside, 4.0, -4.0), np.log((share + 0.01) / (1.01 - share))], axis=-1)
        assert separate(logits, prominence=0.1, smooth=0).max() == due
