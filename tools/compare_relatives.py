"""Compare focal modulation with its relatives, networks of one size on one short course: what is its gain made of?

    python tools/compare_relatives.py                 goes on until all is done: some three hours on a core
    python tools/compare_relatives.py --minutes 30    begins no further run after so many

Seven networks, which differ in what their blocks mix pixels with and, so that all have as many parameters, in how wide
their MLPs are: focal modulation, the same without its global level, a large kernel (ConvNeXt), a gated convolution
(MambaOut), a product of two projections (StarNet), pooling (PoolFormer), nothing. On traffic signs and on blood cells,
8,000 pictures, AdamW. Windows and global attention are compared by `tools/measure_mixers.py` and `tools/run_study.py`.

First learning rates, at the short length with seed 0: three, doubled or halved further where validation chooses one at
an end. Then seed by seed all networks, first the short runs, then the long ones. After a long one on signs: how wide
the network sees, by the gradient of the middle of its last map, and its accuracy on signs that are blurred, noisy,
dark, pale, badly saved or covered, each at five strengths. Test pictures choose nothing.

Writes data/results/relatives.json, row by row: when interrupted, the same command goes on, and what is not complete
says so.
"""

import json
import statistics
import time

from parts import arguments
from parts.files import RESULTS

SEEDS = (0, 1, 2, 3, 4)
LENGTHS = {"short": 2, "long": 6}  # epochs
IMAGES = 8000  # training pictures of each course
BATCH = 64
FIRST_RATES = (2e-3, 4e-3, 8e-3)
VALIDATED = 1000  # validation pictures, by which a learning rate is chosen
TESTED = 2000  # test pictures, the same for all networks
SPOILT = 500  # of them, which are spoilt in every way
LOOKED_AT = 100  # of them, whose gradients are taken


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--minutes", type=arguments.between(0), help="begin no run after so many")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np
from keras import ops

import focal_utils as fu
from focal_utils.data import CORRUPTIONS
from focal_utils.statistics import mean_interval, wilson
from focal_utils.tracing import input_gradient
from parts.series import Series
from parts.verdicts import verdict

COURSES = {"signs": (fu.load_gtsrb, "per_image"), "blood cells": (fu.load_blood_cells, "imagenet")}

SHARED = {"embed_dim": 16, "depths": (1, 2, 1), "patch_size": 2}
NETWORKS = {  # the MLP's width makes up for what the mixers differ by
    "focal modulation": {"focal_levels": 3, "mlp_ratio": 3.0},
    "focal modulation, no global level": {"focal_levels": 3, "global_context": False, "mlp_ratio": 3.0},
    "large kernel": {"mixer": "convnext", "mlp_ratio": 5.4375},
    "gated convolution": {"mixer": "gated_convolution", "mlp_ratio": 3.9375},
    "product": {"mixer": "product", "mlp_ratio": 4.5},
    "pooling": {"mixer": "pooling", "mlp_ratio": 6.0},
    "nothing": {"mixer": "identity", "mlp_ratio": 6.0},
}

FOCAL = "focal modulation"

# What is weighed by which two networks: (what, with it, without it).
MADE_OF = (
    ("a large kernel", "large kernel", "nothing"),
    ("a product, without a kernel", "product", "nothing"),
    ("a product, with a large kernel", "gated convolution", "large kernel"),
    ("several kernels and a gate for each, instead of one kernel", FOCAL, "gated convolution"),
    ("the global level", FOCAL, "focal modulation, no global level"),
)


def some(data):
    """The course's pictures: so many of each part, the same for all networks."""
    rng = np.random.default_rng(0)
    train = rng.permutation(len(data.x_train))[:IMAGES]
    test = rng.permutation(len(data.x_test))[:TESTED]
    val = rng.permutation(len(data.x_val))[:VALIDATED]
    return data.take(train=train, val=val, test=test)


def without_validation(data):
    """The course's pictures for training and for testing alone."""
    return fu.ImageSet(
        data.name,
        data.source,
        data.class_names,
        data.x_train,
        data.y_train,
        x_test=data.x_test,
        y_test=data.y_test,
    )


def build(course, network, data):
    return fu.FocalNet(
        data.image_shape, data.num_classes, preprocessing=COURSES[course][1], **SHARED, **NETWORKS[network]
    )


def train(case, data):
    """The trained network of a case."""
    keras.utils.set_random_seed(case["seed"])
    model = build(case["course"], case["network"], data)
    fu.train(model, data, LENGTHS[case["length"]], BATCH, seed=case["seed"], learning_rate=case["learning_rate"])
    return model


# ---- what is measured


