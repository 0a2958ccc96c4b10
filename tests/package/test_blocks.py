"""The residual block and its parts, patch embeddings, and saving with nothing but an import."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from focal_utils.layers import (
    DropPath,
    FocalBlock,
    FocalModulation,
    GatedAggregation,
    HierarchicalContext,
    LayerScale,
    Mlp,
    PatchEmbed,
    gelu,
)
from focal_utils.models import FocalNet
from tests.conftest import DOUBLE

ROOT = Path(__file__).resolve().parents[2]
SWITCHES = {
    "pre": {},
    "post": {"use_postln": True},
    "scaled": {"layer_scale": 1e-4},
    "all": {
        "use_postln": True,
        "layer_scale": 0.1,
        "use_postln_in_modulation": True,
        "normalize_modulator": True,
        "dropout": 0.1,
        "drop_path": 0.2,
        "mlp_ratio": 2.0,
    },
    "ablated": {"context": "parallel", "gating": "softmax", "global_context": False, "modulate": "add"},
}
each_switch = pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomised(layer, shape):
    """`layer`, built, with random values for all weights."""
    layer.build(shape)
    layer.set_weights([random(*weight.shape, seed=seed) * 0.5 for seed, weight in enumerate(layer.weights)])
    return layer


@each_switch
@pytest.mark.parametrize("size", [(1, 1), (5, 2), (8, 8)])
def test_a_block_keeps_the_shape(switches, size):
    block = FocalBlock(6, **switches)
    y = block(random(2, *size, 6))
    assert tuple(y.shape) == block.compute_output_shape((2, *size, 6)) == (2, *size, 6)
    assert np.isfinite(y).all()


@each_switch
def test_a_block_is_its_two_residual_branches(switches):
    block = randomised(FocalBlock(6, **switches), (2, 5, 4, 6))
    x = random(2, 5, 4, 6)
    expected = x
    for norm, branch, scale in (
        (block.norm1, block.modulation, block.scale1),
        (block.norm2, block.mlp, block.scale2),
    ):
        y = norm(branch(expected)) if block.use_postln else branch(norm(expected))
        expected = expected + ops.convert_to_numpy(scale(y))
    np.testing.assert_allclose(block(x), expected, rtol=1e-5, atol=1e-5)
    source = x if block.use_postln else block.norm1(x)
    np.testing.assert_array_equal(block.parts(x).modulator, block.modulation.parts(source).modulator)


@each_switch
def test_every_weight_of_a_block_matters(switches):
    block = randomised(FocalBlock(4, **switches), (2, 6, 5, 4))
    x = random(2, 6, 5, 4)
    expected = ops.convert_to_numpy(block(x))
    for weight in block.weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + random(*value.shape, seed=99))
        assert np.abs(block(x) - expected).max() > 1e-4, weight.path
        weight.assign(value)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients are taken with TensorFlow's tape")
@each_switch
def test_gradients_reach_every_weight(switches):
    import tensorflow as tf

    block = randomised(FocalBlock(4, **switches | {"drop_path": 0.0}), (2, 6, 5, 4))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(random(2, 6, 5, 4), training=True) * random(2, 6, 5, 4, seed=5))
    weights = block.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    assert len(weights) == len(block.weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, weight.path


@each_switch
def test_symbolic_sizes_and_configuration(switches):
    inputs = keras.Input((None, None, 6))
    block = FocalBlock(6, name="mine", **switches)
    model = keras.Model(inputs, block(inputs))
    assert model.output_shape == (None, None, None, 6)
    twin = FocalBlock.from_config(block.get_config())
    twin.build((None, None, None, 6))
    twin.set_weights(block.get_weights())
    assert twin.get_config() == block.get_config()
    np.testing.assert_array_equal(twin(random(1, 3, 7, 6)), model(random(1, 3, 7, 6)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", DOUBLE])
@pytest.mark.parametrize("switches", [SWITCHES["pre"], SWITCHES["all"]], ids=["pre", "all"])
def test_precision_of_a_block(policy, switches):
    single = FocalBlock(8, **switches)
    other = FocalBlock(8, dtype=policy, **switches)
    single.build((2, 6, 6, 8))
    other.build((2, 6, 6, 8))
    other.set_weights(single.get_weights())
    x = random(2, 6, 6, 8)
    y = other(x)
    expected = ops.convert_to_numpy(single(x))
    compute = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(y.dtype) == compute
    inner = (other.scale1, other.mlp.fc2, other.modulation.norm, other.modulation.contextualize.convs[0])
    assert {layer.compute_dtype for layer in (other.norm1, other.mlp, other.drop_path, *inner)} == {compute}
    tolerance = {"mixed_float16": 5e-3, "mixed_bfloat16": 5e-2, "float64": 1e-6}[policy]
    difference = np.abs(ops.convert_to_numpy(ops.cast(y, "float64")) - expected).max()
    assert 0 < difference <= tolerance * np.abs(expected).max()


def test_layer_scale_starts_small():
    x = random(2, 3, 3, 4)
    np.testing.assert_allclose(LayerScale(1e-4)(x), 1e-4 * x, rtol=1e-6)
    block = FocalBlock(4, layer_scale=1e-6)
    np.testing.assert_allclose(block(x), x, atol=1e-4)


def test_mlp():
    mlp = randomised(Mlp(4, mlp_ratio=2.5), (1, 2, 3, 4))
    first = mlp.fc1
    second = mlp.fc2
    assert first.units == 10 and second.units == 4
    x = random(1, 2, 3, 4)
    hidden = gelu(ops.matmul(x, first.kernel) + first.bias)
    np.testing.assert_allclose(mlp(x), ops.matmul(hidden, second.kernel) + second.bias, atol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drop_path_drops_whole_samples_at_its_rate(rate):
    count = 4000
    layer = DropPath(rate, seed=3)
    x = 1 + np.abs(random(count, 2, 2, 3))
    y = ops.convert_to_numpy(layer(x, training=True))
    kept = y[:, 0, 0, 0] != 0
    np.testing.assert_array_equal((y != 0).all((1, 2, 3)), kept)
    np.testing.assert_allclose(y[kept], x[kept] / (1 - rate), rtol=1e-5)
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / count)
    assert not np.array_equal(ops.convert_to_numpy(layer(x, training=True))[:, 0, 0, 0] != 0, kept)


def test_drop_path_is_the_identity_outside_training():
    x = random(3, 2, 2, 3)
    np.testing.assert_array_equal(DropPath(0.5)(x), x)
    np.testing.assert_array_equal(DropPath(0.5)(x, training=False), x)
    np.testing.assert_array_equal(DropPath(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_drop_path_rates_that_do_not_fit(rate):
    with pytest.raises(ValueError, match=f"rate={rate}"):
        DropPath(rate)


@pytest.mark.parametrize("pad_to_stride", [False, True])
@pytest.mark.parametrize(("stride", "overlap"), [(2, False), (4, False), (16, False), (1, True), (2, True), (4, True)])
def test_patch_embedding_sizes(stride, overlap, pad_to_stride):
    """Sides are those that PyTorch's convolution gives: 7×7 stride 4 padding 2, and 3×3 strides 2 and 1 padding 1."""
    kernel, padding = {(1, True): (3, 1), (2, True): (3, 1), (4, True): (7, 2)}.get((stride, overlap), (stride, 0))
    for height, width in ((16, 32), (17, 35), (18, 19), (31, 33)):
        layer = PatchEmbed(5, stride, overlap, pad_to_stride)
        y = layer(random(2, height, width, 3))
        sides = [
            -(-side // stride) if pad_to_stride else (side + 2 * padding - kernel) // stride + 1
            for side in (height, width)
        ]
        assert tuple(y.shape) == layer.compute_output_shape((2, height, width, 3)) == (2, *sides, 5)
        np.testing.assert_allclose(ops.mean(y, axis=-1), 0, atol=1e-5)
    free = keras.Input((None, None, 3))
    assert tuple(PatchEmbed(5, stride, overlap, pad_to_stride)(free).shape) == (None, None, None, 5)


def test_inputs_and_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="rank 3"):
        FocalBlock(4)(random(2, 16, 4))
    with pytest.raises(ValueError, match="made for 4 channels.*dim=5"):
        FocalBlock(4)(random(2, 8, 8, 5))
    with pytest.raises(ValueError, match="gating='sigmoid'"):
        FocalBlock(4, gating="sigmoid")
    with pytest.raises(ValueError, match="windows"):
        FocalBlock(4, windows=3)
    with pytest.raises(ValueError, match="rank 3"):
        PatchEmbed(4)(random(8, 8, 3))
    with pytest.raises(ValueError, match="stride=8.*1, 2 and 4"):
        PatchEmbed(4, 8, overlap=True)
    with pytest.raises(ValueError, match="stride=0"):
        PatchEmbed(4, 0)
    with pytest.raises(ValueError, match="3×9 pixels, smaller than its 4×4 window"):
        PatchEmbed(4, 4)(random(1, 3, 9, 3))
    embed = PatchEmbed(4, 4)
    embed(random(1, 8, 8, 3))
    with pytest.raises(ValueError, match="2×8 pixels, smaller"):
        embed(random(1, 2, 8, 3))
    with pytest.raises(ValueError, match="to have value 3"):
        embed(random(1, 8, 8, 1))


