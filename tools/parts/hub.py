"""What a model folder for the hubs says of a network: a card with a YAML head, and a picture that may be passed on."""

import json
import re
from typing import NamedTuple

import yaml

from parts.cards import card_rows
from parts.files import RESULTS, ROOT
from write_links import repository_address

# What each network's data set is called on the card, where data/README.md describes it, and what the network does.
SETS = {
    "gtsrb": ("GTSRB", "GTSRB: German traffic signs", "tells 43 kinds of traffic sign apart"),
    "bloodcells": ("blood cells (Acevedo et al. 2020)", "Blood cells", "tells 8 kinds of blood cell apart"),
    "breastmnist": ("BreastMNIST", "MedMNIST v3", "tells malignant from other findings in ultrasound of the breast"),
    "nuclei": ("BBBC038v1", "Cell nuclei", "outlines cell nuclei in microscope pictures of any size"),
}
SEGMENTERS = ("nuclei",)
TOLD = ("Citation", "Licence", "Known blemishes")  # what of a data set's description goes onto the card


class Pictures(NamedTuple):
    """Pictures that may be passed on."""

    pictures: dict  # name → (H, W, channels) uint8
    credit: str
    truth: object = None  # of the first, a label map (H, W), for a network that outlines


def picture_facts(name):
    """Pictures for a network's example and explorer, that the licence lets be passed on, with their credit: `Pictures`.

    Raises:
        DataNotFound: breastmnist's are not here and cannot be fetched.
    """
    import focal_utils as fu

    if name == "gtsrb":
        return Pictures(fu.telling_signs(), "Rendered signs, drawn by the project's code: GTSRB states no licence.")
    if name == "bloodcells":
        return Pictures(
            fu.telling_cells(),
            "Blood cells by Acevedo, Merino, Alférez, Molina, Boldú and Rodellar 2020, doi 10.17632/snkd93bnjr.1, "
            "CC BY 4.0, 28×28 pixels of each.",
        )
    if name == "breastmnist":
        data = fu.load_medmnist(name)
        named = {f"{data.class_names[data.y_test[row]]}, test image {row}": data.x_test[row] for row in range(8)}
        return Pictures(named, "Test images of BreastMNIST, Yang et al. 2023, CC BY 4.0.")
    data = fu.load_nuclei(shipped=True)
    number = min(range(len(data.x_test)), key=lambda row: data.x_test[row].size)
    return Pictures(
        {"a test picture": data.x_test[number]},
        "A test picture of BBBC038v1, Broad Bioimage Benchmark Collection, Caicedo et al. 2019, CC0.",
        data.y_test[number],
    )


def shown(name, model, pictures, explorer):
    """The example picture, a matplotlib `Figure`: a classifier's gates, or what a segmenter has outlined."""
    if name not in SEGMENTERS:
        return explorer.contact_sheet()
    from matplotlib.figure import Figure

    import focal_utils as fu

    (picture,) = pictures.pictures.values()
    figure = Figure(figsize=(8, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    fu.figures.outlines(left, picture, pictures.truth, "outlined by hand")
    fu.figures.outlines(right, picture, fu.find_nuclei(model, picture), "outlined by the network")
    return figure


def what_is_seen(name, model, pictures):
    """What the example picture shows, in a sentence that is its alternative text, too."""
    import focal_utils as fu

    first, picture = next(iter(pictures.pictures.items()))
    if name in SEGMENTERS:
        found = fu.find_nuclei(model, picture)
        return (
            f"A test picture, its nuclei outlined by hand and by the network, which finds {found.max()} of "
            f"{pictures.truth.max()}; Dice {fu.dice(pictures.truth, found):.2f}."
        )
    logits = fu.predict(model, picture[None])[0]
    answer = model.class_names[int(logits.argmax())]
    return f"The picture “{first}” beside the gates of each block; the network reads it as “{answer}”."


def section(heading):
    """The text below a heading of data/README.md, up to the next one."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    return re.split(r"^## ", text.split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def told_of_data(heading):
    """The points of `TOLD` that data/README.md makes of a data set, as a list in Markdown."""
    points = re.findall(r"^- (?:.+\n?(?:  .+\n?)*)", section(heading), re.MULTILINE)
    return "\n".join(point.strip() for point in points if point.startswith(tuple(f"- **{word}" for word in TOLD)))


def measured(name, facts):
    """What was measured on test data, as the hubs' `model-index` has it: a list of dicts of type, name and value."""
    if name in SEGMENTERS:
        test = facts["test"]
        rows = [("dice", "Dice", "dice"), ("average_precision", "average precision at 0.5", "average_precision_50")]
        return [{"type": kind, "name": told, "value": test[key]} for kind, told, key in rows]
    return [{"type": "accuracy", "name": "accuracy", "value": facts["test_accuracy"]}]


def head(name, facts):
    """The YAML head of a card, as a dict; the facts are those of data/results."""
    called, _, _ = SETS[name]
    task = "image-segmentation" if name in SEGMENTERS else "image-classification"
    results = measured(name, facts)
    return {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": ["keras", "focalnet", "focal-modulation"],
        "metrics": [row["type"] for row in results],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"type": name, "name": called, "split": "test"},
                        "metrics": results,
                    }
                ],
            }
        ],
    }


