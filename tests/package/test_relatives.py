"""The relatives are what timm's blocks are made of, in the interface of focal modulation."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.layers import MIXERS, Factors

FOLDER = Path(__file__).parents[1] / "reference" / "relatives"
RELATIVES = ("convnext", "gated_convolution", "product", "pooling", "identity")
BATCH_NORM = 1e-5  # PyTorch's ε


def cases(*mixers):
    """The names of the frozen cases of some mixers."""
    paths = sorted(FOLDER.glob("*.npz"))
    return [path.stem for path in paths if path.stem.startswith(mixers)]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor))


class Frozen:
    """One of timm's blocks: arguments, input, output, and its tensors under its own names."""

    def __init__(self, name):
        self.arrays = dict(np.load(FOLDER / f"{name}.npz", allow_pickle=False))
        case = json.loads(str(self.arrays["case"]))
        self.mixer = case["mixer"]
        self.arguments = case["arguments"]
        self.input = ops.convert_to_tensor(self.arrays["input"])

    def weights(self, name):
        return self.arrays[f"weights/{name}"]

    def load(self, layer, name):
        """A norm's γ and β, or a projection's or a depthwise convolution's kernel and bias."""
        kernel = self.weights(f"{name}.weight")
        if kernel.ndim == 4 and kernel.shape[2:] != (1, 1):
            kernel = np.transpose(kernel, (2, 3, 0, 1))  # (C, 1, k, k) → (k, k, C, 1)
        elif kernel.ndim > 1:
            kernel = kernel.reshape(kernel.shape[:2]).T
        layer.set_weights([kernel, self.weights(f"{name}.bias")])

    def load_scale(self, layer, name):
        if self.arguments.get("layer_scale") is not None:
            layer.set_weights([self.weights(name)])

    def compare(self, output):
        np.testing.assert_allclose(numpy(output), self.arrays["output"], atol=1e-5, rtol=1e-5)
        assert np.abs(self.arrays["output"] - self.arrays["input"]).max() > 0.1  # not the residual alone


def block_of(case):
    """A `FocalBlock` with the mixer and arguments of a case, built."""
    block = fu.FocalBlock(mixer=case.mixer, **case.arguments)
    block.build(case.input.shape)
    return block


@pytest.mark.parametrize("name", cases("pooling", "identity"))
def test_poolformers_block_is_our_block(name):
    case = Frozen(name)
    block = block_of(case)
    for ours, theirs in ((block.norm1, "norm1"), (block.norm2, "norm2")):
        case.load(ours, theirs)
    for part in ("fc1", "fc2"):
        case.load(getattr(block.mlp, part), f"mlp.{part}")
    case.load_scale(block.scale1, "layer_scale1.scale")
    case.load_scale(block.scale2, "layer_scale2.scale")
    case.compare(block(case.input))


@pytest.mark.parametrize("name", cases("gated_convolution"))
def test_mambaouts_block_is_the_first_half_of_ours(name):
    """MambaOut has no MLP after its mixer."""
    case = Frozen(name)
    block = block_of(case)
    case.load(block.norm1, "norm")
    for part in ("fc1", "conv", "fc2"):
        case.load(getattr(block.modulation, part), part)
    case.load_scale(block.scale1, "ls.gamma")
    case.compare(block.residual(case.input, block.norm1, block.modulation, block.scale1, training=False))


@pytest.mark.parametrize("name", cases("convnext"))
def test_convnexts_block_is_our_mixer_then_our_norm_and_mlp_in_one_branch(name):
    """ConvNeXt has one residual around both, where our block has two."""
    case = Frozen(name)
    block = block_of(case)
    case.load(block.modulation.conv, "conv_dw")
    case.load(block.norm2, "norm")
    for part in ("fc1", "fc2"):
        case.load(getattr(block.mlp, part), f"mlp.{part}")
    case.load_scale(block.scale2, "gamma")
    mixed = block.modulation(case.input)
    case.compare(case.input + block.scale2(block.mlp(block.norm2(mixed))))


def without_norm(case, name):
    """Kernel and bias of a convolution in which the batch norm after it is contained, kernel (C out, …)."""
    scale = case.weights(f"{name}.bn.weight") / np.sqrt(case.weights(f"{name}.bn.running_var") + BATCH_NORM)
    kernel = case.weights(f"{name}.conv.weight")
    bias = case.weights(f"{name}.conv.bias") - case.weights(f"{name}.bn.running_mean")
    return kernel * scale[:, None, None, None], bias * scale + case.weights(f"{name}.bn.bias")


