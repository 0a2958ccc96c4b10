"""Self-attention is what Keras and timm compute, in the interface of focal modulation."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from focal_utils.attention import SelfAttention, WindowedAttention, relative_positions

FOLDER = Path(__file__).parent / "reference" / "attention"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_timms(name, fused):
    reference = np.load(FOLDER / f"{name}.npz", allow_pickle=False)
    arguments = json.loads(str(reference["case"]))["arguments"]
    layer = (WindowedAttention if "window" in arguments else SelfAttention)(**arguments, fused=fused)
    layer.build(reference["input"].shape)
    for part in ("qkv", "proj"):
        weights = [reference[f"weights/{part}.weight"].T, reference[f"weights/{part}.bias"]]
        getattr(layer, part).set_weights(weights)
    if "window" in arguments:
        layer.table.assign(reference["weights/relative_position_bias_table"])
    np.testing.assert_allclose(numpy(layer(reference["input"])), reference["output"], atol=1e-5)


def test_outputs_equal_keras():
    layer, x = SelfAttention(8, num_heads=2), random(2, 3, 5, 8)
    layer.build(x.shape)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    tokens = x.reshape(2, 15, 8)
    theirs.build(tokens.shape, tokens.shape)
    kernel, bias = (numpy(weight) for weight in (layer.qkv.kernel, layer.qkv.bias + 0.1))
    layer.qkv.bias.assign(bias)
    parts = [part for i in range(3) for part in (kernel[:, 8 * i : 8 * i + 8].reshape(8, 2, 4), bias[:8].reshape(2, 4))]
    theirs.set_weights([*parts, numpy(layer.proj.kernel).reshape(2, 4, 8), numpy(layer.proj.bias)])
    expected = numpy(theirs(tokens, tokens)).reshape(x.shape)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-6)


def test_who_sees_whom():
    """What each pixel can see: the gradient of one output pixel is zero outside its window, shifted or not."""
    x = random(1, 8, 8, 4)
    for shift, seen in ((False, (slice(0, 4), slice(0, 4))), (True, (slice(2, 6), slice(2, 6)))):
        layer = WindowedAttention(4, num_heads=1, window=4, shift=shift)
        before = numpy(layer(x))[0, 3, 3]
        matters = np.zeros((8, 8), bool)
        for row in range(8):
            for column in range(8):
                changed = x.copy()
                changed[0, row, column] += 10 * random(4, seed=1)
                matters[row, column] = np.abs(numpy(layer(changed))[0, 3, 3] - before).max() > 1e-6
        expected = np.zeros((8, 8), bool)
        expected[seen] = True
        assert np.array_equal(matters, expected)


def test_a_shift_does_not_wrap_around():
    layer, x = WindowedAttention(4, num_heads=1, window=4, shift=True), random(1, 8, 8, 4)
    changed = x.copy()
    changed[0, 7, 7] += 10
    difference = np.abs(numpy(layer(changed)) - numpy(layer(x)))[0].max(axis=-1)
    assert difference[0, 0] < 1e-6 and difference[6, 6] > 1e-6


@pytest.mark.parametrize("size", [(3, 3), (5, 9), (8, 4)])
@pytest.mark.parametrize("shift", [False, True])
def test_any_size_gives_a_map_of_the_same_size(size, shift):
    layer = WindowedAttention(8, window=4, shift=shift)
    x = random(2, *size, 8)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == x.shape


def test_relative_positions_number_each_difference_once():
    index = relative_positions(3)
    assert index.shape == (9, 9) and index[0, 0] == index[4, 4] == 12 and set(index.ravel()) == set(range(25))
    assert index[0, 8] == 0 and index[8, 0] == 24


@pytest.mark.parametrize("layer", [SelfAttention, WindowedAttention])
def test_it_saves_and_loads(layer, tmp_path):
    inputs = keras.Input((6, 8, 8))
    model = keras.Model(inputs, layer(8, num_heads=2)(inputs))
    model.save(tmp_path / "attention.keras")
    loaded = keras.saving.load_model(tmp_path / "attention.keras")
    np.testing.assert_array_equal(numpy(model(random(1, 6, 8, 8))), numpy(loaded(random(1, 6, 8, 8))))


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="num_heads=3 does not divide dim=8"):
        SelfAttention(8, num_heads=3)
    with pytest.raises(ValueError, match="window=0: a whole number of at least 1"):
        WindowedAttention(8, window=0)
    with pytest.raises(ValueError, match="SelfAttention was made for 8 channels, but the last axis"):
        SelfAttention(8)(random(1, 4, 4, 6))
    with pytest.raises(ValueError, match="known height and width"):
        WindowedAttention(8)(keras.Input((None, 8, 8)))
