"""The exercises of notebook 13: blocks of equal size, a wide mixer of few weights, a network that noise fools less."""

import keras
import numpy as np

from focal_utils.data import GTSRB_CLASSES, corrupt
from focal_utils.exercises.checking import NotYet, close, exercise, layer_of, number, run
from focal_utils.exercises.pictures import unseen_signs
from focal_utils.tracing import impulse_response
from focal_utils.training import accuracy


def weights_of_mlp(ratio, dim):
    """Weights of the two dense layers C → ratio·C → C, biases included."""
    return 2 * ratio * dim**2 + (ratio + 1) * dim


@exercise("13.1 an equal block")
def judge_ratio(answer):
    for ratio, dim, mixer in ((3, 16, 1200), (6, 16, 0), (4, 96, 4800), (3.25, 16, 1000)):
        total = int(mixer + weights_of_mlp(ratio, dim))
        given = number(answer, mixer, total, dim)
        if close(given, ratio):
            continue
        left = total - mixer
        if close(given, left / (2 * dim**2)):
            raise NotYet("The biases are missing: ratio·C of the first layer, C of the second.")
        if close(given, left / (2 * dim**2 + dim)):
            raise NotYet("Nearly: the second layer has C biases, whatever the ratio. They come off what is left.")
        if close(given, (total - dim) / (2 * dim**2 + dim)):
            raise NotYet("What the mixer has is not left for the MLP: take it off first.")
        if close(given, left / dim**2) or close(given, (left - dim) / (dim**2 + dim)):
            raise NotYet("The MLP has two dense layers, C → ratio·C and ratio·C → C: 2·ratio·C² weights.")
        if given == round(ratio):
            raise NotYet(f"The ratio is {ratio:g} here, and {given:g} is rounded: a part of a channel's width counts.")
        raise NotYet(
            f"C = {dim}, a mixer of {mixer:,} weights, {total:,} in all: the ratio is {ratio:g}, yours says {given:g}."
        )
    return "Next: what is the ratio when there is no mixer at all? It is the one of the network called “nothing”."


# ---- a wide mixer of few weights

DIM = 8
WIDE = 7  # pixels, as ConvNeXt's kernel
SHARE = 0.5  # of the weights of that kernel
SIDE = 33


@exercise("13.2 wide and cheap")
def judge_mixer(answer):
    layer = layer_of(answer, DIM, wanted=" that maps (B, H, W, C) to the same shape")
    out = np.shape(run(layer, np.zeros((1, SIDE, SIDE, DIM), "float32")))
    if tuple(out) != (1, SIDE, SIDE, DIM):
        raise NotYet(f"A map (1, {SIDE}, {SIDE}, {DIM}) comes back as {tuple(out)}: a mixer keeps the shape.")
    response = run(impulse_response, layer, SIDE, DIM)
    seen = response > 1e-6 * response.max()
    if not seen.any():
        raise NotYet("No pixel moves when the middle one does: does the layer look at its input?")
    tall = extent(seen.any(axis=1))
    wide = extent(seen.any(axis=0))
    weights = layer.count_params()
    most = int(SHARE * (WIDE**2 + 1) * DIM)
    if max(tall, wide) == SIDE:
        raise NotYet(
            "One pixel moves the whole map. That is a global level: it sees all, and knows of nothing where it is."
        )
    if min(tall, wide) < WIDE:
        raise NotYet(f"It sees {tall} pixels high and {wide} wide; {WIDE} each are wanted.")
    if weights > most:
        raise NotYet(
            f"It has {weights:,} weights for {DIM} channels, at most {most:,} are allowed. A kernel of {WIDE}×{WIDE} "
            "can be the outer product of a column and a row."
        )
    middle = SIDE // 2
    half = WIDE // 2
    square = seen[middle - half : middle + half + 1, middle - half : middle + half + 1]
    if not square.all():
        raise NotYet(
            f"It has holes: of the {WIDE**2} pixels nearest to the middle one it sees {square.sum()}. Dilation alone "
            "leaves the pixels between out; let a small kernel come first."
        )
    dearest = (WIDE**2 + 1) * DIM
    return (
        f"{tall}×{wide} pixels by {weights:,} weights; a kernel of {WIDE}×{WIDE} has {dearest:,}. Next: which pattern "
        "can that kernel draw, and yours not?"
    )


def extent(seen):
    """How many places there are from the first that is true to the last."""
    places = np.flatnonzero(seen)
    return int(places[-1] - places[0] + 1)


# ---- the open task

STRENGTH = 3  # of the noise
GAIN = 0.10
MOST_LOST = 0.05  # of the accuracy on clean signs
TRAINED = 0.4


@exercise("13.3 noise")
def judge_noise(answer):
    if not isinstance(answer, dict) or {"before", "after"} - answer.keys():
        raise NotYet("A dictionary with two trained networks is wanted, “before” and “after”.")
    for name in ("before", "after"):
        model = answer[name]
        if not isinstance(model, keras.Model):
            raise NotYet(f"“{name}” is a {type(model).__name__}; the trained network itself is wanted.")
        if model.input_shape[1:] != (32, 32, 3) or model.output_shape[1:] != (len(GTSRB_CLASSES),):
            raise NotYet(f"“{name}” maps {model.input_shape[1:]} to {model.output_shape[1:]}; signs have (32, 32, 3).")
    if answer["before"] is answer["after"]:
        raise NotYet("Both are the same network. Build the second one anew, and train it your way.")
    if answer["before"].count_params() != answer["after"].count_params():
        raise NotYet("They differ in size, so nobody could say what did it. Change how it is trained.")
    images, labels = unseen_signs()
    noisy = corrupt(images, "noise", STRENGTH)
    clean = {name: accuracy(answer[name], images, labels) for name in ("before", "after")}
    spoilt = {name: accuracy(answer[name], noisy, labels) for name in ("before", "after")}
    if clean["before"] < TRAINED:
        raise NotYet(f"“before” reads {clean['before']:.0%} of clean signs: train it longer, or it can lose nothing.")
    gain = spoilt["after"] - spoilt["before"]
    lost = clean["before"] - clean["after"]
    if gain < GAIN:
        raise NotYet(
            f"With noise, “before” reads {spoilt['before']:.1%} and “after” {spoilt['after']:.1%}: {GAIN:.0%} more are "
            "wanted. Let it meet noise while it learns, as strong as it will be."
        )
    if lost > MOST_LOST:
        raise NotYet(
            f"It reads noisy signs better, but clean ones worse by {100 * lost:.1f} points. Let part of its pictures "
            "stay clean."
        )
    return (
        f"Noisy signs: {spoilt['before']:.1%} before, {spoilt['after']:.1%} after. Next: has it become better in the "
        "dark, or behind a grey square, too?"
    )
