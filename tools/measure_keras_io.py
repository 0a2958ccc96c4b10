"""Examine keras.io's example of focal modulation: what its module sees, what its switches cost, what its gates become.

    python tools/measure_keras_io.py                    all three parts
    python tools/measure_keras_io.py design             one of them: design, switches, films
    python tools/measure_keras_io.py --minutes 20       begins no further run after so many

The page's code is not run. Its design is rebuilt from our layers (parts/keras_io.py), and its data, CIFAR-10, is left
to `tools/train.py cifar10`. Parts:

design    its module's arguments, and how wide a pixel sees by them; parameters and operations of its network
switches  its network, a quarter as wide, on blood cells: as it stands, with one thing as the paper has it, with all;
          two epochs, one learning rate for all, five seeds
films     whether "as the model trains, the visualizations get better": a small FocalNet on traffic signs, whose gates
          and modulators are measured after each epoch, against the box around the sign; five seeds

Writes data/results/keras_io.json, row by row: when interrupted, the same command goes on, and what is not complete says
so.
"""

import json
import time

from parts import arguments
from parts.files import RESULTS

PARTS = ("design", "switches", "films")
SEEDS = (0, 1, 2, 3, 4)
COURSE = {"images": 6000, "epochs": 2, "batch_size": 64, "learning_rate": 4e-3}
FILM = {"images": 6000, "epochs": 5, "batch_size": 64, "learning_rate": 4e-3, "looked_at": 500}


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    options.add_argument("--minutes", type=arguments.between(0), help="begin no run after so many")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np

import focal_utils as fu
from focal_utils.layers import HierarchicalContext
from focal_utils.statistics import rank_correlation
from focal_utils.tracing import inside_box, map_geometry, run_traced, share_inside
from parts import keras_io
from parts.series import Series
from parts.verdicts import verdict

# ---- design


def what_it_sees(said):
    """How many pixels of its map the levels of a version's module see, by its arguments, and measured: facts."""
    levels = {"focal_level": said["focal_level"], "focal_window": said["focal_window"]}
    module = fu.FocalModulation(8, **levels, global_context=False)  # the global level sees all
    return {
        "widths_of_levels": HierarchicalContext(8, **levels).level_widths,
        "impulse_width": fu.impulse_width(module),
        "gates": said["focal_level"] + 1,
    }


def design():
    """What follows from the arguments alone, for each version: a list of rows."""
    rows = []
    for version, said in keras_io.SAID.items():
        network = keras_io.network(
            (said["image_size"], said["image_size"], 3),
            10,
            embed_dim=said["embed_dim"],
            depths=said["depths"],
            focal_level=said["focal_level"],
            focal_window=said["focal_window"],
            gating=said["gating"],
        )
        rows.append(
            {
                "version": version,
                "said": said,
                **what_it_sees(said),
                "norm_before_modulation": keras_io.NORM_BEFORE_MODULATION,
                "parameters": fu.count_parameters(network),
                "macs": fu.count_macs(network),
            }
        )
    return rows


# ---- switches


def some(data, images):
    """The data with so many training images, the same for all."""
    rows = np.random.default_rng(0).permutation(len(data.x_train))[:images]
    return data.take(train=rows)


def run_switch(case, data):
    """Train the network of a case, and test it: its row."""
    start = time.process_time()
    keras.utils.set_random_seed(case["seed"])
    model = keras_io.network(data.image_shape, data.num_classes, embed_dim=16, **keras_io.SWITCHES[case["network"]])
    fu.train(
        model, data, COURSE["epochs"], COURSE["batch_size"], seed=case["seed"], learning_rate=COURSE["learning_rate"]
    )
    return case | {
        "parameters": model.count_params(),
        "test_accuracy": round(fu.accuracy(model, data.x_test, data.y_test), 5),
        "seconds": round(time.process_time() - start),
    }


# ---- films


def look(model, images, boxes):
    """Of each block's modulator, how many times as much energy lies in the sign's box as a flat map has there.

    The mean over images and blocks, and beside it how much gates differ from pixel to pixel: their standard deviation
    within a picture over that among all.
    """
    geometry = map_geometry(model)
    gains = []
    spreads = []
    for trace in run_traced(model, images)[1]:
        inside = inside_box(boxes, geometry[trace.name], trace.gates.shape[1:3])
        share, flat = share_inside((trace.modulator**2).sum(axis=-1), inside)
        gains.append(np.mean(share / flat))
        within = trace.gates.std(axis=(1, 2)).mean()
        spreads.append(within / trace.gates.std(axis=(0, 1, 2)).mean())
    return {"energy_in_box": round(float(np.mean(gains)), 4), "gate_spread": round(float(np.mean(spreads)), 4)}


