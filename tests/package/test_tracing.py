"""What `trace` and `run` hand over is what the forward pass used, for every kind of model; and nothing stays behind."""

import time

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.tracing import intercepted, modulations, run

SMALL = {"input_shape": (32, 32, 3), "classes": 5, "embed_dim": 8, "depths": (1, 2), "patch_size": 4}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")


def small(**options):
    keras.utils.set_random_seed(1)
    model = fu.FocalNet(**SMALL | {"preprocessing": "per_image"} | options)
    for variable in model.trainable_variables:
        if len(variable.shape) == 2:
            variable.assign(5 * variable)  # fresh weights are too small for gates to matter
    return model


class Subclassed(keras.Model):
    """A model that is no graph of layers."""

    def __init__(self):
        super().__init__()
        self.stem = fu.PatchEmbed(8, 4)
        self.block = fu.FocalBlock(8, name="inner")

    def call(self, x):
        return self.block(self.stem(x))


def nested():
    inside = fu.FocalNet(**SMALL, include_top=False, name="inside")
    outside = keras.Input((32, 32, 3))
    return keras.Model(outside, keras.layers.GlobalAveragePooling2D()(inside(outside)))


def compiled():
    model = small()
    model.compile("sgd", "mse")
    model.predict(np.zeros((1, 32, 32, 3)), verbose=0)  # its compiled graph is there, and must not matter
    return model


def reloaded(folder):
    small().save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def output_of(block, trace):
    """The output of a pre-norm `FocalBlock` for its input, computed from the trace of its modulation."""

    def recomputed(x):
        modulation = block.modulation
        y = modulation.proj(modulation.norm(modulation.modulate(trace.query, trace.modulator)))
        x = x + block.scale1(y)
        return x + block.scale2(block.mlp(block.norm2(x)))

    return recomputed


@pytest.mark.parametrize("kind", ["plain", "loaded", "compiled", "nested", "subclassed", "post-norm", "mixed"])
def test_block_outputs_follow_from_the_trace(kind, images, tmp_path):
    model = {
        "plain": small,
        "loaded": lambda: reloaded(tmp_path),
        "compiled": compiled,
        "nested": nested,
        "subclassed": Subclassed,
        "post-norm": lambda: small(use_postln=True, layer_scale=0.1),
        "mixed": lambda: small(dtype="mixed_bfloat16"),
    }[kind]()
    expected = ops.convert_to_numpy(ops.cast(model(images), "float32"))
    output, traces = run(model, images)
    assert np.array_equal(output, expected)
    assert [trace.name for trace in traces] == list(modulations(model).values())
    for trace in traces:
        assert trace.gates.dtype == trace.modulator.dtype == np.float32
        assert len(trace.contexts) == trace.gates.shape[-1] == 3
        summed = sum(trace.gates[..., level : level + 1] * z for level, z in enumerate(trace.contexts))
        layer = next(layer for layer, name in modulations(model).items() if name == trace.name)
        tolerance = 0.05 if kind == "mixed" else 1e-6
        modulator = ops.convert_to_numpy(ops.cast(layer.h(ops.convert_to_tensor(summed)), "float32"))
        assert np.abs(modulator - trace.modulator).max() <= tolerance * np.abs(modulator).max()


def test_a_block_s_output_is_recomputed_from_its_trace(images):
    model = small(layer_scale=0.5)
    block = model.get_layer("stage1_block0")
    x = keras.Model(model.input, block.input)(images)
    trace = fu.trace(model, images)[1]
    expected = ops.convert_to_numpy(block(x))
    assert np.abs(ops.convert_to_numpy(output_of(block, trace)(x)) - expected).max() <= 1e-6 * np.abs(expected).max()


def test_nothing_stays_on_the_layers_also_after_an_error(images):
    model = small()
    before = [dict(layer.__dict__) for layer in modulations(model)]
    fu.trace(model, images)
    with pytest.raises(ZeroDivisionError):
        run(model, images, lambda name, gates: 1 / 0)
    with pytest.raises(ZeroDivisionError), intercepted(model, lambda layer, parts: parts):
        raise ZeroDivisionError
    assert [set(layer.__dict__) for layer in modulations(model)] == [set(there) for there in before]


def test_edited_gates_are_used_and_reach_later_blocks(images):
    model = small()
    plain, traces = run(model, images)
    same, _ = run(model, images, lambda name, gates: gates)
    assert np.allclose(plain, same, atol=1e-6)

    def closed(name, gates):
        return gates * 0 if name == "stage0_block0" else None

    output, edited = run(model, images, closed)
    assert not edited[0].gates.any()
    assert np.allclose(edited[0].contexts[0], traces[0].contexts[0])
    bias = ops.convert_to_numpy(model.get_layer("stage0_block0").modulation.h.bias)
    assert np.allclose(edited[0].modulator, bias, atol=1e-6)  # nothing is left to modulate with but the bias
    assert not np.allclose(edited[1].gates, traces[1].gates) and not np.allclose(output, plain)


def test_a_model_without_focal_blocks_and_a_single_image_are_refused(images):
    with pytest.raises(ValueError, match="no FocalBlock"):
        fu.trace(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), images)
    with pytest.raises(ValueError, match=r"image\[None\]"):
        fu.trace(small(), images[0])


def test_a_trace_costs_at_most_1_3_times_a_plain_forward_pass():
    model = fu.FocalNet((64, 64, 3), 10, embed_dim=48, depths=(2, 2), patch_size=2)
    batch = np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("float32")
    plain, traced = [], []
    for _ in range(9):  # in turn, so that a busy moment hits both
        for times, act in ((plain, lambda: fu.predict(model, batch)), (traced, lambda: fu.trace(model, batch))):
            start = time.perf_counter()
            act()
            times.append(time.perf_counter() - start)
    ratio = min(traced) / min(plain)
    print(f"trace over forward: {ratio:.2f} (medians {np.median(traced) / np.median(plain):.2f})")
    assert ratio <= 1.3
