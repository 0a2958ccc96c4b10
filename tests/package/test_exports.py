"""Exports say what the model says, in a process without focal_utils; what cannot be exported is refused, whole.

LiteRT and ONNX need the packages of requirements-export.txt: `make test-exports` has them, elsewhere they are skipped.
"""

import json
import subprocess
import sys
import warnings
from importlib.util import find_spec

import keras
import numpy as np
import pytest

import export
import focal_utils as fu
from focal_utils.layers import quantized_parts
from focal_utils.weights import export_model, trials
from focal_utils.weights import exports as exporting

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel and LiteRT: TensorFlow's")
LIMIT = 1e-4  # relative to the largest logit
PACKAGES = {".onnx": ("onnx", "tf2onnx", "onnxruntime"), ".tflite": ("ai_edge_litert",)}
FORMATS = [(form, *ending) for form, ending in export.FORMATS.items()]
FLOATS = [row for row in FORMATS if row[2] is None]
TINY = {"classes": 5, "embed_dim": 4, "depths": (1, 1)}
OPTIONS = {"use_conv_embed": True, "use_postln": True, "layer_scale": 0.1, "use_postln_in_modulation": True}


def need(ending):
    """Skip the test unless what writes and runs this format is installed."""
    for package in PACKAGES.get("." + ending.rpartition(".")[2], ()):
        if not find_spec(package):
            pytest.skip(f"{package} is not installed: make test-exports")


def write(model, path, quantize=None, images=None):
    return export_model(model, path, quantize, images if path.suffix == ".tflite" else None)


def randomised(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.2, weight.shape) for weight in model.weights])
    return model


@pytest.fixture(scope="module")
def signs():
    return fu.render_signs(640)


@pytest.mark.parametrize(("form", "ending", "quantize"), FLOATS)
def test_images_of_any_size_and_number(form, ending, quantize, tmp_path):
    need(ending)
    model = randomised(fu.FocalNet((None, None, 3), preprocessing="imagenet", **TINY, **OPTIONS))
    path = tmp_path / f"open{ending}"
    write(model, path)
    with export.reader(path) as reader:
        for shape in ((1, 16, 16, 3), (2, 24, 41, 3), (64, 16, 16, 3)):
            images = np.random.default_rng(1).integers(0, 256, shape, dtype="uint8")
            expected = fu.predict(model, images)
            assert export.relative_difference(export.logits(reader, images), expected).max() <= LIMIT


@pytest.mark.parametrize(("form", "ending", "quantize"), FORMATS)
def test_the_shipped_network(form, ending, quantize, tmp_path, signs):
    need(ending)
    model = fu.load_trained("gtsrb")
    path = tmp_path / f"signs{ending}"
    write(model, path, quantize, signs.x_train[:100] if quantize == "int8" else None)
    expected = fu.predict(model, signs.x_test)
    with export.reader(path) as reader:
        for batch in (1, 2, 64):
            some = signs.x_test if batch == 64 else signs.x_test[: 2 * batch]
            got = export.logits(reader, some, batch)
            difference = export.relative_difference(got, expected[: len(some)])
            assert got.shape == (len(some), 43) and difference.max() <= (1 if quantize else LIMIT)
    assert np.mean(got.argmax(-1) == expected.argmax(-1)) >= (0.95 if quantize else 1)
    if quantize:
        assert difference.max() > LIMIT and export.size(path) < 0.4 * model.count_params() * 4


@pytest.mark.parametrize(("form", "ending", "quantize"), FLOATS)
def test_the_shipped_segmenter_on_pictures_of_any_size(form, ending, quantize, tmp_path):
    need(ending)
    model = fu.load_trained("nuclei")
    path = tmp_path / f"nuclei{ending}"
    write(model, path)
    with export.reader(path) as reader:
        for shape in ((1, 64, 64, 3), (2, 75, 66, 3), (1, 33, 130, 3)):
            pictures = np.random.default_rng(1).integers(0, 256, shape).astype("float32")
            got = export.logits(reader, pictures)
            expected = np.asarray(model(pictures))
            assert got.shape == (*shape[:3], 2)
            assert np.abs(got - expected).max() <= LIMIT * np.abs(expected).max()