class Looking(keras.callbacks.Callback):
    """`look` before the first epoch and after each, with the accuracy on validation images: rows in `seen`."""

    def __init__(self, images, boxes):
        super().__init__()
        self.images = images
        self.boxes = boxes
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        if not self.seen:
            self.seen.append({"epoch": epoch, **look(self.model, self.images, self.boxes)})

    def on_epoch_end(self, epoch, logs=None):
        found = look(self.model, self.images, self.boxes)
        self.seen.append({"epoch": epoch + 1, "validation_accuracy": round(float(logs["val_accuracy"]), 5), **found})


def boxes_of(data, rows):
    """The signs' boxes in pixels of the resized pictures, (N, 4)."""
    sizes = data.size_test[rows].astype(float)
    scale = np.array(data.image_shape[1::-1]) / sizes  # (N, 2)
    return data.roi_test[rows] * np.tile(scale, 2)


def run_film(case, data):
    """Train a small FocalNet and look at it after each epoch: the row of a case."""
    start = time.process_time()
    rows = np.random.default_rng(0).permutation(len(data.x_test))[: FILM["looked_at"]]
    looking = Looking(data.x_test[rows], boxes_of(data, rows))
    keras.utils.set_random_seed(case["seed"])
    small = {"embed_dim": 16, "depths": (1, 1), "focal_levels": 2, "patch_size": 2, "preprocessing": "per_image"}
    model = fu.FocalNet(data.image_shape, data.num_classes, **small)
    fu.train(
        model,
        data,
        FILM["epochs"],
        FILM["batch_size"],
        seed=case["seed"],
        learning_rate=FILM["learning_rate"],
        callbacks=[looking],
    )
    return case | {"epochs": looking.seen, "seconds": round(time.process_time() - start)}


# ---- what it shows


def switch_summary(series):
    """For each switch, how many seeds are in and whether it gains over the page's network of the same seed."""
    found = {}
    for name in keras_io.SWITCHES:
        rows = [row for row in series.rows["switches"] if row["network"] == name]
        plain = {row["seed"]: row["test_accuracy"] for row in series.rows["switches"] if row["network"] == "the page's"}
        gains = [row["test_accuracy"] - plain[row["seed"]] for row in rows if row["seed"] in plain]
        facts = {"seeds": len(rows), "test_accuracy": [row["test_accuracy"] for row in rows]}
        found[name] = facts if name == "the page's" else {**facts, "gain": verdict(gains, len(keras_io.SWITCHES) - 1)}
    return found


def film_summary(series):
    """Whether what was looked at grows in training, or shrinks, and goes along with the accuracy."""
    films = [row["epochs"] for row in series.rows["films"]]
    found = {"seeds": len(films)}
    looked_at = ("energy_in_box", "gate_spread")
    for name in looked_at:
        found[name] = verdict([film[-1][name] - film[0][name] for film in films], len(looked_at))
        later = [film[-1][name] - film[1][name] for film in films]
        found[f"{name}_after_the_first_epoch"] = verdict(later, len(looked_at))
        along = [
            float(rank_correlation([at["validation_accuracy"] for at in film[1:]], [at[name] for at in film[1:]]))
            for film in films
        ]
        found[f"{name}_with_accuracy"] = verdict(along, len(looked_at))
    return found


def told(series):
    """What stands above the rows."""
    return {
        "complete": not left(series, PARTS),
        "seeds_wanted": len(SEEDS),
        "claim": keras_io.CLAIM,
        "switches_summary": switch_summary(series),
        "films_summary": film_summary(series),
    }


def left(series, parts):
    """Pairs (part, case) of what has no row yet, seed by seed."""
    switches = [{"network": name, "seed": seed} for seed in SEEDS for name in keras_io.SWITCHES]
    cases = {
        "design": [{"version": version} for version in keras_io.SAID],
        "switches": switches,
        "films": [{"seed": seed} for seed in SEEDS],
    }
    return [(part, case) for part in parts for case in series.missing(part, cases[part])]


def main():
    options = parser().parse_args()
    parts = options.parts or PARTS
    begin = time.time()
    series = Series(RESULTS / "keras_io.json", *PARTS, fixed={"course": COURSE, "film": FILM})
    if "design" in parts and ("design", {"version": "2023"}) in left(series, parts):
        for row in design():
            series.add("design", row, told)
    loaders = {"switches": fu.load_blood_cells, "films": fu.load_gtsrb}
    runners = {"switches": run_switch, "films": run_film}
    data = {}
    while waiting := left(series, parts):
        part, case = waiting[0]
        if options.minutes and time.time() - begin > 60 * options.minutes:
            print(f"interrupted, {len(waiting)} runs are missing")
            break
        if part not in data:
            data[part] = some(loaders[part](), {"switches": COURSE, "films": FILM}[part]["images"])
        row = series.add(part, runners[part](case, data[part]), told)
        print(json.dumps(row), flush=True)
    print(json.dumps({name: told(series)[name] for name in ("switches_summary", "films_summary")}, indent=1))


if __name__ == "__main__":
    main()
