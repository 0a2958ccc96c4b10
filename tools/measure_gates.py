"""Measure what the gate maps of the traffic-sign network mean: do gates follow size, do they matter, is the sign found?

    python tools/measure_gates.py
    python tools/measure_gates.py --images 300 --out data/cache/gates_try.json      a quick try

Writes data/results/gates.json. Needs the data: FOCAL_DATA_DIR, the cache, or a download. Any other shipped network with
focal blocks and 32×32 signs can be measured with --network.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

from parts.files import ROOT, how_made, write_text


def parser():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--network", default="gtsrb", help="a shipped network of signs")
    options.add_argument("--images", type=int, help="only so many validation and test images: a quick try")
    options.add_argument("--untrained", type=int, default=20, help="how many networks with fresh weights to compare")
    options.add_argument("--out", type=Path, default=ROOT / "data" / "results" / "gates.json")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np
from rich.progress import track

import focal_utils as fu
from focal_utils import statistics, tracing
from focal_utils.data import RENDERED_CLASSES
from focal_utils.tracing import map_geometry, run_traced

SCALES = [0.3, 0.37, 0.44, 0.51, 0.58, 0.65, 0.72, 0.79, 0.86, 0.93]  # the sign's diameter over the picture's side
POSES = 4  # of each class, at every size or place
PLACES = [(x, y) for y in (0.28, 0.72) for x in (0.28, 0.72)]  # the sign's centre, shares of the side
MOVED_SCALE = 0.4
FEW = 5  # untrained networks that all test photographs go through; everything else goes through all of them
AMOUNTS = {"contribution": tracing.contributions, "gate": lambda trace: np.abs(trace.gates)}


def estimate(values):
    """The mean of values (N,) and its 95 % bootstrap interval, for JSON."""
    low, high = statistics.bootstrap_interval(values)
    return {"mean": round(float(np.mean(values)), 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def against(trained, untrained):
    """The trained network's values (N,), the untrained ones' (networks, N) and the difference, unit by unit."""
    return {
        "trained": estimate(trained),
        "untrained": estimate(untrained.mean(axis=0))
        | {"each": [round(float(value), 4) for value in untrained.mean(axis=1)]},
        "difference": estimate(trained - untrained.mean(axis=0)),
    }


def size_curves(model, images, masks):
    """The mean winning level on signs of growing size: amount → block → (classes · poses, sizes)."""
    found = {name: tracing.winners(model, images, masks, amount) for name, amount in AMOUNTS.items()}
    return {
        name: {block: values.reshape(-1, len(SCALES)) for block, values in blocks.items()}
        for name, blocks in found.items()
    }


def by_class(values):
    """Means over the poses or places of each class: (classes · poses, …) → (classes, …)."""
    return values.reshape(len(RENDERED_CLASSES), -1, *values.shape[1:]).mean(axis=1)


def follows_size(trained, *untrained):
    """How far one block's winning level follows the sign's size; each argument is (classes · poses, sizes)."""
    curves = [trained, *untrained]
    rhos = [by_class(statistics.rank_correlation(np.broadcast_to(SCALES, curve.shape), curve)) for curve in curves]
    levels = [curve.mean(axis=0).round(3).tolist() for curve in curves]
    return {
        **against(rhos[0], np.stack(rhos[1:])),
        "mean_level": {"trained": levels[0], "untrained": levels[1:]},
        "never_changes": round(float(np.mean(np.ptp(trained, axis=1) == 0)), 4),
    }


def measure_sizes(model, untrained):
    """Part a: does the winning level move outwards where the sign is larger?"""
    side = model.input_shape[1]
    images = []
    masks = []
    for label in track(RENDERED_CLASSES, "a  rendering signs of growing size"):
        for pose in range(POSES):
            images += [fu.render_sign(label, side, scale, pose) for scale in SCALES]
            masks += [fu.silhouette(label, side, scale, pose) for scale in SCALES]
    images = np.stack(images)
    masks = np.stack(masks)
    networks = track([model, *untrained], "a  winning levels, network by network")
    curves, *others = [size_curves(network, images, masks) for network in networks]
    blocks = {}
    for block in tracing.gate_names(model):
        blocks[block] = {}
        for amount in AMOUNTS:
            measured = [network[amount][block] for network in [curves, *others]]  # each (classes · poses, sizes)
            blocks[block][amount] = follows_size(*measured)
    return {
        "statistic": "rank correlation of size and mean winning level over the sign's pixels, in each pose of each "
        "class; mean over poses; 95 % percentile bootstrap over classes",
        "classes": len(RENDERED_CLASSES),
        "poses": POSES,
        "scales": SCALES,
        "blocks": blocks,
    }


def edits(model, means):
    """Every change of gates that is tested: (what, block or "all", gate or "all", edit)."""
    names = tracing.gate_names(model)
    every = tracing.everywhere(model)
    for block, gates in names.items():
        whole = {block: every[block]}
        for number, gate in enumerate(gates):
            yield "off", block, gate, tracing.switch_off(model, {block: [number]})
            yield "frozen", block, gate, tracing.freeze_gates(model, {block: [number]}, means)
        yield "off", block, "all", tracing.switch_off(model, whole)
        yield "frozen", block, "all", tracing.freeze_gates(model, whole, means)
        yield "shuffled", block, "all", tracing.shuffle(model, whole)
    for gate in dict.fromkeys(gate for gates in names.values() for gate in gates):
        where = {block: [gates.index(gate)] for block, gates in names.items() if gate in gates}
        yield "off", "all", gate, tracing.switch_off(model, where)
        yield "frozen", "all", gate, tracing.freeze_gates(model, where, means)
    yield "off", "all", "all", tracing.switch_off(model, every)
    yield "frozen", "all", "all", tracing.freeze_gates(model, every, means)
    yield "shuffled", "all", "all", tracing.shuffle(model, every)


def measure_edits(model, data, count):
    """Part b: accuracy on the test images with gates switched off, frozen or shuffled."""
    images = data.x_test[:count]
    labels = data.y_test[:count]
    means = tracing.gate_means(model, data.x_val[:count])
    before = tracing.edited_logits(model, images).argmax(axis=-1) == labels
    rows = []
    for what, block, gate, edit in track(list(edits(model, means)), "b  test accuracy with edited gates"):
        after = tracing.edited_logits(model, images, edit).argmax(axis=-1) == labels
        difference, low, high = statistics.paired_difference(before, after)
        rows.append(
            {
                "edit": what,
                "block": block,
                "gate": gate,
                "accuracy": round(float(after.mean()), 5),
                "difference": round(difference, 5),
                "interval": [round(low, 5), round(high, 5)],
                "lost": int(np.sum(before & ~after)),
                "won": int(np.sum(after & ~before)),
            }
        )
    return {
        "interval": "of the paired difference, 95 %, Agresti & Min 2005; images are taken as independent",
        "test_images": len(images),
        "validation_images_for_means": len(data.x_val[:count]),
        "accuracy": round(float(before.mean()), 5),
        "means": {name: [round(float(gate), 4) for gate in mean] for name, mean in means.items()},
        "edits": rows,
    }


def energies(model, images):
    """Energy maps of every block's modulator and of the gradient of the predicted class: name → (N, h, w)."""
    found = {}
    for batch in tracing.batched(images):
        logits, traces = run_traced(model, batch)
        gradient = tracing.input_gradient(model, batch, logits.argmax(axis=-1))
        maps = {trace.name: (trace.modulator**2).sum(axis=-1) for trace in traces}
        maps["absolute gradient"] = np.abs(gradient).sum(axis=-1)
        maps["squared gradient"] = (gradient**2).sum(axis=-1)
        for name, energy in maps.items():
            found.setdefault(name, []).append(energy)
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def ratios(model, images, boxes):
    """Share of energy in the box over that of a flat map: name → (that, that of the mean map, the most, chance)."""
    geometry = map_geometry(model)
    found = {}
    for name, energy in energies(model, images).items():
        inside = tracing.inside_box(boxes, geometry.get(name, (1, 0)), energy.shape[1:])
        share, chance = tracing.share_inside(energy, inside)
        same = np.mean(energy / energy.sum(axis=(1, 2), keepdims=True), axis=0)  # (h, w)
        fixed, _ = tracing.share_inside(np.broadcast_to(same, energy.shape), inside)
        found[name] = share / chance, fixed / chance, inside.max(axis=(1, 2)) / chance, chance
    return found


