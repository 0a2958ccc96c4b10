"""Write a shipped network as a model folder for the hubs, read it back and compare. Nothing is uploaded.

    python tools/publish.py gtsrb                   into build/hub/gtsrb
    python tools/publish.py nuclei --to FOLDER      into FOLDER/nuclei

The folder is made whole or not at all:

    README.md            the model card: its YAML head, use, results, limits, data
    NAME.keras           the network for keras.saving.load_model
    config.json, metadata.json, model.weights.h5
                         the same as keras.saving.load_model("hf://…") reads it
    model.safetensors    the weights alone
    example.png          what the network makes of a picture that may be passed on
    explorer.html        a page that shows where it looks

breastmnist needs its data set, for a picture: FOCAL_DATA_DIR, the cache, or a download.
"""

import sys
from pathlib import Path

from parts import arguments
from parts.files import ROOT


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("name", choices=sorted([*arguments.RECIPES, *arguments.SEGMENTERS]))
    options.add_argument("--to", type=Path, default=ROOT / "build" / "hub", help="folder for the model folders")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import zipfile

import keras
import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import focal_utils as fu
from focal_utils.files import whole_file_or_folder
from parts.hub import card_text, head_of, picture_facts, shown

WEIGHTS = "model.safetensors"


def tensors_of(model):
    """The weights of a network by name, and how they are named: "timm" where that is possible, else "keras"."""
    if isinstance(model, fu.FocalNet):
        return fu.peer_weights(model, "timm"), "timm"
    values = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    return {name: np.ascontiguousarray(value) for name, value in values.items()}, "keras"


def write_folder(name, model, folder):
    """Write the model folder of a shipped network; what is written into it is listed in this tool's docstring."""
    folder.mkdir()
    model.save(folder / f"{name}.keras")
    with zipfile.ZipFile(folder / f"{name}.keras") as archive:
        archive.extractall(folder)
    tensors, names = tensors_of(model)
    save_file(tensors, folder / WEIGHTS, {"names": names, "layout": "PyTorch's" if names == "timm" else "Keras'"})
    pictures = picture_facts(name)
    explorer = fu.GateExplorer(model, pictures.pictures)
    explorer.to_html(folder / "explorer.html")
    shown(name, model, pictures, explorer).savefig(folder / "example.png", dpi=100)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    text = card_text(name, model, pictures, sizes, names)
    (folder / "README.md").write_text(text, encoding="utf-8")


def compare(name, model, folder):
    """Read a model folder back, and raise ValueError unless all in it is what `model` is and what was measured."""
    images = np.stack(list(picture_facts(name).pictures.values())[:2]).astype("float32")
    expected = fu.predict(model, images)
    loaded = keras.saving.load_model(folder / f"{name}.keras", compile=False, safe_mode=True)
    if not np.array_equal(fu.predict(loaded, images), expected):
        raise ValueError(f"{name}.keras gives other answers than the network that it was made of.")
    if getattr(loaded, "class_names", None) != getattr(model, "class_names", None):
        raise ValueError(f"{name}.keras calls its classes otherwise than the network that it was made of.")
    for got, weight in zip(weights_from(folder, loaded), model.get_weights(), strict=True):
        if not np.array_equal(got, weight):
            raise ValueError(f"{WEIGHTS} holds other numbers than the network that it was made of.")
    head_of((folder / "README.md").read_text(encoding="utf-8"))
    with Image.open(folder / "example.png") as picture:
        picture.verify()
    page = (folder / "explorer.html").read_text(encoding="utf-8")
    if not page.rstrip().endswith("</html>"):
        raise ValueError("explorer.html is no whole page.")


def weights_from(folder, model):
    """The weights in the safetensors file of a model folder, read into a network of random ones; in its order."""
    random = model.from_config(model.get_config())
    path = folder / WEIGHTS
    with safe_open(path, framework="numpy") as file:
        names = file.metadata()["names"]
    if names == "timm":
        fu.load_checkpoint(random, path)
        return random.get_weights()
    tensors = load_file(path)
    return [tensors.pop(weight.path) for weight in random.weights]


def publish(name, folder):
    """Write the model folder of a shipped network, whole and compared, or not at all.

    Raises:
        FileExistsError: there is something under that name.
        ValueError: no such network, or what was written is not what it was made of.
        DataNotFound: a picture is needed that is not here.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already. It was not touched: delete it or choose another --to.")
    model = fu.load_trained(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_file_or_folder(folder) as part:
        write_folder(name, model, part)
        compare(name, model, part)


def main(given=None):
    options = parser().parse_args(given)
    folder = options.to / options.name
    try:
        publish(options.name, folder)
    except (OSError, ValueError) as error:  # each says what to do
        return str(error)
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.3f} MB  {path.name}")
    print(f"Read back and compared. Nothing was uploaded; to do so: hf upload NAME/REPOSITORY {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
