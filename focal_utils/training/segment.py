"""Training a segmenter: what it is told of each pixel, and a run that goes on after an interruption.

It is `recipe.train` for pictures of any size: the same optimizers, backups and log, other batches and another loss.
"""

import keras
from keras import ops

from focal_utils.layers.basics import serializable
from focal_utils.machine import is_first_process, jit_here
from focal_utils.training.augment import rebalanced
from focal_utils.training.backup import Backup
from focal_utils.training.crops import augment_pictures, crop_batches, tile_batches, tiles
from focal_utils.training.log import Progress, cut_log
from focal_utils.training.optimizers import make_optimizer
from focal_utils.training.recipe import make_variables, scope_of


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
    jit=None,
    **recipe,
):
    """Train a segmenter with two classes on the pictures of `data`, validate after each epoch; Keras' `History`.

    Pictures are cut into tiles once. A batch holds a crop of each of its tiles, changed anew (`augment_pictures`); an
    epoch shows each tile once, those of small pictures more often. Validation sees whole tiles as they are.

        nuclei = fu.load_nuclei(shipped=True)
        fu.train_segmenter(model, nuclei, epochs=2)

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
        jit: Keras' `jit_compile`; None leaves it to `jit_here`.
        recipe: arguments of `make_optimizer`.

    Raises:
        ValueError: a model of other than two classes, fewer tiles than a batch, or a backup of another run.
        DamagedData: there are backups, but none can be read. OSError: the disk is full; older backups are whole.
    """
    if len(model.output_shape) != 4 or model.output_shape[-1] != 2:
        raise ValueError(
            f"The model gives {model.output_shape}, expected (batch, height, width, 2): in a nucleus or not, and how "
            "deep. Build it by segmenter(backbone, classes=2)."
        )
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
    run = {"epochs": epochs, "batch_size": batch_size, "tiles": len(rows), "seed": seed, "tile": tile}
    run["augment"] = getattr(augment, "__name__", None)
    keeper = Backup(backup, steps, backup_every, run | recipe)
    done = keeper.restore(model)
    if backup:
        cut_log(log, done // steps)
    callbacks = [Progress(batch_size), *callbacks]
    if recipe.get("ema") is not None:
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if log and is_first_process():
        callbacks.append(keras.callbacks.CSVLogger(log, append=bool(backup)))
    return model.fit(
        crop_batches(cut, rows, batch_size, augment, seed, start=done),
        validation_data=tile_batches(tiles(data.x_val, data.y_val, tile)[0], batch_size),
        epochs=epochs,
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        callbacks=[*callbacks, keeper],
        shuffle=False,
        verbose=0,
    )