@pytest.mark.data
@pytest.mark.slow
def test_int8_loses_at_most_half_a_point(tmp_path, monkeypatch):
    need(".tflite")
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    try:
        data = fu.load_gtsrb()
    except fu.DataNotFound:
        pytest.skip("GTSRB is not on this machine")
    model = fu.load_trained("gtsrb")
    export_model(model, tmp_path / "int8.tflite", "int8", data.x_train[:: len(data.x_train) // 300])
    with export.reader(tmp_path / "int8.tflite") as reader:
        right = np.mean(export.logits(reader, data.x_test).argmax(-1) == data.y_test)
    assert fu.accuracy(model, data.x_test, data.y_test) - right <= 0.005


@pytest.mark.parametrize("name", json.loads(export.RESULTS.read_text(encoding="utf-8")))
def test_recorded_exports_are_equal_and_int8_is_near(name):
    facts = json.loads(export.RESULTS.read_text(encoding="utf-8"))[name]
    rows = facts["formats"]
    assert set(rows) == set(export.FORMATS)
    for form, (_, quantize) in export.FORMATS.items():
        assert quantize or rows[form]["largest_difference"] <= LIMIT
        assert rows[form]["accuracy"] >= rows["Keras"]["accuracy"] - (0.005 if quantize else 0)


def test_kerass_own_int8_is_below_a_megabyte_and_reads_signs_as_before(tmp_path, signs):
    model = fu.load_trained("gtsrb")
    model.compile("adam", "mse")
    before = model.get_weights()
    path = export_model(model, tmp_path / "signs.keras", "int8")
    assert path.stat().st_size <= 1_000_000
    loaded = keras.saving.load_model(path)
    assert quantized_parts(loaded) and not loaded.compiled and loaded.class_names == model.class_names
    assert quantized_parts(model) == {} and all(map(np.array_equal, model.get_weights(), before))
    said = fu.predict(loaded, signs.x_test).argmax(-1)
    assert np.mean(said == fu.predict(model, signs.x_test).argmax(-1)) >= 0.95


def test_keras_s_own_format_is_compressed_and_the_same_network(tmp_path):
    model = randomised(fu.FocalNet((16, 16, 3), preprocessing="imagenet", **TINY, **OPTIONS))
    model.save(tmp_path / "whole.keras")
    path = export_model(model, tmp_path / "small.keras")
    assert path.stat().st_size < 0.8 * (tmp_path / "whole.keras").stat().st_size
    for one, other in zip(keras.saving.load_model(path).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_keras_cannot_quantize_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="convs")
    with pytest.raises(ValueError, match='quantize="int8" had no effect on convs: it has no dense layers'):
        export_model(model, tmp_path / "convs.keras", "int8")
    assert not list(tmp_path.iterdir())


def test_recorded_int8_of_keras_is_below_a_megabyte_and_loses_at_most_0_3_points():
    rows = json.loads(export.RESULTS.read_text(encoding="utf-8"))["gtsrb"]["formats"]
    assert rows["Keras, int8"]["bytes"] <= 1_000_000
    assert rows["Keras, int8"]["accuracy"] >= rows["Keras"]["accuracy"] - 0.003


@pytest.mark.parametrize("ending", ["", ".tflite", ".onnx"])
def test_the_process_that_reads_an_export_cannot_import_the_package(ending):
    code = f"import runpy, sys; runner = runpy.run_path({str(export.RUNNER)!r}); runner['hide']({ending!r}); "
    done = subprocess.run([sys.executable, "-I", "-c", code + "import focal_utils"], capture_output=True, text=True)
    assert done.returncode == 1 and "import of focal_utils halted" in done.stderr


@pytest.mark.parametrize("name", ["net", "net.tflite", "net.onnx"])
def test_what_is_there_is_not_touched(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name} is there already. It was not touched"):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "mine.txt"]


def test_a_folder_of_exports_is_not_touched_and_is_written_whole(tmp_path, monkeypatch):
    model = fu.FocalNet((16, 16, 3), **TINY)
    folder = tmp_path / "nets" / "net"
    folder.mkdir(parents=True)
    with pytest.raises(FileExistsError, match="net is there already.*choose another --to"):
        export.export_all(model, "net", None, folder)
    folder.rmdir()

    def fails(model, path, quantize, images):
        path.mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(export, "export_model", fails)
    with pytest.raises(OSError, match="disk full"):
        export.export_all(model, "net", None, folder)
    assert list((tmp_path / "nets").iterdir()) == []


@pytest.mark.parametrize("package", exporting.ONNX_PACKAGES)
def test_a_missing_package_is_named_and_nothing_is_written(package, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda wanted: None if wanted == package else True)
    with pytest.raises(ModuleNotFoundError, match=f"to ONNX needs more than Keras: pip install {package}$"):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_another_backend_is_told_where_exports_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="TensorFlow backend, this is jax: save the model as .keras"):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    model = fu.FocalNet((16, 16, 3), **TINY)

    def fails(path, **options):
        (tmp_path / path).mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(model, "export", fails)
    with pytest.raises(OSError, match="disk full"):
        export_model(model, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("net.h5", {}, ValueError, r"net.h5 does not say which format.*\.tflite.*\.onnx"),
        ("no/net", {}, FileNotFoundError, "no folder .*no for net: make it first"),
        ("net.tflite", {"quantize": "int4"}, ValueError, "quantize='int4' is not known.*'weights', 'int8'"),
        ("net.tflite", {"quantize": "int8"}, ValueError, 'images are needed for quantize="int8"'),
        ("net.tflite", {"images": np.zeros((1, 16, 16, 3))}, ValueError, "and for nothing else"),
        ("net.onnx", {"quantize": "weights"}, ValueError, "is for .tflite, not for net.onnx"),
        ("net.keras", {"quantize": "weights"}, ValueError, "is for .tflite, not for net.keras"),
        ("net", {"quantize": "int8"}, ValueError, "is for .tflite and .keras, not for net"),
    ],
)
def test_arguments_that_do_not_fit(name, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def of_layers(*layers):
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: of_layers(keras.layers.Dense(2, activation="gelu")), "Erfc.*fu.gelu is the same function"),
        (lambda: fu.article.build_focal_net(10), "Erfc.*fu.gelu is the same function"),
        (lambda: of_layers(keras.layers.Normalization(mean=[1.0] * 4, variance=[2.0] * 4)), "3 inputs instead of 1"),
    ],
    ids=["gelu of Keras", "the article's network", "Normalization"],
)
def test_what_onnx_cannot_say_is_refused(build, message, tmp_path):
    need(".onnx")
    with pytest.raises(ValueError, match=f"(?s){message}"):
        export_model(build(), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_gelu_of_the_package_is_in_onnx_as_erf(tmp_path):
    need(".onnx")
    import onnx

    export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / "net.onnx")
    found = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    # a block's two levels, its global context and its MLP
    blocks = 2
    gelus = 4
    assert found.count("Erf") == blocks * gelus and "Erfc" not in found