def head_of(text):
    """The YAML head of a card's text, as a dict.

    Raises:
        ValueError: there is none, or it is no YAML.
    """
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        raise ValueError("README.md does not begin with a head between two lines of ---.")
    try:
        return yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise ValueError(f"The head of README.md is no YAML: {error}") from error


def use_of(name, names):
    """How the network is used, as Markdown: where the package comes from, and code."""
    address = repository_address()
    package = f'pip install "git+{address}"' if address else "pip install .    # in the project's folder"
    rest = (
        "labels = fu.find_nuclei(model, picture)   # (H, W): 0 outside, each nucleus a number"
        if name in SEGMENTERS
        else "fu.predict(model, images).argmax(-1)      # the class of each image; model.class_names has their names"
    )
    called = {"timm": "timm's", "keras": "Keras'"}[names]
    takes = "A picture is (H, W, 3)" if name in SEGMENTERS else "Images are (B, H, W, channels)"
    read = (
        "`fu.load_checkpoint` reads them into a `FocalNet`, whatever the backend"
        if names == "timm"
        else "`weight.assign(tensors[weight.path])` puts each into its place"
    )
    return f"""\
```sh
{package}
```

```python
import keras

import focal_utils as fu

model = keras.saving.load_model("{name}.keras")
{rest}
```

{takes}, numbers from 0 to 255 as they come from a file. On the Hugging Face hub, `keras.saving.load_model("hf://…")`
with the repository's name reads the same network. `model.safetensors` holds the weights alone, by {called} names:
{read}."""


def card_text(name, model, pictures, sizes, names):
    """The text of a model folder's README.md.

    Args:
        name: of the network. model: it. pictures: `Pictures`, whose first is the example.
        sizes: of the files in the folder, name → bytes. names: by whose names the weights are in model.safetensors.
    """
    called, heading, does = SETS[name]
    facts = json.loads((RESULTS / f"{name}.json").read_text())
    yaml_head = yaml.safe_dump(head(name, facts), sort_keys=False, allow_unicode=True, width=120)
    rows = "\n".join(f"| {row} | {text} |" for row, text in card_rows(name).items())
    files = "\n".join(f"| `{file}` | {size / 1e3:,.0f} |" for file, size in sorted(sizes.items()))
    seen = what_is_seen(name, model, pictures)
    return f"""\
---
{yaml_head}---

# {name}: a FocalNet that {does}

A network of focal modulation in Keras 3 (Yang et al. 2022, *Focal Modulation Networks*, NeurIPS,
[arXiv:2203.11926](https://arxiv.org/abs/2203.11926)), {facts["parameters"]:,} parameters; it runs on TensorFlow,
JAX and PyTorch.

![{seen}](example.png)

*{seen}*

{pictures.credit}

[explorer.html](explorer.html) shows where the network looks, for each pixel, in a browser and without a connection.

## Use

{use_of(name, names)}

## What it is, and what was measured

| | |
| --- | --- |
{rows}

Paths that begin with `tools/`, `results/` or `data/` are the project's.

## The data: {called}

{told_of_data(heading)}

## Files

| file | kB |
| --- | --- |
{files}
"""
