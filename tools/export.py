"""Export a shipped network into every format, run each where focal_utils cannot be imported, and compare.

    python tools/export.py gtsrb --to build/exports        needs requirements-export.txt

Logits are compared with those of the model in this process on all test images; accuracy is of the largest logit. The
int8 files are made by Keras' `model.export(format="litert", …)` with the options of TensorFlow's converter
(`focal_utils.weights.export_model`): post-training quantization, on training images drawn by seed 0. Times are
processor time of one thread; the formats take turns, each in its process (parts/exported.py), and the median over
rounds is kept. Writes data/results/exports.json. Without the data (GTSRB only) rendered signs are compared, and nothing
is written there.
"""

import json
import statistics
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from parts import arguments
from parts.files import ROOT, how_made, write_text


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("name", choices=arguments.RECIPES)
    options.add_argument("--to", type=Path, default=ROOT / "build" / "exports", help="folder for the exports")
    options.add_argument("--rounds", type=arguments.at_least(1), default=15)
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np

import focal_utils as fu
from focal_utils.files import whole_file_or_folder
from focal_utils.measuring import Worker
from focal_utils.weights import export_model
from parts.recipes import RECIPES

RESULTS = ROOT / "data" / "results" / "exports.json"
RUNNER = ROOT / "tools" / "parts" / "exported.py"
FORMATS = {  # name of the format: end of the file's name, quantization
    "Keras": (".keras", None),
    "Keras, int8": ("_int8.keras", "int8"),
    "SavedModel": ("", None),
    "LiteRT, float32": (".tflite", None),
    "LiteRT, int8 weights": ("_int8_weights.tflite", "weights"),
    "LiteRT, int8": ("_int8.tflite", "int8"),
    "ONNX": (".onnx", None),
}
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnx", "tf2onnx", "onnxruntime")
CALIBRATION = 500  # images
STEPS = {1: 50, 64: 3}  # batch: how many in a turn


def load(name):
    """The network's data set; for the signs, rendered ones where there is no data."""
    try:
        return RECIPES[name].load()
    except fu.DataNotFound:
        if name != "gtsrb":
            raise
        return fu.render_signs(5000)


def export_all(model, name, images, folder):
    """Write the model in each of `FORMATS` into a new folder, all or none: name of the format → path."""
    if folder.exists():
        raise FileExistsError(f"{folder} is there already. It was not touched: delete it or choose another --to.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_file_or_folder(folder) as part:
        part.mkdir()
        for ending, quantize in FORMATS.values():
            path = part / f"{name}{ending}"
            calibrated = quantize == "int8" and path.suffix == ".tflite"
            export_model(model, path, quantize, images if calibrated else None)
    return {form: folder / f"{name}{ending}" for form, (ending, _) in FORMATS.items()}


def size(path):
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def reader(path):
    """The process that runs an exported file, `parts/exported.py`."""
    return Worker(path.name, [sys.executable, "-I", str(RUNNER), str(path)], {"CUDA_VISIBLE_DEVICES": "-1"})


def logits(worker, images, batch=64):
    """What the process makes of images (N, H, W, channels): logits (N, classes)."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/images.npy"
        target = f"{folder}/logits.npy"
        np.save(source, images)
        worker.ask({"images": source, "batch": batch, "logits": target})
        return np.load(target, allow_pickle=False)


def relative_difference(got, expected):
    """The largest difference of each image's logits over the largest of all logits, (N,)."""
    return np.abs(got - expected).max(axis=-1) / np.abs(expected).max()


def times(workers, images, rounds):
    """Milliseconds for each batch size, by turns: name of the format → {batch: (median, least, most)}."""
    seen = {form: {batch: [] for batch in STEPS} for form in workers}
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/images.npy"
        np.save(source, images[: max(STEPS)])
        for _ in range(rounds):
            for form, worker in workers.items():
                for batch, steps in STEPS.items():
                    seen[form][batch].append(worker.ask({"images": source, "batch": batch, "rounds": steps}))
    return {form: {batch: spread(turns) for batch, turns in batches.items()} for form, batches in seen.items()}


def spread(turns):
    """Median, least and most of some times, rounded."""
    return [round(value, 3) for value in (statistics.median(turns), min(turns), max(turns))]


def measure(model, paths, data, rounds):
    """One row for each format: size, differences, accuracy (of real images), milliseconds."""
    expected = fu.predict(model, data.x_test)
    workers = {form: reader(path) for form, path in paths.items()}
    try:
        rows = {}
        for form, worker in workers.items():
            got = logits(worker, data.x_test)
            difference = relative_difference(got, expected)
            rows[form] = {
                "bytes": size(paths[form]),
                "largest_difference": float(f"{difference.max():.2e}"),
                "median_difference": float(f"{np.median(difference):.2e}"),
                "same_answer": round(float(np.mean(got.argmax(-1) == expected.argmax(-1))), 5),
            }
            if data.source != "rendered":
                rows[form]["accuracy"] = round(float(np.mean(got.argmax(-1) == data.y_test)), 5)
        for form, batches in times(workers, data.x_test, rounds).items():
            for batch, milliseconds in batches.items():
                rows[form][f"milliseconds_batch_{batch}"] = milliseconds
        return rows
    finally:
        for worker in workers.values():
            worker.stop()


def versions():
    """Of the packages that write and run the exports, those that are here: name → version."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main():
    options = parser().parse_args()
    start = time.time()
    data = load(options.name)
    model = fu.load_trained(options.name)
    chosen = np.random.default_rng(0).permutation(len(data.x_train))[:CALIBRATION]
    try:
        paths = export_all(model, options.name, data.x_train[chosen], options.to / options.name)
    except (FileExistsError, ModuleNotFoundError) as error:
        return str(error)
    rows = measure(model, paths, data, options.rounds)
    print(f"{len(data.x_test)} images, {data.source}; differences are relative to the largest logit")
    for form, row in rows.items():
        print(f"{form:22s} {row}")
    if data.source == "rendered":
        return 0
    made = how_made(time.time() - start)
    facts = {
        **made,
        "versions": {**made["versions"], **versions()},
        "test_images": len(data.x_test),
        "calibration_images": len(chosen),
        "rounds": options.rounds,
        "formats": rows,
    }
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    write_text(RESULTS, json.dumps({**known, options.name: facts}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