def reads(path, *arrays):
    """What a LiteRT file says, by the interpreter that is here."""
    runner = trials.opened(path).get_signature_runner()
    return list(runner(**dict(zip(sorted(runner.get_input_details()), arrays, strict=True))).values())


def some_images(side=16, channels=3):
    return np.random.default_rng(1).uniform(size=(4, side, side, channels)).astype("float32")


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "large"])
def test_a_mixed_network_goes_into_litert_in_float32_and_stays_as_it_is(options, dtype, tmp_path):
    model = randomised(fu.FocalNet((16, 16, 3), dtype=dtype, **TINY, **options))
    images = some_images()
    before = keras.ops.convert_to_numpy(model(images))
    export_model(model, tmp_path / "net.tflite")
    whole = fu.FocalNet((16, 16, 3), dtype="float32", **TINY, **options)
    whole.set_weights(model.get_weights())
    (got,) = reads(tmp_path / "net.tflite", images)
    assert export.relative_difference(got, keras.ops.convert_to_numpy(whole(images))).max() <= LIMIT
    assert np.array_equal(keras.ops.convert_to_numpy(model(images)), before)
    assert model.get_layer("stage0_block0").compute_dtype == dtype.removeprefix("mixed_")


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions_as_savedmodel(dtype, tmp_path):
    model = randomised(fu.FocalNet((16, 16, 3), dtype=dtype, **TINY))
    export_model(model, tmp_path / "net")
    assert (tmp_path / "net" / "saved_model.pb").is_file()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("quantize", [None, "weights", "int8"])
