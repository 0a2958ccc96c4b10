"""Every argument of every layer and network is checked at the door: in words that name it, and taken from NumPy."""

import json

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.errors import as_list, check_choice, check_flag, check_names, check_number, check_whole
from focal_utils.layers import FocalModulation

NETWORK = {"input_shape": (32, 32, 3), "classes": 5, "embed_dim": 8, "depths": (1, 1)}
MAKERS = {
    "HierarchicalContext": (fu.HierarchicalContext, {"dim": 8}),
    "GatedAggregation": (fu.GatedAggregation, {}),
    "FocalModulation": (fu.FocalModulation, {"dim": 8}),
    "SelfAttention": (fu.SelfAttention, {"dim": 8}),
    "WindowedAttention": (fu.WindowedAttention, {"dim": 8}),
    "DepthwiseConvolution": (fu.DepthwiseConvolution, {"dim": 8}),
    "GatedConvolution": (fu.GatedConvolution, {"dim": 8}),
    "ProductOfProjections": (fu.ProductOfProjections, {"dim": 8}),
    "Pooling": (fu.Pooling, {"dim": 8}),
    "NoMixing": (fu.NoMixing, {"dim": 8}),
    "LayerScale": (fu.LayerScale, {}),
    "DropPath": (fu.DropPath, {}),
    "Mlp": (fu.Mlp, {"dim": 8}),
    "FocalBlock": (fu.FocalBlock, {"dim": 8}),
    "PatchEmbed": (fu.PatchEmbed, {"dim": 8}),
    "FocalNet": (fu.FocalNet, NETWORK),
}
WHOLE = {
    "HierarchicalContext": ("dim", "focal_level", "focal_window", "focal_factor"),
    "FocalModulation": ("dim", "focal_level", "focal_window", "focal_factor"),
    "SelfAttention": ("dim", "num_heads"),
    "WindowedAttention": ("dim", "num_heads", "window"),
    "DepthwiseConvolution": ("dim", "kernel_size"),
    "GatedConvolution": ("dim", "kernel_size"),
    "ProductOfProjections": ("dim",),
    "Pooling": ("dim", "pool_size"),
    "NoMixing": ("dim",),
    "DropPath": ("seed",),
    "Mlp": ("dim",),
    "FocalBlock": ("dim", "focal_level", "focal_window", "focal_factor"),
    "PatchEmbed": ("dim", "stride"),
    "FocalNet": ("classes", "embed_dim", "focal_levels", "focal_windows", "focal_factor", "patch_size"),
}
NUMBERS = {
    "FocalModulation": ("dropout",),
    "SelfAttention": ("dropout",),
    "WindowedAttention": ("dropout",),
    "DepthwiseConvolution": ("dropout",),
    "GatedConvolution": ("dropout", "expansion"),
    "ProductOfProjections": ("dropout", "expansion"),
    "Pooling": ("dropout",),
    "NoMixing": ("dropout",),
    "LayerScale": ("initial",),
    "DropPath": ("rate",),
    "Mlp": ("mlp_ratio", "dropout"),
    "FocalBlock": ("mlp_ratio", "dropout", "drop_path", "layer_scale"),
    "FocalNet": ("mlp_ratio", "drop_rate", "drop_path_rate", "layer_scale"),
}
FLAGS = {
    "HierarchicalContext": ("global_context",),
    "GatedAggregation": ("normalize_modulator",),
    "FocalModulation": ("use_postln_in_modulation", "normalize_modulator", "global_context"),
    "SelfAttention": ("fused",),
    "WindowedAttention": ("fused", "shift"),
    "FocalBlock": ("use_postln", "normalize_modulator"),
    "PatchEmbed": ("overlap", "pad_to_stride", "positions"),
    "FocalNet": ("include_top", "use_conv_embed", "use_postln", "pad_to_stride", "normalize_modulator"),
}
CHOICES = {
    "HierarchicalContext": ("context",),
    "GatedAggregation": ("gating",),
    "FocalModulation": ("context", "gating", "modulate"),
    "ProductOfProjections": ("activation",),
    "FocalBlock": ("mixer", "gating"),
    "FocalNet": ("mixer", "preprocessing", "context", "gating", "modulate"),
}
NO_NUMBER = ["4", "", b"4", [2, 3, 4], {}, object(), 1 + 2j, float("nan"), float("inf"), np.nan, True, np.True_]
NO_WHOLE = [*NO_NUMBER, None, -1, -(10**9), 10**9, 2**64, 2.0, 1.5, np.float32(2), np.array([2])]
NO_RATE = [*NO_NUMBER, -0.1, -1e300, 1e300, 10**9, np.float32(-1)]
NO_FLAG = ["yes", "no", "", 0, 1, 2.0, None, [True], np.array([True, False]), float("nan")]
NO_CHOICE = ["Focal", "linear ", "", 3, True, ["linear"], np.array(["linear", "none"]), float("nan"), b"linear"]
CASES = []
for table, values in ((WHOLE, NO_WHOLE), (NUMBERS, NO_RATE), (FLAGS, NO_FLAG), (CHOICES, NO_CHOICE)):
    for name, arguments in table.items():
        CASES += [pytest.param(name, argument, values, id=f"{name}-{argument}") for argument in arguments]


