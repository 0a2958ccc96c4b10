"""Train a network by its recipe (parts/recipes.py), with its seeds; the best ships as data/weights/<name>.keras.

    python tools/train.py gtsrb
    python tools/train.py bloodcells --seeds 0                 other seeds than the recipe's; ships their best
    python tools/train.py bloodcells --network resnet18        the same recipe for another network; ships nothing
    python tools/train.py gtsrb --precision mixed_float16      another precision, on a GPU; ships nothing
    python tools/train.py gtsrb --optimizer muon --learning-rate 0.01 --epochs 12          another way; ships nothing
    python tools/train.py cifar10                              fetches its images, through Keras, if they are not there
    python tools/train.py nuclei                               outlines nuclei; heeds --seeds, --epochs, --backup-every
    python tools/train.py nuclei --choose                      trains nothing: chooses anew how nuclei are told apart

Everything is chosen on validation images: the epoch where the recipe says so, and the seed by the figure that the
recipe names. The test set is not read here but by tools/evaluate.py. A run that was killed, at whatever moment, goes
on from its last backup when the same command is given again, and ends as it would have ended; seeds that are done are
not trained again.
"""

import csv
import json
import shutil

from parts import arguments
from parts.files import RESULTS, ROOT, how_made, save_results


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("name", choices=[*arguments.RECIPES, *arguments.SEGMENTERS])
    options.add_argument("--seeds", type=arguments.at_least(0), nargs="+", help="default: the recipe's")
    options.add_argument("--network", choices=arguments.NETWORKS, default="focalnet")
    options.add_argument("--epochs", type=arguments.at_least(1), help="instead of the recipe's; ships nothing")
    options.add_argument("--keep", choices=("best", "last"), help="which epoch, instead of the recipe's; ships nothing")
    options.add_argument("--optimizer", choices=arguments.OPTIMIZERS, help="instead of the recipe's; ships nothing")
    options.add_argument(
        "--learning-rate", type=arguments.between(0), metavar="R", help="instead of the recipe's; ships nothing"
    )
    options.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="what layers compute in; the weights stay float32, the loss is scaled for float16 (default: float32)",
    )
    options.add_argument(
        "--xla", choices=("auto", "on", "off"), default="auto", help="auto: on accelerators, and on JAX"
    )
    options.add_argument(
        "--accumulate", type=arguments.at_least(1), metavar="N", help="change weights once in N batches"
    )
    options.add_argument(
        "--ema", type=arguments.between(0, 1), metavar="M", help="keep the weights' moving average of this momentum"
    )
    options.add_argument(
        "--backup-every", type=arguments.at_least(1), metavar="N", help="a backup every N steps, not only every epoch"
    )
    options.add_argument(
        "--choose", action="store_true", help="of trained segmenters: choose anew how objects are told apart"
    )
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np
from keras import ops

import focal_utils as fu
from focal_utils.training import save
from parts.recipes import NETWORKS, RECIPES, run_folder
from parts.segmenters import SEGMENTERS, train_segmenters


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
    recipe = RECIPES[name]
    folder = run_folder(name, variant(options), seed)
    epochs = options.epochs or recipe.epochs
    keep = options.keep or recipe.keep
    training = {**recipe.training, **changes(options)}
    if (folder / "facts.json").exists():
        return json.loads((folder / "facts.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    best = folder / "best.weights.h5"
    kept = folder / "kept.weights.h5"
    keras.utils.set_random_seed(seed)
    model = NETWORKS[options.network](name, data)
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
        **training,
    )
    if keep == "best":
        model.load_weights(best)
    save(model, kept)
    with open(folder / "log.csv", newline="") as file:
        epochs_run = list(csv.DictReader(file))
    by_epoch = [round(float(row["val_accuracy"]), 5) for row in epochs_run]
    facts = {
        **how_made(sum(float(row["seconds"]) for row in epochs_run)),
        "network": options.network,
        "seed": seed,
        "epochs": epochs,
        "precision": options.precision,
        "training": training,
        "keep": keep,
        "images": {"train": len(data.x_train), "validation": len(data.x_val), "an_epoch": len(richer.x_train)},
        "parameters": model.count_params(),
        **validate(model, data, recipe.augment),
        "validation_best_epoch": max(by_epoch),
        "validation_last_epoch": by_epoch[-1],
    }
    save_results(folder / "facts.json", facts, indent=2)
    shutil.rmtree(folder / "backup")
    return facts


def changes(options):
    """What the command line changes of the recipe's training: arguments of `compile_model`."""
    given = {
        "optimizer": options.optimizer,
        "learning_rate": options.learning_rate,
        "accumulate": options.accumulate,
        "ema": options.ema,
        "jit": {"auto": None, "on": True, "off": False}[options.xla],
    }
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
    weights = ROOT / "data" / "weights" / f"{name}.keras"
    model = NETWORKS[facts["network"]](name, data)
    model.load_weights(folder / "kept.weights.h5")
    save(model, weights)
    shutil.copy(folder / "log.csv", RESULTS / f"{name}_log.csv")
    known = RESULTS / f"{name}.json"
    earlier = RESULTS / f"{name}_tried.json"
    before = json.loads(known.read_text()) if known.exists() else {}
    if facts.items() <= before.items():
        print(f"{weights.name} is shipped: the same run as before, seed {facts['seed']}.")
        return  # the same run once more: what its test found stays
    if "test_accuracy" in before:
        tried = json.loads(earlier.read_text()) if earlier.exists() else []
        save_results(earlier, [*tried, before], indent=2)
    save_results(known, facts, indent=2)
    instead = f" in place of the one of {before['date']}, seed {before['seed']}" if before else ""
    print(f"{weights.name} is shipped: seed {facts['seed']}{instead}. Test it: python tools/evaluate.py {name}")


def main():
    options = parser().parse_args()
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
    print(json.dumps(chosen, indent=2))
    if variant(options) == "focalnet":
        ship(options.name, chosen, data)
    else:
        print(f"Not shipped: {variant(options)} is not what the recipe trains.")


if __name__ == "__main__":
    main()