def test_weights_that_litert_does_not_know_are_refused(quantize, dtype, tmp_path):
    model = fu.FocalNet((16, 16, 3), dtype=dtype, **TINY)
    images = some_images() if quantize == "int8" else None
    with pytest.raises(ValueError, match=f"LiteRT computes in float32, and focalnet has weights in {dtype}"):
        export_model(model, tmp_path / "net.tflite", quantize, images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((0, 16, 16, 3)),
        [],
        np.zeros((4, 16, 16, 1)),
        np.zeros((4, 8, 8, 3)),
        np.zeros((16, 16, 3)),
        np.full((4, 16, 16, 3), np.nan),
    ],
    ids=["none", "an empty list", "one channel", "smaller", "one image", "NaN"],
)
def test_int8_without_images_that_fit_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match=r'quantize="int8" needs images as focalnet takes them, \(N, 16, 16, 3\)'):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / "net.tflite", "int8", images)
    assert list(tmp_path.iterdir()) == []


def test_what_is_called_int8_holds_int8(tmp_path):
    model = randomised(fu.FocalNet((16, 16, 3), **TINY))
    export_model(model, tmp_path / "int8.tflite", "int8", some_images())
    assert trials.int8_tensors(tmp_path / "int8.tflite") > 50
    with pytest.raises(ValueError, match='quantize="weights" had no effect.*fewer than 1,024'):
        export_model(model, tmp_path / "weights.tflite", "weights")
    larger = fu.FocalNet((16, 16, 3), 5, embed_dim=32, depths=(1,))
    export_model(larger, tmp_path / "weights.tflite", "weights")
    assert trials.int8_tensors(tmp_path / "weights.tflite") >= 4


@keras.saving.register_keras_serializable("tests")
class Own(keras.Model):
    """A model of layers of its own, with a focal block among them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stem = keras.layers.Conv2D(4, 3)
        self.block = fu.FocalBlock(4)

    def call(self, images):
        return self.block(self.stem(images))


class Several(keras.Model):
    """A model of layers of its own with several inputs, in a dict."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return {"sum": self.dense(inputs["one"] + 2 * inputs["other"]), "first": inputs["one"]}


class TwoArguments(Several):
    """The same with two arguments, of which Keras does not keep the second one's shape."""

    def call(self, one, other):
        return super().call({"one": one, "other": other})


def own():
    model = Own()
    model(np.zeros((1, 8, 8, 3), "float32"))
    return model


def several():
    model = Several()
    model({"one": np.zeros((1, 4), "float32"), "other": np.zeros((1, 4), "float32")})
    return model


