"""The training recipe: the loss, the optimizer, the callbacks, and a run that goes on after an interruption.

It follows Yang et al. 2022, section 4.1 (AdamW, cosine decay, no weight decay on biases, norms and γ), scaled down to
small images. How weights move is in `optimizers.py`, how images are changed in `augment.py`, which images make up a
batch in `batches.py`, how a run goes on in `backup.py`, and what it says on the way in `log.py`.
"""

from contextlib import nullcontext
from pathlib import Path

import keras

from focal_utils.machine import is_first_process, jit_here
from focal_utils.training.augment import augment_signs
from focal_utils.training.backup import Backup
from focal_utils.training.batches import training_batches, validation_batches
from focal_utils.training.log import Progress, best_logged, cut_log
from focal_utils.training.optimizers import make_optimizer


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
    zeros = keras.ops.zeros((2, *(side or 8 for side in model.output_shape[1:])))  # 8: any side will do
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
        training_batches(data.x_train, data.y_train, classes, batch_size, augment, seed, start=done),
        validation_data=validation_batches(
            data.x_val, data.y_val, classes, batch_size if spread else 256, whole=spread
        ),
        epochs=epochs,
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        callbacks=[*callbacks, keeper],
        shuffle=False,
        verbose=0,
    )
