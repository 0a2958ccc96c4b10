"""Keras' own tools work on our layers and networks as on Keras' own."""

import io

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.layers import MIXERS, parts_of, quantized_parts

SHAPE = (16, 16, 3)
CLASSES = 4


def network(**arguments):
    keras.utils.set_random_seed(0)
    return fu.FocalNet(SHAPE, CLASSES, embed_dim=8, depths=(1, 1), patch_size=2, **arguments)


def images(count=6):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype("float32")


def compiled(model, **arguments):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, **arguments)
    return model


def answers(model, x):
    return ops.convert_to_numpy(model(x))


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.weights]


# ---- quantize


MIXED = {mixer: {"mixer": mixer} for mixer in MIXERS}
MIXED["attention"]["num_heads"] = MIXED["window"]["num_heads"] = 2


@pytest.mark.parametrize("further", MIXED.values(), ids=MIXED)
def test_a_new_network_is_built_to_its_last_part(further):
    """Keras quantizes only what is built, weights or none."""
    model = network(layer_scale=0.1, drop_rate=0.1, preprocessing="per_image", **further)
    assert [path for path, part in parts_of(model) if not part.built] == []


def test_int8_answers_nearly_the_same_and_every_dense_layer_is_int8():
    model = network()
    before = answers(model, images())
    model.quantize("int8")
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    assert {layer.quantization_mode for layer in dense} == {"int8"}
    assert np.abs(answers(model, images()) - before).max() < 0.05 * np.abs(before).max()


@pytest.mark.parametrize("further", MIXED.values(), ids=MIXED)
def test_a_quantized_network_is_saved_and_loaded(tmp_path, further):
    model = network(**further)
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    assert quantized_parts(loaded) == quantized_parts(model) != {}
    np.testing.assert_array_equal(answers(loaded, images()), answers(model, images()))


def test_a_quantized_layer_in_a_model_of_one_s_own_is_saved_and_loaded(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Dense(8), fu.FocalBlock(8), fu.FocalModulation(8)])
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_array_equal(answers(loaded, images()), answers(model, images()))


def test_only_some_layers_quantized(tmp_path):
    model = network()
    model.quantize("int8", filters="head")
    assert quantized_parts(model) == {"head": "int8"}
    model.save(tmp_path / "head.keras")
    loaded = keras.saving.load_model(tmp_path / "head.keras")
    np.testing.assert_array_equal(answers(loaded, images()), answers(model, images()))


# ---- LoRA


def test_lora_trains_its_own_small_matrices_and_leaves_the_kernel():
    model = network()
    layer = next(layer for layer in model._flatten_layers() if layer.name == "fc1")
    layer.enable_lora(2)
    kernel = ops.convert_to_numpy(layer._kernel).copy()
    small = ops.convert_to_numpy(layer.lora_kernel_b).copy()
    compiled(model).fit(images(), np.arange(6) % CLASSES, epochs=2, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer._kernel), kernel)
    assert not np.array_equal(ops.convert_to_numpy(layer.lora_kernel_b), small)


# ---- copies and descriptions


def test_a_clone_is_the_same_network_with_weights_of_its_own():
    model = network()
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(answers(clone, images()), answers(model, images()))


def test_the_summary_names_every_block():
    said = io.StringIO()
    network().summary(expand_nested=True, print_fn=lambda line, **_: said.write(f"{line}\n"))
    assert "stage0_block0" in said.getvalue() and "stage1_block0" in said.getvalue()


def test_plot_model_draws_it_or_says_what_it_needs(tmp_path):
    try:
        keras.utils.plot_model(network(), tmp_path / "plot.png")
    except ImportError as error:
        assert "pydot" in str(error) or "graphviz" in str(error).lower()
    else:
        assert (tmp_path / "plot.png").exists()


# ---- training


def test_class_weights_and_sample_weights_are_heeded():
    labels = np.arange(6) % CLASSES
    model = network()
    start = model.get_weights()
    ends = []
    for arguments in (
        {},
        {"class_weight": {0: 0.0, 1: 0.0, 2: 1.0, 3: 1.0}},
        {"sample_weight": (labels >= 2).astype("float32")},
    ):
        model.set_weights(start)
        compiled(model).fit(images(), labels, batch_size=6, epochs=1, verbose=0, **arguments)
        ends.append(np.concatenate([weight.ravel() for weight in weights(model)]))
    assert not np.allclose(ends[0], ends[1], atol=1e-6)
    np.testing.assert_allclose(ends[1], ends[2], atol=1e-6)


def test_backup_and_restore_goes_on_where_it_was(tmp_path):
    labels = np.arange(6) % CLASSES

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("killed")

    def fit(model, *more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return compiled(model).fit(
            images(), labels, batch_size=6, epochs=2, shuffle=False, verbose=0, callbacks=[backup, *more]
        )

    whole = network()
    fit(whole)
    with pytest.raises(RuntimeError, match="killed"):
        fit(network(), Killed())
    resumed = network()
    assert len(fit(resumed).epoch) == 1
    for one, other in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_several_outputs():
    model = network()
    body = model.get_layer("pool").output
    two = keras.Model(model.inputs, {"class": model.output, "angle": keras.layers.Dense(1, name="angle")(body)})
    losses = {"class": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "angle": "mse"}
    two.compile("adam", losses)
    history = two.fit(images(), {"class": np.arange(6) % CLASSES, "angle": np.zeros((6, 1))}, verbose=0)
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize("layer", [fu.FocalModulation, fu.FocalBlock], ids=["modulation", "block"])
def test_time_distributed(layer):
    inside = layer(8)
    films = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 8)).astype("float32")
    outputs = answers(keras.layers.TimeDistributed(inside), films)
    for frame in range(3):
        np.testing.assert_allclose(outputs[:, frame], answers(inside, films[:, frame]), atol=1e-5)


def test_remat_gives_the_same_answers_and_gradients():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken by TensorFlow's tape")
    import tensorflow as tf

    block = fu.FocalBlock(8)
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 8)), "float32")
    found = []
    block(x)
    for function in (block, keras.remat(block)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x) ** 2)
        found.append(tape.gradient(loss, [x, *block.trainable_variables]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
