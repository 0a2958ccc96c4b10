"""Train a network by its recipe (parts/recipes.py), with its seeds; the best ships as data/weights/<name>.keras.

    python tools/train.py gtsrb
    python tools/train.py bloodcells --seeds 0                 other seeds than the recipe's; ships their best
    python tools/train.py bloodcells --network resnet18        the same recipe for another network; ships nothing
    python tools/train.py gtsrb --precision mixed_float16      another precision, on a GPU; ships nothing
    python tools/train.py gtsrb --optimizer muon --learning-rate 0.01 --epochs 12          another way; ships nothing
    python tools/train.py nuclei                               outlines nuclei; heeds --seeds, --epochs, --backup-every

Everything is chosen on validation images: the epoch where the recipe says so, and the seed by the figure that the
recipe names. The test set is not read here but by tools/evaluate.py. A run that was killed, at whatever moment, goes
on from its last backup when the same command is given again, and ends as it would have ended; seeds that are done are
not trained again.
"""

import argparse
import csv
import json
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import focal_utils as fu  # noqa: E402
from focal_utils.training import OPTIMIZERS  # noqa: E402
from parts.files import ROOT, how_made, write_text  # noqa: E402
from parts.recipes import NETWORKS, RECIPES, run_folder  # noqa: E402
from parts.segmenters import SEGMENTERS, train_segmenters  # noqa: E402

RESULTS = ROOT / "data" / "results"


def harder(images, labels, augment, copies=4):
    """Copies of images (N, H, W, channels), each changed anew as in training, and their labels: copies · N of both."""
    starts = range(0, len(images), 512)
    changed = [augment(images[at : at + 512], (copy, at)) for copy in range(copies) for at in starts]
    return np.concatenate([ops.convert_to_numpy(batch) for batch in changed]), np.tile(labels, copies)


def validate(model, data, augment):
    """Accuracy and cross-entropy on the validation images, and accuracy on augmented ones, as numbers for JSON."""
    logits = fu.predict(model, data.x_val)
    facts = {
        "validation_accuracy": np.mean(logits.argmax(-1) == data.y_val),
        "validation_loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)(data.y_val, logits),
        "augmented_validation_accuracy": fu.accuracy(model, *harder(data.x_val, data.y_val, augment)),
    }
    return {name: round(float(value), 5) for name, value in facts.items()}


def train_one(name, seed, data, options):
    """Train one network with one seed, or go on with it; what is known of the run, also written to its facts.json."""
    recipe, network, folder = RECIPES[name], options.network, run_folder(name, variant(options), seed)
    epochs, keep = options.epochs or recipe.epochs, options.keep or recipe.keep
    if (folder / "facts.json").exists():
        return json.loads((folder / "facts.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    best, kept = folder / "best.weights.h5", folder / "kept.weights.h5"
    keras.utils.set_random_seed(seed)
    model = NETWORKS[network](name, data)
    richer = recipe.enrich(data)
    fu.train(
        model,
        richer,
        epochs,
        recipe.batch_size,
        augment=recipe.augment,
        seed=seed,
        log=folder / "log.csv",
        best=best,
        backup=folder / "backup",
        backup_every=options.backup_every,
        **recipe.training | changes(options),
    )
    if keep == "best":
        model.load_weights(best)
    model.save_weights(kept)
    with open(folder / "log.csv", newline="") as file:
        epochs_run = list(csv.DictReader(file))
    by_epoch = [round(float(row["val_accuracy"]), 5) for row in epochs_run]
    facts = how_made(sum(float(row["seconds"]) for row in epochs_run)) | {
        "network": network,
        "seed": seed,
        "epochs": epochs,
        "precision": options.precision,
        "training": recipe.training | changes(options),
        "keep": keep,
        "images": {"train": len(data.x_train), "validation": len(data.x_val), "an_epoch": len(richer.x_train)},
        "parameters": model.count_params(),
    }
    facts |= validate(model, data, recipe.augment)
    facts |= {"validation_best_epoch": max(by_epoch), "validation_last_epoch": by_epoch[-1]}
    write_text(folder / "facts.json", json.dumps(facts, indent=2) + "\n")
    shutil.rmtree(folder / "backup")
    return facts


def changes(options):
    """What the command line changes of the recipe's training: arguments of `compile_model`."""
    jit = {"auto": None, "on": True, "off": False}[options.xla]
    given = {"optimizer": options.optimizer, "learning_rate": options.learning_rate}
    given |= {"accumulate": options.accumulate, "ema": options.ema, "jit": jit}
    return {name: value for name, value in given.items() if value is not None}


def variant(options):
    """The name of what is trained: the network, and what is not as the recipe has it."""
    other = [options.precision] if options.precision != "float32" else []
    other += [f"{name.replace('_', '-')}-{value}" for name, value in changes(options).items()]
    other += [f"epochs-{options.epochs}"] if options.epochs else []
    other += [f"keep-{options.keep}"] if options.keep else []
    return "_".join([options.network, *other])


def ship(name, facts, data):
    """Put the network of a run into data/weights, its log and its facts into data/results.

    The facts of the network that was there before join <name>_tried.json, if it had been tested and was another.
    """
    folder = run_folder(name, facts["network"], facts["seed"])
    model = NETWORKS[facts["network"]](name, data)
    model.load_weights(folder / "kept.weights.h5")
    model.save(ROOT / "data" / "weights" / f"{name}.keras")
    shutil.copy(folder / "log.csv", RESULTS / f"{name}_log.csv")
    known, earlier = RESULTS / f"{name}.json", RESULTS / f"{name}_tried.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    if facts.items() <= before.items():
        return  # the same run once more: what its test found stays
    if "test_accuracy" in before:
        tried = json.loads(earlier.read_text()) if earlier.exists() else []
        write_text(earlier, json.dumps([*tried, before], indent=2) + "\n")
    write_text(known, json.dumps(facts, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*RECIPES, *SEGMENTERS])
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the recipe's")
    parser.add_argument("--network", choices=list(NETWORKS), default="focalnet")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; ships nothing")
    parser.add_argument("--keep", choices=("best", "last"), help="which epoch, instead of the recipe's; ships nothing")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), help="instead of the recipe's; ships nothing")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="instead of the recipe's; ships nothing")
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="what layers compute in; the weights stay float32, the loss is scaled for float16 (default: float32)",
    )
    parser.add_argument(
        "--xla", choices=("auto", "on", "off"), default="auto", help="auto: on accelerators, and on JAX"
    )
    parser.add_argument("--accumulate", type=int, metavar="N", help="change weights once in N batches")
    parser.add_argument("--ema", type=float, metavar="M", help="keep the weights' moving average of this momentum")
    parser.add_argument("--backup-every", type=int, metavar="N", help="a backup every N steps, not only every epoch")
    options = parser.parse_args()
    keras.config.set_dtype_policy(options.precision)
    if options.name in SEGMENTERS:
        return train_segmenters(options.name, options)
    recipe = RECIPES[options.name]
    data = recipe.load()
    print(data, flush=True)
    runs = []
    for seed in options.seeds or recipe.seeds:
        print(f"{options.network}, seed {seed}", flush=True)
        runs.append(train_one(options.name, seed, data, options))
        print(f"{recipe.choose} {runs[-1][recipe.choose]:.4f}", flush=True)
    chosen = max(runs, key=lambda run: (run[recipe.choose], -run["validation_loss"]))
    if variant(options) == "focalnet":
        ship(options.name, chosen, data)
    print(json.dumps(chosen, indent=2))


if __name__ == "__main__":
    main()
