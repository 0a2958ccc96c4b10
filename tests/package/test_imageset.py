"""The door through which data comes in: `ImageSet` and `as_labels` take what can be understood, and refuse the rest."""

import dataclasses

import numpy as np
import pytest

from focal_utils.data import ImageSet, as_labels

NAMES = ("cat", "dog", "hen")


def pixels(count, shape=(8, 6, 3), dtype="uint8"):
    return np.random.default_rng(count).integers(0, 256, (count, *shape)).astype(dtype)


def whole_set(**changes):
    """Six training images of three classes in three tracks, three for validation, three for testing."""
    fields = {
        "x_train": pixels(6),
        "y_train": np.array([0, 0, 1, 1, 2, 2]),
        "x_val": pixels(3),
        "y_val": np.array([0, 1, 2]),
        "x_test": pixels(3),
        "y_test": np.array([2, 1, 0]),
        "track_train": np.array([10, 10, 20, 20, 30, 30]),
        "track_val": np.array([11, 21, 31]),
        "size_train": np.full((6, 2), (60, 80)),
        "roi_train": np.full((6, 4), (5, 6, 60, 80)),
    }
    return ImageSet("pets", "own split", NAMES, **{**fields, **changes})


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0, 1],
        [[2], [0], [1]],  # as CIFAR-10 has them
        np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], "float32"),
        np.array([2.0, 0.0, 1.0]),
        np.array([2, 0, 1], "uint8"),
    ],
)
def test_labels_that_are_understood(labels):
    understood = as_labels(labels, classes=3, count=3)
    assert understood.tolist() == [2, 0, 1] and understood.dtype == np.int64


def test_labels_of_an_unknown_number_of_classes():
    assert as_labels([[7], [900]]).tolist() == [7, 900]
    assert as_labels([True, False], classes=2).tolist() == [1, 0]
    with pytest.raises(ValueError, match="go from -1 to 3, expected 0 or more"):
        as_labels([3, -1])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, np.nan, 1], "hold nan: a label is a whole number"),
        ([0, np.inf, 1], "go from 0.0 to inf, expected 0 to 2"),
        ([0, 1.5, 1], "hold 1.5: a label is a whole number"),
        ([0, -1, 1], "go from -1 to 1, expected 0 to 2"),
        ([0, 99, 1], "go from 0 to 99, expected 0 to 2"),
        ([0, 1], "are 2 for 3 images"),
        ([0, 1, 1, 1], "are 4 for 3 images"),
        (["cat", "dog", "hen"], "are of type <U3, expected whole numbers"),
        ([None, 1, 2], "are of type object"),
        ([0j, 1, 2], "are of type complex128"),
        ([[0, 1], [1, 0], [1, 0]], r"shape \(3, 2\), but there are 3 classes"),
        ([[0.2, 0.8, 0], [1, 0, 0], [0, 1, 0]], "not one-hot, .* in row 0"),
        ([[0, 1, 0], [1, 0, 1], [0, 1, 0]], "not one-hot, .* in row 1"),
        ([[0, 1, 0], [0, 0, 0], [0, 1, 0]], "not one-hot, .* in row 1"),
        ([[0, 1, 0], [np.nan, 0, 1], [0, 1, 0]], "not one-hot, .* in row 1"),
        (np.zeros((3, 1, 1)), r"shape \(3, 1, 1\)"),
        (1, r"shape \(\)"),
        ([[0, 1], [1]], "cannot be made into one array"),
        (np.array([0, 1, 2**63], "uint64"), "expected 0 to 2"),
    ],
)
def test_labels_that_are_refused(labels, reason):
    with pytest.raises(ValueError, match=reason):
        as_labels(labels, classes=3, count=3)


def test_a_set_keeps_what_it_is_given_in_one_form():
    data = whole_set(y_train=[[0], [0], [1], [1], [2], [2]], y_val=np.eye(3))
    assert data.y_train.tolist() == [0, 0, 1, 1, 2, 2] and data.y_val.tolist() == [0, 1, 2]
    assert data.y_train.dtype == data.y_val.dtype == np.int64
    assert data.parts == ("train", "val", "test") and data.num_classes == 3
    grey = ImageSet("grey", "own split", list(NAMES), pixels(3, (8, 6)), [0, 1, 2])
    assert grey.image_shape == (8, 6, 1) and grey.class_names == NAMES and grey.parts == ("train",)
    assert repr(grey) == "<ImageSet grey (own split): 3 / 0 / 0 train / val / test, 8×6×1 uint8, 3 classes>"


