"""The article's functions: its design, on symbolic and on real tensors, trained for real."""

import keras
import numpy as np
import pytest
from keras import ops

from focal_utils import article
from focal_utils.machine import jit_here


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def symbolic(*shape):
    return keras.Input(shape[1:])


either = pytest.mark.parametrize("tensor", [random, symbolic])


@either
def test_shapes(tensor):
    x = tensor(2, 9, 6, 8)
    batch = 2 if tensor is random else None
    contexts = article.hierarchical_contextualization(x, 8, levels=4)
    assert [tuple(context.shape) for context in contexts] == [(batch, 9, 6, 8)] * 4
    assert len(article.hierarchical_contextualization(x, 8)) == 3
    assert tuple(article.gated_aggregation(contexts, 8).shape) == (batch, 9, 6, 8)
    assert tuple(article.focal_modulation_layer(x, 16).shape) == (batch, 9, 6, 16)


@either
def test_sizes_that_are_not_known(tensor):
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, article.focal_modulation_layer(inputs, 6))
    assert tuple(model(tensor(2, 5, 9, 4)).shape)[-1] == 6


def test_contexts_are_parallel_and_see_seven_pixels():
    inputs = keras.Input((15, 15, 4))
    model = keras.Model(inputs, article.hierarchical_contextualization(inputs, 4))
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert [conv.kernel_size for conv in convs] == [(3, 3), (5, 5), (7, 7)]
    assert all(conv.use_bias for conv in convs)
    x = random(1, 15, 15, 4)
    moved = np.repeat(x, 15, axis=0)
    moved[np.arange(15), np.arange(15)] += 10  # image i differs from x in row i
    for level, width in enumerate((3, 5, 7)):
        centre, before = (array(model(images)[level])[:, 7, 7] for images in (moved, x))
        assert (np.abs(centre - before).max(-1) > 0).sum() == width


def test_gates_are_a_softmax_of_the_first_context():
    inputs = [keras.Input((5, 5, 4)) for _ in range(3)]
    model = keras.Model(inputs, article.gated_aggregation(inputs, 4))
    (gate,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    gate.set_weights([random(*weight.shape) for weight in gate.weights])
    contexts = [random(2, 5, 5, 4, seed=seed) for seed in range(3)]
    gates = array(gate(contexts[0]))
    np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-6)
    expected = sum(gates[..., [level]] * context for level, context in enumerate(contexts))
    np.testing.assert_allclose(array(model(contexts)), expected, atol=1e-5)
    ones = [np.ones((1, 5, 5, 4), "float32")] * 3
    np.testing.assert_allclose(array(model(ones)), ones[0], atol=1e-6)


def test_the_block_is_a_residual_around_the_layer():
    keras.utils.set_random_seed(0)
    block = article.FocalModulationBlock((8, 8, 6), 6)
    assert isinstance(block, keras.Model) and block.output_shape == (None, 8, 8, 6)
    x = random(2, 8, 8, 6)
    assert np.abs(array(block(x)) - x).max() > 0
    block.set_weights([0 * weight for weight in block.get_weights()])
    np.testing.assert_array_equal(array(block(x)), x)
    with pytest.raises(ValueError, match="filters=8.*6 channels"):
        article.FocalModulationBlock((8, 8, 6), 8)


def colours(count, strength):
    """Noisy images that are red, green or blue, and which: (count, 32, 32, 3) and (count,)."""
    labels = np.arange(count) % 3
    return strength * (0.3 * random(count, 32, 32, 3) + np.eye(3, dtype="float32")[labels][:, None, None]), labels


def test_the_network_learns():
    """At a strength that its three products, unnormalised, neither drown nor blow up."""
    keras.utils.set_random_seed(0)
    model = article.build_focal_net(num_classes=3)
    assert article.build_focal_net().output_shape == (None, 10)
    x, y = colours(6, strength=20)
    np.testing.assert_allclose(array(model(x)).sum(-1), 1, atol=1e-5)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=jit_here())
    losses = [float(model.train_on_batch(x, y)) for _ in range(10)]
    assert losses[-1] < 0.7 * losses[0], losses


def test_the_network_grows_with_the_eighth_power_of_its_input():
    """What the missing norms and residuals do: each layer multiplies what depends on x with what depends on x."""
    keras.utils.set_random_seed(0)
    model = article.build_focal_net()
    features = keras.Model(model.input, model.layers[-2].output)
    weak, strong = (np.abs(array(features(colours(3, strength)[0]))).mean() for strength in (1, 4))
    assert weak < 1e-12
    assert 7 < np.log(strong / weak) / np.log(4) < 9
