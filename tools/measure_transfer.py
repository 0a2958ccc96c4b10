"""Is a network that reads traffic signs a good start for blood cells? With 1 %, 10 % and 100 % of the labels, 3 seeds.

    python tools/measure_transfer.py

Three ways: from scratch; a linear probe, the sign network as it is with a new classifier; full fine-tuning. The
learning rate of the first and the last is chosen on validation images, with 10 % of the labels; the test set is read
once a run.
Writes data/results/transfer.json, run by run: when interrupted, the same command goes on.
"""

import itertools
import sys
import time

from parts import arguments, files
from parts.series import Series


def parser():
    return arguments.parser(__doc__)


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np

import focal_utils as fu

RESULTS = files.RESULTS / "transfer.json"
EPOCHS = {0.01: 40, 0.1: 10, 1.0: 2}  # by share of the labels
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
SEEDS = (0, 1, 2)
PROBE = "linear probe"
WAYS = ("from scratch", PROBE, "full fine-tuning")


def share_of(data, share, seed):
    """The data with a share of the training images of each class, at least one."""
    rng = np.random.default_rng(seed)
    rows = []
    for label in range(data.num_classes):
        mine = rng.permutation(np.flatnonzero(data.y_train == label))
        rows.extend(mine[: max(1, round(share * len(mine)))])
    return data.take(train=rows)


def network(data, way, seed):
    """The sign network's architecture for this data, with fresh weights or with all but the classifier's of its own."""
    keras.utils.set_random_seed(seed)
    signs = fu.load_trained("gtsrb")
    cells = {"input_shape": data.image_shape, "classes": data.num_classes, "class_names": data.class_names}
    config = {**signs.get_config(), **cells, "name": "cells"}
    model = fu.FocalNet.from_config(config)
    if way != "from scratch":
        fu.load_checkpoint(model, fu.peer_weights(signs, "timm"), head=False)
    return model


def probe(model, data, epochs=300):
    """Train the classifier alone, on the features that the network gives."""
    features = keras.Model(model.input, model.get_layer("pool").output)
    head = keras.Sequential([keras.Input(features.output_shape[1:]), model.get_layer("head")])
    head.compile(
        keras.optimizers.AdamW(3e-3, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    steps = max(1, len(data.x_train) // 256)
    head.fit(fu.predict(features, data.x_train), data.y_train, 256, epochs=max(1, epochs // steps), verbose=0)


def run(full, way, share, rate, seed):
    """One training; what came out, on validation images."""
    start = time.process_time()
    data = share_of(full, share, seed)
    model = network(data, way, seed)
    if way == PROBE:
        probe(model, data)
    else:
        fu.train(model, data, EPOCHS[share], 32 if share < 0.5 else 64, None, seed, learning_rate=rate)
    validated = fu.accuracy(model, full.x_val, full.y_val)
    facts = {
        "way": way,
        "share": share,
        "learning_rate": rate,
        "seed": seed,
        "images": len(data.x_train),
        "validation_accuracy": round(validated, 5),
        "cpu_seconds": round(time.process_time() - start),
    }
    return facts, model


def tried(series, data, way, rate):
    """The validation accuracy of a way with a learning rate, from the file where it has been tried already."""
    case = {"way": way, "share": 0.1, "learning_rate": rate, "seed": 0}
    facts = series.find("grid", **case)
    if facts is None:
        facts, _ = run(data, way, 0.1, rate, 0)
        print(series.add("grid", facts), flush=True)
    return facts["validation_accuracy"]


def main():
    parser().parse_args()
    data = fu.load_blood_cells()
    series = Series(RESULTS, "grid", "runs")
    rates = {PROBE: None}
    for way in (WAYS[0], WAYS[2]):
        accuracies = [tried(series, data, way, rate) for rate in RATES]
        rates[way] = RATES[accuracies.index(max(accuracies))]
    cases = [
        {"way": way, "share": share, "learning_rate": rates[way], "seed": seed}
        for share, way, seed in itertools.product(EPOCHS, WAYS, SEEDS)
    ]
    for case in series.missing("runs", cases):
        facts, model = run(data, case["way"], case["share"], case["learning_rate"], case["seed"])
        tested = fu.accuracy(model, data.x_test, data.y_test)
        facts = {**facts, "test_accuracy": round(tested, 5), "test_images": len(data.x_test)}
        print(series.add("runs", facts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
