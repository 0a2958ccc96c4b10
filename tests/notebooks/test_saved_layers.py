"""The layer that notebook 08 puts into a stock ViT can be saved in it, loaded, cloned and pickled."""

import pickle

import keras
import nbformat
import numpy as np
import pytest

import focal_utils as fu
from parts.files import ROOT

NOTEBOOK = ROOT / "notebooks" / "08_focal_vs_self_attention.ipynb"


@pytest.fixture(scope="module")
def page():
    """What the cells define that make the layer and the ViT."""
    names = {"fu": fu, "keras": keras, "layers": keras.layers, "ops": keras.ops}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code" and ("class FocalOnTokens" in cell.source or "def vit(" in cell.source):
            exec(cell.source, names)
    return names


def loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def one_layer(page):
    tokens = keras.Input((16, 8))
    return keras.Model(tokens, page["FocalOnTokens"](8)(tokens, tokens)), (2, 16, 8)


def in_mixed_precision(page):
    tokens = keras.Input((16, 8))
    return keras.Model(tokens, page["FocalOnTokens"](8, dtype="mixed_bfloat16")(tokens, tokens)), (2, 16, 8)


def small_vit(page):
    return page["vit"](lambda: page["FocalOnTokens"](8), dim=8, depth=2), (2, 32, 32, 3)


@pytest.mark.parametrize("network", [one_layer, in_mixed_precision, small_vit])
def test_it_is_loaded_as_it_was_saved(network, page, tmp_path):
    model, shape = network(page)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    for other in (loaded(model, tmp_path), pickle.loads(pickle.dumps(model))):
        assert [weight.dtype for weight in other.weights] == [weight.dtype for weight in model.weights]
        assert other.layers[-1].compute_dtype == model.layers[-1].compute_dtype
        np.testing.assert_array_equal(
            *(keras.ops.convert_to_numpy(keras.ops.cast(each(x), "float32")) for each in (model, other))
        )
    assert keras.models.clone_model(model).count_params() == model.count_params()


def test_what_is_frozen_in_it_stays_frozen(page, tmp_path):
    model, _ = one_layer(page)
    model.layers[-1].trainable = False
    assert not loaded(model, tmp_path).trainable_weights
