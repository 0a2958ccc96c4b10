"""Write the measured results into README.md and into the cards of the shipped weights in data/README.md.

    python tools/write_results.py            write
    python tools/write_results.py --check    write nothing; exit 1 and say what is out of date

The results are those of data/results, made by tools/train.py, evaluate.py, benchmark_speed.py and export.py.
"""

import argparse
import json
import sys

from parts.files import ROOT, changed, replace_between, write_or_report

# Stallkamp et al. 2012, table 3 (humans, committee of CNNs); Arcos-García et al. 2018 (spatial transformers).
OTHERS = {"spatial-transformer CNN": 0.9971, "committee of CNNs": 0.9946, "humans": 0.9884}


def percent(share):
    return f"{100 * share:.2f} %"


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


# What each shipped network is for, what chose the epoch, and where its use ends.
CARDS = {
    "gtsrb": {
        "kinds": "43 kinds of sign, raw 32×32 images",
        "data": "GTSRB",
        "chosen": "images of other tracks, augmented, chose the seed",
        "licence": "MIT, as the code; the images it was trained on are not in this repository",
        "limits": "German signs, one to an image, with about 10 % border; whatever else it is shown it calls a sign",
    },
    "bloodcells": {
        "kinds": "8 kinds of blood cell, raw 28×28 images",
        "data": "the blood cells (Acevedo et al. 2020, CC BY 4.0)",
        "chosen": "validation images chose the epoch and the seed",
        "licence": "MIT, as the code; trained on images under CC BY 4.0",
        "limits": "single cells of healthy donors, one laboratory, one stain; five test images stand in training too; "
        "not for clinical use",
    },
    "breastmnist": {
        "kinds": "malignant or not, raw 28×28 grey images",
        "data": "BreastMNIST (CC BY 4.0)",
        "chosen": "validation images chose the seed",
        "licence": "MIT, as the code; trained on images under CC BY 4.0",
        "limits": "156 test images: one of them is 0.64 points; not for clinical use",
    },
}


def seeds_row(runs):
    """Mean and spread of the test accuracy over the seeds of a recipe, beside other networks by the same recipe."""
    texts = []
    parameters = {run["kind"]: run["parameters"] for run in runs["runs"]}
    for kind, row in runs["summary"].items():
        seeds = f"{row['runs']} seed{'s' * (row['runs'] > 1)}, {parameters[kind]:,} parameters"
        kind = kind.replace("_", ", ")
        spread = f" ± {100 * row['standard_deviation']:.2f}" if row["standard_deviation"] is not None else ""
        texts.append(f"{kind}: {100 * row['mean']:.2f}{spread} % ({seeds})")
    return f"{'; '.join(texts)}, `{runs['test_command']}`"


def weights_card(name, facts, runs, tried):
    """The card of a shipped network for data/README.md; `runs` and `tried` are None where there are none."""
    card = CARDS[name]
    images = facts["images"]
    low, high = facts["test_interval"]
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    made = f"`python tools/train.py {name}`: {facts['epochs']} epochs, seed {facts['seed']}"
    harder = facts.get("augmented_validation_accuracy")
    harder = f", {percent(harder)} of copies changed as in training" if harder else ""
    trained = f"{images['train']:,} training images of {card['data']}; {images['validation']:,} {card['chosen']}"
    rows = {
        "what": f"a FocalNet of {facts['parameters']:,} parameters for {card['kinds']}: logits",
        "trained on": trained,
        "recipe": f"{made}, {facts['seconds'] / 60:.0f} minutes beside other work; log in results/{name}_log.csv",
        "machine": f"{facts['machine']}; {versions}; {facts['date']}, after commit {facts['commit']}",
        "validation": percent(facts["validation_accuracy"]) + harder,
        "test": f"{percent(facts['test_accuracy'])} of {facts['test_images']:,} (95 % interval {percent(low)} to "
        f"{percent(high)}), `{facts['test_command']}`; every prediction in results/{name}_test.npz",
        "test, averaged": f"{percent(facts['test_accuracy_views'])} averaged over {facts['test_views']} views",
    }
    if runs:
        rows["seeds, test"] = seeds_row(runs)
    if tried:
        count = "1 network was" if len(tried) == 1 else f"{len(tried)} networks were"
        rows["tried"] = f"{count} tested besides: results/{name}_tried.json"
    rows["licence"] = card["licence"]
    rows["limits"] = card["limits"]
    return "\n".join([f"| {name}.keras | |", "| --- | --- |", *(f"| {row} | {text} |" for row, text in rows.items())])


def segmenter_card(name, facts):
    """The card of the shipped segmenter of nuclei for data/README.md."""
    test = facts["test"]
    pictures = facts["pictures"]
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    low, high = test["dice_interval"]
    least, most = test["average_precision_50_interval"]
    kinds = "; ".join(
        f"{kind} ({row['pictures']}): Dice {row['dice']:.3f}, AP {row['average_precision_50']:.3f}"
        for kind, row in test["by_kind"].items()
    )
    validation = facts["validation"]
    rows = {
        "what": f"a FocalNet with a light decoder, {facts['parameters']:,} parameters, for pictures (H, W, 3), 0…255: "
        "logits (H, W, 2), in a nucleus or not, and how deep",
        "trained on": f"{pictures['train']} training pictures of BBBC038v1 ({facts['data']}); "
        f"{pictures['validation']} of other origins chose how touching nuclei are told apart",
        "recipe": f"`python tools/train.py {name}`: {facts['epochs']} epochs, seed {facts['seed']}, "
        f"{facts['seconds'] / 60:.0f} minutes beside other work; log in results/{name}_log.csv",
        "machine": f"{facts['machine']}; {versions}; {facts['date']}, after commit {facts['commit']}",
        "validation": f"Dice {validation['dice']:.3f}, AP at 0.5 {validation['average_precision_50']:.3f}",
        "test": f"Dice {test['dice']:.3f} (95 % interval {low:.3f} to {high:.3f}), AP at 0.5 "
        f"{test['average_precision_50']:.3f} ({least:.3f} to {most:.3f}), mean AP "
        f"{test['average_precision_mean']:.3f}; {pictures['test']} pictures, `{facts['test_command']}`; "
        f"each in results/{name}_test.npz",
        "test, by kind": kinds,
        "licence": "MIT, as the code; trained on pictures under CC0",
        "limits": "nuclei under the microscopes of one collection; a picture counts as one unit of the intervals, "
        "though tiles of one origin are alike; not for clinical use",
    }
    return "\n".join([f"| {name}.keras | |", "| --- | --- |", *(f"| {row} | {text} |" for row, text in rows.items())])


def weights_cards(results):
    """The cards of all shipped networks that have been tested."""

    def read(name):
        path = results / name
        return json.loads(path.read_text()) if path.exists() else None

    found = {name: read(f"{name}.json") for name in CARDS}
    cards = [
        weights_card(name, facts, read(f"{name}_runs.json"), read(f"{name}_tried.json"))
        for name, facts in found.items()
        if facts
    ]
    nuclei = read("nuclei.json")
    if nuclei and "test" in nuclei:
        cards.append(segmenter_card("nuclei", nuclei))
    return "\n\n".join(cards)


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
