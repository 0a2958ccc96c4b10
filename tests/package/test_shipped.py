"""Weights files: all or nothing, and the shipped networks."""

import re

import h5py
import keras
import numpy as np
import pytest

from focal_utils.errors import DamagedData
from focal_utils.layers import FocalBlock
from focal_utils.machine import jit_here
from focal_utils.models import FocalNet
from focal_utils.weights import load_trained, load_weights
from focal_utils.weights import shipped as shipped_networks


def small(**more):
    return FocalNet(**{"input_shape": (16, 16, 3), "classes": 3, "embed_dim": 4, "depths": (1, 1)} | more)


def saved(folder, name="saved.weights.h5", **more):
    """A network with random weights and its file."""
    model = small(**more)
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.weights])
    model.save_weights(folder / name)
    return model, folder / name


def same(weights, others):
    return all(np.array_equal(a, b) for a, b in zip(weights, others, strict=True))


def refused(model, path, error, *words):
    """Loading fails with all of the `words` in the message, the file's path among them, and the model is as it was."""
    before = model.get_weights()
    with pytest.raises(error) as caught:
        load_weights(model, path)
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert same(model.get_weights(), before)


def test_every_weight_is_loaded(tmp_path):
    model, path = saved(tmp_path)
    other = small(drop_path_rate=0.3, drop_rate=0.1, gating="softmax", name="other")
    load_weights(other, str(path))
    assert same(model.get_weights(), other.get_weights())


def test_names_that_keras_gives_do_not_matter(tmp_path):
    models = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(3)]) for _ in range(2)]
    models[0].save_weights(tmp_path / "dense.weights.h5")
    load_weights(models[1], tmp_path / "dense.weights.h5")
    assert models[0].layers[0].name != models[1].layers[0].name
    assert same(models[0].get_weights(), models[1].get_weights())


def test_weights_of_a_training_go_into_a_fresh_and_into_a_trained_model(tmp_path):
    model, _ = saved(tmp_path)
    model.compile("adam", "mse", jit_compile=jit_here())
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(7)
    model.save_weights(tmp_path / "trained.weights.h5")
    fresh = small()
    load_weights(fresh, tmp_path / "trained.weights.h5")
    assert same(fresh.get_weights(), model.get_weights())
    _, plain = saved(tmp_path)
    load_weights(model, plain)
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 7


@pytest.mark.parametrize(
    ("other", "layer", "shapes"),
    [
        ({"classes": 4}, "layer head ", ("(8, 4)", "(8, 3)")),
        ({"embed_dim": 8}, "layer stem ", ("(8,)", "(4,)")),
        ({"focal_levels": 3}, "layer stage0_block0 ", ("depthwise_conv2d_2/vars/0", "(7, 7, 4, 1)", "none in the f")),
        ({"depths": (1, 2)}, "layer stage1_block1 ", ("none in the file",)),
        ({"depths": (1,)}, "layer norm ", ("(4,) in the model and shape (8,) in the file",)),
        ({"layer_scale": 1e-4}, "layer stage0_block0 ", ("scale1/vars/0", "none in the file")),
        ({"use_postln_in_modulation": True}, "layer stage0_block0 ", ("modulation/norm/vars/0", "none in the file")),
        ({"include_top": False}, "layer head ", ("none in the model",)),
    ],
)
def test_weights_of_another_architecture_are_refused(other, layer, shapes, tmp_path):
    _, path = saved(tmp_path)
    refused(small(**other), path, ValueError, "another architecture", layer, *shapes)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(keep, tmp_path):
    _, path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    refused(small(), path, DamagedData, "cut short or damaged")


def test_a_file_that_breaks_halfway_changes_nothing(tmp_path):
    """All shapes fit, but the last array cannot be read, when the others have been."""
    _, path = saved(tmp_path)
    with h5py.File(path, "r+") as file:
        keys = []
        file.visit(keys.append)
        (key,) = [key for key in keys if re.fullmatch(r"layers/patch_embed_1/norm/vars/1", key)]
        shape = file[key].shape
        del file[key]
        file.create_dataset(key, shape, "f4", external=[(str(tmp_path / "elsewhere.bin"), 0, 4 * shape[0])])
    refused(small(), path, DamagedData, "cut short or damaged")


def test_other_files_are_refused(tmp_path):
    model = small()
    text = tmp_path / "notes.weights.h5"
    text.write_text("not HDF5")
    refused(model, text, DamagedData)
    refused(model, tmp_path / "absent.weights.h5", FileNotFoundError)
    refused(model, tmp_path / "model.keras", ValueError, ".weights.h5", "load_trained")
    with h5py.File(tmp_path / "empty.weights.h5", "w"):
        pass
    refused(model, tmp_path / "empty.weights.h5", ValueError, "layer stem ", "none in the file")


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A data folder with one network in it, "signs"."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(shipped_networks, "data_folder", lambda: tmp_path)
    model, _ = saved(tmp_path, preprocessing="per_image")
    model.save(tmp_path / "weights" / "signs.keras")
    return model, tmp_path / "weights" / "signs.keras"


def test_shipped_networks_are_listed_and_loaded(shipped):
    assert load_trained() == ["signs"]
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype="uint8")
    model = load_trained("signs")
    assert isinstance(model, FocalNet)
    np.testing.assert_array_equal(model(images), shipped[0](images))


