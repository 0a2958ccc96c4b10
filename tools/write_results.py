"""Write the measured results into README.md and into the card of the shipped weights in data/README.md.

    python tools/write_results.py            write
    python tools/write_results.py --check    write nothing; exit 1 and say what is out of date

The results are data/results/gtsrb.json, made by tools/train_signs.py and tools/evaluate.py.
"""

import argparse
import json
import sys

from project_files import ROOT, changed, replace_between, write_or_report

# Stallkamp et al. 2012, table 3 (humans, committee of CNNs); Arcos-García et al. 2018 (spatial transformers).
OTHERS = {"spatial-transformer CNN": 0.9971, "committee of CNNs": 0.9946, "humans": 0.9884}


def percent(share):
    return f"{100 * share:.2f} %"


def results_table(facts):
    """README.md's table: the shipped network among known results on GTSRB's test set, best first."""
    low, high = facts["test_interval"]
    ours = f"**this series' FocalNet**, {facts['parameters']:,} parameters"
    accuracy = f"**{percent(facts['test_accuracy'])}** (95 % interval {percent(low)} to {percent(high)})"
    rows = [(value, name, percent(value)) for name, value in OTHERS.items()] + [
        (facts["test_accuracy"], ours, accuracy)
    ]
    lines = [f"| {name} | {shown} |" for _, name, shown in sorted(rows, reverse=True)]
    table = "\n".join([f"| GTSRB, {facts['test_images']:,} test images | accuracy |", "| --- | --- |", *lines])
    return f"{table}\n\nMade by `{facts['command']}`, tested by `{facts['test_command']}`."


def weights_card(facts):
    """The card of gtsrb.keras for data/README.md."""
    low, high = facts["test_interval"]
    images = facts["images"]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    rows = {
        "what": f"a FocalNet of {facts['parameters']:,} parameters for 43 kinds of sign: logits from raw 32×32 images",
        "trained on": f"{images['train']:,} of GTSRB's training images; {images['validation']:,} of other tracks chose "
        "the epoch",
        "recipe": f"`{facts['command']}`: {facts['epochs']} epochs, seed {facts['seed']}; log in results/gtsrb_log.csv",
        "machine": f"{facts['machine']}; {versions}; {facts['date']}",
        "validation": f"{percent(facts['validation_accuracy'])}",
        "test": f"{percent(facts['test_accuracy'])} of {facts['test_images']:,} (95 % interval {percent(low)} to "
        f"{percent(high)}), `{facts['test_command']}`; every prediction in results/gtsrb_test.npz",
        "tried": "earlier networks were tested before this one: results/gtsrb_tried.json",
        "licence": "MIT, as the code; the images it was trained on are not in this repository",
        "limits": "German signs, one to an image, with about 10 % border; whatever else it is shown it calls a sign",
    }
    return "\n".join(["| gtsrb.keras | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items())])


def outdated(root=ROOT):
    """Pairs (path, right text) of the files that do not hold the results."""
    facts = json.loads((root / "data" / "results" / "gtsrb.json").read_text())
    return changed(
        [
            (root / "README.md", lambda text: replace_between(text, "results", results_table(facts))),
            (root / "data" / "README.md", lambda text: replace_between(text, "weights", weights_card(facts))),
        ]
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    return write_or_report(outdated(), options.check, "python tools/write_results.py")


if __name__ == "__main__":
    sys.exit(main())