def measure_boxes(model, untrained, images, boxes, title, units=lambda values: values):
    """Part c: which share of the modulator's and the gradient's energy lies in the sign's box, over chance?

    `units` makes of one value for each picture one for each unit that intervals draw anew.
    """
    found, *others = [ratios(network, images, boxes) for network in track([model, *untrained], title)]
    maps = {}
    for name, (ratio, fixed, most, chance) in found.items():
        maps[name] = {
            "chance": round(float(chance.mean()), 4),
            "most_possible": round(float(most.mean()), 4),
            **against(units(ratio), np.stack([units(other[name][0]) for other in others])),
            "same_map_for_all": estimate(units(fixed)),
            "over_same_map": estimate(units(ratio - fixed)),
        }
    best = max(tracing.gate_names(model), key=lambda name: maps[name]["trained"]["mean"])
    return {
        "images": len(images),
        "maps": maps,
        "best_block": best,
        "best_block_over_gradient": estimate(units(found[best][0] - found["squared gradient"][0])),
    }


def moved_signs(side):
    """Small signs in the four quarters of the picture, and the boxes of their silhouettes: uint8 (N, …), (N, 4)."""
    images = []
    boxes = []
    for label in track(RENDERED_CLASSES, "c  rendering moved signs"):
        for pose, place in enumerate(PLACES):
            image, mask = fu.sign_at(label, place, side, MOVED_SCALE, seed=pose)
            rows = np.flatnonzero(mask.any(axis=1))
            columns = np.flatnonzero(mask.any(axis=0))
            images.append(image)
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return np.stack(images), np.array(boxes)