LOADER = """
import sys
import numpy as np
import keras
import focal_utils

for folder in sys.argv[1:]:
    model = keras.saving.load_model(folder + "/model.keras")
    with np.load(folder + "/case.npz", allow_pickle=False) as case:
        assert np.array_equal(keras.ops.convert_to_numpy(model(case["x"])), case["y"]), folder
print("loaded", len(sys.argv) - 1)
"""


def test_models_load_in_a_fresh_process_without_custom_objects(tmp_path):
    inputs = keras.Input((None, None, 4))
    contexts = HierarchicalContext(4, 2, context="parallel")(inputs)
    gates = keras.layers.Dense(3)(inputs)
    models = [
        keras.Model(inputs, GatedAggregation("softmax", normalize_modulator=True)(contexts, gates)),
        keras.Model(inputs, DropPath(0.2, seed=1)(LayerScale(0.3)(FocalModulation(4, gating="none")(inputs)))),
        keras.Model(inputs, Mlp(4)(PatchEmbed(4, 2, overlap=True, pad_to_stride=True)(inputs))),
        *(keras.Model(inputs, FocalBlock(4, **switches)(inputs)) for switches in SWITCHES.values()),
        FocalNet((None, None, 4), 3, embed_dim=4, depths=(1, 1), preprocessing="per_image", drop_path_rate=0.1),
        FocalNet((16, 16, 4), 3, False, embed_dim=4, depths=[1], preprocessing="imagenet", gating="softmax"),
        FocalNet((16, 16, 4), 3, embed_dim=4, depths=(1,), dtype="mixed_bfloat16", use_conv_embed=True),
    ]
    folders = []
    for number, model in enumerate(models):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        model.set_weights([random(*weight.shape, seed=number) * 0.5 for weight in model.weights])
        x = random(2, 16, 16, 4)
        model.save(folders[-1] / "model.keras")
        np.savez(folders[-1] / "case.npz", x=x, y=ops.convert_to_numpy(model(x)))
    command = [sys.executable, "-c", LOADER, *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"loaded {len(models)}" in done.stdout


RECOMPUTED = {
    "focal": {"drop_path_rate": 0.4, "layer_scale": 0.5},
    "windows": {"mixer": "window", "window": 4, "use_postln": True},
    "half precision": {"mixer": "attention", "dtype": "mixed_bfloat16"},
}


def steps_of_training(recompute, **switches):
    """The weights of a small network before training, after a step of SGD that is a gradient long, and after two."""
    keras.utils.set_random_seed(3)
    network = FocalNet((16, 16, 3), 5, embed_dim=8, depths=(2,), recompute=recompute, **switches)
    network.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=keras.backend.backend() == "jax")
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype("float32")
    states = [network.get_weights()]
    for _ in range(2):
        network.train_on_batch(images, np.eye(4, 5, dtype="float32"))
        states.append(network.get_weights())
    return network, images, states


