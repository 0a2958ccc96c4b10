"""The batch of a step follows from the seed and the step alone."""

import itertools

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.training import augment_signs
from focal_utils.training import batches as pipeline

STEPS = 6  # of an epoch: 200 images in batches of 32, the rest is left out


@pytest.fixture(scope="module")
def signs():
    data = fu.render_signs(300, classes=(14, 12, 38), seed=0)
    return data.x_train[:200], data.y_train[:200]


def some(signs, count, **options):
    stream = pipeline.training_batches(*signs, 43, 32, augment_signs, **options)
    return [(images.numpy(), labels.numpy()) for images, labels in stream.take(count)]


def same(ones, others):
    pairs = zip(itertools.chain(*ones), itertools.chain(*others), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("start", [0, 1, STEPS, 2 * STEPS + 3])
def test_a_run_can_go_on_from_any_step(start, signs):
    assert same(some(signs, start + 3, seed=1)[start:], some(signs, 3, seed=1, start=start))


def test_each_epoch_has_an_order_and_an_augmentation_of_its_own(signs):
    assert not same(some(signs, 1, seed=1), some(signs, 1, seed=2))
    assert not same(some(signs, 1), some(signs, 1, start=STEPS))
    plain = pipeline.training_batches(np.arange(200)[:, None, None, None], signs[1], 43, 32)
    seen = [images.numpy().ravel().astype(int) for images, _ in plain.take(2 * STEPS)]
    first = np.concatenate(seen[:STEPS])
    second = np.concatenate(seen[STEPS:])
    assert len(set(first)) == len(set(second)) == 32 * STEPS and list(first) != list(second)


def test_parallel_calls_change_nothing(signs, monkeypatch):
    alone = some(signs, STEPS)
    monkeypatch.setattr(pipeline, "accelerators", lambda: ["gpu:0"])
    assert same(alone, some(signs, STEPS))


def test_in_order_gives_each_image_once(signs):
    sizes = [len(images) for images, _ in pipeline.validation_batches(*signs, 43, 64)]
    whole = [len(images) for images, _ in pipeline.validation_batches(*signs, 43, 64, whole=True)]
    assert sizes == [64, 64, 64, 8] and whole == [64, 64, 64]
    images, labels = next(iter(pipeline.validation_batches(*signs, 43, 64)))
    assert np.array_equal(images, signs[0][:64]) and np.array_equal(labels.numpy().argmax(-1), signs[1][:64])
