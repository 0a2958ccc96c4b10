"""The training recipe: the loss, the optimizer, the callbacks, and a run that goes on after an interruption.

It follows Yang et al. 2022, section 4.1 (AdamW, cosine decay, no weight decay on biases, norms and γ), scaled down to
small images. How weights move is in `optimizers.py`, how images are changed in `augment.py`, which images make up a
batch in `batches.py`, how a run goes on in `backup.py`, what it says on the way in `log.py`, and what can be trained in
`checks.py`.
"""

from contextlib import nullcontext
from pathlib import Path

import keras

from focal_utils.machine import is_first_process, jit_here
from focal_utils.training.backup import Backup, Best
from focal_utils.training.batches import training_batches, validation_batches
from focal_utils.training.checks import check_course, check_network, check_recipe, check_steps
from focal_utils.training.facts import facts
from focal_utils.training.log import Progress, StopAtNaN, best_logged, cut_log
from focal_utils.training.optimizers import make_optimizer, with_layer_rates


def compile_model(model, steps, label_smoothing=0.05, jit=None, **recipe):
    """Compile `model` for `steps` steps of the recipe, cross-entropy on softened labels; returns it.

    Grown in notebook 06.

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


def compile_with_rates(model, layer_rates):
    """Compile a model of `compile_model` again, with a rate for each layer; returns it.

    Args:
        layer_rates: name of a layer → factor, see `layer_rates`.
    """
    optimizer = with_layer_rates(model.optimizer, model, layer_rates)
    model.compile(optimizer, model.loss, metrics=["accuracy"], jit_compile=model.jit_compile)
    return model


def make_variables(model, classes=None):
    """Make the variables of a compiled model's optimizer, loss and metrics, which otherwise the first step makes.

    `classes`: of a model that does not know the shape of its outputs, a subclass of `keras.Model`; None for others.

    TensorFlow traces a function that makes variables twice. With them made, `fit` starts after 7 s instead of 13 (671 k
    parameters, 2 CPU cores).
    """
    shape = model.output_shape[1:] if classes is None else (classes,)
    zeros = keras.ops.zeros((2, *(side or 8 for side in shape)))  # 8: any side will do
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
    augment=None,
    seed=0,
    log=None,
    best=None,
    backup=None,
    backup_every=None,
    callbacks=(),
    *,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=0.05,
    label_smoothing=0.05,
    ema=None,
    accumulate=1,
    jit=None,
    layer_rates=None,
):
    """Train `model` on `data.x_train`, validate on `data.x_val` after each epoch, return Keras' `History`.

    Batches are always full: in each epoch, what does not fill the last one sits out, other images each time.

    A model made in the scope of `tf.distribute.MirroredStrategy`, or with a `keras.distribution` set, trains on all of
    its devices. `batch_size` is that of all together. With a `keras.distribution`, they validate in batches of that
    size too, and leave out what does not fill the last; of several processes, the first writes the files. One thing
    differs: under `MirroredStrategy`, Keras 3.15 clips the gradient of each device's share before it adds them up.

    Args:
        model: takes images as they are in `data`, gives logits (B, classes). A `FocalNet` brings images from 0 to 255
            to its own scale if it is made with `preprocessing=`.
        data: an `ImageSet`; validation and test may be missing.
        epochs: how often each image is seen.
        batch_size: images of a step.
        augment: how images are changed, each time anew: None for not at all, or a function of the batch (B, H, W,
            channels) and of two integers that fix its draws. Which changes keep a thing what it is depends on the
            thing: `augment_signs` for what must not be mirrored, `augment_cells` for what has no side that is up,
            `augment_ultrasound` for what may be mirrored left to right only.
        seed: fixes the batches' order and augmentation (not the initial weights: `keras.utils.set_random_seed`).
        log: path of a CSV file, one row an epoch; an interrupted run goes on in it.
        best: path of a `.weights.h5` file that keeps the weights of the best validation accuracy so far.
        backup: a folder; a run that was interrupted, at whatever moment, goes on from there when called again with it.
            The last two backups stay there when the run is over: what was trained is in them.
        backup_every: steps between backups within an epoch; None for one after each epoch.
        callbacks: further Keras callbacks, a list.
        optimizer: "adamw" or "muon"; see `OPTIMIZERS`.
        learning_rate: the highest; it warms up over the first tenth of the steps, then goes down to 0 along a cosine.
        weight_decay: of all weights that have more than one axis.
        label_smoothing: share of each label that is spread over all classes.
        ema: momentum, such as 0.998, of a moving average of the weights, which is then validated and kept; None for
            the weights themselves.
        accumulate: weights change once in so many steps, by the mean of their gradients.
        jit: Keras' `jit_compile`; None leaves it to `jit_here`.
        layer_rates: name of a layer → factor on its learning rate, as `fu.layer_rates` makes them; None for the same
            rate everywhere.

    Raises:
        TypeError: `data` is no `ImageSet`.
        ValueError: an argument out of range, fewer training images than a batch, labels that do not fit the model's
            outputs, or a backup of another run or network.
        FloatingPointError: the loss is no number any more.
        DamagedData: there are backups, but none can be read.
        OSError: the disk is full; what was written before is whole.
        ModuleNotFoundError: TensorFlow is not installed: batches are made by tf.data under JAX and PyTorch too.

    Example:
        >>> network = fu.FocalNet(data.image_shape, data.num_classes, embed_dim=24, preprocessing="per_image")
        >>> history = fu.train(network, data, epochs=8, augment=fu.augment.augment_cells, best="best.weights.h5")
    """
    recipe = {
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "ema": ema,
        "accumulate": accumulate,
        "jit": jit,
    }
    check_recipe(**recipe, layer_rates=layer_rates)
    check_course(data, epochs, batch_size, augment, seed, best, backup_every)
    classes = check_network(model, data)
    epochs = int(epochs)  # NumPy's whole numbers are understood as Python's
    batch_size = int(batch_size)
    seed = int(seed)
    steps = len(data.x_train) // batch_size
    check_steps(epochs * steps, accumulate)
    with scope_of(model):
        compile_model(model, epochs * steps, **recipe)
        if layer_rates is not None:
            compile_with_rates(model, layer_rates)
        make_variables(model, classes)
    course = {"epochs": epochs, "batch_size": batch_size, "seed": seed, **recipe}
    if layer_rates is not None:
        course["layer_rates"] = layer_rates
    keeper = Backup(backup, steps, backup_every, {**course, **facts(model, data, augment)} if backup else None)
    done = keeper.restore(model)
    return model.fit(
        training_batches(data.x_train, data.y_train, classes, batch_size, augment, seed, start=done),
        validation_data=validation(data, classes, batch_size),
        epochs=epochs,
        steps_per_epoch=steps,
        initial_epoch=done // steps,
        callbacks=in_order(model, batch_size, callbacks, log, best, keeper),
        shuffle=False,
        verbose=0,
    )


def validation(data, classes, batch_size):
    """The validation batches of the data, or None where it has none."""
    if "val" not in data.parts:
        return None
    if keras.distribution.distribution() is not None:
        return validation_batches(data.x_val, data.y_val, classes, batch_size, whole=True)
    return validation_batches(data.x_val, data.y_val, classes)


def in_order(model, batch_size, callbacks, log, best, keeper):
    """A run's callbacks, in the order in which they act when an epoch ends; of several processes, the first writes."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # within the one that scales the loss
    averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if optimizer.use_ema else []
    files = []
    if log and is_first_process():
        if keeper.folder:
            cut_log(log, keeper.step // keeper.steps)
        files.append(keras.callbacks.CSVLogger(log, append=bool(keeper.folder)))
    if best and is_first_process():
        reached = best_logged(log) if keeper.step and Path(best).exists() else None
        files.insert(0, Best(best, reached))
    return [StopAtNaN(), *averages, Progress(batch_size), *callbacks, *files, keeper]
