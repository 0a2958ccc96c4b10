"""What `trace` and `run_traced` hand over is what the forward pass used, for every kind of model; nothing stays."""

import time

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils import tracing
from focal_utils.tracing import intercepted, modulations, run_traced

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
    output, traces = run_traced(model, images)
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
        run_traced(model, images, lambda name, gates: 1 / 0)
    with pytest.raises(ZeroDivisionError), intercepted(model, lambda layer, parts: parts):
        raise ZeroDivisionError
    assert [set(layer.__dict__) for layer in modulations(model)] == [set(there) for there in before]


def test_edited_gates_are_used_and_reach_later_blocks(images):
    model = small()
    plain, traces = run_traced(model, images)
    same, _ = run_traced(model, images, lambda name, gates: gates)
    assert np.allclose(plain, same, atol=1e-6)

    def closed(name, gates):
        return gates * 0 if name == "stage0_block0" else None

    output, edited = run_traced(model, images, closed)
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
    plain = []
    traced = []
    for _ in range(9):  # in turn, so that a busy moment hits both
        for times, act in ((plain, lambda: fu.predict(model, batch)), (traced, lambda: fu.trace(model, batch))):
            start = time.perf_counter()
            act()
            times.append(time.perf_counter() - start)
    ratio = min(traced) / min(plain)
    print(f"trace over forward: {ratio:.2f} (medians {np.median(traced) / np.median(plain):.2f})")
    assert ratio <= 1.3


class Late(keras.Model):
    """A model that makes its block when it is first called."""

    def build(self, shape):
        self.block = fu.FocalBlock(shape[-1], name="late")

    def call(self, x):
        return self.block(x)


class Holder(keras.layers.Layer):
    """A layer of someone's own that holds a block."""

    def __init__(self):
        super().__init__()
        self.inside = [fu.FocalBlock(3, name="held")]

    def call(self, x):
        return self.inside[0](x)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Late, ["late"]),
        (Subclassed, ["inner"]),
        (lambda: keras.Sequential([Holder()]), ["held"]),
        (lambda: fu.FocalBlock(3, name="alone"), ["alone"]),
        (lambda: fu.FocalModulation(3, name="bare"), ["bare"]),
    ],
)
def test_models_that_were_never_called(make, names):
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert [trace.name for trace in fu.trace(make(), images)] == names


def test_several_outputs_in_lists_and_dicts(images):
    model = small()
    maps = fu.feature_maps(model)
    outputs, traces = run_traced(maps, images)
    assert [trace.gates.shape for trace in fu.trace(maps, images)] == [trace.gates.shape for trace in traces]
    for output, expected in zip(outputs, maps(images), strict=True):
        assert np.allclose(output, ops.convert_to_numpy(expected), atol=1e-6)
    named = keras.Model(model.input, {"classes": model.output, "map": maps.output[0]})
    output, traces = run_traced(named, images)
    assert output["classes"].shape == (2, 5) and output["map"].ndim == 4 and len(traces) == 3
    assert set(tracing.edited_logits(named, images, batch_size=1)) == {"classes", "map"}


def test_predictions_of_several_outputs(images):
    model = small()
    maps = fu.feature_maps(model)
    whole = fu.predict(maps, images)
    parts = fu.predict(maps, images, batch_size=1)
    assert [part.shape[0] for part in parts] == [2, 2]
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(whole, parts, strict=True))
    named = fu.predict(keras.Model(model.input, {"classes": model.output}), images)
    assert np.allclose(named["classes"], fu.predict(model, images), atol=1e-5)
    with pytest.raises(ValueError, match="predict got no images"):
        fu.predict(model, images[:0])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (np.zeros((0, 32, 32, 3)), "no images"),
        (np.full((1, 32, 32, 3), np.nan), "not finite"),
        (np.full((1, 32, 32, 3), np.inf, "float32"), "not finite"),
        (np.full((1, 32, 32, 3), "a"), "arrays of numbers"),
        (np.full((1, 32, 32, 3), 1j), "arrays of numbers"),
        (np.zeros((2, 0, 32, 3)), "no images"),
        (5, "no images"),
        ("stop.png", "arrays of numbers"),
        ({"images": 1}, "arrays of numbers"),
        ([[0.0]], "rank 2"),
    ],
)
def test_what_is_no_batch_is_refused_in_words(wrong, reason):
    for ask in (fu.trace, fu.predict):
        if "rank" not in reason or ask is fu.trace:  # predict leaves that to the model
            with pytest.raises(ValueError, match=reason):
                ask(small(), wrong)


def test_lists_of_images_and_tensors_are_batches(images):
    model = small()
    expected = fu.trace(model, images)[0].gates
    assert np.allclose(fu.trace(model, list(images))[0].gates, expected, atol=1e-6)
    assert np.allclose(fu.trace(model, ops.convert_to_tensor(images))[0].gates, expected, atol=1e-6)
    with pytest.raises(TypeError, match="Got a str: give a keras.Model"):
        fu.trace("gtsrb", images)


def test_widths_are_measured_or_refused():
    assert fu.impulse_width(keras.layers.Conv2D(8, 5, padding="same")) == 5
    assert fu.impulse_width(lambda x: x * 0) == 0
    assert fu.impulse_width(keras.layers.Identity(), size=np.int64(9), channels=np.int64(2)) == 1
    with pytest.raises(ValueError, match="height and width must stay"):
        fu.impulse_width(keras.layers.Conv2D(8, 3, strides=2))
    with pytest.raises(ValueError, match="not finite"):
        fu.impulse_width(lambda x: x / 0)
    with pytest.raises(TypeError, match="layer is a int"):
        fu.impulse_width(5)
    for options in ({"size": 4}, {"size": 0}, {"size": 3.5}, {"channels": 0}):
        with pytest.raises(ValueError, match="size|channels"):
            fu.impulse_response(keras.layers.Identity(), **options)
