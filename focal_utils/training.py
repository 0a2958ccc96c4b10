"""The training recipe: the loss, a log, the best epoch kept, and a run that goes on after an interruption.

It follows Yang et al. 2022, section 4.1 (AdamW, cosine decay, no weight decay on biases, norms and γ), scaled down to
small images. How weights move is in `optimizers.py`, how images are changed in `augment.py`, which images make up a
batch in `pipeline.py`, and how a run goes on in `backup.py`.
"""

import csv
import time
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np

from focal_utils.augment import augment_signs
from focal_utils.backup import Backup
from focal_utils.environment import accelerators, is_first_process
from focal_utils.optimizers import make_optimizer
from focal_utils.paths import whole_file
from focal_utils.pipeline import batches, in_order


def jit_here():
    """`jit_compile` for this machine and backend: XLA on an accelerator, and on JAX, where nothing else compiles.

    On a CPU, TensorFlow trains 4 times slower with it.
    """
    return "auto" if keras.backend.backend() == "jax" or accelerators() else False


def compile_model(model, steps, label_smoothing=0.05, jit=None, **recipe):
    """Compile `model` for `steps` steps of the recipe, cross-entropy on softened labels; returns it.

    Where layers compute in float16, the loss is scaled, so that small gradients do not become 0 (Micikevicius et al.
    2018, arXiv 1710.03740). `jit` is Keras' `jit_compile`; None leaves it to `jit_here`. `recipe`: arguments of
    `make_optimizer`.
    """
    optimizer = make_optimizer(model, steps, **recipe)
    if any(layer.compute_dtype == "float16" for layer in model.layers):  # Keras looks at the model's policy only
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        metrics=["accuracy"],
        jit_compile=jit_here() if jit is None else jit,
    )
    return model


def make_variables(model):
    """Make the variables of a compiled model's optimizer, loss and metrics, which otherwise the first step makes.

    TensorFlow traces a function that makes variables twice. With them made, `fit` starts after 7 s instead of 13 (671 k
    parameters, 2 CPU cores).
    """
    zeros = keras.ops.zeros((2, *model.output_shape[1:]))
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(y=zeros, y_pred=zeros)
    model.compute_metrics(None, zeros, zeros)
    model.reset_metrics()


