"""How the shipped segmenter is trained, chosen and tested: one recipe, used by train.py and evaluate.py."""

import csv
import dataclasses
import functools
import itertools
import json
import shutil
from collections.abc import Callable

import keras
import numpy as np

import focal_utils as fu
from focal_utils.data import PictureSet, kind_of
from focal_utils.files import whole_file
from focal_utils.statistics import bootstrap_interval
from focal_utils.training import THRESHOLDS, judge, pixel_logits, save, score, separate
from focal_utils.weights import compress
from parts.files import ROOT, how_made, write_text
from parts.recipes import run_folder

RESULTS = ROOT / "data" / "results"
NEW_OPTIONS = ("input_axes", "output_axes")  # of initializers, in Keras 3.15; None unless given


@dataclasses.dataclass(frozen=True)
class SegmenterRecipe:
    """Data, network and training of one shipped segmenter."""

    load: Callable[[], PictureSet]
    backbone: dict  # arguments of FocalNet, besides input_shape, include_top and name
    decoder: dict  # arguments of segmenter, besides backbone and classes
    epochs: int
    batch_size: int
    training: dict  # further arguments of train_segmenter
    prominences: tuple = (0.03, 0.05, 0.1)  # of `separate`, among which validation chooses
    smooths: tuple = (1.0, 2.0, 3.0)  # pixels, the same
    seeds: tuple = (0,)  # of the runs of which the best on validation ships


SEGMENTERS = {
    "nuclei": SegmenterRecipe(
        load=fu.load_nuclei,
        # Patches of four pixels: with patches of two a picture takes four times as long, and the decoder reads the
        # picture itself at half its size.
        backbone={
            "embed_dim": 48,
            "depths": (1, 3, 1),
            "focal_levels": (3, 3, 2),
            "patch_size": 4,
            "use_conv_embed": True,
            "preprocessing": "per_image",
            "drop_path_rate": 0.05,
            # Without it a block's contexts and gates grew together until its answer was 10⁴ times what came in, and the
            # norms behind it levelled all but that: the later stages said nothing any more.
            "use_postln_in_modulation": True,
        },
        decoder={"width": 64, "detail": 16},
        epochs=8,
        batch_size=8,
        training={"optimizer": "muon", "learning_rate": 6e-3, "ema": 0.99},
    ),
}


def focal_segmenter(name):
    """The recipe's own network, for pictures of any size."""
    recipe = SEGMENTERS[name]
    backbone = fu.FocalNet((None, None, 3), include_top=False, **recipe.backbone)
    return fu.segmenter(backbone, classes=2, name=name, **recipe.decoder)


# What may stand in the place of focal modulation, by the name that figures have for it: arguments of FocalNet.
MIXERS = {
    "focal modulation": {},
    "windows": {"mixer": "window", "window": 8},
    "global attention": {"mixer": "attention"},
}


def mixed_segmenter(name, mixer, input_shape, **further):
    """The recipe's network for pictures of a shape, with one of `MIXERS` and further arguments in its blocks."""
    recipe = SEGMENTERS[name]
    backbone = fu.FocalNet(input_shape, include_top=False, **recipe.backbone | MIXERS[mixer] | further)
    return fu.segmenter(backbone, classes=2, name="segmenter", **recipe.decoder)


def figures(scores):
    """The means over pictures of what `score` gives, rounded for JSON."""
    precision = scores["average_precision"]
    return {
        "dice": round(float(scores["dice"].mean()), 4),
        "average_precision_50": round(float(precision[:, 0].mean()), 4),
        "average_precision_mean": round(float(precision.mean()), 4),
    }


def by_kind(scores, pictures):
    """The figures of each kind of picture, and how many there are: {kind: figures}."""
    kinds = np.array([kind_of(picture) for picture in pictures])
    found = {}
    for kind in sorted(set(kinds)):
        rows = kinds == kind
        part = {name: values[rows] for name, values in scores.items()}
        found[kind] = {"pictures": int(rows.sum()), **figures(part)}
    return found


def chosen_separation(recipe, model, data):
    """How `separate` finds most on validation pictures, of the recipe's prominences and smooths: facts of a run."""
    logits = [pixel_logits(model, picture) for picture in data.x_val]
    tried = []
    for prominence, smooth in itertools.product(recipe.prominences, recipe.smooths):
        find = functools.partial(separate, prominence=prominence, smooth=smooth)
        tried.append({"prominence": prominence, "smooth": smooth, **figures(judge(find, logits, data.y_val))})
    best = max(tried, key=lambda row: row["average_precision_mean"])
    validation = {name: value for name, value in best.items() if name not in ("prominence", "smooth")}
    return {
        "prominence": best["prominence"],
        "smooth": best["smooth"],
        "validation": validation,
        "validation_tried": tried,
    }