def two_inputs():
    last = keras.Input((4,), name="last")
    first = keras.Input((4,), name="first")
    outputs = [keras.layers.Dense(2)(last - 2 * first), keras.layers.Dense(3)(first), last]
    return keras.Model([last, first], outputs)


def named_inputs():
    images = keras.Input((8, 8, 3), name="images")
    size = keras.Input((1,), name="size")
    maps = fu.FocalBlock(3)(images)
    return keras.Model({"images": images, "size": size}, {"maps": maps, "double": 2 * size})


def token_ids():
    ids = keras.Input((None,), dtype="int32", name="ids")
    return keras.Model(ids, keras.layers.Dense(2)(keras.layers.Embedding(7, 4)(ids)))


def maps_of_stages():
    return fu.feature_maps(fu.FocalNet((None, None, 3), **TINY))


@pytest.mark.parametrize("ending", ["", ".tflite", ".onnx"])
@pytest.mark.parametrize("build", [own, several, two_inputs, named_inputs, token_ids, maps_of_stages])
def test_models_of_any_kind(build, ending, tmp_path):
    need(ending if ending == ".onnx" else "")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert export_model(build(), tmp_path / f"net{ending}").exists()


@pytest.mark.parametrize("ending", ["", ".tflite"])
def test_an_export_that_says_something_else_is_not_kept(ending, tmp_path, monkeypatch):
    model = randomised(fu.FocalNet((16, 16, 3), **TINY))
    write_out = model.export

    def exports_other_weights(*arguments, **options):
        weights = model.get_weights()
        model.set_weights([weight * 1.5 for weight in weights])
        write_out(*arguments, **options)
        model.set_weights(weights)

    monkeypatch.setattr(model, "export", exports_other_weights)
    with pytest.raises(ValueError, match="says something else than the model, and was not kept"):
        export_model(model, tmp_path / f"net{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["", ".tflite"])
def test_an_export_that_does_not_run_is_not_kept(ending, tmp_path, monkeypatch):
    model = fu.FocalNet((16, 16, 3), **TINY)

    def exports_nonsense(path, **_):
        (tmp_path / path).write_bytes(b"nonsense")

    monkeypatch.setattr(model, "export", exports_nonsense)
    with pytest.raises(ValueError, match="does not run, and was not kept"):
        export_model(model, tmp_path / f"net{ending}")
    assert list(tmp_path.iterdir()) == []


def test_operations_that_litert_has_not_are_named(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.ops.erfinv(inputs / 2))
    with pytest.raises(ValueError, match="cannot say all of .*, and nothing was written"):
        export_model(model, tmp_path / "net.tflite")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_runs_the_format_a_warning_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "litert_interpreter", lambda: None)
    with pytest.warns(UserWarning, match="net.tflite was written but not tried"):
        export_model(fu.FocalNet((16, 16, 3), **TINY), tmp_path / "net.tflite")


@pytest.mark.parametrize("ending", ["", ".tflite", ".onnx"])
def test_a_model_that_cannot_be_tried_is_refused(ending, tmp_path):
    need(ending if ending == ".onnx" else "")
    model = TwoArguments()
    model(np.zeros((1, 4), "float32"), np.zeros((1, 4), "float32"))
    with pytest.raises(ValueError, match="cannot be exported: .*'other'.*if its call takes one argument"):
        export_model(model, tmp_path / f"net{ending}")
    images = keras.Input((None, 4))
    picky = keras.Model(images, keras.layers.Reshape((-1, 5, 4))(images))
    with pytest.raises(ValueError, match="sides 64 and 224 were tried.*build it with a fixed input_shape"):
        export_model(picky, tmp_path / f"net{ending}")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_or_has_no_weights_is_refused(tmp_path):
    for thing in (None, "gtsrb", fu.FocalModulation(8)):
        with pytest.raises(TypeError, match="give a keras.Model"):
            export_model(thing, tmp_path / "net")
    for model in (Own(), keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match="has no weights yet: call it once"):
            export_model(model, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
