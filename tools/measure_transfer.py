"""Is a network that reads traffic signs a good start for blood cells? With 1 %, 10 % and 100 % of the labels, 3 seeds.

    python tools/measure_transfer.py

Three ways: from scratch; a linear probe, the sign network as it is with a new classifier; full fine-tuning. The
learning rate of the first and the last is chosen on validation images, with 10 % of the labels; the test set is read
once a run.
Writes data/results/transfer.json, run by run: when interrupted, the same command goes on.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

import focal_utils as fu  # noqa: E402
from parts.files import ROOT, how_made, write_text  # noqa: E402

RESULTS = ROOT / "data" / "results" / "transfer.json"
EPOCHS = {0.01: 40, 0.1: 10, 1.0: 2}  # by share of the labels
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
SEEDS = (0, 1, 2)
PROBE = "linear probe"
WAYS = ("from scratch", PROBE, "full fine-tuning")


def share_of(data, share, seed):
    """The data with a share of the training images of each class, at least one."""
    rng, rows = np.random.default_rng(seed), []
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
    data, start = share_of(full, share, seed), time.process_time()
    model = network(data, way, seed)
    if way == PROBE:
        probe(model, data)
    else:
        fu.train(model, data, EPOCHS[share], 32 if share < 0.5 else 64, None, seed, learning_rate=rate)
    facts = {"way": way, "share": share, "learning_rate": rate, "seed": seed, "images": len(data.x_train)}
    facts |= {"validation_accuracy": round(fu.accuracy(model, full.x_val, full.y_val), 5)}
    facts |= {"cpu_seconds": round(time.process_time() - start)}
    return facts, model


def main():
    data, begin = fu.load_blood_cells(), time.time()
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"grid": [], "runs": []}

    def keep(kind, way, share, rate, seed, test):
        """The facts of a run, from the file where it has them."""
        key = {"way": way, "share": share, "learning_rate": rate, "seed": seed}
        for facts in done[kind]:
            if facts.items() >= key.items():
                return facts
        facts, model = run(data, way, share, rate, seed)
        if test:
            facts |= {"test_accuracy": round(fu.accuracy(model, data.x_test, data.y_test), 5)}
            facts |= {"test_images": len(data.x_test)}
        done[kind].append(facts)
        head = how_made(time.time() - begin)
        write_text(RESULTS, json.dumps(head | {"grid": done["grid"], "runs": done["runs"]}, indent=1) + "\n")
        print(facts, flush=True)
        return facts

    rates = {PROBE: None}
    for way in WAYS[0], WAYS[2]:
        tried = {rate: keep("grid", way, 0.1, rate, 0, False)["validation_accuracy"] for rate in RATES}
        rates[way] = max(tried, key=tried.get)
    for share in EPOCHS:
        for way in WAYS:
            for seed in SEEDS:
                keep("runs", way, share, rates[way], seed, True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
