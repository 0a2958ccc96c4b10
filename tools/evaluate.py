"""Test a shipped network on its data set's official test images: accuracy with its interval, one command.

    python tools/evaluate.py gtsrb

Writes every prediction to data/results/<name>_test.npz (y_true, y_pred, confidence) and the accuracy into
data/results/<name>.json. Needs the data: FOCAL_DATA_DIR, the cache, or a download.
"""

import argparse
import json
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import focal_utils as fu  # noqa: E402
from project_files import ROOT, write_text  # noqa: E402

LOADERS = {"gtsrb": fu.load_gtsrb}


def wilson(right, total, z=1.96):
    """The 95 % interval of a share, after Wilson (1927): low and high."""
    share, weight = right / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return centre - half, centre + half


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(LOADERS))
    name = parser.parse_args().name
    results = ROOT / "data" / "results"

    data = LOADERS[name]()
    logits = fu.predict(fu.load_trained(name), data.x_test)
    predicted = logits.argmax(-1)
    confidence = ops.convert_to_numpy(ops.softmax(logits)).max(-1)
    right, total = int((predicted == data.y_test).sum()), len(data.y_test)
    low, high = wilson(right, total)
    print(f"{name}: {right} of {total} test images right, {right / total:.2%} (95 % interval {low:.2%} to {high:.2%})")

    np.savez_compressed(
        results / f"{name}_test.npz",
        y_true=data.y_test.astype("uint8"),
        y_pred=predicted.astype("uint8"),
        confidence=confidence.astype("float16"),
    )
    facts = json.loads((results / f"{name}.json").read_text())
    facts |= {"test_accuracy": round(right / total, 5), "test_interval": [round(low, 5), round(high, 5)]}
    facts |= {"test_images": total, "test_command": f"python tools/evaluate.py {name}"}
    write_text(results / f"{name}.json", json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