@pytest.mark.parametrize("switches", RECOMPUTED.values(), ids=RECOMPUTED)
def test_recomputing_changes_no_gradient(switches):
    plain, images, kept = steps_of_training(False, **switches)
    other, _, computed_again = steps_of_training(True, **switches)
    tolerance = 2e-2 if "dtype" in switches else 1e-5
    for step in (1, 2):
        # Also what is drawn at random goes on as it would: the second step skips the same branches.
        pairs = zip(kept[step - 1], kept[step], computed_again[step - 1], computed_again[step], strict=True)
        for before, after, before_again, after_again in pairs:
            gradient = before.astype("float64") - after
            assert np.abs(gradient - (before_again.astype("float64") - after_again)).max() < tolerance
    assert any(np.abs(after - before).max() > 1e-3 for before, after in zip(*kept[:2], strict=True))
    other.set_weights(plain.get_weights())
    np.testing.assert_array_equal(other(images, training=False), plain(images, training=False))


def test_a_recomputing_network_is_saved_and_its_weights_are_anyones(tmp_path):
    network = FocalNet((16, 16, 3), 5, embed_dim=8, depths=(1,), recompute=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.get_config()["recompute"] is loaded.get_layer("stage0_block0").get_config()["recompute"] is True
    images = random(2, 16, 16, 3)
    np.testing.assert_array_equal(loaded(images), network(images))
    plain = FocalNet.from_config(network.get_config() | {"recompute": False})
    plain.set_weights(network.get_weights())
    np.testing.assert_array_equal(plain(images), network(images))
    former = {name: value for name, value in plain.get_config().items() if name != "recompute"}
    assert FocalNet.from_config(former).get_config()["recompute"] is False


def test_recomputing_refuses_what_would_be_drawn_twice():
    with pytest.raises(ValueError, match="recompute=True with a dropout of 0.1"):
        FocalBlock(8, dropout=0.1, recompute=True)
    with pytest.raises(ValueError, match="recompute=True with a dropout of 0.2"):
        FocalNet((32, 32, 3), depths=(1,), drop_rate=0.2, recompute=True)
    with pytest.raises(ValueError, match="recompute='yes'"):
        FocalBlock(8, recompute="yes")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graph of a training step is TensorFlow's")
def test_recomputing_computes_branches_again_in_the_gradient():
    import tensorflow as tf

    def erfs(recompute):
        block = FocalBlock(4, focal_level=2, recompute=recompute)
        block.build((1, 8, 8, 4))

        @tf.function
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(block(x, training=True) ** 2)
            return tape.gradient(loss, x)

        graph = gradient.get_concrete_function(tf.TensorSpec((1, 8, 8, 4))).graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return sum(node.op == "Erf" for node in nodes)

    once = erfs(False)
    assert once > 0
    assert erfs(True) >= 2 * once
