"""Self-attention is what Keras and timm compute, in the interface of focal modulation."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.layers import SelfAttention, WindowedAttention, relative_positions

FOLDER = Path(__file__).parents[1] / "reference" / "attention"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz") if not path.stem.startswith("block"))
BLOCKS = sorted(path.stem for path in FOLDER.glob("block*.npz"))


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor))


def load_attention(layer, reference, prefix):
    """timm's weights into an attention layer."""
    for part in ("qkv", "proj"):
        load_dense(getattr(layer, part), reference, f"{prefix}{part}")
    if isinstance(layer, WindowedAttention):
        layer.table.assign(reference[f"{prefix}relative_position_bias_table"])


def load_dense(layer, reference, name):
    layer.set_weights([reference[f"{name}.weight"].T, reference[f"{name}.bias"]])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_timms(name, fused):
    reference = np.load(FOLDER / f"{name}.npz", allow_pickle=False)
    arguments = json.loads(str(reference["case"]))["arguments"]
    layer = (WindowedAttention if "window" in arguments else SelfAttention)(**arguments, fused=fused)
    layer.build(reference["input"].shape)
    load_attention(layer, reference, "weights/")
    np.testing.assert_allclose(numpy(layer(reference["input"])), reference["output"], atol=1e-5)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_equal_timms(name):
    reference = np.load(FOLDER / f"{name}.npz", allow_pickle=False)
    block = fu.FocalBlock(**json.loads(str(reference["case"]))["arguments"])
    block.build(reference["input"].shape)
    load_attention(block.modulation, reference, "weights/attn.")
    for part in ("norm1", "norm2"):
        getattr(block, part).set_weights([reference[f"weights/{part}.{kind}"] for kind in ("weight", "bias")])
    for part in ("fc1", "fc2"):
        load_dense(getattr(block.mlp, part), reference, f"weights/mlp.{part}")
    np.testing.assert_allclose(numpy(block(reference["input"])), reference["output"], atol=1e-5)


def test_one_word_makes_another_network():
    """Parameters and operations of known networks: timm's deit_tiny_patch16_224, and Swin-T but for its norms."""
    vit = {"mixer": "attention"}
    assert fu.count_parameters("tiny_iso_16", **vit) == 5_717_416
    tokens = 14**2
    dim = 192
    depth = 12
    mixing = depth * 2 * tokens**2 * dim
    assert fu.count_macs("tiny_iso_16", **vit) == tokens * dim * (3 * 16**2 + depth * 12 * dim) + mixing + 1000 * dim
    swin = {"mixer": "window", "window": 7}
    assert fu.count_parameters("tiny_srf", **swin) == pytest.approx(28_288_354, rel=1e-3)
    assert fu.count_macs("tiny_srf", **swin) == pytest.approx(4.49e9, rel=2e-3)


@pytest.mark.parametrize("mixer", ["attention", "window"])
@pytest.mark.parametrize("depths", [(3,), (1, 2, 2)])
def test_networks_of_attention_save_and_load(mixer, depths, tmp_path):
    model = fu.FocalNet((32, 24, 3), 5, embed_dim=8, depths=depths, patch_size=2, mixer=mixer)
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    x = random(2, 32, 24, 3)
    assert model(x).shape == (2, 5)
    np.testing.assert_array_equal(numpy(model(x)), numpy(loaded(x)))
    shifts = [getattr(layer.modulation, "shift", None) for layer in model.layers if isinstance(layer, fu.FocalBlock)]
    expected = [index % 2 == 1 for depth in depths for index in range(depth)]
    assert shifts == (expected if mixer == "window" else [None] * sum(depths))


def test_global_attention_knows_positions():
    """Patches in another order give another answer; without positions, attention and a mean could not tell."""
    model = fu.FocalNet((8, 8, 3), 4, embed_dim=8, depths=(2,), patch_size=4, mixer="attention")
    positions = model.get_layer("stem").positions
    x = random(1, 8, 8, 3)
    swapped = np.concatenate([x[:, 4:], x[:, :4]], axis=1)
    assert positions.shape == (1, 2, 2, 8) and np.abs(numpy(model(x)) - numpy(model(swapped))).max() > 1e-6
    positions.assign(np.zeros(positions.shape, "float32"))
    np.testing.assert_allclose(numpy(model(x)), numpy(model(swapped)), atol=1e-6)


def test_outputs_equal_keras():
    layer = SelfAttention(8, num_heads=2)
    x = random(2, 3, 5, 8)
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
    layer = WindowedAttention(4, num_heads=1, window=4, shift=True)
    x = random(1, 8, 8, 4)
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
    with pytest.raises(ValueError, match="mixer='swin' is not known: choose one of 'focal', 'attention', 'window'"):
        fu.FocalBlock(8, mixer="swin")
    with pytest.raises(ValueError, match="positions=True needs images of a known height and width"):
        fu.FocalNet((None, 32, 3), 4, embed_dim=8, depths=(1,), mixer="attention")
    with pytest.raises(ValueError, match="has no FocalBlock with focal modulation"):
        fu.trace(fu.FocalNet((8, 8, 3), 4, embed_dim=8, depths=(1,), mixer="attention"), random(1, 8, 8, 3))
