"""The file of a network that the explorer's page reads, and the page's modules as one script."""

import base64
import io
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from focal_utils.explorer.bundle import PAGE, in_order, script
from focal_utils.explorer.network import network_bytes, read_network, runs_in_page
from focal_utils.explorer.shown import exact_address, object_runs
from focal_utils.training import PROMINENCE, SMALLEST, SMOOTH


@pytest.fixture(scope="module")
def model():
    return fu.FocalNet((16, 16, 3), 4, embed_dim=8, depths=(1, 1), patch_size=2, preprocessing="imagenet")


def error(model, precision):
    """The largest difference of a stored matrix, over its largest value."""
    weights = read_network(network_bytes(model, precision=precision))[1]
    assert list(weights) == [variable.path for variable in model.weights]
    differences = []
    for variable in model.weights:
        values = np.array(variable)
        assert weights[variable.path].shape == values.shape
        differences.append(np.abs(weights[variable.path] - values).max() / max(np.abs(values).max(), 1e-9))
    return max(differences)


def test_weights_come_back_as_precisely_as_asked(model):
    assert error(model, "float32") == 0
    assert 0 < error(model, "float16") <= 2**-11
    assert 2**-11 < error(model, "int8") <= 1 / 254


def test_the_header_says_what_the_page_needs(model):
    header, _ = read_network(network_bytes(model, ["a", "b", "c", "d"]))
    first, second = header["blocks"]
    assert first["levels"] == ["level 1", "level 2", "global"]
    assert (first["stride"], second["stride"], second["channels"]) == (2, 4, 16)
    assert header["classes"] == ["a", "b", "c", "d"]
    assert header["preprocessing"]["kind"] == "rescaling" and len(header["preprocessing"]["scale"]) == 3
    assert json.loads(json.dumps(header)) == header


@pytest.fixture(scope="module")
def segmenter():
    backbone = fu.FocalNet((None, None, 3), include_top=False, embed_dim=8, depths=(1, 1), patch_size=2)
    return fu.segmenter(backbone, classes=2, width=8, detail=4)


def test_the_header_of_a_segmenter_says_how_objects_are_told_apart_and_called(segmenter):
    header, weights = read_network(network_bytes(segmenter))
    decoder = header["decoder"]
    assert (decoder["prominence"], decoder["smallest"], decoder["smooth"]) == (PROMINENCE, SMALLEST, SMOOTH)
    assert decoder["strides"] == {"merge0": 2, "merge_details": 1, "head": 2}
    assert decoder["objects"] == ["object", "objects"] and header["classes"] == []
    assert header["architecture"]["input_shape"] == [None, None, 3]
    assert set(weights) == {variable.path for variable in segmenter.weights}
    named = read_network(network_bytes(segmenter, ("cell", "cells")))[0]
    assert named["decoder"]["objects"] == ["cell", "cells"]
    assert fu.load_trained("nuclei").object_names == ("nucleus", "nuclei")
    with pytest.raises(ValueError, match="what one of its objects is called, and several"):
        network_bytes(segmenter, ["ground", "cell", "border"])


def test_segmenters_that_the_page_does_not_know_stay_with_a_kernel(segmenter):
    assert runs_in_page(segmenter)
    backbone = fu.FocalNet((None, None, 3), include_top=False, embed_dim=8, depths=(1, 1), patch_size=2)
    assert not runs_in_page(fu.segmenter(backbone, classes=5))
    further = keras.layers.Conv2D(3, 1, name="mine")(segmenter.inputs[0])
    assert not runs_in_page(keras.Model(segmenter.inputs, [segmenter.outputs[0], further]))


def test_runs_of_labels_come_back():
    labels = np.random.default_rng(0).integers(0, 3, (7, 5)).astype("uint16")
    packed = object_runs(labels)
    runs = np.reshape(packed["runs"], (-1, 2))
    assert np.array_equal(np.repeat(runs[:, 0], runs[:, 1]).reshape(packed["height"], packed["width"]), labels)
    assert object_runs(np.zeros((2, 3), "uint16"))["runs"] == [0, 6]


def test_a_data_set_of_pictures_is_shown_with_what_people_marked(segmenter):
    nuclei = fu.load_nuclei(shipped=True)
    explorer = fu.GateExplorer(segmenter, nuclei, ("cell", "cells"))
    assert explorer.about["objects"] == ["cell", "cells"] and len(explorer.names) == len(nuclei.x_test)
    assert explorer.names[20] == "20 · 1388×1040"
    assert explorer.shown["notes"] == [f"People marked {nuclei.y_test[0].max()} in it."]
    runs = explorer.shown["objects"]["after"]["runs"]
    assert max(runs[::2]) == fu.find_nuclei(segmenter, nuclei.x_test[0]).max()
    assert sum(runs[1::2]) == nuclei.y_test[0].size
    levels = explorer.about["blocks"][0]["levels"]
    explorer.switches = {"stage0_block0": ["off"] * len(levels)}
    assert explorer.shown["objects"]["before"]["runs"] == runs


def test_an_exact_address_holds_every_pixel():
    picture = np.random.default_rng(0).integers(0, 40, (64, 48, 3), dtype="uint8")
    data = base64.b64decode(exact_address(picture).split(",")[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), picture)


def test_what_cannot_run_in_a_page_is_refused(model):
    windows = fu.FocalNet((16, 16, 3), 4, embed_dim=8, depths=(1,), patch_size=2, mixer="window", window=4, num_heads=2)
    open_sides = fu.FocalNet((None, None, 3), 4, embed_dim=8, depths=(1,))
    probabilities = fu.FocalNet((16, 16, 3), 4, embed_dim=8, depths=(1,), classifier_activation="softmax")
    for other in (windows, open_sides, probabilities):
        assert not runs_in_page(other)
        with pytest.raises(ValueError, match="cannot run in a page"):
            network_bytes(other)
    with pytest.raises(ValueError, match="2 entries for 4 classes"):
        network_bytes(model, ["a", "b"])
    with pytest.raises(ValueError, match="precision"):
        network_bytes(model, precision="float8")
    with pytest.raises(ValueError, match="no network"):
        read_network(b"these are my notes")


def test_the_script_holds_every_module_once_and_imports_nothing():
    text = script("network.js")
    assert in_order("network.js")[-1] == "network.js"
    assert "\nimport " not in text and "\nexport " not in text
    for path in PAGE.glob("*.js"):
        assert path.name == "worker.js" or "\nexport " in path.read_text("utf-8")


def test_the_worker_stands_in_the_script_as_a_text():
    line = next(line for line in script().split("\n") if line.startswith("const workerText = "))
    assert json.loads(line.removeprefix("const workerText = ").removesuffix(";")) == script("worker.js")
    assert "<" not in line and "onmessage = " in script("worker.js") and "document." not in script("worker.js")


def test_modules_share_no_names_so_that_one_script_can_hold_them():
    declared = r"^(?:async )?(?:function\*?|const|let|class) (?:\{[^}]*\}|(\w+))"
    names = [name for path in PAGE.glob("*.js") for name in re.findall(declared, path.read_text("utf-8"), re.MULTILINE)]
    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []
