"""The variants and their costs, FocalNet's arguments, sizes and errors."""

import keras
import numpy as np
import pytest

from focal_utils.layers import FocalModulation
from focal_utils.machine import jit_here
from focal_utils.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VARIANTS,
    FocalNet,
    count_macs,
    count_parameters,
    focalnet,
    layer_costs,
)

# The paper's table: parameters with 1000 classes and without a head, 10⁹ multiply–accumulates and their image side.
TABLE = {
    "tiny_srf": (28_427_116, 27_658_116, 4.403, 224),
    "tiny_lrf": (28_647_928, 27_878_928, 4.475, 224),
    "small_srf": (49_891_216, 49_122_216, 8.599, 224),
    "small_lrf": (50_342_440, 49_573_440, 8.715, 224),
    "base_srf": (88_148_144, 87_123_144, 15.241, 224),
    "base_lrf": (88_749_768, 87_724_768, 15.397, 224),
    "tiny_iso_16": (5_880_280, 5_687_280, 1.109, 224),
    "small_iso_16": (22_376_344, 21_991_344, 4.299, 224),
    "base_iso_16": (87_255_832, 86_486_832, 16.921, 224),
    "large_fl3": (207_100_744, 205_563_744, 104.9, 384),
    "large_fl4": (207_281_248, 205_744_248, 105.0, 384),
    "xlarge_fl3": (366_082_120, 364_033_120, 185.4, 384),
    "xlarge_fl4": (366_322_784, 364_273_784, 185.5, 384),
    "huge_fl3": (686_564_424, 683_747_424, 118.06, 224),
    "huge_fl4": (689_277_664, 686_460_664, 118.76, 224),
}
SMALL = {"input_shape": (32, 32, 3), "classes": 5, "embed_dim": 8, "depths": (1, 1)}
SWITCHES = {
    "paper": {},
    "large": {"use_conv_embed": True, "use_postln": True, "layer_scale": 1e-4, "use_postln_in_modulation": True},
    "ablated": {"context": "parallel", "gating": "softmax", "global_context": False, "modulate": "add"},
    "levels": {"focal_levels": (1, 4), "focal_windows": (5, 3), "mlp_ratio": 2.0, "preprocessing": "imagenet"},
    "dropped": {"drop_rate": 0.1, "drop_path_rate": 0.2, "preprocessing": "per_image", "include_top": False},
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def small(**more):
    return FocalNet(**SMALL | more)


def test_the_table_has_every_variant():
    assert set(TABLE) == set(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_macs_of_the_paper(variant):
    with_head, backbone, macs, side = TABLE[variant]
    rows = layer_costs(variant, (side, side, 3))
    assert sum(row.parameters for row in rows) == with_head
    assert sum(row.parameters for row in rows if row.name != "head") == backbone
    decimals = len(str(macs).split(".")[1])
    assert round(sum(row.macs for row in rows) / 1e9, decimals) == macs


@pytest.mark.parametrize(("variant", "side"), [("tiny_srf", 224), ("tiny_iso_16", 224), ("xlarge_fl4", 384)])
def test_a_variant_is_built_and_counted_for_the_size_it_was_trained_on(variant, side):
    stem = layer_costs(variant)[0]
    assert stem.output_shape[:2] == (side // VARIANTS[variant].patch_size,) * 2
    small = {"embed_dim": 4, "depths": (1,)}
    assert focalnet(variant, **small).input_shape == (None, side, side, 3)
    assert focalnet(variant, (64, 64, 3), **small).input_shape == (None, 64, 64, 3)


def test_a_network_without_head_has_the_backbone_s_parameters():
    assert count_parameters("tiny_srf", include_top=False) == TABLE["tiny_srf"][1]


def test_counting_allocates_nothing_and_leaves_nothing_to_allocate():
    resource = pytest.importorskip("resource", reason="peak memory is not told on this system")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert count_parameters("huge_fl4") * 4 > 2.7e9
    small()  # leaves a stateless scope, at whose end Keras gives values to the variables that it knows to have none
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kilobytes; bytes on macOS, where this is the stricter


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_counts_equal_those_of_a_built_model(switches):
    model = small(**switches)
    assert count_parameters(model) == model.count_params()
    assert count_macs(model) > 0


def test_counts_of_a_single_layer():
    assert count_parameters(FocalModulation(96, focal_level=2), (56, 56, 96)) == 40_803
    assert count_parameters(FocalModulation(192, focal_level=3, focal_window=5), (1, 1, 192)) == 178_756
    dim = 8
    levels = 3
    pixels = 5 * 6
    expected = pixels * (dim * (2 * dim + levels + 1) + 2 * dim * dim + dim * (9 + 25 + 49))
    assert count_macs(FocalModulation(dim, levels), (5, 6, dim)) == expected


def test_macs_follow_the_input_s_size():
    model = small(input_shape=(None, None, 3), include_top=False)
    assert count_macs(model, (64, 96, 3)) == 6 * count_macs(model, (32, 32, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "int"),
        (("tiny",), ValueError, "tiny_srf"),
        ((FocalModulation(8),), ValueError, "input_shape"),
        ((FocalModulation(8), (None, None, 8)), ValueError, "None"),
    ],
)
def test_counting_says_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        count_parameters(*arguments)


def test_counting_refuses_overrides_of_a_model():
    with pytest.raises(TypeError, match="classes"):
        count_parameters(small(), classes=3)


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_shapes_and_configuration(switches):
    model = small(**switches)
    y = model(random(2, 32, 32, 3))
    assert tuple(y.shape) == ((2, 4, 4, 16) if switches.get("include_top") is False else (2, 5))
    assert model.compute_output_shape((2, 32, 32, 3)) == tuple(y.shape)
    twin = FocalNet.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    assert twin.get_config() == model.get_config()
    np.testing.assert_array_equal(twin(random(2, 32, 32, 3)), y)


@pytest.mark.parametrize(("pooling", "take"), [("avg", np.mean), ("max", np.max)])
def test_pooling_gives_a_vector_of_the_map(pooling, take, tmp_path):
    model = small(include_top=False, pooling=pooling)
    bare = small(include_top=False)
    bare.set_weights(model.get_weights())
    x = random(2, 32, 32, 3)
    y = keras.ops.convert_to_numpy(model(x))
    assert model.output_shape == (None, 16)
    np.testing.assert_allclose(y, take(keras.ops.convert_to_numpy(bare(x)), axis=(1, 2)), atol=1e-5)
    model.save(tmp_path / "pooled.keras")
    loaded = keras.saving.load_model(tmp_path / "pooled.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(x)), y)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("policy", [None, "mixed_bfloat16"])
def test_a_classifier_gives_probabilities_where_asked(activation, policy, tmp_path):
    model = small(classifier_activation=activation, dtype=policy)
    plain = small(dtype=policy)
    plain.set_weights(model.get_weights())
    x = random(2, 32, 32, 3)
    y = model(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    expected = getattr(keras.ops, activation)(plain(x))
    y = keras.ops.convert_to_numpy(y)
    np.testing.assert_allclose(y, keras.ops.convert_to_numpy(expected), atol=1e-6)
    model.save(tmp_path / "probabilities.keras")
    loaded = keras.saving.load_model(tmp_path / "probabilities.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(x)), y)


def test_without_a_classifier_its_activation_is_left_aside():
    assert small(include_top=False, classifier_activation="softmax").get_config()["classifier_activation"] is None


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (33, 47), (100, 20)])
@pytest.mark.parametrize("pad_to_stride", [False, True])
def test_any_size_goes_through_one_network(size, pad_to_stride):
    model = FocalNet((None, None, 1), 3, embed_dim=4, depths=(1, 1, 1), pad_to_stride=pad_to_stride)
    assert model.output_shape == (None, 3)
    logits = keras.ops.convert_to_numpy(model(random(2, *size, 1)))
    assert logits.shape == (2, 3) and np.isfinite(logits).all()
    features = keras.Model(model.input, model.get_layer("norm").output)(random(1, *size, 1))
    assert tuple(features.shape[1:3]) == tuple(-(-side // 16) if pad_to_stride else side // 16 for side in size)


@pytest.mark.parametrize("conv_embed", [False, True])
def test_an_image_smaller_than_the_total_stride(conv_embed):
    with pytest.raises(ValueError, match="1×1 pixels.*Use larger images"):
        FocalNet((7, 7, 3), embed_dim=4, depths=(1, 1))
    free = FocalNet((None, None, 3), 3, embed_dim=4, depths=(1, 1))
    with pytest.raises(ValueError, match="1×1 pixels.*Use larger images"):
        free(random(1, 7, 7, 3))
    padded = FocalNet((1, 2, 3), 3, embed_dim=4, depths=(1, 1), pad_to_stride=True, use_conv_embed=conv_embed)
    assert np.isfinite(padded(random(1, 1, 2, 3))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"focal_levels": (1, 2, 3)}, "focal_levels.*3 entries for 2 stages"),
        ({"focal_windows": [3]}, "focal_windows.*1 entries for 2 stages"),
        ({"focal_levels": 0, "global_context": False}, "no context"),
        ({"depths": ()}, "depths"),
        ({"depths": 3}, "depths"),
        ({"depths": (2, 0)}, r"depths\[1\]=0"),
        ({"input_shape": (32, 32)}, r"\(height, width, channels\)"),
        ({"classes": 0}, "classes=0"),
        ({"embed_dim": 9.5}, "embed_dim=9.5"),
        ({"patch_size": 8, "use_conv_embed": True}, "stride=8.*2 and 4"),
        ({"preprocessing": "torch"}, "preprocessing='torch'.*'imagenet', 'per_image'"),
        ({"gating": "sigmoid"}, "gating='sigmoid'.*'linear', 'softmax', 'none'"),
        ({"context": "stacked"}, "context='stacked'.*'hierarchical', 'parallel'"),
        ({"modulate": "concat"}, "modulate='concat'.*'multiply', 'add'"),
        ({"drop_path_rate": 1.0}, "rate=1.0"),
        ({"focal_levles": 2}, "focal_levles"),
        ({"pooling": "avg"}, "pooling='avg'.*include_top=False"),
        ({"pooling": "mean", "include_top": False}, "pooling='mean'.*None, 'avg', 'max'"),
        ({"classifier_activation": "relu"}, "classifier_activation='relu'.*'softmax', 'sigmoid'"),
        ({"classifier_activation": "softmax", "classes": 1}, 'single class is always 1: take "sigmoid"'),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match="'tiny'.*'tiny_srf'.*'huge_fl4'"):
        focalnet("tiny")


def test_images_of_another_size_or_with_other_channels():
    model = small()
    with pytest.raises(ValueError, match=r"expected shape=\(None, 32, 32, 3\), found shape=\(2, 40, 40, 3\)"):
        model(random(2, 40, 40, 3))
    with pytest.raises(ValueError, match="value 3, but received input with shape"):
        model(random(2, 32, 32, 1))


def test_a_variant_with_other_arguments():
    model = focalnet("tiny_lrf", (32, 32, 1), classes=4, embed_dim=4, depths=(1, 1), name="mine")
    assert model.name == "mine" and model.output_shape == (None, 4)
    assert model.get_layer("stage1_block0").modulation.contextualize.focal_level == 3
    assert model.get_layer("stage1_block0").drop_path.rate == VARIANTS["tiny_lrf"].drop_path_rate
    assert model.get_layer("stage0_block0").drop_path.rate == 0


@pytest.mark.parametrize("channels", [3, 1])
def test_imagenet_preprocessing_is_part_of_the_model(channels):
    arguments = SMALL | {"input_shape": (32, 32, channels)}
    raw = FocalNet(preprocessing="imagenet", **arguments)
    plain = FocalNet(**arguments)
    plain.set_weights(raw.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, channels), dtype="uint8")
    mean, std = (np.array(v, "float32") for v in (IMAGENET_MEAN, IMAGENET_STD))
    if channels == 1:
        mean = mean.mean()
        std = std.mean()
    np.testing.assert_allclose(raw(images), plain((images / 255 - mean) / std), atol=1e-6)
    np.testing.assert_allclose(raw(images), raw(images.astype("float32")), atol=1e-6)


def test_per_image_preprocessing_does_not_see_light_and_contrast():
    model = FocalNet((None, None, 3), 5, embed_dim=8, depths=(1, 1), preprocessing="per_image")
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), dtype="uint8")
    darker = images * np.float32(0.3) + 20
    np.testing.assert_allclose(model(images), model(darker), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_full_logits(policy):
    full = small(preprocessing="imagenet")
    mixed = small(preprocessing="imagenet", dtype=policy)
    mixed.set_weights(full.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype="uint8")
    logits = mixed(images)
    expected = keras.ops.convert_to_numpy(full(images))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert mixed.get_layer("stage1_block0").compute_dtype == policy.removeprefix("mixed_")
    assert all(keras.backend.standardize_dtype(weight.dtype) == "float32" for weight in mixed.weights)
    assert 0 < np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


def test_a_global_policy_is_followed():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stage0_block0").modulation.compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model(random(1, 32, 32, 3)).dtype) == "float32"


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="on JAX and PyTorch, Keras 3.15 takes means of doubles in float32",
)
def test_double_precision_is_double_throughout():
    model = small(dtype="float64", layer_scale=1e-4, use_postln_in_modulation=True)
    single = small(layer_scale=1e-4, use_postln_in_modulation=True)
    single.set_weights(model.get_weights())
    x = random(2, 32, 32, 3)
    y = keras.ops.convert_to_numpy(model(x.astype("float64")))
    assert y.dtype == np.float64
    np.testing.assert_allclose(single(x), y, rtol=1e-3, atol=1e-6)
    nudged = keras.ops.convert_to_numpy(model(x.astype("float64") + 1e-11))
    assert np.abs(nudged - y).max() > 0  # float32 anywhere on the way would swallow this


def test_a_compiled_model_trains():
    keras.utils.set_random_seed(0)
    model = small(depths=(1,), classes=3, drop_path_rate=0.1, drop_rate=0.1, layer_scale=0.5)
    y = np.arange(64) % 3
    x = random(64, 32, 32, 3) + 2 * np.eye(3, dtype="float32")[y][:, None, None]  # red, green or blue
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=jit_here())
    losses = model.fit(x, y, batch_size=16, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
