"""The cards of the shipped networks: what each is, was trained on, can do and cannot, from the measured results."""

import json

from parts.files import RESULTS


def percent(share):
    return f"{100 * share:.2f} %"


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


def classifier_rows(name, facts, runs, tried):
    """What the card of a shipped classifier says, row → text; `runs` and `tried` are None where there are none."""
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
    return rows


def segmenter_rows(name, facts):
    """What the card of the shipped segmenter of nuclei says, row → text."""
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
    return {
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


def card_rows(name, results=RESULTS):
    """What the card of a shipped network says, row → text; None for one that was not tested.

    Args:
        name: of the network. results: the folder of results.
    """

    def read(file):
        path = results / file
        return json.loads(path.read_text()) if path.exists() else None

    facts = read(f"{name}.json")
    if name in CARDS and facts:
        return classifier_rows(name, facts, read(f"{name}_runs.json"), read(f"{name}_tried.json"))
    return segmenter_rows(name, facts) if facts and "test" in facts else None


def table(name, rows):
    """The card as a table, for data/README.md."""
    return "\n".join([f"| {name}.keras | |", "| --- | --- |", *(f"| {row} | {text} |" for row, text in rows.items())])


def weights_cards(results=RESULTS):
    """The cards of all shipped networks that have been tested."""
    found = {name: card_rows(name, results) for name in (*CARDS, "nuclei")}
    return "\n\n".join(table(name, rows) for name, rows in found.items() if rows)
