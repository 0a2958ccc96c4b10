"""What can be trained, and how: what is wrong with the arguments of `train` is said before anything is begun."""

import warnings

import keras
import numpy as np

from focal_utils.data import ImageSet
from focal_utils.errors import check_at_least, check_choice, check_number
from focal_utils.models import FocalNet
from focal_utils.training.optimizers import OPTIMIZERS
from focal_utils.training.rates import check_rates

SEEN = 0.9  # share of the training images that an epoch should see: where it is less, that is said


def check_recipe(optimizer, learning_rate, weight_decay, label_smoothing, ema, accumulate, jit, layer_rates=None):
    """Raise a ValueError that names the first of `train`'s ways to move weights that is out of range."""
    check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    check_number("learning_rate", learning_rate, above=0)
    check_number("weight_decay", weight_decay, at_least=0)
    check_number("label_smoothing", label_smoothing, at_least=0, below=1)
    if ema is not None:
        check_number("ema", ema, above=0, below=1)
    check_at_least(accumulate=(accumulate, 1))
    check_choice("jit", jit, (None, True, False, "auto"))
    if layer_rates is not None:
        check_rates(layer_rates)


def check_course(data, epochs, batch_size, augment, seed, best, backup_every):
    """Raise a TypeError or a ValueError that names the first of `train`'s other arguments that cannot be used."""
    if not isinstance(data, ImageSet):
        raise TypeError(
            f"fu.train takes an ImageSet, not {type(data).__name__}: it makes the batches itself, so that a run can go "
            "on from any of them. Put your arrays in one, fu.ImageSet(name, source, class_names, x_train, y_train, "
            "x_val, y_val); or, for batches of your own (tf.data, PyDataset), call fu.training.compile_model(model, "
            "steps) and then model.fit."
        )
    check_at_least(epochs=(epochs, 1), batch_size=(batch_size, 1), seed=(seed, 0))
    if backup_every is not None:
        check_at_least(backup_every=(backup_every, 1))
    if augment is not None and not callable(augment):
        raise ValueError(f"augment={augment!r}: None, or a function such as fu.augment.augment_signs, is needed.")
    if best is not None and not str(best).endswith(".weights.h5"):
        raise ValueError(f"best={str(best)!r}: it holds weights, so its name must end in .weights.h5.")
    if best is not None and "val" not in data.parts:
        raise ValueError("best= keeps the epoch that is best in validation: the data has no x_val and y_val.")
    check_batches(len(data.x_train), batch_size)


def check_batches(images, batch_size):
    """Raise a ValueError if images do not fill a batch, and warn if many of them sit out of each epoch."""
    seen = images // batch_size * batch_size
    if not seen:
        raise ValueError(f"{images} training images do not fill one batch of {batch_size}: lower batch_size.")
    if seen < SEEN * images:
        warnings.warn(
            f"{images - seen} of {images} training images sit out of each epoch, others each time: they do not fill a "
            f"batch of {batch_size}. Another batch_size leaves out fewer.",
            stacklevel=4,
        )


def check_steps(steps, accumulate):
    """Raise a ValueError if weights would never change: too few steps for a mean over so many."""
    if steps < accumulate:
        raise ValueError(f"accumulate={accumulate}: there are {steps} steps in all, so weights would never change.")


def check_network(model, data):
    """How many classes a model tells apart: those of the data at least, in images that it can read.

    Raises:
        ValueError: labels of some part of the data that the model has no output for, or no logits.
    """
    classes = output_classes(model, data.x_train)
    for part in data.parts:
        labels = getattr(data, f"y_{part}")
        if not 0 <= labels.min() <= labels.max() < classes:
            wrong = labels.max() if labels.max() >= classes else labels.min()
            raise ValueError(
                f"Label {wrong} of y_{part} does not fit a model of {classes} classes: set classes={data.num_classes}."
            )
    if isinstance(model, FocalNet):
        check_logits(model)
        check_scale(model.get_config()["preprocessing"], data.x_train)
    return classes


def check_logits(model):
    """Raise a ValueError if a `FocalNet` gives probabilities, of which a loss of logits would be wrong."""
    activation = model.get_config()["classifier_activation"]
    if activation:
        raise ValueError(
            f"{model.name} ends in a {activation}, and the loss wants logits: train it with "
            "classifier_activation=None, and load its weights into the same network with the activation afterwards."
        )


def check_scale(preprocessing, images):
    """Warn if a network is fed images of a scale that it does not expect, which hardly train it."""
    top = images.max()
    if preprocessing is None and top > 16:
        expected = 'expects them normalised: make it with preprocessing="per_image" or "imagenet"'
    elif preprocessing == "imagenet" and top <= 1:
        expected = 'with preprocessing="imagenet" expects them from 0 to 255: multiply them by 255'
    else:
        return
    warnings.warn(f"The images go up to {top}, but this FocalNet {expected}.", stacklevel=4)


def output_classes(model, images):
    """How many classes a model tells apart. One that is not built yet is built, by a look at one image.

    Raises:
        ValueError: the model does not give logits (B, classes).
    """
    shape = getattr(model, "output_shape", None) if model.built else None
    if shape is None:  # a subclass of keras.Model, which knows its shapes once it has seen an image
        logits = model(np.asarray(images[:1], "float32"))
        shape = keras.tree.map_structure(lambda output: tuple(output.shape), logits)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(f"{model.name} gives {shape}, not logits (batch, classes): train the model that ends in them.")
    return shape[1]
