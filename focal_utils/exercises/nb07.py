"""The exercises of notebook 07: gates dealt out to other pixels, energy in a box, a picture that needs its gates."""

import numpy as np
from keras import ops

from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.exercises.checking import NotYet, call, compare, exercise, need_array
from focal_utils.exercises.pictures import chances, need_picture

MOST_STAY = 8  # of 30 pixels: where all go anywhere, one stays in the mean, and nine do in one deal of a million


def rows(values):
    """The rows of a matrix in one fixed order, so that two sets of rows can be compared."""
    return values[np.lexsort(values.T)]


@exercise("7.1 shuffle")
def judge_shuffle(answer):
    gates = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    dealt = call(answer, gates, np.random.default_rng(1), untouched="The gates that were handed in")
    need_array(dealt, "one array is wanted: `np.stack` makes it.")
    if dealt.shape != gates.shape:
        raise NotYet(f"Gates of shape {gates.shape} became {dealt.shape}; the shape should stay.")
    if np.array_equal(dealt, gates):
        raise NotYet("Nothing has moved.")
    old = gates.reshape(4, 30, 3)
    new = dealt.reshape(4, 30, 3)
    if not np.array_equal(np.sort(old, axis=None), np.sort(new, axis=None)):
        raise NotYet("Some gates are gone, or stand there twice. Every gate must come back once: a permutation.")
    if not all(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Gates went from one picture to another. Shuffle within each picture.")
    if not all(np.array_equal(np.sort(a, axis=0), np.sort(b, axis=0)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Gates went from one level to another. A level's gates stay on their level.")
    if not all(np.array_equal(rows(a), rows(b)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Each level was shuffled by itself. The gates that stood together at a pixel must stay together.")
    staying = [int((a == b).all(axis=1).sum()) for a, b in zip(old, new, strict=True)]
    orders = [[int(np.flatnonzero((a == row).all(axis=1))[0]) for row in b] for a, b in zip(old, new, strict=True)]
    if all(order == orders[0] for order in orders):
        raise NotYet("All pictures got the same order. Draw one for each picture.")
    landed = np.array(orders[0]).reshape(5, 6)
    if all(len(set(line // 6)) == 1 for line in landed) or all(len(set(line % 6)) == 1 for line in landed.T):
        raise NotYet("Only whole rows or columns moved. Any pixel may go to any other: make the pixels one axis first.")
    if max(staying) > MOST_STAY:
        raise NotYet(f"Of 30 pixels of a picture {max(staying)} stayed where they were. All are to be dealt out anew.")
    if np.array_equal(call(answer, gates, np.random.default_rng(2)), dealt):
        raise NotYet("Another generator deals them out in the same way. Draw the order from `rng`.")
    return "Next: shuffle the first block only, with `probing.shuffle`. Does the place matter as much further up?"


@exercise("7.2 ratio")
def judge_ratio(answer):
    rng = np.random.default_rng(0)
    energy = rng.uniform(0.1, 2, (5, 6, 8))
    inside = rng.uniform(0, 1, (5, 6, 8)) ** 3
    ratio = call(answer, energy, inside)
    need_array(ratio, "one array with a ratio for each picture is wanted.")
    if ratio.shape == ():
        raise NotYet("One number came back for five pictures. Sum over the map's axes only: axis=(1, 2).")
    if ratio.shape != (5,):
        raise NotYet(f"The result has shape {ratio.shape}; (5,) is wanted, one ratio for each of five pictures.")
    right = ratio_in_box(energy, inside)
    otherwise = f"For the first picture {right[0]:.4f} is wanted, yours is {ratio[0]:.4f}."
    compare(ratio, right, wrong_ratios(energy, inside), otherwise)
    return "Next: which map would have the largest ratio possible, and how large is it?"


def mean(maps):
    return maps.mean(axis=(1, 2))


def share_in_box(energy, inside):
    return mean(energy * inside) / mean(energy)


def ratio_in_box(energy, inside):
    return share_in_box(energy, inside) / mean(inside)


def wrong_ratios(energy, inside):
    """Pairs of wrong ratios and what to say about them."""
    share = share_in_box(energy, inside)
    chance = mean(inside)
    pixels = inside[0].size
    yield share, "This is the share itself. How much would a flat map have? Divide by it."
    yield chance / share, "Upside down: chance belongs under the share."
    yield share - chance, "This is the difference to chance; the quotient is wanted."
    yield (
        mean(energy * inside) / chance,
        "This is the mean energy in the box. Divide it by the mean energy of the whole map.",
    )
    yield (
        share / (pixels * chance),
        "Chance is a share too: the sum of `inside` over the number of map pixels, its mean.",
    )
    yield (
        ratio_in_box(energy, inside > 0.5),
        "Map pixels were taken whole or not at all. One that lies partly in the box counts by its part.",
    )
    yield (
        ratio_in_box(energy, inside > 0),
        "Every map pixel that the box touches was taken whole. It counts by its part, `energy * inside`.",
    )
    yield ratio_in_box(energy**2, inside), "`energy` is the squared length already; you squared it again."
    yield share / (1 - share), "This compares inside with outside. Compare inside with what a flat map has inside."


# ---- the open task


def frozen_here(name, gates):
    """An edit: every pixel gets the gate's mean over its picture."""
    return ops.mean(gates, axis=(1, 2), keepdims=True) * ops.ones_like(gates)


@exercise("7.3 a picture that needs its gates")
def judge_picture(answer):
    picture = need_picture(answer, (32, 32, 3), "an array (32, 32, 3), 0…255", ": crop or resize it")
    if picture.max() <= 1:
        raise NotYet("Its values end at 1. The network takes 0…255: multiply by 255.")
    if np.ptp(picture) == 0:
        raise NotYet("All its pixels are alike, so every gate is nearly its own mean already. Show something.")
    before = chances(picture)
    after = chances(picture, frozen_here)
    name = GTSRB_CLASSES[before.argmax()]
    if before.argmax() == after.argmax():
        raise NotYet(
            f"It is read as “{name}” before ({before.max():.2f}) and after ({after.max():.2f}). Look for one on which "
            "the network is nearer to a decision: smaller, darker, half covered."
        )
    if before.max() < 0.5:
        raise NotYet(
            f"Freezing changes the answer, but the network was not sure before: {before.max():.2f} for “{name}”. "
            "Find one that it gives at least 0.5, with less noise perhaps."
        )
    return (
        f"“{name}” ({before.max():.2f}) becomes “{GTSRB_CLASSES[after.argmax()]}” ({after.max():.2f}). Next: in which "
        "block alone must you freeze the gates for it?"
    )
