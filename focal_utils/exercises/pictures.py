"""Pictures that a learner hands in, and the shipped network that reads them; signs that no network has met."""

import functools

import numpy as np
from keras import ops

from focal_utils.data import render_signs
from focal_utils.exercises.checking import NotYet, array_of
from focal_utils.tracing import edited_logits
from focal_utils.weights import load_trained

UNSEEN = 600  # rendered signs, of a seed that no notebook uses
SEED = 2_026


@functools.cache
def signs_network():
    """The shipped network that reads traffic signs."""
    return load_trained("gtsrb")


def chances(picture, edit=None):
    """That network's probabilities for one picture (32, 32, 3), with its gates edited or not: (43,)."""
    return ops.convert_to_numpy(ops.softmax(edited_logits(signs_network(), picture[None], edit)))[0]


def need_picture(answer, shape, wanted, otherwise=""):
    """The learner's picture as float32; `NotYet` unless it is one of `shape`, of numbers from 0 to 255.

    Args:
        answer: what was handed in. shape: (height, width, channels).
        wanted: which picture it is to be, for those who hand in a function.
        otherwise: what to do where the shape is another.
    """
    if callable(answer):
        raise NotYet(f"A picture is wanted, not a function: {wanted}.")
    picture = array_of(answer)
    if picture.shape != shape:
        raise NotYet(f"A picture of shape {shape} is wanted, and yours has {picture.shape}{otherwise}.")
    picture = picture.astype("float32")
    if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 255:
        raise NotYet(f"Its values go from {picture.min():g} to {picture.max():g}; a picture has 0…255.")
    return picture


@functools.cache
def unseen_signs():
    """Signs that no network has met: images (N, 32, 32, 3) and labels."""
    signs = render_signs(UNSEEN, seed=SEED)
    images = [signs.x_train, signs.x_val, signs.x_test]
    return np.concatenate(images), np.concatenate([signs.y_train, signs.y_val, signs.y_test])