def choose_again(name, folder, data):
    """The facts of a finished run, with a separation that validation has chosen anew."""
    model = focal_segmenter(name)
    model.load_weights(folder / "kept.weights.h5")
    known = json.loads((folder / "facts.json").read_text())
    kept = {word: fact for word, fact in known.items() if not word.startswith("validation")}
    facts = {**kept, **chosen_separation(SEGMENTERS[name], model, data)}
    write_text(folder / "facts.json", json.dumps(facts, indent=2) + "\n")
    return facts


def train_segmenter_seed(name, seed, data, options):
    """Train with one seed, or go on with it; what is known of the run, also written to its facts.json."""
    recipe = SEGMENTERS[name]
    epochs = options.epochs or recipe.epochs
    kind = "focalnet" if epochs == recipe.epochs else f"focalnet_epochs-{epochs}"
    folder = run_folder(name, kind, seed)
    if (folder / "facts.json").exists():
        return choose_again(name, folder, data) if options.choose else json.loads((folder / "facts.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(seed)
    model = focal_segmenter(name)
    fu.train_segmenter(
        model,
        data,
        epochs,
        recipe.batch_size,
        seed=seed,
        log=folder / "log.csv",
        backup=folder / "backup",
        backup_every=options.backup_every,
        **recipe.training,
    )
    save(model, folder / "kept.weights.h5")
    with open(folder / "log.csv", newline="") as file:
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    facts = {
        **how_made(seconds),
        "network": "focalnet",
        "kind": kind,
        "seed": seed,
        "epochs": epochs,
        "training": recipe.training,
        "data": data.source,
        "pictures": {"train": len(data.x_train), "validation": len(data.x_val), "test": len(data.x_test)},
        "parameters": model.count_params(),
        **chosen_separation(recipe, model, data),
    }
    write_text(folder / "facts.json", json.dumps(facts, indent=2) + "\n")
    return facts


def train_segmenters(name, options):
    """Train a segmenter with the recipe's seeds; the best on validation ships, unless epochs are not the recipe's."""
    recipe = SEGMENTERS[name]
    data = recipe.load()
    print(data, flush=True)
    runs = [train_segmenter_seed(name, seed, data, options) for seed in options.seeds or recipe.seeds]
    chosen = max(runs, key=lambda run: run["validation"]["average_precision_mean"])
    if chosen["kind"] == "focalnet":
        ship_segmenter(name, chosen)
    print(json.dumps(chosen, indent=2))


def ship_segmenter(name, facts):
    """Put the network of a run into data/weights, its log and its facts into data/results."""
    folder = run_folder(name, facts["kind"], facts["seed"])
    model = focal_segmenter(name)
    model.load_weights(folder / "kept.weights.h5")
    path = ROOT / "data" / "weights" / f"{name}.keras"
    save(model, path)
    with whole_file(path) as part:
        compress(path, part, {"config.json": without_new_options})
    shutil.copy(folder / "log.csv", RESULTS / f"{name}_log.csv")
    write_text(RESULTS / f"{name}.json", json.dumps(facts, indent=2) + "\n")


def without_new_options(config):
    """A .keras file's configuration, as bytes, without what Keras 3.13, Colab's, does not know and nobody has set."""
    return json.dumps(without(json.loads(config), NEW_OPTIONS)).encode()


def without(value, names):
    """A configuration without the entries of these names that are None, at any depth."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name not in names or item is not None}
        return {name: without(item, names) for name, item in kept.items()}
    if isinstance(value, list):
        return [without(item, names) for item in value]
    return value


def separation(facts):
    """How the nuclei of a run are separated: arguments of `find_nuclei`."""
    return {"prominence": facts["prominence"], "smooth": facts["smooth"]}


def evaluate_segmenter(name):
    """Test data/weights/<name>.keras on the test pictures; every picture's figures and the means go to data/results."""
    data = SEGMENTERS[name].load()
    facts = json.loads((RESULTS / f"{name}.json").read_text())
    scores = score(fu.load_trained(name), data.x_test, data.y_test, **separation(facts))
    precision = scores["average_precision"]
    low, high = bootstrap_interval(np.stack([scores["dice"], precision[:, 0]], axis=1))
    facts["test"] = {
        **figures(scores),
        "dice_interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "average_precision_50_interval": [round(float(low[1]), 4), round(float(high[1]), 4)],
        "by_kind": by_kind(scores, data.x_test),
        "by_threshold": {str(t): round(float(v), 4) for t, v in zip(THRESHOLDS, precision.mean(axis=0), strict=True)},
    }
    facts["test_command"] = f"python tools/evaluate.py {name}"
    np.savez_compressed(
        RESULTS / f"{name}_test.npz",
        ids=data.id_test,
        dice=scores["dice"].astype("float32"),
        average_precision=precision.astype("float32"),
        true=scores["true"],
        found=scores["found"],
    )
    write_text(RESULTS / f"{name}.json", json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts["test"], indent=2))
