"""Training a segmenter: what it is told of each pixel, and a run that goes on after an interruption.

It is `recipe.train` for pictures of any size: the same optimizers, backups and log, other batches and another loss.
"""

import zlib

import keras
from keras import ops

from focal_utils.errors import check_at_least
from focal_utils.layers import serializable
from focal_utils.machine import jit_here
from focal_utils.training.augment import rebalanced
from focal_utils.training.backup import Backup
from focal_utils.training.checks import check_recipe
from focal_utils.training.crops import augment_pictures, crop_batches, tile_batches, tiles
from focal_utils.training.facts import blueprint, named
from focal_utils.training.optimizers import make_optimizer
from focal_utils.training.recipe import in_order, make_variables, scope_of


def pixel_dice(y_true, y_pred):
    """Dice of a batch's pixels, 2·|A ∩ B| / (|A| + |B|): true maps (B, H, W, any), 0…1, and logits; the first channel.

    The figure of the log; each picture's own is `fu.dice`.
    """
    true = ops.cast(y_true[..., 0] > 0.5, "float32")
    found = ops.cast(y_pred[..., 0] > 0, "float32")
    return 2 * ops.sum(true * found) / ops.maximum(ops.sum(true) + ops.sum(found), 1.0)


@serializable
class OutlineLoss(keras.losses.Loss):
    """Loss of logits (B, H, W, 2) for in an object or not, and for how deep in it; true maps from 0 to 1.

    The cross-entropy of both channels, and of the first 1 − Dice too, which counts what is found, however small a
    share of the picture it is (Milletari et al. 2016, section 3). A depth between 0 and 1 is a soft label.
    """

    def __init__(self, name="outline_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """A number for each picture: (B,)."""
        entropy = ops.mean(ops.softplus(y_pred) - y_true * y_pred, axis=(1, 2))  # (B, 2)
        share = ops.sigmoid(y_pred[..., 0])
        true = y_true[..., 0]
        common = ops.sum(share * true)
        total = ops.sum(share) + ops.sum(true)
        return ops.sum(entropy, axis=-1) + 1 - (2 * common + 1) / (total + 1)


def train_segmenter(
    model,
    data,
    epochs,
    batch_size=8,
    augment=augment_pictures,
    tile=256,
    balance=0.5,
    seed=0,
    log=None,
    backup=None,
    backup_every=None,
    callbacks=(),
    *,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=0.05,
    ema=None,
    accumulate=1,
    jit=None,
):
    """Train a segmenter with two classes on the pictures of `data`, validate after each epoch; Keras' `History`.

    Pictures are cut into tiles once. A batch holds a crop of each of its tiles, changed anew (`augment_pictures`); an
    epoch shows each tile once, those of small pictures more often. Validation sees whole tiles as they are.

    Args:
        model: takes pictures 0…255 of any size, gives logits (B, H, W, 2): in a nucleus or not, and how deep; see
            `segmenter` and `targets`.
        data: a `PictureSet`.
        epochs: how many.
        batch_size: crops in a batch.
        augment: a function (tiles, seed) → crops.
        tile: side of a tile in pixels.
        balance: 0, every tile as often; 1, about every picture as often, however many tiles it has.
        seed: fixes the batches' order and augmentation (not the initial weights: `keras.utils.set_random_seed`).
        log: path of a CSV file, one row an epoch; an interrupted run goes on in it.
        backup: a folder; a run that was interrupted, at whatever moment, goes on from there when called again with it.
        backup_every: steps between backups within an epoch; None for one after each epoch.
        callbacks: further Keras callbacks.
        optimizer, learning_rate, weight_decay, ema, accumulate, jit: as of `train`.

    Raises:
        ValueError: a model of other than two classes, fewer tiles than a batch, an argument out of range, or a backup
            of another run.
        FloatingPointError: the loss is no number any more.
        DamagedData: there are backups, but none can be read. OSError: the disk is full; older backups are whole.

    Example:
        >>> nuclei = fu.load_nuclei(shipped=True)
        >>> backbone = fu.FocalNet((None, None, 3), include_top=False, embed_dim=32, depths=(1, 2), patch_size=2)
        >>> history = fu.train_segmenter(fu.segmenter(backbone, classes=2), nuclei, epochs=2)
    """
    check_at_least(epochs=(epochs, 1), batch_size=(batch_size, 1), tile=(tile, 16))
    if len(model.output_shape) != 4 or model.output_shape[-1] != 2:
        raise ValueError(
            f"The model gives {model.output_shape}, expected (batch, height, width, 2): in a nucleus or not, and how "
            "deep. Build it by segmenter(backbone, classes=2)."
        )
    recipe = {
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "ema": ema,
        "accumulate": accumulate,
    }
    check_recipe(**recipe, label_smoothing=0.0, jit=jit)
    cut, pictures = tiles(data.x_train, data.y_train, tile)
    rows = rebalanced(pictures, balance)
    steps = len(rows) // batch_size
    if steps == 0:
        raise ValueError(f"{len(rows)} tiles do not fill one batch of {batch_size}: lower batch_size.")
    with scope_of(model):
        model.compile(
            make_optimizer(model, epochs * steps, **recipe),
            OutlineLoss(),
            metrics=[pixel_dice],
            jit_compile=jit_here() if jit is None else jit,
        )
        make_variables(model)
    course = {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        **recipe,
        "network": blueprint(model),
        "tiles": len(rows),
        "data": zlib.crc32(cut),
        "augment": named(augment),
    }
    keeper = Backup(backup, steps, backup_every, course if backup else None)
    done = keeper.restore(model)
    return model.fit(
        crop_batches(cut, rows, batch_size, augment, seed, start=done),
        validation_data=tile_batches(tiles(data.x_val, data.y_val, tile)[0], batch_size),
        epochs=epochs,
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        callbacks=in_order(model, batch_size, callbacks, log, None, keeper),
        shuffle=False,
        verbose=0,
    )
