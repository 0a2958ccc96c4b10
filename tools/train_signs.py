"""Train the traffic-sign network that data/weights/gtsrb.keras holds, on GTSRB.

    python tools/train_signs.py --run data/cache/gtsrb
    python tools/train_signs.py --run data/cache/gtsrb-light --start data/cache/gtsrb --epochs 6 \\
        --learning-rate 1e-3 --light 0.9

The second call goes on from the first one's best weights, in harder light: the validation tracks that the first run
misread were overexposed. The epoch is chosen by its accuracy on validation tracks; the test set is not read here but
by tools/evaluate.py. A run that was interrupted goes on from its last whole epoch when it is called again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

import focal_utils as fu  # noqa: E402
from project_files import ROOT, write_text  # noqa: E402

NETWORK = {
    "input_shape": (32, 32, 3),
    "classes": 43,
    "embed_dim": 32,
    "depths": (2, 2, 3),
    "focal_levels": (3, 2, 1),
    "patch_size": 2,
    "preprocessing": "per_image",
    "drop_path_rate": 0.05,
    "name": "gtsrb",
}


def facts(arguments, data, best, seconds):
    """How the weights were made, by this run and the one that it started from, for data/results/gtsrb.json."""
    backend = keras.backend.backend()
    before = json.loads((arguments.start / "facts.json").read_text()) if arguments.start else {}
    return {
        "commands": [*before.get("commands", []), " ".join(["python", *sys.argv])],
        "date": time.strftime("%Y-%m-%d"),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        "seconds": before.get("seconds", 0) + round(seconds),
        "seed": arguments.seed,
        "epochs": before.get("epochs", 0) + arguments.epochs,
        "images": {"train": len(data.x_train), "validation": len(data.x_val)},
        "parameters": best.count_params(),
        "validation_accuracy": round(fu.accuracy(best, data.x_val, data.y_val), 5),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {len(keras.distribution.list_devices('gpu'))} GPUs",
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            backend: import_module(backend).__version__,
        },
    }


def whole_log(arguments):
    """The log of the run, after that of the run that it started from: CSV text, epochs counted on."""
    logs = [folder / "log.csv" for folder in (arguments.start, arguments.run) if folder]
    header, *rows = logs[0].read_text().splitlines()
    rows += [line for log in logs[1:] for line in log.read_text().splitlines()[1:]]
    numbered = (f"{epoch},{row.split(',', 1)[1]}" for epoch, row in enumerate(rows))
    return "\n".join([header, *numbered]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--light", type=float, default=0.3, help="strength of the changes of light and contrast")
    parser.add_argument("--start", type=Path, help="folder of a run whose best weights are where this one starts")
    parser.add_argument("--run", type=Path, required=True, help="folder for the log, the backup and the best weights")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    log, best_weights = arguments.run / "log.csv", arguments.run / "best.weights.h5"

    start = time.time()
    data = fu.load_gtsrb()
    print(data, flush=True)
    keras.utils.set_random_seed(arguments.seed)
    model = fu.FocalNet(**NETWORK)
    if arguments.start:
        fu.load_weights(model, arguments.start / "best.weights.h5")
    fu.train(
        model,
        data,
        arguments.epochs,
        arguments.batch_size,
        augment=partial(fu.training.augment_signs, light=arguments.light),
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        log=log,
        best=best_weights,
        backup=arguments.run / "backup",
        ema=0.998,
    )
    best = fu.FocalNet(**NETWORK)
    best.load_weights(best_weights)
    best.save(ROOT / "data" / "weights" / "gtsrb.keras")
    report = json.dumps(facts(arguments, data, best, time.time() - start), indent=2)
    for path in (arguments.run / "facts.json", ROOT / "data" / "results" / "gtsrb.json"):
        write_text(path, report + "\n")
    write_text(ROOT / "data" / "results" / "gtsrb_log.csv", whole_log(arguments))
    print(report)


if __name__ == "__main__":
    main()
