"""The article's functions, fact by fact: its design, on symbolic and on real tensors, trained for real."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils import article


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def symbolic(*shape):
    return keras.Input(shape[1:])


def of_kind(model, kind):
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def kinds(model):
    """How many layers of each kind, the input apart."""
    names = [type(layer).__name__ for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return {name: names.count(name) for name in sorted(set(names))}


def by_kernel(convs):
    """Convolutions in the order of their kernels' sizes."""
    return sorted(convs, key=lambda conv: conv.kernel_size)


def sources(tensor):
    """What made a symbolic tensor, and the tensors that went in."""
    operation, node, _ = tensor._keras_history
    return operation, operation._inbound_nodes[node].input_tensors


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


def test_signatures():
    """Names, order and defaults of the arguments."""
    signatures = {
        "hierarchical_contextualization": "(x, filters, levels=3)",
        "gated_aggregation": "(contexts, filters)",
        "focal_modulation_layer": "(x, filters)",
        "FocalModulationBlock": "(input_shape, filters)",
        "build_focal_net": "(num_classes=10)",
    }
    assert {name: str(inspect.signature(getattr(article, name))) for name in signatures} == signatures


def test_what_broke_on_keras_3():
    """The reason for `keras.ops` here: TensorFlow's functions refuse symbolic tensors."""
    tensorflow = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="KerasTensor cannot be used as input to a TensorFlow function"):
        tensorflow.stack(article.hierarchical_contextualization(keras.Input((8, 8, 4)), 4), axis=-1)


# Step 1: hierarchical contextualization


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


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_each_context_is_a_depthwise_convolution_of_x(levels):
    x = keras.Input((9, 9, 4))
    contexts = article.hierarchical_contextualization(x, 4, levels)
    assert len(contexts) == levels  # and no global one besides
    for level, context in enumerate(contexts):
        conv, read = sources(context)
        assert isinstance(conv, keras.layers.DepthwiseConv2D)
        assert read == [x]
        assert conv.kernel_size == (3 + 2 * level,) * 2
        assert (conv.padding, conv.strides, conv.depth_multiplier, conv.use_bias) == ("same", (1, 1), 1, True)
        assert conv.activation is keras.activations.gelu


@pytest.mark.parametrize("filters", [1, 4, 99])
def test_two_functions_do_not_use_filters(filters):
    x = keras.Input((9, 9, 4))
    contexts = article.hierarchical_contextualization(x, filters)
    assert [context.shape[-1] for context in contexts] == [4] * 3
    assert article.gated_aggregation(contexts, filters).shape[-1] == 4


# Step 2: gated aggregation


