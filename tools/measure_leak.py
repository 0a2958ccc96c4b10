"""Measure what a validation split frame by frame would leak on GTSRB: a nearest neighbour's accuracy under both splits.

    python tools/measure_leak.py

Writes data/results/gtsrb_leak.json. Needs the data: FOCAL_DATA_DIR, the cache, or a download. Training images only.
"""

import json

from parts import arguments
from parts.files import RESULTS, save_results


def parser():
    return arguments.parser(__doc__)


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np

import focal_utils as fu
from focal_utils.training import nearest_neighbour


def main():
    parser().parse_args()
    data = fu.load_gtsrb()
    by_track = np.mean(nearest_neighbour(data.x_train, data.y_train, data.x_val) == data.y_val)

    images = np.concatenate([data.x_train, data.x_val])
    labels = np.concatenate([data.y_train, data.y_val])
    order = np.random.default_rng(0).permutation(len(images))
    held = order[: len(data.x_val)]
    rest = order[len(data.x_val) :]
    by_frame = np.mean(nearest_neighbour(images[rest], labels[rest], images[held]) == labels[held])

    facts = {
        "command": "python tools/measure_leak.py",
        "classifier": "label of the training image with the nearest pixels (brightness at 16×16, mean 0, length 1)",
        "validation_images": len(held),
        "accuracy_split_by_track": round(float(by_track), 4),
        "accuracy_split_by_frame": round(float(by_frame), 4),
    }
    save_results(RESULTS / "gtsrb_leak.json", facts, indent=2)
    print(json.dumps(facts, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