def reach(model, images):
    """How wide the network sees, by the gradient of the middle of its last map: facts.

    The effective receptive field of Luo et al. 2016 (arXiv 1701.04128), after training.

    The squared gradients of the middle pixel's mean over channels, added up over the pictures and colours, are weighed
    in growing squares around their centre: by the side, in pixels, of the one that holds half of them and 95 %.
    """
    last = model.get_layer("norm").output
    height, width = last.shape[1:3]
    row = height // 2
    column = width // 2
    scaled = model.get_layer("preprocessing")  # mean and variance of a picture see all of it
    middle = keras.Model(scaled.output, ops.mean(last[:, row, column, :], axis=-1, keepdims=True))
    images = ops.convert_to_numpy(scaled(images))
    energy = (input_gradient(middle, images, np.zeros(len(images), int)) ** 2).sum(axis=(0, 3))  # (H, W)
    total = energy.sum()
    tall = energy.shape[0] / height
    wide = energy.shape[1] / width
    rows = np.abs(np.arange(energy.shape[0]) + 0.5 - (row + 0.5) * tall)
    columns = np.abs(np.arange(energy.shape[1]) + 0.5 - (column + 0.5) * wide)
    distance = np.maximum(rows[:, None], columns[None, :])  # from the middle of the pixel's own patch
    found = {}
    for share in (0.5, 0.95):
        order = np.argsort(distance, axis=None, kind="stable")
        enough = np.searchsorted(np.cumsum(energy.ravel()[order]), share * total)
        found[f"side_of_{share}"] = round(float(2 * distance.ravel()[order][min(enough, energy.size - 1)] + 1), 1)
    own = (rows[:, None] < tall / 2) & (columns[None, :] < wide / 2)
    found["outside_its_patch"] = round(float(energy[~own].sum() / total), 4)
    return found


def robustness(model, data):
    """Accuracy on spoilt test pictures: {what: five shares, from the mildest on}."""
    images = data.x_test[:SPOILT]
    labels = data.y_test[:SPOILT]
    found = {}
    for name, (spoil, strengths) in CORRUPTIONS.items():
        shares = [fu.accuracy(model, spoil(images, strength), labels) for strength in strengths]
        found[name] = [round(float(share), 5) for share in shares]
    return found


def run(case, data):
    """Train and test the network of a case: its row."""
    start = time.process_time()
    model = train(case, without_validation(data))  # the learning rate is chosen, and validating takes time
    right = round(fu.accuracy(model, data.x_test, data.y_test) * len(data.x_test))
    low, high = wilson(right, len(data.x_test))
    row = case | {
        "parameters": model.count_params(),
        "macs": fu.count_macs(model),
        "test_accuracy": round(right / len(data.x_test), 5),
        "test_interval": [round(low, 5), round(high, 5)],
    }
    if case["course"] == "signs" and case["length"] == "long":
        row["reach"] = reach(model, data.x_test[:LOOKED_AT])
        row["robustness"] = robustness(model, data)
    return row | {"seconds": round(time.process_time() - start)}


def try_rate(case, data):
    """Train with one learning rate, and validate: its row."""
    start = time.process_time()
    model = train(case | {"seed": 0, "length": "short"}, data)
    accuracy = fu.accuracy(model, data.x_val, data.y_val)
    return case | {"validation_accuracy": round(accuracy, 5), "seconds": round(time.process_time() - start)}


# ---- what comes next


def tried(series, course, network):
    """The rates that have been tried: rate → validation accuracy, the smallest first."""
    rows = [row for row in series.rows["grid"] if row["course"] == course and row["network"] == network]
    return {row["learning_rate"]: row["validation_accuracy"] for row in sorted(rows, key=lambda r: r["learning_rate"])}


def rates_wanted(series, course, network):
    """The rates that are still to be tried, none where the best is no end of what was tried."""
    known = tried(series, course, network)
    waiting = [rate for rate in FIRST_RATES if rate not in known]
    if waiting:
        return waiting
    best = max(known, key=known.get)
    if best == min(known):
        return [best / 2]
    return [2 * best] if best == max(known) else []


def chosen_rate(series, course, network):
    """The rate that did best on validation, between two others; None while one is to be tried."""
    known = tried(series, course, network)
    return None if rates_wanted(series, course, network) else max(known, key=known.get)


def rates_left(series):
    pairs = [(course, network) for course in COURSES for network in NETWORKS]
    return [
        {"course": course, "network": network, "learning_rate": rate}
        for course, network in pairs
        for rate in rates_wanted(series, course, network)
    ]