def test_gates_are_a_softmax_of_the_first_context():
    inputs = [keras.Input((5, 5, 4)) for _ in range(3)]
    model = keras.Model(inputs, article.gated_aggregation(inputs, 4))
    (gate,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    gate.set_weights([random(*weight.shape) for weight in gate.weights])
    contexts = [random(2, 5, 5, 4, seed=seed) for seed in range(3)]
    gates = array(ops.softmax(gate(contexts[0]), axis=-1))
    np.testing.assert_allclose(gates.sum(-1), 1, atol=1e-6)
    expected = sum(gates[..., [level]] * context for level, context in enumerate(contexts))
    np.testing.assert_allclose(array(model(contexts)), expected, atol=1e-5)
    ones = [np.ones((1, 5, 5, 4), "float32")] * 3
    np.testing.assert_allclose(array(model(ones)), ones[0], atol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_the_gates_are_one_plain_convolution_of_one_pixel(levels):
    inputs = [keras.Input((5, 5, 4)) for _ in range(levels)]
    model = keras.Model(inputs, article.gated_aggregation(inputs, 4))
    (gate,) = [layer for layer in model.layers if layer.weights]
    assert isinstance(gate, keras.layers.Conv2D)
    assert (gate.filters, gate.kernel_size, gate.use_bias) == (levels, (1, 1), True)
    assert gate.activation is keras.activations.linear  # logits: the softmax comes after it
    assert gate.input is inputs[0]


# Step 3: modulation


@pytest.mark.parametrize("filters", [8, 5, 1])
def test_the_layer_is_query_times_modulator(filters):
    """No projection before the contexts, none of the product; `filters` may differ from the channels of x."""
    x = keras.Input((6, 6, 8))
    model = keras.Model(x, article.focal_modulation_layer(x, filters))
    assert model.output_shape == (None, 6, 6, filters)
    assert kinds(model) == {"Conv2D": 1, "Dense": 2, "DepthwiseConv2D": 3}
    dense = of_kind(model, "Dense")
    assert all(layer.units == filters and layer.use_bias for layer in dense)
    assert all(layer.activation is keras.activations.linear for layer in dense)
    assert all(conv.input is x for conv in of_kind(model, "DepthwiseConv2D"))

    product, (query, modulator) = sources(model.output)
    assert type(product).__name__ == "Multiply"
    from_x, before_query = sources(query)
    from_contexts, gathered = sources(modulator)
    assert {from_x, from_contexts} == set(dense)
    assert before_query == [x]
    gate = of_kind(model, "Conv2D")[0]
    assert gathered[0] is not gate.output and gathered[0].shape == (None, 6, 6, 8)

    model.set_weights([random(*weight.shape, seed=seed) for seed, weight in enumerate(model.weights)])
    pixels = random(2, 6, 6, 8)
    contexts = [array(conv(pixels)) for conv in by_kernel(of_kind(model, "DepthwiseConv2D"))]
    gates = array(ops.softmax(gate(contexts[0]), axis=-1))
    mean = sum(gates[..., [level]] * context for level, context in enumerate(contexts))
    np.testing.assert_allclose(array(model(pixels)), array(from_x(pixels)) * array(from_contexts(mean)), rtol=1e-3)


# Step 4: the block


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


def test_the_block_of_the_example():
    """`FocalModulationBlock((224, 224, 64), 64)` and its summary: norm, modulation, sum, and no MLP."""
    block = article.FocalModulationBlock((224, 224, 64), 64)
    assert block.name == "focal_mod_block"
    assert block.input_shape == block.output_shape == (None, 224, 224, 64)
    lines = []
    block.summary(print_fn=lines.append)
    assert "focal_mod_block" in "".join(lines)
    assert kinds(block) == {"Add": 1, "Conv2D": 1, "Dense": 2, "DepthwiseConv2D": 3, "LayerNormalization": 1}
    (norm,) = of_kind(block, "LayerNormalization")
    assert norm.input is block.input and norm.epsilon == 1e-3
    assert all(conv.input is norm.output for conv in of_kind(block, "DepthwiseConv2D"))
    last, (before, modulated) = sources(block.output)
    assert isinstance(last, keras.layers.Add)
    assert before is block.input
    assert type(sources(modulated)[0]).__name__ == "Multiply"
    assert block.count_params() == modulation_parameters(64, 64) + 2 * 64


@pytest.mark.parametrize(("channels", "filters"), [(1, 4), (4, 1)])
def test_one_channel_is_added_to_many_as_in_the_article(channels, filters):
    """Keras' `Add` spreads it, so it is not refused."""
    assert article.FocalModulationBlock((8, 8, channels), filters).output_shape == (None, 8, 8, 4)


def test_a_second_block_in_one_model_has_the_same_name():
    """The article gives every block one name, and Keras wants each name once: a second block needs another wrapping."""
    x = keras.Input((8, 8, 4))
    blocks = [article.FocalModulationBlock((8, 8, 4), 4) for _ in range(2)]
    with pytest.raises(ValueError, match="focal_mod_block.*used 2 times"):
        keras.Model(x, blocks[1](blocks[0](x)))
    blocks = [keras.Model(block.input, block.output) for block in blocks]
    assert keras.Model(x, blocks[1](blocks[0](x))).output_shape == (None, 8, 8, 4)


# Step 5: the network


def modulation_parameters(channels, filters):
    """Weights of one `focal_modulation_layer`: three kernels, three gates, query and modulator, all with biases."""
    kernels = sum(channels * (size**2 + 1) for size in (3, 5, 7))
    gates = 3 * (channels + 1)
    return kernels + gates + 2 * filters * (channels + 1)


@pytest.fixture(scope="module")
def network():
    return article.build_focal_net()


def test_the_network_layer_by_layer(network):
    """From the last layer back to the first: nothing between them but what the article has."""
    head, (features,) = sources(network.output)
    assert (head.units, head.activation) == (10, keras.activations.softmax)
    pool, (x,) = sources(features)
    assert isinstance(pool, keras.layers.GlobalAveragePooling2D)
    for _ in range(3):
        norm, (product,) = sources(x)
        assert isinstance(norm, keras.layers.LayerNormalization)  # behind the modulation
        assert x.shape == product.shape == (None, 112, 112, 64)
        multiply, (query, _) = sources(product)
        assert type(multiply).__name__ == "Multiply"
        dense, (x,) = sources(query)
        assert dense.units == 64
    stem, (images,) = sources(x)
    assert isinstance(stem, keras.layers.Conv2D)
    assert (stem.filters, stem.kernel_size, stem.strides, stem.padding) == (64, (7, 7), (2, 2), "same")
    assert images is network.input and images.shape == (None, 224, 224, 3)


def test_what_the_network_has_and_lacks(network):
    """Three modulations, three norms; no sum, no MLP, no embedding behind the stem, no block."""
    expected = {
        "Conv2D": 1 + 3,
        "Dense": 3 * 2 + 1,
        "DepthwiseConv2D": 3 * 3,
        "GlobalAveragePooling2D": 1,
        "LayerNormalization": 3,
    }
    assert kinds(network) == expected
    stem = 64 * (7 * 7 * 3 + 1)
    head = 10 * (64 + 1)
    assert network.count_params() == stem + 3 * (modulation_parameters(64, 64) + 2 * 64) + head
    assert article.build_focal_net(43).output_shape == (None, 43)


def test_the_network_is_compiled(network):
    assert isinstance(network.optimizer, keras.optimizers.Adam)
    assert network.loss == "sparse_categorical_crossentropy"
    assert network.get_compile_config()["metrics"] == ["accuracy"]


@pytest.mark.slow
def test_the_network_learns():
    """As it is compiled, on two pictures of 224×224 pixels: seconds for each step, on JAX some ten."""
    keras.utils.set_random_seed(0)
    model = article.build_focal_net(num_classes=2)
    x = 255 * np.clip(0.1 * random(2, 224, 224, 3) + np.eye(3, dtype="float32")[:2, None, None], 0, 1)  # red, green
    losses = [float(model.train_on_batch(x, np.arange(2))[0]) for _ in range(4)]
    assert losses[-1] < 0.7 * losses[0], losses


def test_probabilities_and_what_the_range_of_the_images_does(network):
    """Features behind the last norm: about 1 for images from 0 to 255, next to nothing for the same from 0 to 1."""
    model = keras.Model(network.input, [of_kind(network, "LayerNormalization")[-1].output, network.output])
    image = np.random.default_rng(0).random((1, 224, 224, 3), "float32")
    sizes = []
    for largest in (1, 255):
        features, probabilities = model(largest * image)
        sizes.append(array(features).std())
        np.testing.assert_allclose(array(probabilities).sum(-1), 1, atol=1e-5)
    assert sizes[0] < 1e-3
    assert 0.3 < sizes[1] < 1.1


def test_the_norm_behind_each_layer_keeps_the_size():
    """Without it, each product of products shrinks what it gets; with it, the last map is as large as the first."""
    keras.utils.set_random_seed(0)
    inputs = x = bare = keras.Input((8, 8, 16))
    for _ in range(3):
        x = keras.layers.LayerNormalization()(article.focal_modulation_layer(x, 16))
        bare = article.focal_modulation_layer(bare, 16)
    normed, plain = (array(y).std() for y in keras.Model(inputs, [x, bare])(random(4, 8, 8, 16)))
    assert 0.5 < normed < 1.5
    assert plain < 1e-3


@pytest.mark.parametrize(("way", "norms", "sums"), [("block", 3, 3), ("network", 3, 0), ("bare", 0, 0)])
def test_a_stack_has_the_norms_and_sums_of_its_way(way, norms, sums):
    model = article.stack(way, 3, num_classes=5)
    assert model.output_shape == (None, 5)
    assert len(of_kind(model, "DepthwiseConv2D")) == 3 * 3
    assert len(of_kind(model, "LayerNormalization")) == norms
    assert sum(type(operation).__name__ == "Add" for operation in model.operations) == sums


def test_the_loss_of_a_stack_is_that_of_its_last_epoch_and_follows_its_seed():
    signs = fu.render_signs(80, seed=0)
    losses = [article.loss_of_stack("block", 1, signs, seed) for seed in (0, 0, 1)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert abs(losses[2] - losses[0]) > 1e-2
    assert 0 < losses[0] < 4.5
