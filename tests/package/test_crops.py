import numpy as np
import pytest

from focal_utils.training import augment_pictures, crop_batches, targets, tiles
from focal_utils.training.crops import tile_batches, tile_starts


def labels_of(*boxes, shape=(40, 50)):
    labels = np.zeros(shape, "uint16")
    for number, (top, left, height, width) in enumerate(boxes, start=1):
        labels[top : top + height, left : left + width] = number
    return labels


def test_targets_by_hand():
    found = targets(labels_of((10, 10, 5, 5), (10, 15, 5, 3), (0, 30, 3, 3)))
    assert found.shape == (40, 50, 2) and found.dtype == np.uint8
    assert (found[..., 0] > 0).sum() == 25 + 15 + 9 and set(np.unique(found[..., 0])) == {0, 255}
    # Depth: 1, 2, 3, 2, 1 of 3 through the middle of the first; the second begins anew where they touch.
    np.testing.assert_array_equal(found[12, 9:19, 1], np.rint([0, 85, 170, 255, 170, 85, 127.5, 255, 127.5, 0]))
    # An object that the picture's border cuts is deep at the border: what is beyond is not known.
    assert found[0, 31, 1] == 255 and found[2, 31, 1] < 255


def test_one_object_that_fills_the_picture_is_deep_everywhere():
    assert (targets(np.ones((8, 9), "uint16")) == 255).all()
    assert (targets(np.zeros((8, 9), "uint16")) == 0).all()


@pytest.mark.parametrize(("length", "expected"), [(16, [0]), (17, [0, 1]), (32, [0, 16]), (40, [0, 12, 24]), (9, [0])])
def test_tiles_begin_so_that_they_cover(length, expected):
    assert tile_starts(length, 16) == expected


def test_tiles_cover_every_pixel():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, other, 3), dtype="uint8") for side, other in ((40, 50), (16, 16), (10, 33))]
    maps = [np.ones(picture.shape[:2], "uint16") for picture in pictures]
    cut, rows = tiles(pictures, maps, 16)
    assert cut.shape == (3 * 4 + 1 + 3, 16, 16, 5) and cut.dtype == np.uint8
    assert np.bincount(rows).tolist() == [12, 1, 3]
    np.testing.assert_array_equal(cut[12, ..., :3], pictures[1])
    seen = np.zeros((40, 50), bool)
    for number, (top, left) in enumerate((top, left) for top in (0, 12, 24) for left in (0, 11, 23, 34)):
        np.testing.assert_array_equal(cut[number, ..., :3], pictures[0][top : top + 16, left : left + 16])
        seen[top : top + 16, left : left + 16] = True
    assert seen.all()
    np.testing.assert_array_equal(cut[13, 10:, :, :3], pictures[2][9:3:-1, :16])  # mirrored at the border


def a_tile(seed=0, side=48):
    """A tile whose picture is its own target, inside and depth alike: what moves one must move the other."""
    rng = np.random.default_rng(seed)
    blob = np.kron(rng.integers(0, 2, (side // 8, side // 8)), np.ones((8, 8))) * 255
    return np.repeat(blob[..., None], 5, axis=-1).astype("uint8")


def test_picture_and_targets_move_together():
    batch = np.stack([a_tile(seed) for seed in range(8)])
    plain = {"gamma": 0, "light": 0, "colour": 0, "grain": 0, "inverted": 0}
    found = np.asarray(augment_pictures(batch, (0, 1), side=32, **plain))
    assert found.shape == (8, 32, 32, 5) and found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 3], found[..., 4])
    inside = found[..., 3] / 255
    for row in range(8):
        assert np.corrcoef(found[row, ..., 0].ravel(), inside[row].ravel())[0, 1] > 0.9  # blurred a little at most
    corners = {tuple(np.round(crop[[0, 0, -1, -1], [0, -1, 0, -1], 3])) for crop in found}
    assert len(corners) > 1


def test_augmentation_follows_from_the_seed_and_leaves_targets_alone():
    batch = np.stack([a_tile(seed) for seed in range(8)])
    one = np.asarray(augment_pictures(batch, (3, 7), side=32))
    np.testing.assert_array_equal(one, augment_pictures(batch, (3, 7), side=32))
    other = np.asarray(augment_pictures(batch, (3, 8), side=32))
    assert (one != other).any()
    assert one.min() >= 0 and one.max() <= 255
    plain = {"gamma": 0, "light": 0, "colour": 0, "grain": 0, "inverted": 0}
    np.testing.assert_array_equal(one[..., 3:], np.asarray(augment_pictures(batch, (3, 7), side=32, **plain))[..., 3:])


def test_as_many_are_inverted_as_asked():
    batch = np.stack([a_tile(seed) for seed in range(200)])
    for share in (0, 0.3, 1):
        found = np.asarray(augment_pictures(batch, (0, 0), side=16, light=0, grain=0, gamma=0, inverted=share))
        turned = [np.sum((crop[..., 0] - 127) * (crop[..., 3] - 127)) < 0 for crop in found]
        assert np.mean(turned) == pytest.approx(share, abs=0.1)


def test_grey_pictures_stay_grey_and_coloured_ones_are_stained_otherwise():
    batch = np.stack([a_tile(seed) for seed in range(8)]) // 2
    batch[4:, ..., 1] += 60
    found = np.asarray(augment_pictures(batch, (0, 0), side=32, inverted=0))
    spread = np.ptp(found[..., :3], axis=-1).max(axis=(1, 2))
    assert (spread[:4] < 1e-3).all() and (spread[4:] > 1).all()


def test_batches_go_on_from_any_step():
    cut = np.stack([a_tile(seed) for seed in range(6)])
    rows = np.array([0, 1, 2, 3, 4, 5, 5])

    def batches(start, count):
        return list(crop_batches(cut, rows, 3, augment_pictures, seed=1, start=start).take(count).as_numpy_iterator())

    whole = batches(0, 5)
    for start in (1, 2, 3):
        for (x, y), (other_x, other_y) in zip(batches(start, 2), whole[start : start + 2], strict=True):
            np.testing.assert_array_equal(x, other_x)
            np.testing.assert_array_equal(y, other_y)
    x, y = whole[0]
    assert x.shape == (3, 192, 192, 3) and y.shape == (3, 192, 192, 2)
    assert x.max() > 1 and y.min() >= 0 and y.max() <= 1
    assert (whole[0][0] != whole[2][0]).any()


def test_validation_tiles_come_once_each_as_they_are():
    cut = np.stack([a_tile(seed) for seed in range(5)])
    found = list(tile_batches(cut, 2).as_numpy_iterator())
    assert [len(x) for x, _ in found] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), cut[..., :3])
    np.testing.assert_allclose(np.concatenate([y for _, y in found]), cut[..., 3:] / 255, rtol=1e-6)
