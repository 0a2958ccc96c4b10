"""Outputs equal those of timm and transformers, frozen in tests/reference/ by tools/make_reference.py."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from focal_utils.layers import FocalBlock, FocalModulation
from focal_utils.models import FocalNet

FOLDER = Path(__file__).parents[1] / "reference"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))
TOLERANCE = 1e-5
BUILDERS = {"module": FocalModulation, "block": FocalBlock, "network": FocalNet}


def after(match):
    """The downsampling that ends transformers' stage i begins ours i + 1."""
    return f"stage{int(match[1]) + 1}_downsample/"


def level(match):
    return f"contextualize/level_{int(match[1]) + 1}/kernel"


COMMON = [
    (r"focal_layers\.(\d+)\.0\.weight", level),
    (r"modulation\.", "modulation/"),
    (r"mlp\.", "mlp/"),
    (r"(?<=norm)\.weight$|(?<=norm\d)\.weight$", "/gamma"),
    (r"(?<=norm)\.bias$|(?<=norm\d)\.bias$", "/beta"),
    (r"\.weight$", "/kernel"),
    (r"\.bias$", "/bias"),
]
NAMES = {
    "timm": [
        (r"^stem\.", "stem/"),
        (r"^layers\.(\d+)\.downsample\.", r"stage\1_downsample/"),
        (r"^layers\.(\d+)\.blocks\.(\d+)\.", r"stage\1_block\2/"),
        (r"(norm\d)_post", r"\1"),
        (r"ls(\d)\.gamma", r"scale\1/gamma"),
        (r"^head\.fc", "head"),
        *COMMON,
    ],
    "transformers": [
        (r"^focalnet\.", ""),
        (r"^embeddings\.patch_embeddings\.projection", "stem/proj"),
        (r"^embeddings\.norm", "stem/norm"),
        (r"^encoder\.stages\.(\d+)\.downsample\.", after),
        (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stage\1_block\2/"),
        (r"gamma_(\d)", r"scale\1/gamma"),
        (r"projection_in", "f"),
        (r"projection_context", "h"),
        (r"projection_out|projection", "proj"),
        (r"layernorm", "norm"),
        (r"^classifier", "head"),
        *COMMON,
    ],
}


def our_name(peer, name):
    for pattern, replacement in NAMES[peer]:
        name = re.sub(pattern, replacement, name)
    return name


def our_layout(name, value, shape):
    """PyTorch's (out, in, …) as Keras has it: Dense (in, out), Conv2D (k, k, in, out), DepthwiseConv2D (k, k, C, 1)."""
    if value.ndim == 4 and len(shape) == 2:
        value = value[:, :, 0, 0]
    if value.ndim == 4:
        return value.transpose(2, 3, 0, 1) if "level_" in name else value.transpose(2, 3, 1, 0)
    return value.T


def set_weights(layer, peer, tensors):
    """Give every weight of `layer` the peer's tensor: each tensor used once, each weight set once."""
    prefix = "" if isinstance(layer, keras.Model) else f"{layer.name}/"
    ours = {variable.path.removeprefix(prefix): variable for variable in layer.weights}
    theirs = {our_name(peer, name): value for name, value in tensors.items()}
    assert len(ours) == len(layer.weights) and len(theirs) == len(tensors), "two weights of one name"
    assert set(ours) == set(theirs)
    for name, variable in ours.items():
        value = our_layout(name, theirs[name], variable.shape)
        assert value.shape == tuple(variable.shape), name
        variable.assign(value)


def deviation(result, expected):
    """Largest difference, relative to the largest value expected."""
    assert tuple(result.shape) == expected.shape
    return np.abs(keras.ops.convert_to_numpy(result) - expected).max() / np.abs(expected).max()


def test_references_cover_what_they_should():
    found = {tuple(name.split("_")[:2]) for name in CASES}
    assert found == {(peer, kind) for peer in NAMES for kind in BUILDERS}
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 3_000_000


@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_reference(name, record_property):
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    case = json.loads(str(arrays["case"]))
    tensors = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    layer = BUILDERS[case["kind"]](**case["arguments"])
    if case["kind"] != "network":
        layer.build(arrays["input"].shape)
    set_weights(layer, case["peer"], tensors)

    if case["kind"] == "network":
        layer = keras.Model(layer.input, {"features": layer.get_layer("norm").output, "output": layer.output})
        results = layer(arrays["input"])
    else:
        results = {"output": layer(arrays["input"])}
    figures = {what: deviation(result, arrays[what]) for what, result in results.items()}
    for what, figure in figures.items():
        record_property(what, float(figure))
        print(f"{name} {what}: max |Δ| = {figure:.1e} of the largest value")
    assert max(figures.values()) <= TOLERANCE
