"""The exercise of notebook 00: a few pixels that change what is read."""

import functools

import numpy as np
from keras import ops

from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.data.signs import render_sign
from focal_utils.exercises.checking import NotYet, as_array, exercise
from focal_utils.training import predict
from focal_utils.weights import load_trained

MOST_PIXELS = 30  # of 1,024


@functools.cache
def shipped():
    return load_trained("gtsrb")


def reading(picture):
    """The class that is read off a picture, and its probability."""
    chances = ops.convert_to_numpy(ops.softmax(predict(shipped(), picture[None])))[0]
    return int(chances.argmax()), float(chances.max())


@exercise("0.1 fool it")
def judge_fooling(answer):
    if callable(answer):
        raise NotYet("A picture is wanted, not a function: the sign with some pixels changed.")
    sign = render_sign(label=1, size=32, scale=0.8, seed=6)
    picture = as_array(lambda: None, answer) if not isinstance(answer, (str, bytes)) else np.zeros(())
    if picture.shape != sign.shape:
        raise NotYet(f"A picture of shape {sign.shape} is wanted, and yours has {picture.shape}.")
    picture = picture.astype("float32")
    if not np.isfinite(picture).all() or picture.min() < 0 or picture.max() > 255:
        raise NotYet(f"Its values go from {picture.min():g} to {picture.max():g}; a picture has 0…255.")
    changed = int(np.any(picture != sign, axis=-1).sum())
    if changed == 0:
        raise NotYet("Nothing has changed: that is the sign itself. Begin with `my_sign = sign.copy()`.")
    label, chance = reading(picture)
    if label == 1:
        raise NotYet(
            f"{changed} pixels are changed, and it still reads “{GTSRB_CLASSES[1]}” ({chance:.2f}). Which part of the "
            "sign tells it from its neighbours in the list of classes?"
        )
    if changed > MOST_PIXELS:
        raise NotYet(
            f"It reads “{GTSRB_CLASSES[label]}”, but {changed} pixels are changed, and at most {MOST_PIXELS} may be. "
            "Try a smaller patch at other places."
        )
    return (
        f"{changed} pixels, and it reads “{GTSRB_CLASSES[label]}” ({chance:.2f}). Next: with how few can you do it? "
        "Notebook 07 asks what such a picture tells."
    )
