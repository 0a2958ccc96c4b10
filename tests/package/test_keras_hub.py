"""FocalNet in KerasHub: its backbone, pyramid, presets and tasks. Without KerasHub skipped; `make test-hub` has it."""

import json

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed: make test-hub")

import focal_utils as fu  # noqa: E402
import focal_utils.keras_hub as hub  # noqa: E402

TINY = {"embed_dim": 8, "depths": (1, 1, 1, 1), "focal_levels": (2, 2, 1, 1)}
CLASSES = 1000


def pictures(count=2, side=64):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def backbone(**more):
    keras.utils.set_random_seed(0)
    return hub.FocalNetBackbone(**{**TINY, **more})


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def randomised(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.2, weight.shape) for weight in model.weights])
    return model


def test_the_backbone_is_the_focalnet_of_the_same_arguments():
    ours = fu.FocalNet((None, None, 3), include_top=False, **TINY)
    model = backbone()
    model.set_weights(ours.get_weights())
    x = pictures() / 255
    np.testing.assert_array_equal(numpy(model(x)), numpy(ours(x)))
    pyramid = keras.Model(model.inputs, model.pyramid_outputs)(x)
    maps = fu.feature_maps(ours)(x)
    assert list(pyramid) == ["P2", "P3", "P4", "P5"]
    for name, expected in zip(pyramid, maps, strict=True):
        assert 64 // 2 ** int(name[1:]) == expected.shape[1]
        np.testing.assert_allclose(numpy(pyramid[name]), numpy(expected), atol=1e-5)


def test_kerashubs_own_test_of_a_vision_backbone():
    case = pytest.importorskip("keras_hub.src.tests.test_case").TestCase()
    case.setUp()
    case.run_vision_backbone_test(
        cls=hub.FocalNetBackbone,
        init_kwargs={**TINY, "image_shape": (64, 64, 3)},
        input_data=keras.ops.convert_to_tensor(pictures() / 255),
        expected_output_shape=(2, 2, 2, 64),
        expected_pyramid_output_keys=["P2", "P3", "P4", "P5"],
        expected_pyramid_image_sizes=[(16, 16), (8, 8), (4, 4), (2, 2)],
        run_quantization_check=False,  # it wants a DTypePolicyMap; how int8 is saved here is tested below
        run_data_format_check=False,  # channels last only
    )


def test_a_backbone_is_saved_as_a_preset_and_loaded_by_kerashub(tmp_path):
    model = randomised(backbone())
    model.save_to_preset(str(tmp_path / "mine"))
    for kind in (keras_hub.models.Backbone, hub.FocalNetBackbone):
        loaded = kind.from_preset(str(tmp_path / "mine"))
        assert type(loaded) is hub.FocalNetBackbone and loaded.get_config() == model.get_config()
        np.testing.assert_array_equal(numpy(loaded(pictures())), numpy(model(pictures())))
    bare = hub.FocalNetBackbone.from_preset(str(tmp_path / "mine"), load_weights=False)
    assert not np.array_equal(numpy(bare(pictures())), numpy(model(pictures())))


def test_a_backbone_in_int8_is_saved_and_loaded(tmp_path):
    model = backbone(image_shape=(64, 64, 3))
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_array_equal(numpy(loaded(pictures())), numpy(model(pictures())))


def classifier(classes=3):
    converter = hub.FocalNetImageConverter(image_size=(64, 64), scale=1 / 255)
    preprocessor = hub.FocalNetImageClassifierPreprocessor(image_converter=converter)
    return hub.FocalNetImageClassifier(backbone(), num_classes=classes, preprocessor=preprocessor)


def test_a_classifier_trains_a_step_and_comes_back_from_its_preset(tmp_path):
    model = classifier()
    before = model.get_weights()
    history = model.fit(pictures(4, 80), np.array([0, 1, 2, 0]), batch_size=2, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert not all(map(np.array_equal, before, model.get_weights()))
    expected = model.predict(pictures(2, 80), verbose=0)
    assert expected.shape == (2, 3)
    model.save_to_preset(str(tmp_path / "mine"))
    for kind in (keras_hub.models.ImageClassifier, hub.FocalNetImageClassifier):
        loaded = kind.from_preset(str(tmp_path / "mine"))
        assert type(loaded) is hub.FocalNetImageClassifier
        np.testing.assert_allclose(loaded.predict(pictures(2, 80), verbose=0), expected, atol=1e-5)
    other = hub.FocalNetImageClassifier.from_preset(str(tmp_path / "mine"), num_classes=7)
    assert other.output_shape == (None, 7)
    np.testing.assert_array_equal(other.backbone.get_weights()[0], model.backbone.get_weights()[0])


def test_segmentation_on_the_pyramid_trains_a_step_and_is_saved(tmp_path):
    encoder = keras_hub.models.DeepLabV3Backbone(
        image_encoder=backbone(image_shape=(64, 64, 3)),
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[1, 2, 3],
        projection_filters=8,
        image_shape=(64, 64, 3),
    )
    model = keras_hub.models.DeepLabV3ImageSegmenter(encoder, num_classes=2)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = encoder.image_encoder.get_weights()
    labels = (pictures()[..., :1] > 128).astype("int32")
    assert np.isfinite(model.train_on_batch(pictures() / 255, labels)).all()
    assert not all(map(np.array_equal, before, encoder.image_encoder.get_weights()))
    model.save_to_preset(str(tmp_path / "segmenter"))
    loaded = keras_hub.models.ImageSegmenter.from_preset(str(tmp_path / "segmenter"))
    x = pictures() / 255
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-4)


