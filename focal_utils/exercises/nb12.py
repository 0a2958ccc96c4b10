"""The exercises of notebook 12: Dice, how far tiles must overlap, and touching objects told apart."""

import numpy as np
from scipy import ndimage

from focal_utils.exercises.checking import NotYet, call, close, exercise, number
from focal_utils.training import dice


def label_maps():
    """Pairs of label maps (12, 12) whose numbers do not agree, and whose objects partly do."""
    true = np.zeros((12, 12), int)
    true[1:5, 1:5] = 1
    true[6:11, 2:9] = 2
    found = np.zeros((12, 12), int)
    found[2:6, 1:5] = 7
    found[6:10, 4:11] = 3
    return true, found


@exercise("12.1 Dice")
def judge_dice(answer):
    true, found = label_maps()
    inside = true > 0
    claimed = found > 0
    common = np.sum(inside & claimed)
    due = dice(true, found)
    got = number(answer, true, found)
    if not close(got, due):
        if close(got, common / np.sum(inside | claimed)):
            raise NotYet(
                "That is the IoU, over the union. Dice puts twice the common pixels over the sum of both counts."
            )
        if close(got, due / 2):
            raise NotYet("Half of it: the common pixels stand in both counts below, so they count twice above.")
        if close(got, 2 * np.sum(true == found) / (2 * true.size)) or close(got, np.mean(inside == claimed)):
            raise NotYet("What is outside in both counts as right in yours: a black picture would be nearly perfect.")
        if close(got, 2 * np.sum((true == found) & inside) / (inside.sum() + claimed.sum())):
            raise NotYet("The numbers of objects need not agree: 1 here may be 7 there. Compare inside with inside.")
        if close(got, 2 * np.sum(true * found) / (true.sum() + found.sum())):
            raise NotYet("The numbers of the objects are in your sums. First ask of each pixel whether it is above 0.")
        raise NotYet(f"Here it is {due:.4f}; yours says {got:.4f}.")
    if not close(number(answer, true, np.zeros_like(true)), 0):
        raise NotYet("Where nothing was found and something is there, it is 0.")
    return "Next: what does Dice say of a picture in which all nuclei are one connected blob?"


@exercise("12.2 reach")
def judge_reach(answer):
    for kernels, stride in (((3, 5, 9), 4), ((3,), 8), ((3, 5), 16)):
        got = number(answer, list(kernels), stride)
        due = stride * sum(kernel // 2 for kernel in kernels)
        if close(got, due):
            continue
        asked = f"kernels {list(kernels)} on a map of stride {stride}"
        if close(got, due / stride):
            raise NotYet("Those are pixels of the map. One of them is `stride` pixels of the picture.")
        if close(got, stride * sum(kernels)):
            raise NotYet("A kernel reaches to both sides: k pixels wide, it sees (k − 1)/2 to the left.")
        if close(got, 2 * due) or close(got, stride * (1 + sum(kernel - 1 for kernel in kernels))):
            raise NotYet("That is how wide it sees, both sides together. How far is it to one side?")
        if close(got, stride * (kernels[-1] // 2)):
            raise NotYet("The levels stand on each other: level 2 reads what level 1 has gathered. Add them up.")
        if close(got, stride * np.prod([kernel // 2 for kernel in kernels])):
            raise NotYet("Reaches of convolutions in a row add up; they do not multiply.")
        raise NotYet(f"{asked}: {due} pixels to one side; yours says {got:g}.")
    return "Next: which part of the layer sees farther than any overlap?"


def discs(shape, *places):
    """A mask (H, W) of ellipses, each (row, column, half height, half width)."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for row, column, high, wide in places:
        mask |= ((rows - row) / high) ** 2 + ((columns - column) / wide) ** 2 <= 1
    return mask


# Masks and how many objects a person sees in each.
MASKS = {
    "one round object": (discs((48, 48), (24, 24, 14, 14)), 1),
    "two that lie apart": (discs((48, 64), (24, 16, 10, 10), (24, 48, 10, 10)), 2),
    "one long object": (discs((48, 80), (24, 40, 11, 26)), 1),
    "two that touch": (discs((48, 64), (24, 21, 13, 13), (24, 43, 13, 13)), 2),
    "a small one that touches a large one": (discs((64, 72), (32, 26, 20, 20), (32, 53, 10, 10)), 2),
    "three in a row that touch": (discs((48, 96), (24, 20, 13, 13), (24, 43, 13, 13), (24, 66, 13, 13)), 3),
}


@exercise("12.3 touching")
def judge_touching(answer):
    counted = {}
    for name, (mask, _) in MASKS.items():
        labels = call(answer, mask, untouched="The masks")
        if isinstance(labels, list) or labels.shape != mask.shape:
            raise NotYet(f"A label map of shape {mask.shape} is wanted, 0 outside, then 1, 2, …")
        if np.any((labels > 0) != mask):
            raise NotYet(
                f"{name}: what is inside must stay inside, and nothing else. Divide the mask, do not change it."
            )
        counted[name] = len(np.unique(labels[mask]))
    if all(counted[name] == ndimage.label(mask)[1] for name, (mask, _) in MASKS.items()):
        raise NotYet("Connected parts: what touches is one. Look at how deep each pixel lies in the mask.")
    for name, (_, due) in MASKS.items():
        if counted[name] > due:
            raise NotYet(
                f"{name}: yours makes {counted[name]} of it. Two peaks count only if the valley between is deep."
            )
        if counted[name] < due:
            raise NotYet(f"{name}: yours finds {counted[name]}. A shallower valley must be enough to tell them apart.")
    return "Next: try it on the mask of the shipped network, in the place of its own depth."