def with_value(array, value):
    array = array.astype(float)
    array[0, 0, 0, 0] = value
    return array


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_train": [0, 0, 1, 1, 2, np.nan]}, "y_train hold nan"),
        ({"y_train": [0] * 7}, "y_train are 7 for 6 images"),
        ({"y_val": [0, 1, 99]}, "y_val go from 0 to 99"),
        ({"y_test": [0, 1]}, "y_test are 2 for 3 images"),
        ({"y_val": None}, "x_val comes without y_val"),
        ({"x_val": None}, "y_val comes without x_val"),
        ({"x_train": None}, "y_train comes without x_train"),
        ({"x_train": pixels(0), "y_train": []}, r"x_train has shape \(0, 8, 6, 3\)"),
        ({"x_train": pixels(6, dtype="int64")}, "x_train has shape .* and type int64, expected .* uint8 or floats"),
        ({"x_train": pixels(6).astype(str)}, "x_train has shape .* and type <U"),
        ({"x_train": pixels(6, (24,))}, r"x_train has shape \(6, 24\)"),
        ({"x_train": pixels(6, (3, 32, 32))}, "channels first: put them last"),
        ({"x_val": pixels(3, (8, 7, 3))}, r"x_val has images \(8, 7, 3\), but x_train has \(8, 6, 3\)"),
        ({"x_test": pixels(3, (8, 6, 1))}, r"x_test has images \(8, 6, 1\), but x_train has \(8, 6, 3\)"),
        ({"x_test": pixels(3, dtype="float32")}, "x_test is of type float32, but x_train of uint8"),
        ({"x_train": with_value(pixels(6), np.nan)}, "x_train holds NaN or infinity"),
        ({"x_train": with_value(pixels(6), -np.inf)}, "x_train holds NaN or infinity"),
        ({"track_train": [10, 10, 20, 20, 20, 30]}, r"track 20 has images of classes \[1, 2\]"),
        ({"track_train": [10, 10, 20, 20, 31, 31]}, "both in track_train and track_val, 31 for instance"),
        ({"track_train": [10, 10, 20]}, r"track_train has shape \(3,\)"),
        ({"track_val": [11.5, 21, 31]}, "track_val has shape .* type float64"),
        ({"size_train": np.zeros((6, 2), int)}, "size_train holds 0"),
        ({"size_train": np.full((6, 3), 60)}, r"size_train has shape \(6, 3\)"),
        ({"roi_train": np.full((6, 4), (5, 6, 61, 80))}, r"box \[5, 6, 61, 80\] in row 0 .* 60×80"),
        ({"roi_train": np.full((6, 4), (-1, 6, 50, 70))}, "does not lie in its picture"),
        ({"roi_train": np.full((6, 4), (50, 6, 5, 70))}, "does not lie in its picture"),
        ({"roi_train": np.full((5, 4), (5, 6, 50, 70))}, r"roi_train has shape \(5, 4\)"),
    ],
)
def test_a_set_that_is_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        whole_set(**changes)


def test_parts_of_different_scales_are_refused():
    parts = {f"x_{part}": pixels(count, dtype="float32") for part, count in (("train", 6), ("val", 3), ("test", 3))}
    assert whole_set(**parts).x_train.dtype == np.float32
    with pytest.raises(ValueError, match="x_test goes up to .*, but x_train up to"):
        whole_set(**{**parts, "x_test": parts["x_test"] / 255})


@pytest.mark.parametrize("names", ["pet", (), ("cat", ""), (1, 2, 3), {"cat": 0}, None])
def test_class_names_that_are_none(names):
    with pytest.raises(ValueError, match="class_names="):
        ImageSet("pets", "own split", names, pixels(3), [0, 1, 2])
    with pytest.raises(ValueError, match="y_train go from 0 to 2, expected 0 to 1"):
        ImageSet("pets", "own split", ("cat", "dog"), pixels(3), [0, 1, 2])


def test_rows_are_taken_with_all_that_is_known_of_them():
    data = whole_set()
    few = data.take(train=[0, 5], val=slice(2))
    assert few.y_train.tolist() == [0, 2] and few.track_train.tolist() == [10, 30] and few.roi_train.shape == (2, 4)
    assert few.track_val.tolist() == [11, 21] and few.x_test is data.x_test
    other = data.exchange("train", pixels(9), np.arange(9) % 3)
    assert len(other.x_train) == 9 and other.track_train is None and other.roi_train is None
    with pytest.raises(ValueError, match="y_train are 6 for 2 images"):
        dataclasses.replace(data, x_train=data.x_train[:2])
