"""Train the traffic-sign network that data/weights/gtsrb.keras holds, on GTSRB.

    python tools/train_signs.py --run data/cache/gtsrb

The epoch is chosen by its accuracy on validation tracks; the test set is not read here but by tools/evaluate.py.
A run that was interrupted goes on from its last whole epoch when it is called again with the same folder.
"""

import argparse
import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

import focal_utils as fu  # noqa: E402
from focal_utils.augment import add_mirrored, augment_signs_strongly, rebalanced  # noqa: E402
from focal_utils.gtsrb import MIRRORED  # noqa: E402
from project_files import ROOT, how_made, write_text  # noqa: E402

NETWORK = {
    "input_shape": (32, 32, 3),
    "classes": 43,
    "embed_dim": 32,
    "depths": (1, 3, 2),
    "focal_levels": (3, 2, 1),
    "patch_size": 2,
    "use_conv_embed": True,
    "preprocessing": "per_image",
    "drop_path_rate": 0.1,
    "name": "gtsrb",
}
RECIPE = {"learning_rate": 3e-3, "label_smoothing": 0.1, "ema": 0.995}


def enriched(data):
    """The data with mirror images added where they are signs, and rare classes repeated; validation as it was."""
    images, labels = add_mirrored(data.x_train, data.y_train, MIRRORED)
    rows = rebalanced(labels)
    return dataclasses.replace(data, x_train=images[rows], y_train=labels[rows])


def facts(arguments, data, best, seconds):
    """How the weights were made, for data/results/gtsrb.json."""
    return how_made(seconds) | {
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "images": {"train": len(data.x_train), "validation": len(data.x_val)},
        "parameters": best.count_params(),
        "validation_accuracy": round(fu.accuracy(best, data.x_val, data.y_val), 5),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--run", type=Path, required=True, help="folder for the log, the backup and the best weights")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    log, best_weights = arguments.run / "log.csv", arguments.run / "best.weights.h5"

    start = time.time()
    data = fu.load_gtsrb()
    print(data, flush=True)
    keras.utils.set_random_seed(arguments.seed)
    fu.train(
        fu.FocalNet(**NETWORK),
        enriched(data),
        arguments.epochs,
        arguments.batch_size,
        augment=augment_signs_strongly,
        seed=arguments.seed,
        log=log,
        best=best_weights,
        backup=arguments.run / "backup",
        **RECIPE,
    )
    best = fu.FocalNet(**NETWORK)
    best.load_weights(best_weights)
    best.save(ROOT / "data" / "weights" / "gtsrb.keras")
    shutil.copy(log, ROOT / "data" / "results" / "gtsrb_log.csv")
    report = json.dumps(facts(arguments, data, best, time.time() - start), indent=2)
    write_text(ROOT / "data" / "results" / "gtsrb.json", report + "\n")
    print(report)


if __name__ == "__main__":
    main()
