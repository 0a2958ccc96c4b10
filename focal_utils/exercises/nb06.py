"""The exercises of notebook 06: a split by track, the classes that a mirror would swap, a network in little time."""

import keras
import numpy as np

from focal_utils.data import gtsrb
from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.exercises.checking import NotYet, call, exercise, whole_numbers
from focal_utils.exercises.pictures import unseen_signs
from focal_utils.training import predict

MIRRORED = {frozenset(pair) for pair in gtsrb.MIRRORED.items() if len(set(pair)) == 2}
NO_COUNTERPART = (21, 23, 24, 25, 27, 28, 29, 31)  # a mirror changes these, but not into another of the 43 classes


@exercise("6.1 split by track")
def judge_split(answer):
    rng = np.random.default_rng(0)
    frames = rng.integers(5, 12, 60)  # of each of 60 tracks
    labels = np.repeat(np.arange(60) // 12, frames)
    tracks = np.repeat(rng.permutation(60), frames)
    shuffled = rng.permutation(len(labels))
    labels = labels[shuffled]
    tracks = tracks[shuffled]
    mask = np.asarray(call(answer, labels, tracks, 0.25))
    if np.shape(mask) != labels.shape:
        raise NotYet(f"The result has shape {np.shape(mask)}, {labels.shape} is needed: true or false for each image.")
    if mask.dtype != bool:
        raise NotYet(
            f"The result holds {mask.dtype} numbers. True or false is needed: `np.isin(tracks, chosen)` is one way."
        )
    if mask.all() or not mask.any():
        raise NotYet(f"{'All' if mask.all() else 'None'} of the images are validation.")
    torn = np.intersect1d(tracks[mask], tracks[~mask])
    if len(torn):
        raise NotYet(
            f"{len(torn)} of 60 tracks have frames on both sides. Choose among the tracks, `np.unique(tracks)`, not "
            "among the images."
        )
    if len(missing := np.setdiff1d(labels, labels[mask])):
        raise NotYet(f"Class {missing[0]} has no validation image. Choose tracks class by class.")
    if len(missing := np.setdiff1d(labels, labels[~mask])):
        raise NotYet(f"Class {missing[0]} has no training image left: some tracks of every class must stay.")
    share = len(np.unique(tracks[mask])) / 60
    if abs(share - 0.75) < 0.05:
        raise NotYet("Three quarters of the tracks are true, for share=0.25. True marks validation.")
    if abs(share - 0.25) > 0.05:
        raise NotYet(f"share=0.25 was asked for, and {share:.2f} of the tracks are validation.")
    counts = {len(np.unique(tracks[mask & (labels == label)])) for label in range(5)}
    if counts != {3}:
        raise NotYet(f"Each class has 12 tracks, so 3 each belong to validation; yours give {sorted(counts)}.")
    half = np.asarray(call(answer, labels, tracks, 0.5))
    if half.shape != mask.shape or abs(len(np.unique(tracks[half.astype(bool)])) / 60 - 0.5) > 0.05:
        raise NotYet("Right for share=0.25, but for share=0.5 half of the tracks should be validation.")
    ends = [sorted(np.unique(tracks[labels == label])) for label in range(5)]
    chosen = set(tracks[mask])
    if all(chosen >= set(of_class[:3]) for of_class in ends) or all(chosen >= set(of_class[-3:]) for of_class in ends):
        raise NotYet(
            "You take the first or the last tracks of each class. Recordings are in some order: draw by chance."
        )
    return "Next: draw ten splits with other seeds. By how much does the accuracy on validation move?"


@exercise("6.2 mirrored")
def judge_mirrored(answer):
    try:
        pairs = [whole_numbers(pair) for pair in (answer.items() if isinstance(answer, dict) else answer)]
    except TypeError:
        pairs = [None]
    if None in pairs:
        raise NotYet("A list of pairs of class numbers is needed, such as [(33, 34), …]. They are whole numbers.")
    if any(len(pair) != 2 for pair in pairs):
        raise NotYet("Every item must be a pair: two class numbers.")
    for pair in pairs:
        for label in pair:
            if not 0 <= label < len(GTSRB_CLASSES):
                raise NotYet(f"There is no class {label}: they go from 0 to {len(GTSRB_CLASSES) - 1}.")
        if pair[0] == pair[1] and pair[0] in NO_COUNTERPART:
            raise NotYet(f"{pair}: a mirror changes this sign, but into none of the 43 classes.")
        if pair[0] == pair[1]:
            raise NotYet(f"{pair}: a sign that stays what it is does no harm. Which become *another* class?")
    given = {frozenset(pair) for pair in pairs}
    for pair in sorted(map(sorted, given - MIRRORED)):
        names = " and ".join(f"“{GTSRB_CLASSES[label]}”" for label in pair)
        if set(pair) & set(NO_COUNTERPART):
            raise NotYet(
                f"{names}: one of them has no mirror image among the 43 classes. A flip would spoil it all the same."
            )
        if set(pair) & set().union(*MIRRORED):
            raise NotYet(f"{names}: one of them does swap, but with another class.")
        raise NotYet(f"{names} are not mirror images of each other.")
    if missing := len(MIRRORED - given):
        colours = "Look among the blue discs." if frozenset((19, 20)) in given else "Look among the red triangles too."
        raise NotYet(
            f"Right so far; {missing} of {len(MIRRORED)} pairs {'is' if missing == 1 else 'are'} missing. {colours}"
        )
    return "Next: which classes would a flip leave as they are? They could be mirrored, class by class, for more data."


# ---- the open task

MOST_WEIGHTS = 200_000
WANTED = 0.93


@exercise("6.3 the same seconds")
def judge_network(answer):
    if not isinstance(answer, keras.Model):
        raise NotYet(f"A trained Keras model is wanted, and this is a {type(answer).__name__}: `my_network` itself.")
    if answer.input_shape[1:] != (32, 32, 3):
        raise NotYet(f"It reads pictures of shape {answer.input_shape[1:]}; those of this page are (32, 32, 3).")
    if answer.output_shape[1:] != (len(GTSRB_CLASSES),):
        raise NotYet(f"It says {answer.output_shape[1:]}; one number for each of {len(GTSRB_CLASSES)} classes is due.")
    if answer.count_params() > MOST_WEIGHTS:
        raise NotYet(
            f"It has {answer.count_params():,} weights; at most {MOST_WEIGHTS:,} are allowed. The network that ships "
            "has more, and took an hour."
        )
    images, labels = unseen_signs()
    said = predict(answer, images).argmax(axis=-1)
    right = float(np.mean(said == labels))
    if len(np.unique(said)) == 1:
        raise NotYet(f"It says “{GTSRB_CLASSES[said[0]]}” to every sign. Is the rate so high that it fell over?")
    if right < 0.1:
        raise NotYet(f"{right:.0%} right is guessing. Has it been trained, and with the right labels?")
    if right < WANTED:
        raise NotYet(
            f"{right:.1%} of {len(labels)} new signs are right, {WANTED:.0%} are wanted. A cheaper stem leaves time "
            "for more epochs; a smaller batch makes more steps of one."
        )
    return (
        f"{right:.1%} of {len(labels)} new signs, by {answer.count_params():,} weights. Next: which of your changes "
        "did it? Undo them one at a time."
    )
