"""Measure what the gates of the nuclei network do: do they matter for the answer, do they follow the nuclei's size?

    python tools/measure_nuclei_gates.py                 about half an hour
    python tools/measure_nuclei_gates.py --pictures 6 --out data/cache/nuclei_gates_try.json      a quick try

On the test pictures. Edits: gates off; frozen to their mean over this picture; frozen to their mean over validation
pictures; dealt out to other pixels of the picture. Size: within each picture with ten nuclei or more, the rank
correlation of a nucleus's area with the mean number of the level that contributes most under it. Beside it two
controls: networks with fresh weights, and the same outlines moved half a picture on, where they lie over something
else. The unit of all intervals is the origin, the larger picture that tiles were cut from.

Writes data/results/nuclei_gates.json. Needs the data: FOCAL_DATA_DIR, the cache, or a download.
"""

import dataclasses
import hashlib
import time
from pathlib import Path

from parts import arguments
from parts.files import RESULTS, how_made, save_results


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--pictures", type=arguments.at_least(1), help="only so many test pictures: a quick try")
    options.add_argument(
        "--untrained", type=arguments.at_least(1), default=5, help="how many networks with fresh weights (default: 5)"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "nuclei_gates.json")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np
from rich.progress import track
from scipy import ndimage

import focal_utils as fu
from focal_utils import statistics, tracing
from focal_utils.data import kind_of
from focal_utils.training import separate

ENOUGH = 10  # nuclei in a picture, without which no order of theirs is asked for
CHANGES = ("off", "frozen here", "frozen", "shuffled")


