"""What the package does on a command line: a classifier of one's own photographs.

    python -m focal_utils finetune FOLDER --to RESULT

FOLDER holds a folder for each class, with photographs of any kind and size. RESULT is made, whole or not at all:

    network.keras     the network, for focal_utils
    network.tflite …  what --export asks for, for those who have it not
    explorer.html     a page that shows where the network looks on test pictures
    report.txt        every file that was skipped and why, how pictures were split, and how many are read right
    log.csv           the training, epoch by epoch
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

ENDINGS = {"savedmodel": "", "litert": ".tflite", "onnx": ".onnx"}


def parser():
    options = argparse.ArgumentParser(
        prog="python -m focal_utils", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    command = commands.add_parser("finetune", help="fine-tune a network to a folder of photographs")
    command.add_argument("folder", type=Path, help="with a folder for each class")
    command.add_argument("--to", type=Path, help="new folder for the results (default: FOLDER-network)")
    command.add_argument(
        "--start",
        default="tiny_srf",
        help="a variant, whose published weights are fetched (default: tiny_srf), or gtsrb, which needs no connection",
    )
    command.add_argument("--size", type=at_least(8), default=224, help="side of the pictures in pixels (default: 224)")
    command.add_argument("--epochs", type=at_least(1), default=20, help="of all layers, at most (default: 20)")
    command.add_argument("--head-epochs", type=at_least(0), default=5, help="of the classifier alone (default: 5)")
    command.add_argument("--gradual", action="store_true", help="free the stages one after the other")
    command.add_argument("--no-mirror", action="store_true", help="what is mirrored is something else, such as text")
    command.add_argument("--seed", type=at_least(0), default=0, help="fixes split, order and augmentation (default: 0)")
    command.add_argument(
        "--export", nargs="*", choices=ENDINGS, default=["litert"], help="formats besides .keras (default: litert)"
    )
    return options


def at_least(least):
    """A type of argument: whole numbers from `least` on."""

    def whole(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least {least} is needed")
        return int(text)

    return whole


def finetune_folder(options):
    """Do what `finetune` asks for: everything into a new folder."""
    from functools import partial

    from focal_utils.data import load_folder
    from focal_utils.files import whole_file_or_folder
    from focal_utils.training import augment_photographs, finetune

    target = options.to or options.folder.resolve().with_name(f"{options.folder.resolve().name}-network")
    if target.exists():
        raise FileExistsError(f"{target} is there already. It was not touched: delete it or choose another --to.")
    check_exports(options.export)
    print(f"Reading {options.folder} …", flush=True)
    data = load_folder(options.folder, options.size, seed=options.seed)
    print(data.report, flush=True)
    tuned = finetune(
        data,
        options.start,
        options.epochs,
        options.head_epochs,
        gradual=options.gradual,
        augment=partial(augment_photographs, mirror=False) if options.no_mirror else augment_photographs,
        seed=options.seed,
    )
    print(tuned, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file_or_folder(target) as part:
        part.mkdir()
        write_results(part, data, tuned, options.export)
    print(f"{target} holds {', '.join(sorted(path.name for path in target.iterdir()))}.")


def check_exports(names):
    """Raise an error where an export that is asked for cannot be made, before hours are spent on training."""
    import keras

    from focal_utils.weights import check_packages

    if names and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Exports are made on the TensorFlow backend, this is {keras.backend.backend()}: set "
            "KERAS_BACKEND=tensorflow, or write --export without a format for none."
        )
    if "onnx" in names:
        check_packages()


def write_results(folder, data, tuned, exports):
    """Write network, exports, page, report and log into a folder."""
    import csv

    from focal_utils.explorer import GateExplorer
    from focal_utils.weights import export_model

    tuned.model.save(folder / "network.keras")
    for name in exports:
        export_model(tuned.model, folder / f"network{ENDINGS[name]}")
    GateExplorer(tuned.model, data).to_html(folder / "explorer.html")
    (folder / "report.txt").write_text(f"{full(data.report)}\n{tuned}\n", encoding="utf-8")
    columns = list(dict.fromkeys(name for row in tuned.log for name in row))
    with open(folder / "log.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(tuned.log)


def full(report):
    """A report with every file that was skipped."""
    return "\n".join([str(report), "Skipped:", *(f"  {name}: {why}" for name, why in report.skipped or [("none", "")])])


def main(arguments=None):
    options = parser().parse_args(arguments)
    import_module("focal_utils.machine")  # first: it imports Keras, without TensorFlow's log
    try:
        finetune_folder(options)
    except (OSError, ValueError, ModuleNotFoundError, FloatingPointError) as error:  # each says what to do
        return f"{error}"
    return 0


if __name__ == "__main__":
    sys.exit(main())
