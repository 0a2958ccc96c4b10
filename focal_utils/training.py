"""The training recipe: batches, AdamW with a warm-up and a cosine, a log; how images are changed is in `augment.py`.

The recipe follows Yang et al. 2022, section 4.1 (AdamW, cosine decay, no weight decay on biases, norms and γ), scaled
down to small images. The input pipeline is tf.data, whatever the backend that trains.
"""

import csv
import time
from pathlib import Path

import keras
import numpy as np

from focal_utils.augment import augment_signs
from focal_utils.environment import accelerators


def jit_here():
    """`jit_compile` for this machine and backend: XLA on an accelerator, and on JAX, where nothing else compiles.

    On a CPU, TensorFlow trains 4 times slower with it.
    """
    return "auto" if keras.backend.backend() == "jax" or accelerators() else False


def batches(images, labels, classes, batch_size=128, augment=None, seed=0):
    """A tf.data set of shuffled (images, one-hot labels) batches: another order and another augmentation each epoch.

    Args:
        images: (N, H, W, channels), 0…255. labels: (N,) class numbers below `classes`.
        augment: a function like `augment_signs`, or None.
        seed: fixes the order and the augmentation.
    """
    import tensorflow as tf

    x, y = tf.constant(images), tf.constant(labels, tf.int32)

    def load(index, draw):
        batch = tf.gather(x, index)
        batch = tf.cast(batch, tf.float32) if augment is None else augment(batch, draw)
        return batch, tf.one_hot(tf.gather(y, index), classes)

    order = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed).batch(batch_size, drop_remainder=True)
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(order, draws).map(load, num_parallel_calls=1).prefetch(2)


def warmup_cosine(steps, learning_rate):
    """Learning rates over `steps` steps: up to `learning_rate` in the first tenth, then down to 0 along a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 20,
        decay_steps=max(1, steps - steps // 10),
        warmup_target=learning_rate,
        warmup_steps=max(1, steps // 10),
    )


def compile_model(model, steps, learning_rate=2e-3, weight_decay=0.05, label_smoothing=0.05, ema=None):
    """Compile `model` for `steps` steps of the recipe; returns it.

    AdamW with a warm-up over the first tenth and a cosine down to zero, and no weight decay on biases, norms and γ (all
    that has one axis). With `ema`, a momentum such as 0.998, `train` validates and keeps the weights' moving average.
    """
    optimizer = keras.optimizers.AdamW(
        warmup_cosine(steps, learning_rate),
        weight_decay=weight_decay,
        global_clipnorm=5.0,
        use_ema=ema is not None,
        ema_momentum=ema or 0.0,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) == 1])
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        metrics=["accuracy"],
        jit_compile=jit_here(),
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


class Progress(keras.callbacks.Callback):
    """One line an epoch: losses, accuracies, images per second and an estimate of the time that is left.

    The epoch's duration joins its logs as `seconds`, for the callbacks after this one and the log.
    """

    def __init__(self, images):
        super().__init__()
        self.images = images

    def on_train_begin(self, logs=None):
        self.start, self.first = time.perf_counter(), None

    def on_epoch_begin(self, epoch, logs=None):
        self.first = epoch if self.first is None else self.first
        self.epoch_start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now, epochs = time.perf_counter(), self.params["epochs"]
        left = (now - self.start) / (epoch + 1 - self.first) * (epochs - epoch - 1)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name != "learning_rate")
        logs["seconds"] = now - self.epoch_start
        speed = self.images / logs["seconds"]
        print(f"epoch {epoch + 1:3d}/{epochs}  {figures}  {speed:4.0f} images/s  {left / 60:.1f} min left", flush=True)


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
    callbacks=(),
    **recipe,
):
    """Train `model` on `data.x_train`, validate on `data.x_val` after each epoch, return Keras' `History`.

    Args:
        model: takes images 0…255, gives logits; see `FocalNet(preprocessing=…)`.
        data: an `ImageSet`.
        augment: a function like `augment_signs`, or None.
        seed: fixes the batches' order and augmentation (not the initial weights: `keras.utils.set_random_seed`).
        log: path of a CSV file, one row an epoch; an interrupted run goes on in it.
        best: path of a `.weights.h5` file that keeps the weights of the best validation accuracy so far.
        backup: a folder; a run that was interrupted goes on from its last whole epoch when called again with it.
        callbacks: further Keras callbacks.
        recipe: arguments of `compile_model`.

    Raises:
        ValueError: fewer training images than a batch, or labels that do not fit the model's outputs.
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
    make_variables(compile_model(model, epochs * steps, **recipe))
    callbacks = [Progress(steps * batch_size), *callbacks]
    if model.optimizer.use_ema:
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if backup:
        callbacks.insert(0, keras.callbacks.BackupAndRestore(backup, double_checkpoint=True))
    if best:
        callbacks.append(
            keras.callbacks.ModelCheckpoint(
                best,
                monitor="val_accuracy",
                mode="max",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=best_logged(log) if backup and Path(best).exists() else None,
            )
        )
    if log:
        callbacks.append(keras.callbacks.CSVLogger(log, append=bool(backup)))
    return model.fit(
        batches(data.x_train, data.y_train, classes, batch_size, augment, seed),
        validation_data=(data.x_val, np.eye(classes, dtype="float32")[data.y_val]),
        validation_batch_size=256,
        epochs=epochs,
        callbacks=callbacks,
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