def photograph_boxes(data, count, side):
    """The boxes of the test images in pixels of the resized pictures: (N, 4)."""
    return data.roi_test[:count] * side / np.tile(data.size_test[:count], 2)


def facts(model, path, seconds):
    """How the figures were made."""
    return how_made(seconds) | {
        "network": model.name,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "gates": tracing.gate_names(model),
    }


def main():
    arguments = parser().parse_args()
    if arguments.images and arguments.out == parser().get_default("out"):
        parser().error("with --images the figures are only a try: say where they shall go, --out data/cache/try.json")

    start = time.time()
    path = fu.data_folder() / "weights" / f"{arguments.network}.keras"
    model = fu.load_trained(arguments.network)
    data = fu.load_gtsrb()
    untrained = []
    for seed in range(arguments.untrained):
        keras.utils.set_random_seed(seed)
        untrained.append(fu.FocalNet.from_config(model.get_config()))
    count = arguments.images or len(data.x_test)
    side = model.input_shape[1]
    boxes = photograph_boxes(data, count, side)
    found = {"size": measure_sizes(model, untrained), "edits": measure_edits(model, data, count)}
    found["boxes"] = {
        "statistic": "share of energy in the sign's box over the share that a flat map has there, picture by picture; "
        "95 % percentile bootstrap over classes for moved signs, over pictures for photographs",
        "moved_signs": {"scale": MOVED_SCALE, "classes": len(RENDERED_CLASSES)}
        | measure_boxes(model, untrained, *moved_signs(side), "c  moved signs", by_class),
        "photographs": measure_boxes(model, untrained[:FEW], data.x_test[:count], boxes, "c  photographs"),
    }
    report = facts(model, path, time.time() - start) | {"untrained_seeds": list(range(len(untrained)))} | found
    write_text(arguments.out, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"{arguments.out}: written after {report['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