def scope_of(model):
    """Where what belongs to a model must be made: in the scope of the `tf.distribute` strategy it was made in, if any.

    A `keras.distribution`, JAX's way to several devices, needs none: it is set once, for all that follows.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.scope() if strategy else nullcontext()


class Progress(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, images per second and an estimate of the time that is left.

    The epoch's duration joins its logs as `seconds`, for the callbacks after this one and the log.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        self.start, self.first = time.perf_counter(), None

    def on_epoch_begin(self, epoch, logs=None):
        self.first = epoch if self.first is None else self.first
        self.epoch_start, self.seen = time.perf_counter(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += self.batch_size

    def on_epoch_end(self, epoch, logs=None):
        now, epochs = time.perf_counter(), self.params["epochs"]
        left = (now - self.start) / (epoch + 1 - self.first) * (epochs - epoch - 1)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name != "learning_rate")
        logs["seconds"] = now - self.epoch_start
        speed = self.seen / logs["seconds"]
        print(f"epoch {epoch + 1:3d}/{epochs}  {figures}  {speed:4.0f} images/s  {left / 60:.1f} min left", flush=True)


def cut_log(log, epochs):
    """Drop from a CSV log the rows of all but the first `epochs` epochs: what a run that goes on will write again."""
    if not log or not Path(log).exists():
        return
    with open(log, newline="") as file:
        lines = file.read().splitlines(keepends=True)
    with whole_file(log) as part:
        part.write_text("".join(lines[: 1 + epochs]))


def best_logged(log):
    """The best validation accuracy in a log of an earlier part of the run, or None: what a later epoch has to beat."""
    if not log or not Path(log).exists():
        return None
    with open(log, newline="") as file:
        return max((float(row["val_accuracy"]) for row in csv.DictReader(file)), default=None)


def train(
    model,
    data,
    epochs,
    batch_size=128,
    augment=augment_signs,
    seed=0,
    log=None,
    best=None,
    backup=None,
    backup_every=None,
    callbacks=(),
    **recipe,
):
    """Train `model` on `data.x_train`, validate on `data.x_val` after each epoch, return Keras' `History`.

    A model made in the scope of `tf.distribute.MirroredStrategy`, or with a `keras.distribution` set, trains on all of
    its devices. `batch_size` is that of all together. With a `keras.distribution`, they validate in batches of that
    size too, and leave out what does not fill the last; of several processes, the first writes the files. One thing
    differs: under `MirroredStrategy`, Keras 3.15 clips the gradient of each device's share before it adds them up.

    Args:
        model: takes images 0…255, gives logits; see `FocalNet(preprocessing=…)`.
        data: an `ImageSet`.
        augment: a function like `augment_signs`, or None.
        seed: fixes the batches' order and augmentation (not the initial weights: `keras.utils.set_random_seed`).
        log: path of a CSV file, one row an epoch; an interrupted run goes on in it.
        best: path of a `.weights.h5` file that keeps the weights of the best validation accuracy so far.
        backup: a folder; a run that was interrupted, at whatever moment, goes on from there when called again with it.
            The last two backups stay there when the run is over: what was trained is in them.
        backup_every: steps between backups within an epoch; None for one after each epoch.
        callbacks: further Keras callbacks.
        recipe: arguments of `compile_model` and `make_optimizer`.

    Raises:
        ValueError: fewer training images than a batch, labels that do not fit the model's outputs, or a backup of
            another run.
        DamagedData: there are backups, but none can be read. OSError: the disk is full; older backups are whole.
    """
    classes, steps = model.output_shape[-1], len(data.x_train) // batch_size
    if steps == 0:
        raise ValueError(
            f"{len(data.x_train)} training images do not fill one batch of {batch_size}: lower batch_size."
        )
    if data.y_train.max() >= classes:
        raise ValueError(
            f"Label {data.y_train.max()} does not fit a model of {classes} classes: set classes={data.num_classes}."
        )
    with scope_of(model):
        make_variables(compile_model(model, epochs * steps, **recipe))
    run = {"epochs": epochs, "batch_size": batch_size, "images": len(data.x_train), "seed": seed} | recipe
    run |= {"augment": getattr(augment, "__name__", None)}
    keeper = Backup(backup, steps, backup_every, run)
    done = keeper.restore(model)
    log, best = (log, best) if is_first_process() else (None, None)
    if backup:
        cut_log(log, done // steps)
    callbacks = [Progress(batch_size), *callbacks]
    if recipe.get("ema") is not None:
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if best:
        callbacks.append(
            keras.callbacks.ModelCheckpoint(
                best,
                monitor="val_accuracy",
                mode="max",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=best_logged(log) if done and Path(best).exists() else None,
            )
        )
    if log:
        callbacks.append(keras.callbacks.CSVLogger(log, append=bool(backup)))
    spread = keras.distribution.distribution() is not None
    return model.fit(
        batches(data.x_train, data.y_train, classes, batch_size, augment, seed, start=done),
        validation_data=in_order(data.x_val, data.y_val, classes, batch_size if spread else 256, whole=spread),
        epochs=epochs,
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        callbacks=[*callbacks, keeper],
        shuffle=False,
        verbose=0,
    )


def predict(model, images, batch_size=256):
    """Logits (N, classes) as a NumPy array, for images (N, H, W, channels)."""
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(model(images[i : i + batch_size], training=False))
            for i in range(0, len(images), batch_size)
        ]
    )


def accuracy(model, images, labels):
    """Share of images whose largest logit is their label's: a float in [0, 1]."""
    return float(np.mean(predict(model, images).argmax(-1) == labels))


def nearest_neighbour(images, labels, queries):
    """For each of `queries`, the label of the most similar of `images`: the simplest of classifiers, nothing learned.

    Images are compared as 16×16 brightnesses with mean 0 and length 1.

    Args:
        images: (N, 32, 32, 3). labels: (N,). queries: (M, 32, 32, 3).

    Returns:
        (M,) labels.
    """

    def vectors(pictures):
        grey = pictures.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4, 5), dtype="float32").reshape(-1, 256)
        grey -= grey.mean(axis=1, keepdims=True)
        return grey / (np.linalg.norm(grey, axis=1, keepdims=True) + 1e-6)

    known, asked = vectors(images), vectors(queries)
    parts = [asked[i : i + 500] @ known.T for i in range(0, len(asked), 500)]  # (≤ 500, N) each
    return labels[np.concatenate([part.argmax(axis=1) for part in parts])]