@pytest.mark.parametrize(("name", "argument", "values"), CASES)
def test_what_does_not_fit_is_refused_by_name(name, argument, values):
    make, others = MAKERS[name]
    optional = {"num_heads", "seed", "layer_scale", "preprocessing"}
    per_stage = {"focal_levels", "focal_windows"}
    for value in values:
        large_seed = argument == "seed" and isinstance(value, int) and value == 10**9
        if large_seed or (value is None and argument in optional):
            continue
        with pytest.raises(ValueError) as caught:
            make(**{**others, argument: value})
        said = str(caught.value)
        assert argument in said and len(said) < 400, (value, said)
        assert argument in per_stage or "needed" in said or "choose one of" in said, (value, said)


@pytest.mark.parametrize(
    ("name", "numpy", "plain"),
    [
        ("HierarchicalContext", {"focal_level": np.int64(3)}, {"focal_level": 3}),
        ("FocalModulation", {"dim": np.int32(8), "focal_window": np.uint8(5)}, {"dim": 8, "focal_window": 5}),
        ("FocalModulation", {"dropout": np.float32(0.5), "global_context": np.False_}, {"dropout": 0.5}),
        ("GatedAggregation", {"gating": np.str_("softmax")}, {"gating": "softmax"}),
        ("WindowedAttention", {"window": np.int64(4), "shift": np.True_}, {"window": 4, "shift": True}),
        ("LayerScale", {"initial": np.float64(0.5)}, {"initial": 0.5}),
        ("DropPath", {"rate": np.float16(0.5), "seed": np.int64(3)}, {"rate": 0.5, "seed": 3}),
        ("Mlp", {"mlp_ratio": 2}, {"mlp_ratio": 2.0}),
        ("FocalBlock", {"focal_level": np.int64(1), "drop_path": np.float32(0.25)}, {"focal_level": 1}),
        ("PatchEmbed", {"stride": np.array(2), "overlap": np.True_}, {"stride": 2, "overlap": True}),
        ("FocalNet", {"depths": np.array([1, 1]), "focal_levels": np.int64(2)}, {"depths": (1, 1), "focal_levels": 2}),
        ("FocalNet", {"focal_windows": np.array([3, 5]), "mlp_ratio": np.float32(2)}, {"focal_windows": (3, 5)}),
        ("FocalNet", {"input_shape": np.array([32, 32, 1]), "classes": np.int16(3)}, {"input_shape": (32, 32, 1)}),
        ("FocalNet", {"mixer": "attention", "num_heads": np.int64(2)}, {"num_heads": 2}),
        ("FocalNet", {"mixer": "gated_convolution", "expansion": np.float32(1.5)}, {"expansion": 1.5}),
        ("FocalNet", {"mixer": "pooling", "pool_size": np.int64(5)}, {"pool_size": 5}),
    ],
)
def test_numpys_numbers_are_taken_and_saved_as_plain_ones(name, numpy, plain):
    make, others = MAKERS[name]
    config = make(**{**others, **numpy}).get_config()
    assert json.loads(json.dumps(config))
    for argument, value in plain.items():
        assert config[argument] == value and type(config[argument]) is type(value), argument
    for value in config.values():
        assert type(value).__module__ != "numpy", value
    twin = make.from_config(config)
    assert twin.get_config() == config


