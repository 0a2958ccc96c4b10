import csv

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.training.segment import OutlineLoss, pixel_dice, train_segmenter

FAST = {"epochs": 2, "batch_size": 2, "tile": 32, "learning_rate": 3e-3}


def small_crops(tiles, seed):
    """The augmentation of these tests: crops of 24 pixels."""
    return fu.training.augment_pictures(tiles, seed, side=24)


def data(train=4, seed=0):
    """Bright discs on black, with their label maps."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    pictures = []
    maps = []
    for _ in range(train + 2):
        labels = np.zeros((32, 32), "uint16")
        for number, (row, column) in enumerate(rng.integers(6, 26, (2, 2)), start=1):
            labels[(rows - row) ** 2 + (columns - column) ** 2 <= 25] = number
        picture = 40 + 160 * (labels > 0) + rng.normal(0, 5, labels.shape)
        pictures.append(np.repeat(picture.astype("uint8")[..., None], 3, axis=-1))
        maps.append(labels)
    ids = np.arange(train + 2)
    cuts = {"train": slice(0, train), "val": slice(train, train + 1), "test": slice(train + 1, None)}
    fields = {}
    for part, cut in cuts.items():
        fields[f"x_{part}"] = pictures[cut]
        fields[f"y_{part}"] = maps[cut]
        fields[f"id_{part}"] = ids[cut]
        fields[f"origin_{part}"] = ids[cut]
    return fu.PictureSet("discs", "made by the test", **fields)


def model(seed=0, classes=2):
    keras.utils.set_random_seed(seed)
    backbone = fu.FocalNet(
        (None, None, 3),
        include_top=False,
        embed_dim=8,
        depths=(1, 1),
        focal_levels=1,
        patch_size=2,
        use_conv_embed=True,
        preprocessing="per_image",
    )
    return fu.segmenter(backbone, classes, width=8, detail=8)


def test_the_loss_by_hand():
    y = np.zeros((2, 1, 2, 2), "float32")
    y[:, :, 0] = 1
    logits = np.where(y > 0, 2.0, -1.0).astype("float32")
    share = 1 / (1 + np.exp(-logits))
    entropy = -(y * np.log(share) + (1 - y) * np.log(1 - share)).mean(axis=(1, 2)).sum(axis=-1)
    common = 2 * share[:, 0, 0, 0].sum()
    soft_dice = (common + 1) / (share[..., 0].sum() + 2 + 1)
    np.testing.assert_allclose(float(OutlineLoss()(y, logits)), entropy.mean() + 1 - soft_dice, rtol=1e-5)
    assert float(OutlineLoss()(y, 40 * (y - 0.5))) < 1e-4


def test_the_loss_of_no_object_is_finite_and_its_gradient_too():
    y = np.zeros((1, 4, 4, 2), "float32")
    assert np.isfinite(float(OutlineLoss()(y, np.full((1, 4, 4, 2), -30.0, "float32"))))


def test_pixel_dice_by_hand():
    y = np.zeros((1, 2, 2, 2), "float32")
    y[0, 0, :, 0] = 1
    logits = np.array([[[[3, 0], [-3, 0]], [[3, 0], [-3, 0]]]], "float32")
    assert float(pixel_dice(y, logits)) == pytest.approx(0.5)
    assert float(pixel_dice(np.zeros_like(y), -np.ones_like(y))) == 0


@pytest.mark.slow
def test_it_learns():
    learner = model()
    history = train_segmenter(learner, data(16), augment=small_crops, **FAST | {"epochs": 15, "batch_size": 4})
    assert history.history["val_pixel_dice"][-1] > 0.85
    assert history.history["val_loss"][-1] < history.history["val_loss"][0] - 0.4


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Ends a run in the midst of it, as a power cut would."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        self.step -= 1
        if self.step == 0:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize(("step", "ema"), [(3, None), (5, 0.9)])
def test_a_killed_run_ends_as_it_would_have_ended(tmp_path, step, ema, request):
    if ema is None:  # the steps of the other are traced
        request.getfixturevalue("untraced")
    options = FAST | {"epochs": 2, "augment": small_crops, "ema": ema, "balance": 0}
    whole = model()
    train_segmenter(whole, data(8), log=tmp_path / "whole.csv", backup=tmp_path / "other", **options)
    resumed = {"log": tmp_path / "log.csv", "backup": tmp_path / "backup", "backup_every": 1}
    with pytest.raises(Killed):
        train_segmenter(model(), data(8), callbacks=[KillAt(step)], **resumed, **options)
    again = model(seed=5)
    train_segmenter(again, data(8), **resumed, **options)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    logs = []
    for name in ("whole.csv", "log.csv"):
        with open(tmp_path / name, newline="") as file:
            logs.append([float(row["val_loss"]) for row in csv.DictReader(file)])
    np.testing.assert_allclose(*logs, rtol=1e-4)


def test_a_backup_of_another_run_is_refused(tmp_path):
    options = FAST | {"epochs": 1, "augment": small_crops, "backup": tmp_path}
    train_segmenter(model(), data(), **options)
    with pytest.raises(ValueError, match="seed=0, this one has seed=1"):
        train_segmenter(model(), data(), seed=1, **options)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"gives \(None, None, None, 3\), expected"):
        train_segmenter(model(classes=3), data(), **FAST)
    with pytest.raises(ValueError, match="4 tiles do not fill one batch of 9"):
        train_segmenter(model(), data(), **FAST | {"batch_size": 9, "balance": 0})
