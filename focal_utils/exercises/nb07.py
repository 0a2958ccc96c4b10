"""The exercises of notebook 07: gates dealt out to other pixels, and energy in a box against chance."""

import numpy as np

from focal_utils.exercises.checking import NotYet, call, exercise


def rows(values):
    """The rows of a matrix in one fixed order, so that two sets of rows can be compared."""
    return values[np.lexsort(values.T)]


@exercise("7.1 shuffle")
def judge_shuffle(answer):
    gates = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    given = gates.copy()
    dealt = call(answer, given, np.random.default_rng(1))
    if isinstance(dealt, list):
        raise NotYet(f"A list of {len(dealt)} came back; one array is wanted: `np.stack` makes it.")
    if dealt.shape != gates.shape:
        raise NotYet(f"Gates of shape {gates.shape} became {dealt.shape}; the shape should stay.")
    if not np.array_equal(given, gates):
        raise NotYet("The gates that were handed in have changed too. Leave them as they are, and return a copy.")
    if np.array_equal(dealt, gates):
        raise NotYet("Nothing has moved.")
    old, new = gates.reshape(4, 30, 3), dealt.reshape(4, 30, 3)
    if not np.array_equal(np.sort(old, axis=None), np.sort(new, axis=None)):
        raise NotYet("Some gates are gone, or stand there twice. Every gate must come back once: a permutation.")
    if not all(np.array_equal(np.sort(a, axis=None), np.sort(b, axis=None)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Gates went from one picture to another. Shuffle within each picture.")
    if not all(np.array_equal(np.sort(a, axis=0), np.sort(b, axis=0)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Gates went from one level to another. A level's gates stay on their level.")
    if not all(np.array_equal(rows(a), rows(b)) for a, b in zip(old, new, strict=True)):
        raise NotYet("Each level was shuffled by itself. The gates that stood together at a pixel must stay together.")
    orders = [[int(np.flatnonzero((a == row).all(axis=1))[0]) for row in b] for a, b in zip(old, new, strict=True)]
    if all(order == orders[0] for order in orders):
        raise NotYet("All pictures got the same order. Draw one for each picture.")
    landed = np.array(orders[0]).reshape(5, 6)
    if all(len(set(line // 6)) == 1 for line in landed) or all(len(set(line % 6)) == 1 for line in landed.T):
        raise NotYet("Only whole rows or columns moved. Any pixel may go to any other: make the pixels one axis first.")
    return "Next: shuffle the first block only, with `probing.shuffle`. Does the place matter as much further up?"


@exercise("7.2 ratio")
def judge_ratio(answer):
    rng = np.random.default_rng(0)
    energy, inside = rng.uniform(0.1, 2, (5, 6, 8)), rng.uniform(0, 1, (5, 6, 8)) ** 3
    ratio = call(answer, energy, inside)
    if isinstance(ratio, list):
        raise NotYet(f"A list of {len(ratio)} came back; one array with a ratio for each picture is wanted.")
    sums = (energy * inside).sum(axis=(1, 2)), energy.sum(axis=(1, 2)), inside.sum(axis=(1, 2))
    share, chance = sums[0] / sums[1], inside.mean(axis=(1, 2))
    if ratio.shape == ():
        raise NotYet("One number came back for five pictures. Sum over the map's axes only: axis=(1, 2).")
    if ratio.shape != (5,):
        raise NotYet(f"The result has shape {ratio.shape}; (5,) is wanted, one ratio for each of five pictures.")
    if np.allclose(ratio, share):
        raise NotYet("This is the share itself. How much would a flat map have? Divide by it.")
    if np.allclose(ratio, chance / share):
        raise NotYet("Upside down: chance belongs under the share.")
    if np.allclose(ratio, share - chance):
        raise NotYet("This is the difference to chance; the quotient is wanted.")
    if np.allclose(ratio, sums[0] / sums[2]):
        raise NotYet("This is the mean energy in the box. Divide it by the mean energy of the whole map.")
    if np.allclose(ratio, share / sums[2]):
        raise NotYet("Chance is a share too: the sum of `inside` over the number of map pixels, its mean.")
    if np.allclose(ratio, (energy * (inside > 0.5)).sum(axis=(1, 2)) / sums[1] / (inside > 0.5).mean(axis=(1, 2))):
        raise NotYet("Map pixels were taken whole or not at all. One that lies partly in the box counts by its part.")
    touched = inside > 0
    if np.allclose(ratio, (energy * touched).sum(axis=(1, 2)) / sums[1] / touched.mean(axis=(1, 2))):
        raise NotYet("Every map pixel that the box touches was taken whole. It counts by its part, `energy * inside`.")
    if np.allclose(ratio, (energy**2 * inside).sum(axis=(1, 2)) / (energy**2).sum(axis=(1, 2)) / chance):
        raise NotYet("`energy` is the squared length already; you squared it again.")
    if np.allclose(ratio, share / (1 - share)):
        raise NotYet("This compares inside with outside. Compare inside with what a flat map has inside.")
    if not np.allclose(ratio, share / chance):
        raise NotYet(f"For the first picture {share[0] / chance[0]:.4f} is wanted, yours is {ratio[0]:.4f}.")
    return "Next: which map would have the largest ratio possible, and how large is it?"
