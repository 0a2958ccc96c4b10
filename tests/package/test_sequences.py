"""Focal modulation of sequences: equal to that of maps of height 1, and, causal, blind to what comes later."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu

DIM = 8
STEPS = 23
SWITCHES = {
    "paper": {},
    "parallel": {"context": "parallel"},
    "top": {"context": "top"},
    "no global level": {"global_context": False},
    "global level alone": {"focal_level": 0},
    "even kernels": {"focal_window": 2},
    "softmax": {"gating": "softmax", "normalize_modulator": True},
    "norm and sum": {"use_postln_in_modulation": True, "modulate": "add"},
}


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def randomised(layer, shape):
    """A layer with weights that are not small, so that every part of it counts."""
    layer.build(shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0, 0.4, weight.shape) for weight in layer.weights])
    return layer


def layers_alike(kind, **switches):
    """A layer for sequences and one for maps of the same weights: each kernel is the middle row of the map's."""
    maps = randomised(kind(DIM, **switches), (None, None, None, DIM))
    sequences = kind(DIM, sequence="whole", **switches)
    sequences.build((None, None, DIM))
    values = []
    for weight, other in zip(maps.get_weights(), sequences.weights, strict=True):
        values.append(weight[(weight.shape[0] - 1) // 2] if weight.ndim == 4 else weight)
        assert values[-1].shape == tuple(other.shape)
    sequences.set_weights(values)
    return sequences, maps


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("kind", [fu.FocalModulation, fu.FocalBlock], ids=["modulation", "block"])
def test_a_sequence_is_a_map_of_height_1(kind, switches):
    sequences, maps = layers_alike(kind, **switches)
    x = random(2, STEPS, DIM)
    np.testing.assert_allclose(numpy(sequences(x)), numpy(maps(x[:, None]))[:, 0], rtol=1e-4, atol=1e-4)


def test_its_parts_are_those_of_the_map():
    sequences, maps = layers_alike(fu.FocalModulation, focal_level=3)
    x = random(2, STEPS, DIM)
    ours = sequences.parts(x)
    theirs = maps.parts(x[:, None])
    assert [tuple(context.shape) for context in ours.contexts] == [(2, STEPS, DIM)] * 3 + [(2, 1, DIM)]
    shapes = sequences.contextualize.compute_output_shape((2, STEPS, DIM))
    assert shapes == [tuple(context.shape) for context in ours.contexts]
    for one, other in zip(ours.contexts, theirs.contexts, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other)[:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numpy(ours.gates), numpy(theirs.gates)[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
@pytest.mark.parametrize("kind", [fu.FocalModulation, fu.FocalBlock], ids=["modulation", "block"])
def test_causal_no_step_depends_on_a_later_one(kind, switches):
    layer = randomised(kind(DIM, sequence="causal", **switches), (None, None, DIM))
    x = random(2, STEPS, DIM)
    before = numpy(layer(x))
    for step in (0, 7, STEPS - 1):
        changed = x.copy()
        changed[:, step] += 1
        after = numpy(layer(changed))
        np.testing.assert_array_equal(after[:, :step], before[:, :step])
        assert np.abs(after[:, step] - before[:, step]).max() > 1e-3


def test_causal_what_was_said_stays_when_more_comes():
    layer = randomised(fu.FocalModulation(DIM, sequence="causal"), (None, None, DIM))
    x = random(1, STEPS, DIM)
    whole = numpy(layer(x))
    for steps in (1, 4, STEPS):
        np.testing.assert_allclose(numpy(layer(x[:, :steps])), whole[:, :steps], rtol=1e-4, atol=1e-5)


def test_the_whole_sees_both_sides_and_causal_the_past_only():
    for sequence, sides in (("whole", (True, True)), ("causal", (True, False))):
        layer = fu.HierarchicalContext(DIM, focal_level=2, global_context=False, sequence=sequence)
        randomised(layer, (None, None, DIM))
        x = random(1, STEPS, DIM)
        changed = x.copy()
        changed[:, 11] += 1
        seen = np.abs(numpy(layer(changed)[-1]) - numpy(layer(x)[-1])).max(axis=(0, 2)) > 1e-6
        assert (seen[12:].any(), seen[:11].any()) == sides
        assert seen.sum() == layer.receptive_field == 7


def test_the_global_level_is_the_mean_so_far():
    layer = fu.HierarchicalContext(DIM, focal_level=0, sequence="causal")
    x = random(1, STEPS, DIM)
    (context,) = layer(x)
    expected = np.stack([x[:, : step + 1].mean(axis=1) for step in range(STEPS)], axis=1)
    np.testing.assert_allclose(numpy(context), numpy(fu.gelu(ops.convert_to_tensor(expected))), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == [tuple(context.shape)] == [(1, STEPS, DIM)]


def test_a_long_running_mean_holds_in_half_precision():
    layer = fu.HierarchicalContext(1, focal_level=0, sequence="causal", dtype="mixed_bfloat16")
    (context,) = layer(np.ones((1, 5000, 1), "float32"))
    expected = numpy(fu.gelu(ops.ones((1,))))
    np.testing.assert_allclose(numpy(ops.cast(context, "float32"))[0, :, 0], expected[0], rtol=1e-2)


@pytest.mark.parametrize("sequence", ["whole", "causal"])
def test_it_is_saved_and_loaded_and_trains(sequence, tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, DIM))
    x = fu.FocalBlock(DIM, sequence=sequence, layer_scale=0.5, drop_path=0.1)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(fu.FocalModulation(DIM, sequence=sequence)(x)))
    model.compile("adam", "mse")
    x = random(8, STEPS, DIM)
    losses = model.fit(x, np.cumsum(x[..., :1], axis=1), epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "sequence.keras")
    loaded = keras.saving.load_model(tmp_path / "sequence.keras")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
    assert loaded.layers[1].modulation.contextualize.sequence == sequence


def test_its_multiplications_are_counted():
    layer = fu.FocalModulation(DIM, focal_level=2, sequence="causal")
    dense = DIM * (2 * DIM + 3) + 2 * DIM * DIM
    assert fu.count_macs(layer, (STEPS, DIM)) == STEPS * (dense + DIM * (3 + 5))


@pytest.mark.parametrize(
    ("kind", "sequence", "shape", "message"),
    [
        ("FocalModulation", None, (2, STEPS, DIM), 'rank 3.*for sequences, focal modulation takes sequence="whole"'),
        ("FocalModulation", "whole", (2, 4, 4, DIM), "made for sequences.*rank 4.*leave sequence=None"),
        ("FocalBlock", "causal", (2, 4, 4, DIM), "FocalBlock was made for sequences.*rank 4"),
        ("HierarchicalContext", "causal", (2, STEPS, 5), "made for 8 channels, but the last axis.*has 5"),
    ],
)
def test_what_does_not_fit_is_said(kind, sequence, shape, message):
    with pytest.raises(ValueError, match=message):
        getattr(fu, kind)(DIM, sequence=sequence)(random(*shape))


def test_unknown_words_and_networks_of_pictures_are_refused():
    for kind, word in itertools.product((fu.FocalModulation, fu.FocalBlock), ("past", True)):
        with pytest.raises(ValueError, match="sequence=.* is not known: choose one of None, 'whole', 'causal'"):
            kind(DIM, sequence=word)
    with pytest.raises(ValueError, match="Unrecognized argument of FocalNet: sequence"):
        fu.FocalNet((16, 16, 3), sequence="whole")