def test_detection_on_the_pyramid_trains_a_step_and_is_saved(tmp_path):
    encoder = keras_hub.models.RetinaNetBackbone(
        image_encoder=backbone(image_shape=(64, 64, 3)), min_level=3, max_level=5, use_p5=False, image_shape=(64, 64, 3)
    )
    model = keras_hub.models.RetinaNetObjectDetector(
        encoder, num_classes=2, bounding_box_format="xyxy", pre_logits_num_conv_layers=1
    )
    before = encoder.image_encoder.get_weights()
    boxes = np.array([[[4, 4, 40, 40]], [[10, 8, 60, 50]]], "float32")
    labels = {"boxes": boxes, "labels": np.array([[0], [1]])}
    model.compile()
    history = model.fit(pictures() / 255, labels, batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert not all(map(np.array_equal, before, encoder.image_encoder.get_weights()))
    model.save_to_preset(str(tmp_path / "detector"))
    loaded = keras_hub.models.ObjectDetector.from_preset(str(tmp_path / "detector"))
    expected = model(pictures() / 255)
    for name, got in loaded(pictures() / 255).items():
        np.testing.assert_allclose(numpy(got), numpy(expected[name]), atol=1e-4)


# ---- published presets, by files in timm's layout


@pytest.fixture
def small_rows(monkeypatch):
    """The variants, with small networks in place of theirs: the layout of the files is the same."""
    for variant, row in hub.VARIANTS.items():
        small = row._replace(embed_dim=4, depths=tuple(1 for _ in row.depths), image_size=64)
        monkeypatch.setitem(hub.VARIANTS, variant, small)


def published_file(variant, folder):
    """Random weights as timm publishes a variant's, in a folder with its config.json; the network that they are of."""
    row = hub.VARIANTS[variant]
    network = fu.FocalNet((64, 64, 3), row.classes or 1, include_top=bool(row.classes), **row.arguments())
    randomised(network)
    folder.mkdir(parents=True)
    save_file(fu.peer_weights(network, "timm"), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": f"focalnet_{variant}"}))
    return network


@pytest.mark.parametrize("variant", ["tiny_srf", "base_lrf", "large_fl4", "huge_fl3"])
def test_published_logits_go_through_the_preset(small_rows, variant, tmp_path, monkeypatch):
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path))
    folder = tmp_path / "hub" / hub.VARIANTS[variant].repository.replace("/", "--")
    network = published_file(variant, folder)
    x = fu.preprocess_input(pictures())
    expected = numpy(network(x))
    names = (hub.preset_name(variant), f"hf://{hub.VARIANTS[variant].repository}", str(folder))
    for name in names:
        model = hub.FocalNetImageClassifier.from_preset(name)
        np.testing.assert_allclose(numpy(model(x)), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(model.predict(pictures(), verbose=0), expected, atol=1e-4 * np.abs(expected).max())
    features = hub.FocalNetBackbone.from_preset(names[0])(x)
    assert features.shape == (2, 2, 2, 32)
    model.save_to_preset(str(tmp_path / "mine"))
    again = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "mine"))
    np.testing.assert_allclose(again.predict(pictures(), verbose=0), model.predict(pictures(), verbose=0), atol=1e-5)


def test_a_new_classifier_on_published_weights(small_rows, tmp_path):
    network = published_file("huge_fl4", tmp_path / "huge")
    with pytest.raises(ValueError, match="weights of huge_fl4 come without a classifier"):
        hub.FocalNetImageClassifier.from_preset(str(tmp_path / "huge"))
    model = hub.FocalNetImageClassifier.from_preset(str(tmp_path / "huge"), num_classes=3, dtype="mixed_bfloat16")
    assert model.output_shape == (None, 3) and model.backbone.dtype_policy.name == "mixed_bfloat16"
    for one, other in zip(model.backbone.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    converter = hub.FocalNetImageConverter.from_preset(str(tmp_path / "huge"))
    assert converter.image_size == (64, 64)
    np.testing.assert_allclose(numpy(converter(pictures())), fu.preprocess_input(pictures()), atol=1e-4)


def test_every_published_variant_is_a_preset():
    named = {variant for variant, row in fu.VARIANTS.items() if row.repository}
    assert set(hub.PRESETS.values()) == named and len(hub.PRESETS) == 12
    assert {"focalnet_tiny_srf_imagenet", "focalnet_large_fl3_imagenet22k"} < set(hub.PRESETS)


def test_what_is_no_preset_is_said(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "focalnet_giant"}))
    with pytest.raises(ValueError, match="'focalnet_giant', no FocalNet of the paper: tiny_srf"):
        hub.FocalNetBackbone.from_preset(str(tmp_path))
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path))
    with pytest.raises(fu.DataNotFound, match="FOCAL_OFFLINE is set"):
        hub.FocalNetBackbone.from_preset("focalnet_tiny_srf_imagenet", image_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="patch_size=3: KerasHub names maps by powers of 2"):
        backbone(patch_size=3)