def test_a_network_of_numpys_numbers_is_saved_and_loaded(tmp_path):
    model = fu.FocalNet(np.array([32, 32, 3]), np.int64(5), depths=np.array([1, 1]), embed_dim=np.int64(8))
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").get_config() == model.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": 224}, r"input_shape=224: give \(height, width, channels\), without the batch"),
        ({"input_shape": "224"}, r"input_shape='224': give \(height, width, channels\)"),
        ({"input_shape": (224, 224)}, r"give \(height, width, channels\)"),
        ({"input_shape": (1, 224, 224, 3)}, r"without the batch"),
        ({"input_shape": (32, 32, None)}, r"input_shape\[2\]=None: a whole number"),
        ({"input_shape": (32, 32, 0)}, r"input_shape\[2\]=0"),
        ({"input_shape": (32, -32, 3)}, r"input_shape\[1\]=-32"),
        ({"input_shape": ("32", 32, 3)}, r"input_shape\[0\]='32'"),
        ({"input_shape": (32, 32.0, 3)}, r"input_shape\[1\]=32.0"),
        ({"input_shape": {32, 33, 3}}, r"give \(height, width, channels\)"),
        ({"depths": "11"}, "depths='11': give the number of blocks of each stage"),
        ({"depths": {1: 2}}, "depths={1: 2}: give the number"),
        ({"depths": np.zeros((2, 2), int)}, "give the number of blocks"),
        ({"depths": (1, 1.5)}, r"depths\[1\]=1.5"),
        ({"depths": (1, 10**9)}, r"depths\[1\]=1000000000: a whole number of at most"),
        ({"depths": (1,) * 40}, "doubled from stage to stage"),
        ({"focal_levels": "12"}, "focal_levels='12': a whole number"),
        ({"focal_levels": (1, -1)}, r"focal_levels\[1\]=-1"),
        ({"focal_windows": (3, None)}, r"focal_windows\[1\]=None"),
        ({"focal_window": 3}, "Unrecognized argument of FocalNet: focal_window. Did you mean focal_windows?"),
        ({"focal_level": 3}, "Did you mean focal_levels?"),
        ({"mlpratio": 2.0}, "Did you mean mlp_ratio?"),
        ({"num_heads": 4}, "num_heads"),
        ({"mixer": "attention", "gating": "softmax"}, "Unrecognized argument of FocalNet: gating"),
        ({"mlp_ratio": 0.01}, "leaves no hidden unit"),
        ({"class_names": "abcde"}, "class_names='abcde': a list of texts is needed"),
        ({"class_names": ["a", "b"]}, "class_names has 2 names for 5 classes"),
        ({"class_names": [1, 2, 3, 4, 5]}, "a list of texts is needed"),
        ({"class_names": dict.fromkeys("abcde")}, "a list of texts is needed"),
    ],
)
def test_a_network_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        fu.FocalNet(**NETWORK | arguments)


@pytest.mark.parametrize("name", ["focal_level", "focal_window", "drop_path", "embed_dims"])
def test_a_variant_says_which_argument_was_meant(name):
    with pytest.raises(ValueError, match=f"Unrecognized argument of FocalNet: {name}. Did you mean"):
        fu.focalnet("tiny_srf", **{name: 3})


def test_a_kernel_that_grows_too_wide():
    with pytest.raises(ValueError, match="the last level's kernel.*at most 1023"):
        FocalModulation(8, focal_level=60, focal_factor=100)


def test_functions_check_their_arguments_too():
    model = fu.FocalNet(**NETWORK)
    for count in (-1, 3, 1.0, "1", True, None):
        with pytest.raises(ValueError, match="count=.*focalnet has 2 stages"):
            fu.freeze(model, count)
    with pytest.raises(ValueError, match="norm='no': True or False"):
        fu.feature_maps(model, norm="no")
    with pytest.raises(ValueError, match="top=0: a whole number"):
        fu.decode_predictions(np.zeros((1, 1000)), top=0)


def test_checks_give_plain_values_back():
    assert type(check_whole("n", np.int64(3))) is int and type(check_number("x", np.float32(0.5))) is float
    assert check_flag("b", np.True_) is True and check_choice("c", np.str_("a"), ("a", "b")) == "a"
    assert as_list(np.arange(3)) == [0, 1, 2] and as_list((1, 2)) == [1, 2] and as_list("ab") is None
    check_names("f", ["one"], ("one", "two"))
    with pytest.raises(ValueError, match="x=1: a finite number above 1 and below 2 is needed"):
        check_number("x", 1, above=1, below=2)
    with pytest.raises(ValueError, match="x=nan: a finite number is needed"):
        check_number("x", float("nan"))
    with pytest.raises(ValueError, match="Unrecognized argument of f: zzz. It takes one, two."):
        check_names("f", ["zzz"], ("one", "two"))
