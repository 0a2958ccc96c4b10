"""Test a shipped network on its data set's official test images: accuracy with its interval, one command.

    python tools/evaluate.py gtsrb                  the shipped network
    python tools/evaluate.py bloodcells --runs      every run that tools/train.py has finished, seed by seed
    python tools/evaluate.py nuclei                 the shipped segmenter: Dice and average precision of each picture

The first writes every prediction to data/results/<name>_test.npz (y_true, y_pred, confidence) and the accuracy, alone
and averaged over views (`views` in parts/recipes.py), into data/results/<name>.json; the second writes
data/results/<name>_runs.json. Needs the data: FOCAL_DATA_DIR, the cache, or a download.
"""

import json

from parts import arguments
from parts.files import RESULTS, save_results


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("name", choices=sorted([*arguments.RECIPES, *arguments.SEGMENTERS]))
    options.add_argument("--runs", action="store_true", help="test every finished run instead of the shipped network")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np
from keras import ops

import focal_utils as fu
from focal_utils.statistics import wilson
from parts.recipes import NETWORKS, RECIPES, run_folder
from parts.segmenters import SEGMENTERS, evaluate_segmenter


def probabilities(model, images, views):
    """Class probabilities for each view of the images, the images themselves first: (views, N, classes)."""
    return np.stack([ops.convert_to_numpy(ops.softmax(fu.predict(model, view))) for view in views(images)])


def share_right(probability, labels):
    """The share of the images (N, classes) whose most probable class is their label's.

    To seven digits, so that a mean of such shares is still right to the four that are printed.
    """
    return round(float(np.mean(probability.argmax(-1) == labels)), 7)


def evaluate_shipped(name, data):
    """Test data/weights/<name>.keras; every prediction and the accuracies go to data/results."""
    by_view = probabilities(fu.load_trained(name), data.x_test, RECIPES[name].views)
    predicted = by_view[0].argmax(-1)
    right = int((predicted == data.y_test).sum())
    total = len(data.y_test)
    low, high = wilson(right, total)
    averaged = share_right(by_view.mean(axis=0), data.y_test)
    count = len(by_view)
    print(f"{name}: {right} of {total} test images right, {right / total:.2%} (95 % interval {low:.2%} to {high:.2%})")
    print(f"averaged over {count} views of each image: {averaged:.2%}")

    np.savez_compressed(
        RESULTS / f"{name}_test.npz",
        y_true=data.y_test.astype("uint8"),
        y_pred=predicted.astype("uint8"),
        confidence=by_view[0].max(-1).astype("float16"),
    )
    facts = {
        **json.loads((RESULTS / f"{name}.json").read_text()),
        "test_accuracy": round(right / total, 5),
        "test_interval": [round(low, 5), round(high, 5)],
        "test_images": total,
        "test_command": f"python tools/evaluate.py {name}",
        "test_accuracy_views": averaged,
        "test_views": count,
    }
    save_results(RESULTS / f"{name}.json", facts, indent=2)


def evaluate_runs(name, data):
    """Test the networks of all finished runs of a recipe: a row for each, mean and spread for each kind of run."""
    rows = []
    for facts_file in sorted(run_folder(name, "focalnet", 0).parents[1].glob(f"{name}_*/seed_*/facts.json")):
        facts = json.loads(facts_file.read_text())
        model = NETWORKS[facts["network"]](name, data)
        model.load_weights(facts_file.with_name("kept.weights.h5"))
        by_view = probabilities(model, data.x_test, RECIPES[name].views)
        facts["test_accuracy"] = share_right(by_view[0], data.y_test)
        facts["test_accuracy_views"] = share_right(by_view.mean(axis=0), data.y_test)
        facts["kind"] = facts_file.parents[1].name.removeprefix(f"{name}_")  # the network, and what else was changed
        print(f"{facts['kind']}, seed {facts['seed']}: {facts['test_accuracy']:.2%}", flush=True)
        rows.append(facts)
    summary = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        found = [row["test_accuracy"] for row in rows if row["kind"] == kind]
        spread = float(np.std(found, ddof=1)) if len(found) > 1 else None
        summary[kind] = {
            "runs": len(found),
            "mean": round(float(np.mean(found)), 7),
            "standard_deviation": spread and round(spread, 5),
        }
        print(f"{kind}: {summary[kind]}")
    report = {"test_command": f"python tools/evaluate.py {name} --runs", "summary": summary, "runs": rows}
    save_results(RESULTS / f"{name}_runs.json", report, indent=2)


def main():
    options = parser().parse_args()
    if options.name in SEGMENTERS:
        return evaluate_segmenter(options.name)
    evaluate = evaluate_runs if options.runs else evaluate_shipped
    evaluate(options.name, RECIPES[options.name].load())


if __name__ == "__main__":
    main()
