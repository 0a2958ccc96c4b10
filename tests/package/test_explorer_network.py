"""The file of a network that the explorer's page reads, and the page's modules as one script."""

import json
import re

import numpy as np
import pytest

import focal_utils as fu
from focal_utils.explorer.bundle import PAGE, in_order, script
from focal_utils.explorer.network import network_bytes, read_network, runs_in_page


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
        assert "\nexport " in path.read_text("utf-8")


def test_modules_share_no_names_so_that_one_script_can_hold_them():
    declared = r"^(?:async )?(?:function\*?|const|let|class) (?:\{[^}]*\}|(\w+))"
    names = [name for path in PAGE.glob("*.js") for name in re.findall(declared, path.read_text("utf-8"), re.MULTILINE)]
    assert len(names) > 100
    assert sorted({name for name in names if names.count(name) > 1}) == []
