"""Focal modulation and its three steps: shapes, switches, errors, precision, gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from focal_utils.layers import FocalModulation, FocalParts, GatedAggregation, HierarchicalContext, dense, gelu
from tests.conftest import DOUBLE

SWITCHES = {
    "paper": {},
    "no_levels": {"focal_level": 0},
    "one_level": {"focal_level": 1, "focal_window": 5},
    "wide": {"focal_level": 3, "focal_window": 5, "focal_factor": 4},
    "normed": {"use_postln_in_modulation": True, "normalize_modulator": True, "dropout": 0.2},
    "parallel": {"context": "parallel"},
    "softmax": {"gating": "softmax"},
    "ungated": {"gating": "none"},
    "local": {"global_context": False},
    "additive": {"modulate": "add"},
}
each_switch = pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomised(layer, shape):
    """`layer`, built, with random values for all weights."""
    layer.build(shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) * 0.5 for weight in layer.weights])
    return layer


def reach(layer, size=31, dim=3):
    """Width of what the centre pixel of the last focal level sees, measured: which pixels change it?"""
    layer = randomised(layer, (1, size, size, dim))
    x = random(1, size, size, dim)
    middle = size // 2
    rows = np.repeat(x, size, axis=0)
    rows[np.arange(size), np.arange(size)] += 10  # image i differs from x in row i
    level = layer.focal_level - 1
    centre = ops.convert_to_numpy(layer(rows)[level])[:, middle, middle]
    return int((np.abs(centre - ops.convert_to_numpy(layer(x)[level])[0, middle, middle]).max(-1) > 0).sum())


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (6, 4)])
def test_pixel_dense_is_dense(shape):
    pixels = dense(7, activation=gelu)
    plain = keras.layers.Dense(7, activation=gelu)
    x = random(*shape)
    assert pixels(x).shape == pixels.compute_output_shape(shape) == (*shape[:-1], 7)
    plain.build(shape)
    plain.set_weights(pixels.get_weights())
    np.testing.assert_allclose(pixels(x), plain(x), atol=1e-6)
    inputs = keras.Input((None, None, 4))
    network = keras.Model(inputs, pixels(inputs))
    assert network.output_shape == (None, None, None, 7)
    np.testing.assert_allclose(network(random(1, 2, 9, 4)), plain(random(1, 2, 9, 4)), atol=1e-6)


def test_gelu_is_exact():
    x = ops.linspace(-6.0, 6.0, 101)
    np.testing.assert_allclose(gelu(x), ops.gelu(x, approximate=False), atol=1e-6)
    assert np.abs(ops.convert_to_numpy(gelu(x) - ops.gelu(x, approximate=True))).max() > 1e-4


@each_switch
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (16, 5)])
def test_any_size_keeps_its_shape(switches, size):
    layer = FocalModulation(6, **switches)
    y = layer(random(2, *size, 6))
    assert tuple(y.shape) == layer.compute_output_shape((2, *size, 6)) == (2, *size, 6)
    assert np.isfinite(y).all()


@each_switch
def test_symbolic_sizes(switches):
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, FocalModulation(6, **switches)(inputs))
    assert model.output_shape == (None, None, None, 6)
    assert tuple(model(random(1, 5, 9, 6)).shape) == (1, 5, 9, 6)


@each_switch
def test_parts_are_what_the_layer_uses(switches):
    layer = randomised(FocalModulation(6, **switches), (2, 5, 4, 6))
    x = random(2, 5, 4, 6)
    parts = layer.parts(x)
    assert isinstance(parts, FocalParts)
    levels = layer.config["focal_level"] + layer.config["global_context"]
    assert tuple(parts.query.shape) == tuple(parts.modulator.shape) == (2, 5, 4, 6)
    assert tuple(parts.gates.shape) == (2, 5, 4, levels) and len(parts.contexts) == levels
    combine = np.add if switches.get("modulate") == "add" else np.multiply
    y = layer.proj(layer.norm(combine(parts.query, parts.modulator)))
    np.testing.assert_allclose(layer(x), y, rtol=1e-5, atol=1e-5)


@each_switch
def test_configuration_round_trip(switches):
    layer = randomised(FocalModulation(6, name="mine", **switches), (1, 5, 5, 6))
    twin = FocalModulation.from_config(layer.get_config())
    twin.build((1, 5, 5, 6))
    twin.set_weights(layer.get_weights())
    assert twin.get_config() == layer.get_config() and twin.name == "mine"
    np.testing.assert_array_equal(twin(random(1, 5, 5, 6)), layer(random(1, 5, 5, 6)))


@each_switch
def test_every_weight_matters(switches):
    """The output depends on each weight, so that a gradient reaches it."""
    layer = randomised(FocalModulation(4, **switches), (2, 6, 7, 4))
    x = random(2, 6, 7, 4)
    expected = ops.convert_to_numpy(layer(x))
    for weight in layer.weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + random(*value.shape, seed=2))
        assert np.abs(layer(x) - expected).max() > 1e-4, weight.path
        weight.assign(value)


def test_without_gating_the_gates_are_not_used():
    layer = randomised(FocalModulation(4, gating="none"), (2, 6, 7, 4))
    expected = ops.convert_to_numpy(layer(random(2, 6, 7, 4)))
    bias = ops.convert_to_numpy(layer.f.bias)
    layer.f.bias.assign(bias + np.repeat([0, 1], [8, 3]))
    np.testing.assert_array_equal(layer(random(2, 6, 7, 4)), expected)


@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({"focal_level": 1}, 3),
        ({"focal_level": 2}, 7),
        ({"focal_level": 3}, 13),
        ({"focal_level": 4}, 21),
        ({"focal_level": 3, "focal_window": 5}, 19),
        ({"focal_level": 2, "focal_factor": 4}, 9),
        ({"focal_level": 3, "context": "parallel"}, 7),
        ({"focal_level": 1, "focal_window": 1}, 1),
    ],
)
def test_receptive_field_by_formula_and_by_measurement(arguments, width):
    layer = HierarchicalContext(3, global_context=False, **arguments)
    assert layer.receptive_field == width
    assert reach(layer) == width


def test_the_global_context_is_the_mean_of_the_last_level():
    layer = randomised(HierarchicalContext(3, focal_level=2), (2, 9, 5, 3))
    first, second, everywhere = layer(random(2, 9, 5, 3))
    assert tuple(everywhere.shape) == (2, 1, 1, 3)
    np.testing.assert_allclose(everywhere[:, 0, 0], gelu(ops.mean(second, axis=(1, 2))), atol=1e-6)
    (alone,) = HierarchicalContext(3, focal_level=0)(random(2, 9, 5, 3))
    np.testing.assert_allclose(alone[:, 0, 0], gelu(ops.mean(random(2, 9, 5, 3), axis=(1, 2))), atol=1e-6)


def alike(layer, context):
    """The same three-channel layer with another way of making contexts."""
    other = HierarchicalContext(3, layer.focal_level, context=context)
    other.build((1, 9, 9, 3))
    other.set_weights(layer.get_weights())
    return other


def test_levels_read_the_level_before_or_the_input():
    x = random(1, 9, 9, 3)
    stacked = randomised(HierarchicalContext(3, 2), (1, 9, 9, 3))
    parallel = alike(stacked, "parallel")
    np.testing.assert_array_equal(stacked(x)[0], parallel(x)[0])
    np.testing.assert_allclose(parallel(x)[1], gelu(parallel.convs[1](x)), atol=1e-6)
    np.testing.assert_allclose(stacked(x)[1], gelu(stacked.convs[1](stacked(x)[0])), atol=1e-6)


def test_the_top_alone_is_the_last_level_and_has_one_gate():
    x = random(1, 9, 9, 3)
    whole = randomised(HierarchicalContext(3, 3), (1, 9, 9, 3))
    top = alike(whole, "top")
    (context,) = top(x)
    np.testing.assert_array_equal(context, whole(x)[2])
    assert top.context_count == 1 and whole.context_count == 4 and top.receptive_field == whole.receptive_field == 13
    parts = FocalModulation(3, 3, context="top").parts(x)
    assert parts.gates.shape == (1, 9, 9, 1) and len(parts.contexts) == 1
    with pytest.raises(ValueError, match='focal_level=0 with context="top" leaves no context'):
        FocalModulation(3, 0, context="top")


def test_context_shapes_are_told_before_they_are_computed():
    inputs = keras.Input((None, 8, 3))
    contexts = HierarchicalContext(3, 2)(inputs)
    assert [tuple(context.shape) for context in contexts] == [(None, None, 8, 3)] * 2 + [(None, 1, 1, 3)]
    gates = keras.Input((None, 8, 3))
    assert tuple(GatedAggregation()(contexts, gates).shape) == (None, None, 8, 3)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("gating", ["linear", "softmax", "none"])
def test_aggregation_is_the_weighted_sum(gating, normalize):
    layer = GatedAggregation(gating, normalize_modulator=normalize)
    contexts = [random(2, 4, 5, 3), random(2, 4, 5, 3, seed=1), random(2, 1, 1, 3, seed=2)]
    logits = random(2, 4, 5, 3)
    gates = ops.convert_to_numpy(layer.gates(logits))
    if gating == "linear":
        np.testing.assert_array_equal(gates, logits)
    elif gating == "softmax":
        np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-6)
        assert gates.min() > 0
    else:
        np.testing.assert_array_equal(gates, 1)
    expected = sum(gates[..., [i]] * context for i, context in enumerate(contexts)) / (3 if normalize else 1)
    np.testing.assert_allclose(layer(contexts, gates), expected, atol=1e-6)


def test_softmax_gates_sum_to_one_and_linear_ones_do_not():
    x = random(2, 5, 5, 6)
    for gating, one in (("softmax", True), ("linear", False)):
        total = ops.convert_to_numpy(randomised(FocalModulation(6, gating=gating), x.shape).parts(x).gates).sum(-1)
        assert np.allclose(total, 1, atol=1e-6) is one


def test_dropout_acts_in_training_only():
    layer = FocalModulation(6, dropout=0.5)
    x = random(2, 5, 5, 6)
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    assert (ops.convert_to_numpy(layer(x, training=True)) == 0).mean() > 0.3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", DOUBLE])
@pytest.mark.parametrize("switches", [SWITCHES["paper"], SWITCHES["normed"]], ids=["paper", "normed"])
def test_precision(policy, switches):
    single = randomised(FocalModulation(8, **switches), (2, 6, 6, 8))
    other = FocalModulation(8, dtype=policy, **switches)
    other.build((2, 6, 6, 8))
    other.set_weights(single.get_weights())
    x = random(2, 6, 6, 8)
    y = other(x)
    expected = ops.convert_to_numpy(single(x))
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    tolerance = {"mixed_float16": 5e-3, "mixed_bfloat16": 5e-2, "float64": 1e-6}[policy]
    difference = np.abs(ops.convert_to_numpy(ops.cast(y, "float64")) - expected).max()
    assert 0 < difference <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim=0"),
        ({"dim": 4.0}, "dim=4.0"),
        ({"dim": 4, "focal_level": -1}, "focal_level=-1"),
        ({"dim": 4, "focal_level": True}, "focal_level=True"),
        ({"dim": 4, "focal_window": 0}, "focal_window=0"),
        ({"dim": 4, "focal_factor": -2}, "focal_factor=-2"),
        ({"dim": 4, "context": "stacked"}, "context='stacked'.*'hierarchical', 'parallel'"),
        ({"dim": 4, "gating": "sigmoid"}, "gating='sigmoid'.*'linear', 'softmax', 'none'"),
        ({"dim": 4, "modulate": "mul"}, "modulate='mul'.*'multiply', 'add'"),
        ({"dim": 4, "focal_level": 0, "global_context": False}, "no context"),
        ({"dim": 4, "levels": 2}, "levels"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        FocalModulation(**arguments)


@pytest.mark.parametrize("make", [FocalModulation, HierarchicalContext])
def test_inputs_that_do_not_fit(make):
    with pytest.raises(ValueError, match=r"rank 3.*reshape to \(batch, height, width, channels\)"):
        make(4)(random(2, 16, 4))
    with pytest.raises(ValueError, match=r"made for 4 channels.*has 5.*dim=5"):
        make(4)(random(2, 8, 8, 5))
    built = make(4)
    built(random(2, 8, 8, 4))
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=3"):
        built(random(2, 16, 4))
    with pytest.raises(ValueError, match="to have value 4, but received input with shape"):
        built(random(2, 8, 8, 5))


def test_gates_that_do_not_fit():
    with pytest.raises(ValueError, match="2 gates for 3 contexts.*global average"):
        GatedAggregation()([random(1, 4, 4, 2)] * 3, random(1, 4, 4, 2))
