import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.models import Merge, PixelHead, feature_maps
from focal_utils.models.segmenter import fitted, strides

SMALL = {"include_top": False, "embed_dim": 8, "depths": (1, 1), "focal_levels": 1}


def small(sides=(None, None), classes=2, **options):
    backbone = fu.FocalNet((*sides, 3), **SMALL | {"patch_size": 2} | options)
    return fu.segmenter(backbone, classes, width=8, detail=4)


def pictures(height, width, count=1, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, height, width, 3)).astype("float32")


@pytest.mark.parametrize("stem", [{}, {"use_conv_embed": True}, {"pad_to_stride": True}], ids=["cut", "overlap", "pad"])
@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_every_size_comes_out_as_it_went_in(stem, patch_size):
    model = small(patch_size=patch_size, **stem)
    for height, width in ((32, 48), (33, 47), (31, 34), (30, 29), (35, 32)):
        assert model(pictures(height, width)).shape == (1, height, width, 2)
    assert model.output_shape == (None, None, None, 2)


@pytest.mark.parametrize(("patch_size", "detail_stride"), [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)])
def test_the_last_map_is_as_large_as_is_asked_for(patch_size, detail_stride):
    backbone = fu.FocalNet((None, None, 3), patch_size=patch_size, **SMALL)
    model = fu.segmenter(backbone, 2, width=8, detail=4, detail_stride=detail_stride)
    last = keras.Model(model.input, model.get_layer("merge_details").output)
    assert last(pictures(32, 48)).shape == (1, 32 // detail_stride, 48 // detail_stride, 4)
    for height, width in ((32, 48), (33, 47), (30, 29)):
        assert model(pictures(height, width)).shape == (1, height, width, 2)


@pytest.mark.parametrize(("patch_size", "detail_stride"), [(2, 4), (4, 3), (1, 2)])
def test_a_last_map_between_the_pixels_is_refused(patch_size, detail_stride):
    backbone = fu.FocalNet((None, None, 3), patch_size=patch_size, **SMALL)
    with pytest.raises(ValueError, match=f"detail_stride is {detail_stride}.*choose a divisor of {patch_size}"):
        fu.segmenter(backbone, 2, detail_stride=detail_stride)


@pytest.mark.parametrize("sides", [(33, 47), (32, 32)])
def test_fixed_sides(sides):
    model = small(sides, classes=5)
    assert model.output_shape == (None, *sides, 5)
    assert model(pictures(*sides, count=2)).shape == (2, *sides, 5)


@pytest.mark.parametrize("mixer", [{"mixer": "window", "num_heads": 2, "window": 4}, {"mixer": "attention"}])
def test_the_same_decoder_on_other_mixers(mixer):
    if mixer["mixer"] == "attention":
        mixer = mixer | {"num_heads": 2}
    backbone = fu.FocalNet((33, 40, 3), include_top=False, embed_dim=8, depths=(1, 1), patch_size=2, **mixer)
    assert fu.segmenter(backbone, 2)(pictures(33, 40)).shape == (1, 33, 40, 2)


@pytest.mark.parametrize("sides", [(32, 32), (33, 47)])
def test_what_it_costs_does_not_depend_on_whether_its_sides_are_open(sides):
    of_one_size = small(sides)
    macs = fu.count_macs(of_one_size)
    assert fu.count_macs(small(), (*sides, 3)) == macs > 0
    assert fu.count_macs(small((None, sides[1])), (*sides, 3)) == macs
    assert fu.count_parameters(small(), (*sides, 3)) == fu.count_parameters(of_one_size) == of_one_size.count_params()


@pytest.mark.parametrize("shape", [(32, 32, 1), (32, 33, 3), (32, 3)])
def test_what_it_does_not_take_has_no_cost(shape):
    with pytest.raises(ValueError, match="takes inputs of shape"):
        fu.count_macs(small((None, 32)), shape)


def test_any_model_of_several_maps_is_a_backbone():
    images = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(6, 3, 2, padding="same")(images)
    coarse = keras.layers.Conv2D(10, 3, 3, padding="same")(fine)
    backbone = keras.Model(images, [fine, coarse])
    assert strides(backbone) == [3, 2]
    assert fu.segmenter(backbone, 3)(pictures(37, 26)).shape == (1, 37, 26, 3)


def test_a_model_of_one_output_that_is_no_focalnet_is_refused():
    images = keras.Input((32, 32, 3))
    with pytest.raises(ValueError, match="give a FocalNet"):
        fu.segmenter(keras.Model(images, keras.layers.Conv2D(4, 3)(images)), 2)


@pytest.mark.parametrize("argument", ["classes", "width", "detail", "detail_stride"])
def test_sizes_are_checked(argument):
    backbone = fu.FocalNet((32, 32, 3), patch_size=2, **SMALL)
    with pytest.raises(ValueError, match=f"{argument}=0"):
        fu.segmenter(backbone, **{"classes": 2} | {argument: 0})


def test_it_shares_the_backbones_layers():
    backbone = fu.FocalNet((None, None, 3), patch_size=2, **SMALL)
    model = fu.segmenter(backbone, 2)
    shared = {id(weight) for weight in feature_maps(backbone).trainable_weights}
    assert shared < {id(weight) for weight in model.trainable_weights}


def test_it_is_saved_and_loaded_without_custom_objects(tmp_path):
    model = small(preprocessing="per_image")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    picture = pictures(29, 38)
    np.testing.assert_allclose(again(picture), model(picture), atol=1e-5)
    for layer in (Merge(6, 2), PixelHead(2, 1)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_it_is_traced():
    model = small(focal_levels=2)
    traces = fu.trace(model, pictures(33, 40))
    assert [trace.gates.shape for trace in traces] == [(1, 16, 20, 3), (1, 8, 10, 3)]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports are made on TensorFlow")
def test_it_is_exported(tmp_path):
    import tensorflow as tf

    model = small()
    fu.export_model(model, tmp_path / "exported")
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    for height, width in ((33, 40), (32, 27)):
        picture = pictures(height, width)
        np.testing.assert_allclose(loaded.serve(picture), model(picture), atol=1e-4)


def test_mixed_precision_gives_full_precision():
    backbone = fu.FocalNet((None, None, 3), patch_size=2, dtype="mixed_bfloat16", **SMALL)
    model = fu.segmenter(backbone, 2)
    assert model.get_layer("merge0").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model(pictures(32, 32)).dtype) == "float32"


@pytest.mark.parametrize("sides", [(6, 6), (7, 5), (8, 4), (5, 8)])
def test_fitting_cuts_and_continues(sides):
    x = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)
    found = np.asarray(fitted(keras.ops.convert_to_tensor(x), np.zeros((1, *sides, 3)), 2))
    expected = np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)), mode="edge")[:, : sides[0], : sides[1]]
    np.testing.assert_array_equal(found, expected)


def test_every_pixel_of_the_picture_counts():
    """Where one pixel of the picture changes, the answer does, also at the far ends of odd sides."""
    model = small(use_conv_embed=True, global_context=False)
    still = pictures(31, 29)
    for row, column in ((0, 0), (30, 28), (15, 0), (30, 14)):
        moved = still.copy()
        moved[0, row, column] += 50
        change = np.abs(np.asarray(model(moved)) - np.asarray(model(still)))[0].max(axis=-1)
        assert change[row, column] > 0