@pytest.mark.parametrize("name", cases("product"))
def test_starnets_block_is_our_product_between_two_of_our_convolutions(name):
    """StarNet has a depthwise convolution on each side, and batch norms, which in use are part of them."""
    case = Frozen(name)
    product = block_of(case).modulation
    dim = case.arguments["dim"]
    before = fu.DepthwiseConvolution(dim)
    after = fu.DepthwiseConvolution(dim)
    for layer in (before, after):
        layer.build(case.input.shape)
    kernel, bias = without_norm(case, "dwconv")
    before.set_weights([np.transpose(kernel, (2, 3, 0, 1)), bias])
    case.load(after.conv, "dwconv2.conv")
    for part in ("f1", "f2"):
        case.load(getattr(product, part), f"{part}.conv")
    kernel, bias = without_norm(case, "g")
    product.proj.set_weights([kernel[:, :, 0, 0].T, bias])
    case.compare(case.input + after(product(before(case.input))))


def test_every_relative_is_compared():
    assert {Frozen(name).mixer for name in cases(*RELATIVES)} == set(RELATIVES)


# ---- what each is made of


def test_pooling_at_the_border_averages_what_is_there():
    x = random(1, 4, 5, 2)
    expected = x[:, :2, :2].mean(axis=(1, 2)) - x[:, 0, 0]
    np.testing.assert_allclose(numpy(fu.Pooling(2)(x))[:, 0, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("mixer", "width"), [("convnext", 7), ("gated_convolution", 7), ("pooling", 3)])
def test_how_far_a_pixel_reaches(mixer, width):
    layer = MIXERS[mixer](8)
    assert fu.impulse_width(layer) == width


@pytest.mark.parametrize("mixer", ["product", "identity"])
def test_some_mix_no_pixels(mixer):
    assert fu.impulse_width(MIXERS[mixer](8)) == 1


def test_a_product_is_bilinear_and_a_convolution_is_not_a_product():
    x = random(1, 5, 5, 8)
    product = fu.ProductOfProjections(8)
    np.testing.assert_allclose(numpy(product(3 * x)), 9 * numpy(product(x)), rtol=1e-4, atol=1e-8)
    conv = fu.DepthwiseConvolution(8)
    np.testing.assert_allclose(numpy(conv(3 * x)), 3 * numpy(conv(x)), rtol=1e-4, atol=1e-7)


def test_all_hidden_channels_matter_of_which_the_last_are_convolved():
    x = random(1, 9, 9, 4)
    layer = fu.GatedConvolution(4, expansion=2)
    layer.build(x.shape)
    factors = layer.parts(x)
    assert isinstance(factors, Factors)
    assert tuple(factors.gate.shape) == tuple(factors.value.shape) == (1, 9, 9, 8)
    far = x.copy()
    far[0, 4, 4] += 10
    moved = np.abs(numpy(layer.parts(far).value) - numpy(factors.value))[0]
    assert (moved[4, 4, :4] > 0).all() and not moved[3, 4, :4].any()  # as they are: one pixel alone
    assert (moved[1, 1, 4:] > 0).all() and not moved[0, 0].any()  # convolved: three pixels to each side


@pytest.mark.parametrize("mixer", ["gated_convolution", "product"])
def test_a_block_hands_over_the_factors_that_it_used(mixer):
    x = random(2, 6, 6, 8)
    block = fu.FocalBlock(8, mixer=mixer)
    block.build(x.shape)
    factors = block.parts(x)
    last = block.modulation.fc2 if mixer == "gated_convolution" else block.modulation.proj
    expected = numpy(last(factors.gate * factors.value))
    np.testing.assert_array_equal(numpy(block.modulation(block.norm1(x))), expected)


@pytest.mark.parametrize("mixer", ["gated_convolution", "product"])
def test_a_trace_is_what_the_network_multiplied(mixer):
    model = fu.FocalNet((16, 16, 3), 5, embed_dim=8, depths=(1, 1), patch_size=2, mixer=mixer)
    model.compile("sgd", "mse")
    images = random(2, 16, 16, 3)
    before = model.predict(images, verbose=0)
    traces = fu.trace(model, images)
    assert [trace.name for trace in traces] == ["stage0_block0", "stage1_block0"]
    assert [trace.gate.shape for trace in traces] == [(2, 8, 8, 8), (2, 4, 4, 16)]
    stem = keras.Model(model.input, model.get_layer("stem").output)
    factors = model.get_layer("stage0_block0").parts(stem(images))
    np.testing.assert_allclose(traces[0].gate, numpy(factors.gate), atol=1e-6)
    np.testing.assert_allclose(traces[0].value, numpy(factors.value), atol=1e-6)
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)  # nothing stays


def test_where_nothing_is_multiplied_there_is_nothing_to_trace():
    model = fu.FocalNet((8, 8, 3), 4, embed_dim=8, depths=(1,), mixer="convnext")
    with pytest.raises(ValueError, match="there is nothing to trace"):
        fu.trace(model, random(1, 8, 8, 3))