@pytest.mark.parametrize("name", ["cats", "../saved", "signs.keras", "", {"a": 1}, ["signs"], 3])
def test_an_unknown_name_lists_the_shipped_ones(name, shipped):
    with pytest.raises(ValueError, match=f"{re.escape(repr(name))}.*Shipped are: signs"):
        load_trained(name)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_network_is_refused(keep, shipped):
    data = shipped[1].read_bytes()
    shipped[1].write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(DamagedData, match=f"{re.escape(str(shipped[1]))} is cut short or damaged"):
        load_trained("signs")


def test_a_network_that_brings_code_is_refused(shipped):
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(shipped[1])
    with pytest.raises(DamagedData, match=re.escape(str(shipped[1]))):
        load_trained("signs")


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_shipped_network_keeps_its_precision_under_any_global_policy(name, shipped):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype="uint8")
    expected = keras.ops.convert_to_numpy(load_trained("signs")(images))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        model = load_trained("signs")
        assert keras.config.dtype_policy().name == name
        got = keras.ops.convert_to_numpy(model(images))
    finally:
        keras.config.set_dtype_policy(before)
    assert got.dtype == "float32" and np.array_equal(got, expected)


def test_a_flipped_bit_in_a_shipped_network_is_found_by_its_checksums(shipped):
    data = shipped[1].read_bytes()
    right = shipped[0].get_weights()
    rng = np.random.default_rng(0)
    found = 0
    for position in rng.integers(0, len(data), 12):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        shipped[1].write_bytes(flipped)
        try:
            assert same(load_trained("signs").get_weights(), right)
        except DamagedData:
            found += 1
    assert found > 6


@keras.saving.register_keras_serializable("tests")
class Own(keras.Model):
    """A model of layers of its own, with a focal block among them."""

    def __init__(self, dim=6, **options):
        super().__init__(**options)
        self.stem = keras.layers.Conv2D(dim, 3)
        self.block = FocalBlock(dim)
        self.head = keras.layers.Dense(3)

    def call(self, images):
        return self.head(self.block(self.stem(images)))


def called(dim=6):
    model = Own(dim)
    model(np.zeros((1, 8, 8, 3), "float32"))
    return model


def test_weights_of_a_model_of_layers_of_its_own(tmp_path):
    model = called()
    other = called()
    path = tmp_path / "own.weights.h5"
    model.save_weights(path)
    load_weights(other, path)
    assert same(model.get_weights(), other.get_weights())
    refused(called(8), path, ValueError, "another architecture", "(3, 3, 3, 8)", "(3, 3, 3, 6)")
    with pytest.raises(ValueError, match="has no weights yet.*call it once"):
        load_weights(Own(), path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(other, path, DamagedData, "cut short or damaged")


def test_weights_of_other_kinds_of_models(tmp_path):
    def build():
        left, right = keras.Input((4,)), keras.Input((4,))
        inner = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5, seed=1)])
        return keras.Model([left, right], [inner(left - right), keras.layers.BatchNormalization()(right)])

    model = build()
    other = build()
    path = tmp_path / "two.weights.h5"
    model.save_weights(path)
    load_weights(other, path)
    assert same(model.get_weights(), other.get_weights())


def datasets(path):
    with h5py.File(path, "r") as file:
        keys = []
        file.visititems(lambda key, item: keys.append(key) if isinstance(item, h5py.Dataset) else None)
    return sorted(keys)


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        (lambda value: np.full_like(value, np.nan), DamagedData, "holds NaN or infinite"),
        (lambda value: np.full_like(value, np.inf), DamagedData, "holds NaN or infinite"),
        (lambda value: value.astype(complex), ValueError, "of complex128"),
        (lambda value: value.astype("int8"), ValueError, "of int8"),
        (lambda value: value > 0, ValueError, "of bool"),
        (lambda value: np.full(value.shape, b"text"), ValueError, "of |S4"),
    ],
    ids=["NaN", "infinite", "complex", "int8", "bool", "text"],
)
@pytest.mark.parametrize("which", [0, -1])
def test_what_is_no_weight_is_refused(which, change, error, word, tmp_path):
    model, path = saved(tmp_path)
    key = datasets(path)[which]
    with h5py.File(path, "r+") as file:
        value = change(file[key][()])
        del file[key]
        file[key] = value
    refused(model, path, error, word)


def test_weights_of_another_precision_are_taken(tmp_path):
    for there, here in (
        ("float64", "float32"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float64"),
    ):
        model, path = saved(tmp_path, dtype=there)
        other = small(dtype=here)
        load_weights(other, path)
        for got, expected in zip(other.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(got.astype("float32"), expected.astype("float32"))


def test_a_flipped_bit_in_a_weights_file_changes_all_or_nothing(tmp_path):
    """The format has no checksums: what is seen is refused, and what is not is one number, whole."""
    model, path = saved(tmp_path)
    data = path.read_bytes()
    right = model.get_weights()
    other = [weight + 1 for weight in right]
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 20):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        model.set_weights(other)
        try:
            load_weights(model, path)
        except ValueError:  # DamagedData is one
            assert same(model.get_weights(), other)
        else:
            wrong = [np.count_nonzero(a != b) for a, b in zip(model.get_weights(), right, strict=True)]
            assert sum(wrong) <= 1


@pytest.mark.parametrize("path", [None, 3, ["a.weights.h5"]])
def test_what_is_no_path_or_no_model_is_refused(path, tmp_path):
    with pytest.raises(TypeError, match="give the path of a weights file"):
        load_weights(small(), path)
    with pytest.raises(TypeError, match="give the keras.Model"):
        load_weights(path, tmp_path / "a.weights.h5")
    folder = tmp_path / "a.weights.h5"
    folder.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_weights(small(), folder)
