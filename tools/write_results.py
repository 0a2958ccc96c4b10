"""Write the measured results into README.md and into the cards of the shipped weights in data/README.md.

    python tools/write_results.py            write
    python tools/write_results.py --check    write nothing; exit 1 and say what is out of date

The results are those of data/results, made by tools/train.py, evaluate.py, benchmark_speed.py and export.py.
"""

import argparse
import json
import sys

from parts.cards import percent, weights_cards
from parts.files import ROOT, changed, replace_between, write_or_report

# Stallkamp et al. 2012, table 3 (humans, committee of CNNs); Arcos-García et al. 2018 (spatial transformers).
OTHERS = {"spatial-transformer CNN": 0.9971, "committee of CNNs": 0.9946, "humans": 0.9884}


def results_table(facts, runs):
    """README.md's table: the shipped network among known results on GTSRB's test set, best first; its recipe's mean."""
    low, high = facts["test_interval"]
    ours = f"**this series' FocalNet**, {facts['parameters']:,} parameters"
    accuracy = f"**{percent(facts['test_accuracy'])}** (95 % interval {percent(low)} to {percent(high)})"
    rows = [(value, name, percent(value)) for name, value in OTHERS.items()] + [
        (facts["test_accuracy"], ours, accuracy)
    ]
    lines = [f"| {name} | {shown} |" for _, name, shown in sorted(rows, reverse=True)]
    table = "\n".join([f"| GTSRB, {facts['test_images']:,} test images | accuracy |", "| --- | --- |", *lines])
    recipe = runs["summary"]["focalnet"]
    mean = f"{100 * recipe['mean']:.2f} ± {100 * recipe['standard_deviation']:.2f} %"
    return (
        f"{table}\n\nMade by `python tools/train.py gtsrb`, tested by `{facts['test_command']}`. Validation chose it "
        f"among {recipe['runs']} seeds,\nwhich read {mean} of the test images (mean and standard deviation)."
    )


def speed_table(forward, training):
    """README.md's table of the race: images/s of each contender, and in brackets how many times as fast ours is."""

    def shown(facts, name):
        row = facts["contenders"].get(name)
        return f"{row['images_per_second'][0]:,.1f} ({row['ours_over_it'][0]:.2f})" if row else "–"

    names = list(forward["contenders"] | training["contenders"])
    lines = [f"| {name} | {shown(forward, name)} | {shown(training, name)} |" for name in names]
    return "\n".join(
        [
            "| images/s, and in brackets ours over it | forward pass, tiny_srf, 8 × 224² "
            f"| training step, {training['parameters'] / 1e6:.1f} M parameters, 128 × 32² |",
            "| --- | --- | --- |",
            *lines,
            f"| floor: a plain matrix product of as many operations | {forward['floor_images_per_second']:,.1f} "
            f"| {training['floor_images_per_second']:,.1f} |",
            "",
            f"Measured by `python tools/benchmark_speed.py` on {forward['machine']}, {forward['date']}; all in one "
            "run, by turns.",
        ]
    )


def exports_table(facts):
    """README.md's table of the shipped network's exports: size, difference, accuracy, time."""
    lines = [
        f"| {form} | {row['bytes'] / 1e6:.1f} | {row['largest_difference']:.1e} | {percent(row['accuracy'])} "
        f"| {row['milliseconds_batch_1'][0]:.1f} | {row['milliseconds_batch_64'][0]:.0f} |"
        for form, row in facts["formats"].items()
    ]
    return "\n".join(
        [
            "| format | MB | largest difference | accuracy | ms, 1 image | ms, 64 images |",
            "| --- | --- | --- | --- | --- | --- |",
            *lines,
            "",
            f"The network that reads signs on {facts['test_images']:,} test images. Differences of logits are relative "
            "to the largest logit;",
            f"times are processor time of one thread, median of {facts['rounds']} turns. Measured by "
            f"`{facts['command']}` on {facts['machine']}, {facts['date']}.",
        ]
    )


def outdated(root=ROOT):
    """Pairs (path, right text) of the files that do not hold the results."""
    results = root / "data" / "results"
    facts = {
        name: json.loads((results / f"{name}.json").read_text())
        for name in ("gtsrb", "gtsrb_runs", "speed_forward", "speed_training", "exports")
    }
    tables = {
        "results": results_table(facts["gtsrb"], facts["gtsrb_runs"]),
        "exports": exports_table(facts["exports"]["gtsrb"]),
        "speed": speed_table(facts["speed_forward"], facts["speed_training"]),
    }

    def with_tables(text):
        for name, table in tables.items():
            text = replace_between(text, name, table)
        return text

    return changed(
        [
            (root / "README.md", with_tables),
            (root / "data" / "README.md", lambda text: replace_between(text, "weights", weights_cards(results))),
        ]
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    return write_or_report(outdated(), options.check, "python tools/write_results.py")


if __name__ == "__main__":
    sys.exit(main())
