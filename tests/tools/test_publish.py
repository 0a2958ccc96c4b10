"""Model folders for the hubs: whole, equal to the network, with what was measured, and never half there."""

import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
import publish
from parts import hub
from parts.files import RESULTS

FILES = {
    "README.md", "config.json", "metadata.json", "model.weights.h5", "model.safetensors", "example.png", "explorer.html"
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(fu.load_trained()))
def published(request, tmp_path_factory):
    """Name, network and folder of each shipped network."""
    folder = tmp_path_factory.mktemp("hub") / request.param
    try:
        publish.publish(request.param, folder)
    except fu.DataNotFound:
        pytest.skip(f"the pictures of {request.param} are not on this machine")
    return request.param, fu.load_trained(request.param), folder


def test_the_folder_holds_what_was_promised(published, monkeypatch):
    name, model, folder = published
    assert {path.name for path in folder.iterdir()} == FILES | {f"{name}.keras"}
    with Image.open(folder / "example.png") as picture:
        assert picture.width >= 600 and picture.convert("L").getextrema() != (255, 255)
    assert (folder / "explorer.html").stat().st_size < 3_500_000

    saving = __import__("keras.src.saving.saving_lib", fromlist=["huggingface_hub"])
    hub_here = types.SimpleNamespace(snapshot_download=lambda **_: str(folder))
    monkeypatch.setattr(saving, "huggingface_hub", hub_here)
    loaded = keras.saving.load_model("hf://somebody/something", compile=False)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_card_says_what_was_measured(published):
    name, model, folder = published
    text = (folder / "README.md").read_text(encoding="utf-8")
    head = hub.head_of(text)
    facts = json.loads((RESULTS / f"{name}.json").read_text())
    values = [metric["value"] for metric in head["model-index"][0]["results"][0]["metrics"]]
    if name == "nuclei":
        assert values == [facts["test"]["dice"], facts["test"]["average_precision_50"]]
    else:
        assert values == [facts["test_accuracy"]]
    assert (head["license"], head["library_name"]) == ("mit", "keras")
    assert f"{model.count_params():,} parameters" in text
    for words in ("**Citation.**", "**Licence.**", "| limits |", "![", "](example.png)", "](explorer.html)"):
        assert words in text
    assert "OWNER" not in text and "None" not in text.replace("None is stated", "")


def test_its_code_runs(published):
    name, model, folder = published
    text = (folder / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0].replace(f'"{name}.keras"', repr(str(folder / f"{name}.keras")))
    pictures = np.stack(list(hub.picture_facts(name).pictures.values())[:1])
    names = {"images": pictures, "picture": pictures[0]}
    exec(code, names)
    np.testing.assert_array_equal(fu.predict(names["model"], pictures), fu.predict(model, pictures))


def small():
    keras.utils.set_random_seed(0)
    return fu.FocalNet((32, 32, 3), 43, embed_dim=4, depths=(1,), preprocessing="per_image", name="gtsrb")


@pytest.fixture
def network(monkeypatch):
    """A small network in place of a shipped one."""
    model = small()
    model.class_names = fu.GTSRB_CLASSES
    monkeypatch.setattr(publish.fu, "load_trained", lambda name: model, raising=False)
    return model


def test_what_is_there_is_not_touched(tmp_path, capsys):
    (tmp_path / "gtsrb").mkdir()
    assert "is there already. It was not touched" in publish.main(["gtsrb", "--to", str(tmp_path)])
    assert not list((tmp_path / "gtsrb").iterdir())
    assert "No trained network is called 'cifar10'" in publish.main(["cifar10", "--to", str(tmp_path)])


def test_what_differs_from_the_network_is_found_and_nothing_is_kept(network, tmp_path, monkeypatch):
    right = publish.tensors_of

    def wrong(model):
        tensors, names = right(model)
        return {**tensors, "norm.bias": tensors["norm.bias"] + 1}, names

    monkeypatch.setattr(publish, "tensors_of", wrong)
    assert "holds other numbers" in publish.main(["gtsrb", "--to", str(tmp_path)])
    monkeypatch.setattr(publish, "tensors_of", right)
    monkeypatch.setattr(publish, "card_text", lambda *_: "no head")
    assert "does not begin with a head" in publish.main(["gtsrb", "--to", str(tmp_path)])
    monkeypatch.setattr(publish, "card_text", lambda *_: "---\na: [\n---\n")
    assert "is no YAML" in publish.main(["gtsrb", "--to", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_another_network_in_its_place_is_found(network, tmp_path):
    publish.publish("gtsrb", tmp_path / "gtsrb")
    other = small()
    with pytest.raises(ValueError, match="calls its classes otherwise"):
        publish.compare("gtsrb", other, tmp_path / "gtsrb")
    other.class_names = fu.GTSRB_CLASSES
    other.get_layer("head").bias.assign(np.arange(43))
    with pytest.raises(ValueError, match="gives other answers"):
        publish.compare("gtsrb", other, tmp_path / "gtsrb")