# ---- as every layer of ours


@pytest.mark.parametrize("mixer", RELATIVES)
def test_costs_are_counted(mixer):
    layer = MIXERS[mixer](8)
    pixels = 5 * 6
    expected = {
        "convnext": (8 * 49 + 8, 8 * 49),
        "gated_convolution": (8 * 16 + 16 + 8 * 49 + 8 + 8 * 8 + 8, 8 * 16 + 8 * 49 + 8 * 8),
        "product": (3 * (8 * 8 + 8), 3 * 8 * 8),
        "pooling": (0, 0),
        "identity": (0, 0),
    }
    parameters, macs = expected[mixer]
    assert fu.count_parameters(layer, (5, 6, 8)) == parameters
    assert fu.count_macs(layer, (5, 6, 8)) == pixels * macs


OPTIONS = {
    "convnext": {"kernel_size": 5},
    "gated_convolution": {"kernel_size": 3, "expansion": 1.5},
    "product": {"expansion": 2, "activation": "relu6"},
    "pooling": {"pool_size": 5},
    "identity": {},
}


@pytest.mark.parametrize("mixer", RELATIVES)
def test_a_network_saves_and_loads_with_its_options(mixer, tmp_path):
    options = OPTIONS[mixer]
    model = fu.FocalNet((24, 20, 3), 5, embed_dim=8, depths=(1, 2), patch_size=2, mixer=mixer, **options)
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = random(2, 24, 20, 3)
    np.testing.assert_array_equal(numpy(loaded(images)), numpy(model(images)))
    for name, value in options.items():
        assert loaded.get_config()[name] == loaded.get_layer("stage1_block1").get_config()[name] == value


@pytest.mark.parametrize("mixer", RELATIVES)
def test_a_layer_saves_and_loads_and_takes_any_size(mixer, tmp_path):
    inputs = keras.Input((None, None, 8))
    layer = MIXERS[mixer](8, dropout=0.5, **OPTIONS[mixer])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    for size in ((6, 7), (3, 4), (1, 1)):
        x = random(2, *size, 8)
        np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
        assert tuple(layer(x).shape) == layer.compute_output_shape(x.shape) == x.shape
    x = random(1, 6, 6, 8)
    assert np.abs(numpy(layer(x, training=True)) - numpy(layer(x))).max() > 0


@pytest.mark.parametrize("mixer", RELATIVES)
def test_a_block_learns_and_recomputes(mixer):
    block = fu.FocalBlock(8, mixer=mixer, recompute=True, layer_scale=0.1)
    model = keras.Sequential([keras.Input((6, 6, 8)), block])
    model.compile("sgd", "mse", jit_compile=False)
    model.set_weights([random(*weight.shape, seed=number) for number, weight in enumerate(model.weights)])
    before = model.get_weights()
    model.train_on_batch(random(4, 6, 6, 8), random(4, 6, 6, 8, seed=1))
    changes = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
    still = {weight.path for weight, change in zip(model.weights, changes, strict=True) if change == 0}
    # A mean less the pixel itself does not see what is added to all pixels.
    assert {"/".join(path.split("/")[-2:]) for path in still} == ({"norm1/beta"} if mixer == "pooling" else set())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fu.DepthwiseConvolution(8, kernel_size=0), "kernel_size=0: a whole number of at least 1"),
        (lambda: fu.GatedConvolution(8, expansion=0.5), "expansion=0.5: a finite number of at least 1"),
        (lambda: fu.GatedConvolution(8, expansion="2"), "expansion='2': a finite number"),
        (lambda: fu.ProductOfProjections(8, activation="gelu"), "activation='gelu' is not known: choose one of 'none'"),
        (lambda: fu.Pooling(8, pool_size=4), "pool_size=4: an odd whole number is needed"),
        (lambda: fu.NoMixing(0), "dim=0: a whole number of at least 1"),
        (lambda: fu.NoMixing(8, dropout=1.0), "dropout=1.0: a finite number"),
        (lambda: fu.Pooling(8)(random(1, 4, 4, 6)), "Pooling was made for 8 channels, but the last axis"),
        (lambda: fu.GatedConvolution(8)(random(1, 4, 8)), "GatedConvolution takes a 4-D map"),
        (lambda: fu.FocalNet((8, 8, 3), mixer="convnext", depths=(1,), gating="none"), "Unrecognized argument"),
        (lambda: fu.FocalNet((8, 8, 3), mixer="pooling", depths=(1,), kernel_size=3), "Unrecognized argument"),
        (lambda: fu.FocalBlock(8, mixer="convolution"), "mixer='convolution' is not known: choose one of 'focal'"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