def estimate(values, origins):
    """The mean of values (N,) over origins, each the mean of its pictures, and its 95 % bootstrap interval."""
    each = np.array([values[origins == origin].mean() for origin in np.unique(origins)])
    low, high = statistics.bootstrap_interval(each)
    return {
        "mean": round(float(each.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "origins": len(each),
    }


def mean_gates(model, pictures):
    """Each gate's mean over the pixels of each picture, then over pictures: a dict, block name → (L + 1,)."""
    each = [tracing.gate_means(model, picture[None]) for picture in pictures]
    return {name: np.mean([means[name] for means in each], axis=0) for name in each[0]}


def edited(model, picture, change, where, typical, seed):
    """What the network says of a picture, logits (H, W, 2), with its gates at `where` changed; None changes nothing."""
    pictures = picture[None]
    edit = None
    if change == "off":
        edit = tracing.switch_off(model, where)
    if change == "frozen here":
        edit = tracing.freeze_gates(model, where, tracing.gate_means(model, pictures))
    if change == "frozen":
        edit = tracing.freeze_gates(model, where, typical)
    if change == "shuffled":
        edit = tracing.shuffle(model, where, seed)
    return tracing.edited_logits(model, pictures, edit)[0]


def judged(logits, labels, facts):
    """Dice and average precision at an IoU of 0.5 of one picture: (2,)."""
    found = separate(logits, facts["prominence"], smooth=facts["smooth"])
    return np.array([fu.dice(labels, found), fu.average_precision(labels, found)[0]])


def what_edits_do(model, data, facts):
    """Of every change of every block, and of all: Dice and AP on test pictures less those of the unchanged network."""
    typical = mean_gates(model, data.x_val)
    whole = tracing.everywhere(model)
    places = {"all": whole} | {name: {name: gates} for name, gates in whole.items()}
    cases = [(change, place) for place in places for change in CHANGES]
    before = []
    after = {case: [] for case in cases}
    for number, picture in enumerate(track(data.x_test, "edits")):
        labels = data.y_test[number]
        before.append(judged(edited(model, picture, None, {}, typical, 0), labels, facts))
        for change, place in cases:
            logits = edited(model, picture, change, places[place], typical, number)
            after[change, place].append(judged(logits, labels, facts))
    before = np.array(before)
    rows = []
    for change, place in cases:
        difference = np.array(after[change, place]) - before
        rows.append(
            {
                "change": change,
                "block": place,
                "dice": estimate(difference[:, 0], data.origin_test),
                "average_precision_50": estimate(difference[:, 1], data.origin_test),
            }
        )
    unchanged = {
        "dice": estimate(before[:, 0], data.origin_test),
        "average_precision_50": estimate(before[:, 1], data.origin_test),
    }
    return {"unchanged": unchanged, "rows": rows}


def enlarged(values, geometry, shape):
    """A map (h, w) at the pixels of a picture (H, W): each pixel has the value of the map pixel that it lies in."""
    stride, first = geometry
    rows, columns = (
        np.clip(np.floor((np.arange(side) + 0.5 - first) / stride).astype(int), 0, count - 1)
        for side, count in zip(shape, values.shape, strict=True)
    )
    return values[np.ix_(rows, columns)]


def winner_under(model, picture, labels):
    """The mean number of the level that contributes most, from 1, under each object: block name → (objects,)."""
    geometry = tracing.map_geometry(model)
    numbers = np.unique(labels[labels > 0])
    found = {}
    for trace in fu.trace(model, picture[None]):
        winner = 1 + tracing.contributions(trace)[0].argmax(axis=-1)  # (h, w)
        at_pixels = enlarged(winner, geometry[trace.name], labels.shape)
        found[trace.name] = ndimage.mean(at_pixels, labels, numbers)
    return found


def moved(labels):
    """The same outlines, half a picture on, down and to the right, so that they lie over something else."""
    height, width = labels.shape
    return np.roll(labels, (height // 2, width // 2), axis=(0, 1))


def size_and_winner(model, pictures, labels):
    """For each picture, the rank correlation of area and winning level over its objects: block name → (N,)."""
    rows = []
    for picture, objects in zip(pictures, labels, strict=True):
        areas = np.bincount(objects.ravel())[1:]
        areas = areas[areas > 0]
        under = winner_under(model, picture, objects)
        rows.append({name: statistics.rank_correlation(areas, levels) for name, levels in under.items()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def fresh(model, seed):
    """The same network with new weights."""
    keras.utils.set_random_seed(seed)
    return keras.Model.from_config(model.get_config())


def does_size_matter(model, data, seeds):
    """Whether the winning level follows the size of the nucleus, beside the two controls: a dict for JSON."""
    rows = [number for number, labels in enumerate(data.y_test) if len(np.unique(labels)) - 1 >= ENOUGH]
    pictures = [data.x_test[row] for row in rows]
    labels = [data.y_test[row] for row in rows]
    origins = data.origin_test[rows]
    own = size_and_winner(model, pictures, labels)
    elsewhere = size_and_winner(model, pictures, [moved(objects) for objects in labels])
    untrained = [size_and_winner(fresh(model, seed), pictures, labels) for seed in track(seeds, "fresh weights")]
    blocks = {}
    for name, values in own.items():
        blocks[name] = {
            "trained": estimate(values, origins),
            "outlines_moved": estimate(elsewhere[name], origins),
            "untrained": [estimate(other[name], origins)["mean"] for other in untrained],
        }
    kinds = [kind_of(picture) for picture in pictures]
    return {
        "pictures": len(rows),
        "nuclei": int(sum(len(np.unique(objects)) - 1 for objects in labels)),
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "blocks": blocks,
    }


def first_pictures(data, count):
    """`data` with only its first `count` test pictures, and as many for validation."""
    short = {}
    for part in ("val", "test"):
        for kind in "xy":
            name = f"{kind}_{part}"
            short[name] = getattr(data, name)[:count]
        short[f"id_{part}"] = getattr(data, f"id_{part}")[:count]
        short[f"origin_{part}"] = getattr(data, f"origin_{part}")[:count]
    return dataclasses.replace(data, **short)


def main():
    options = parser().parse_args()
    start = time.perf_counter()
    data = fu.load_nuclei()
    if options.pictures:
        data = first_pictures(data, options.pictures)
    model = fu.load_trained("nuclei")
    facts = fu.load_results("nuclei")
    seeds = list(range(options.untrained))
    weights = (fu.data_folder() / "weights" / "nuclei.keras").read_bytes()
    found = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "test_pictures": len(data.x_test),
        "untrained_seeds": seeds,
        "gates": tracing.gate_names(model),
        "edits": what_edits_do(model, data, facts),
        "size": does_size_matter(model, data, seeds),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_results(options.out, how_made(time.perf_counter() - start) | found)


if __name__ == "__main__":
    main()
