"""The exercise of notebook 00: a few pixels that change what is read."""

import numpy as np

from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.data.signs import render_sign
from focal_utils.exercises.checking import NotYet, exercise
from focal_utils.exercises.pictures import chances, need_picture

MOST_PIXELS = 30  # of 1,024


@exercise("0.1 fool it")
def judge_fooling(answer):
    sign = render_sign(label=1, size=32, scale=0.8, seed=6)
    picture = need_picture(answer, sign.shape, "the sign with some pixels changed")
    changed = int(np.any(picture != sign, axis=-1).sum())
    if changed == 0:
        raise NotYet("Nothing has changed: that is the sign itself. Begin with `my_sign = sign.copy()`.")
    if picture.max() <= 1:
        raise NotYet(
            "Its values go from 0 to 1; the sign has 0…255. Change pixels of `sign.copy()`, and do not rescale it."
        )
    counted = f"{changed} pixel is" if changed == 1 else f"{changed} pixels are"
    found = chances(picture)
    label = int(found.argmax())
    chance = found.max()
    if label == 1:
        raise NotYet(
            f"{counted} changed, and it still reads “{GTSRB_CLASSES[1]}” ({chance:.2f}). Which part of the "
            "sign tells it from its neighbours in the list of classes?"
        )
    if changed > MOST_PIXELS:
        raise NotYet(
            f"It reads “{GTSRB_CLASSES[label]}”, but {counted} changed, and at most {MOST_PIXELS} may be. "
            "Try a smaller patch at other places."
        )
    return (
        f"{changed} pixels, and it reads “{GTSRB_CLASSES[label]}” ({chance:.2f}). Next: with how few can you do it? "
        "Notebook 07 asks what such a picture tells."
    )
