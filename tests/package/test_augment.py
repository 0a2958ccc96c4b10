"""Augmentation keeps shapes, ranges and meanings, and does what its name says."""

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.data import MIRRORED, RENDERED_CLASSES
from focal_utils.training import augment, augment_small_photographs


@pytest.fixture(scope="module")
def signs():
    return np.stack([fu.render_sign(label, seed=label) for label in (14, 1, 38, 12, 17, 13)]).astype("float32")


def still(rows, count):
    return np.zeros((rows, count), "float32")


def test_no_draw_changes_nothing(signs):
    count = len(signs)
    assert np.allclose(augment.warp(signs, still(6, count)), signs, atol=1e-3)
    assert np.allclose(augment.relight(signs, still(3, count)), signs, atol=1e-3)
    assert np.allclose(augment.tint(signs, still(3, count)), signs)
    assert np.allclose(augment.soften(signs, still(6, count)[0]), signs)
    assert np.allclose(augment.cover(signs, still(6, count)), signs)


def test_a_shift_moves_to_where_it_says(signs):
    draws = still(6, len(signs))
    draws[4] = 1  # 10 % of the width: 0.2 · 15.5 = 3.1 pixels further right is where each output pixel is read
    moved = np.asarray(augment.warp(signs, draws))
    assert np.allclose(moved[:, :, 4], 0.9 * signs[:, :, 7] + 0.1 * signs[:, :, 8], atol=0.5)


def test_tint_multiplies_each_colour(signs):
    draws = still(3, len(signs))
    draws[1, 0] = 1
    tinted = np.asarray(augment.tint(signs, draws, strength=np.log(2)))
    assert np.allclose(tinted[0], signs[0] * [1, 2, 1]) and np.allclose(tinted[1:], signs[1:])


def test_soften_blurs_and_sharpens(signs):
    def roughness(images):
        return np.abs(np.diff(images, axis=2)).mean()

    one = np.ones(len(signs), "float32")
    assert roughness(np.asarray(augment.soften(signs, one))) < roughness(signs)
    assert roughness(np.asarray(augment.soften(signs, -one))) > roughness(signs)


def test_cover_hides_one_rectangle(signs):
    draws = still(6, len(signs))
    # the first image only, in its middle, as large as can be
    draws[0, 0] = 1
    draws[3:5] = 1
    covered = np.asarray(augment.cover(signs, draws, largest=0.5))
    hidden = (covered[0] == 127.5).all(axis=-1)
    assert hidden[8:24, 8:24].all() and hidden.sum() == 16 * 16
    assert np.allclose(covered[1:], signs[1:])


def test_turning_over_gives_all_eight_ways(signs):
    draws = np.array([[i & 1, i & 2, i & 4] for i in range(8)], "float32").T * 2 - 1  # positive: yes
    turned = np.asarray(augment.turn_over(np.repeat(signs[:1], 8, axis=0), draws))
    turns = [np.rot90(signs[0], quarter) for quarter in range(4)]
    expected = turns + [turn[:, ::-1] for turn in turns]
    assert np.array_equal(turned[0], signs[0]) and len(np.unique(turned, axis=0)) == 8
    assert all(any(np.array_equal(way, other) for other in expected) for way in turned)


CHANGES = ("augment_signs", "augment_signs_strongly", "augment_cells", "augment_ultrasound")


@pytest.mark.parametrize("name", CHANGES)
def test_a_batch_is_fixed_by_its_seed_and_stays_a_batch_of_images(signs, name):
    change = getattr(augment, name)
    first, again, other = (np.asarray(change(signs.astype("uint8"), seed)) for seed in ((1, 2), (1, 2), (1, 3)))
    assert first.shape == signs.shape and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 255
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(first - signs).mean() > 3


def test_what_is_mirrored_is_what_the_renderer_mirrors():
    assert len(MIRRORED) == 18 and all(MIRRORED[MIRRORED[label]] == label for label in MIRRORED)
    drawn = {label: fu.render_sign(label, 64, varied=False).astype(int) for label in RENDERED_CLASSES}
    for label, other in MIRRORED.items():
        if {label, other} <= set(drawn):
            mirrored = drawn[label][:, ::-1]
            nearest = min(drawn, key=lambda known: np.abs(drawn[known] - mirrored).mean())
            assert nearest == other, f"the mirror image of class {label} looks like class {nearest}"


def test_mirror_images_are_added_with_their_class():
    images = np.arange(4 * 2 * 3 * 1).reshape(4, 2, 3, 1)
    labels = np.array([38, 14, 12, 39])
    more, classes = augment.add_mirrored(images, labels, MIRRORED)
    assert classes.tolist() == [38, 14, 12, 39, 39, 12, 38]  # a mirrored stop sign is no sign
    assert np.array_equal(more[:4], images) and np.array_equal(more[4], images[0, :, ::-1])


def test_rare_classes_are_repeated():
    labels = np.repeat([0, 1, 2], [16, 4, 1])
    assert np.bincount(labels[augment.rebalanced(labels)]).tolist() == [16, 8, 4]
    assert np.bincount(labels[augment.rebalanced(labels, power=1)]).tolist() == [16, 16, 16]
    assert np.array_equal(augment.rebalanced(labels, power=0), np.arange(21))


def test_photos_are_mirrored_and_moved_by_whole_pixels():
    image = np.arange(12 * 10 * 3, dtype="float32").reshape(1, 12, 10, 3) % 251
    batch = np.repeat(image, 60, axis=0)
    changed = np.asarray(augment_small_photographs(batch, (1, 2), shift=2))
    padded = np.pad(image[0], ((2, 2), (2, 2), (0, 0)), mode="edge")
    whole = [padded[y : y + 12, x : x + 10] for y in range(5) for x in range(5)]
    mirrored = np.pad(image[0, :, ::-1], ((2, 2), (2, 2), (0, 0)), mode="edge")
    whole += [mirrored[y : y + 12, x : x + 10] for y in range(5) for x in range(5)]
    nearest = np.array([[np.abs(one - other).max() for other in whole] for one in changed])
    assert nearest.min(axis=1).max() < 0.01  # each is one of these 50, and nothing between
    assert len(set(nearest.argmin(axis=1))) > 20 and {0, 1} == set(nearest.argmin(axis=1) // 25)
    np.testing.assert_array_equal(changed, np.asarray(augment_small_photographs(batch, (1, 2), shift=2)))