def runs_of(series, course, length, seed):
    """The cases of one seed, on one course of one length."""
    return [
        {"course": course, "network": network, "length": length, "seed": seed, "learning_rate": rate}
        for network in NETWORKS
        if (rate := chosen_rate(series, course, network)) is not None
    ]


def next_case(series):
    """(list, case) of the next row: course by course its rates, then short runs, then long ones; None when done."""
    for course in COURSES:
        rates = [case for case in rates_left(series) if case["course"] == course]
        if rates:
            return "grid", rates[0]
        runs = []
        for length in LENGTHS:
            for seed in SEEDS:
                runs += runs_of(series, course, length, seed)
        waiting = series.missing("runs", runs)
        if waiting:
            return "runs", waiting[0]
    return None


# ---- what it shows


def values(series, course, network, length, read):
    """Seed → a figure of the runs of a network."""
    wanted = {"course": course, "network": network, "length": length}
    return {row["seed"]: read(row) for row in series.rows["runs"] if row.items() >= wanted.items()}


def gain(series, course, length, first, second, comparisons, read=lambda row: row["test_accuracy"]):
    """The verdict on what the first network has over the second, seed by seed, as one of so many comparisons."""
    one = values(series, course, first, length, read)
    other = values(series, course, second, length, read)
    return verdict([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())], comparisons)


def focal_gain(series, course, length, network, *how):
    """The verdict on what focal modulation has over a network, None for itself; `how`: what else `gain` takes."""
    return None if network == FOCAL else gain(series, course, length, FOCAL, network, *how)


def spread(found):
    """Mean of a figure over seeds, and half its interval where there are two seeds or more."""
    half = round(mean_interval(found)[1], 4) if len(found) > 1 else None
    return {"mean": round(statistics.mean(found), 4), "half_interval": half}


def summary(series):
    """For each course and length: each network's accuracy, whether focal modulation gains over it, and of what."""
    others = len(NETWORKS) - 1
    found = {}
    for course in COURSES:
        found[course] = {}
        for length in LENGTHS:
            networks = {}
            for network in NETWORKS:
                seeds = values(series, course, network, length, lambda row: row["test_accuracy"])
                if seeds:
                    networks[network] = {
                        "seeds": len(seeds),
                        "learning_rate": chosen_rate(series, course, network),
                        "test_accuracy": spread(list(seeds.values())),
                        "focal_gains": focal_gain(series, course, length, network, others),
                    }
            found[course][length] = {
                "networks": networks,
                "made_of": {
                    what: {"with": one, "without": other, **gain(series, course, length, one, other, len(MADE_OF))}
                    for what, one, other in MADE_OF
                },
            }
    return found


def robustness_summary(series):
    """For each way to spoil a picture: each network's mean accuracy over five strengths, and whether focal gains."""
    all_of_them = len(CORRUPTIONS) * (len(NETWORKS) - 1)
    found = {}
    for name in CORRUPTIONS:

        def read(row, name=name):
            return statistics.mean(row["robustness"][name])

        by_network = {network: values(series, "signs", network, "long", read) for network in NETWORKS}
        found[name] = {
            network: {
                "mean_accuracy": spread(list(seeds.values())),
                "focal_gains": focal_gain(series, "signs", "long", network, all_of_them, read),
            }
            for network, seeds in by_network.items()
            if seeds
        }
    return found


def told(series):
    """What stands above the rows: whether all is done, and what it shows."""
    return {
        "complete": next_case(series) is None,
        "seeds_wanted": len(SEEDS),
        "summary": summary(series),
        "robustness_summary": robustness_summary(series),
    }


def main():
    options = parser().parse_args()
    begin = time.time()
    fixed = {
        "course": {
            "images": IMAGES,
            "epochs": LENGTHS,
            "batch": BATCH,
            "optimizer": "adamw",
            "first_rates": FIRST_RATES,
        },
        "validated": VALIDATED,
        "tested": TESTED,
        "spoilt": SPOILT,
        "networks": NETWORKS,
        "shared": SHARED,
        "strengths": {name: strengths for name, (_, strengths) in CORRUPTIONS.items()},
    }
    series = Series(RESULTS / "relatives.json", "grid", "runs", fixed=fixed)
    data = {}
    while found := next_case(series):
        kind, case = found
        if options.minutes and time.time() - begin > 60 * options.minutes:
            print("interrupted: give the same command again, and it goes on")
            break
        if case["course"] not in data:
            data[case["course"]] = some(COURSES[case["course"]][0]())
        row = (try_rate if kind == "grid" else run)(case, data[case["course"]])
        series.add(kind, row, told)
        print(json.dumps({name: value for name, value in row.items() if name != "robustness"}), flush=True)


if __name__ == "__main__":
    main()
