"""Published weights go in whole or not at all, under three families' names, and come out bit for bit."""

import argparse
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import focal_utils as fu
from focal_utils.errors import DamagedData
from focal_utils.weights import FAMILIES, tensors

FOLDER = Path(__file__).parents[1] / "reference"
NETWORKS = sorted(path.stem for path in FOLDER.glob("*_network_*.npz"))
LARGE = {"use_conv_embed": True, "use_postln": True, "layer_scale": 1e-4}
HUGE = LARGE | {"use_postln_in_modulation": True, "focal_levels": 3}


def small(**more):
    arguments = {"embed_dim": 8, "depths": (1, 2), "focal_levels": 2, "classes": 5} | more
    return fu.FocalNet((32, 32, 3), **arguments)


def reference(name):
    """A frozen network of timm's or transformers': its case, its tensors, input, output and features."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    tensors = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    return json.loads(str(arrays["case"])), tensors, arrays


def same(before, after):
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def refused(model, source, error, *words, **options):
    """The source is refused in these words, and the model is as it was."""
    before = model.get_weights()
    with pytest.raises(error) as caught:
        fu.load_checkpoint(model, source, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert same(model.get_weights(), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_peers_network_is_loaded_and_says_the_same(name):
    case, tensors, arrays = reference(name)
    model = fu.FocalNet(**case["arguments"])
    report = fu.load_checkpoint(model, tensors)
    assert report.family == case["peer"] and report.tensors == len(tensors) and not report.skipped
    assert report.parameters == model.count_params() and report.untouched == []
    output = keras.ops.convert_to_numpy(model(arrays["input"]))
    assert np.abs(output - arrays["output"]).max() < 1e-5 * np.abs(arrays["output"]).max()
    for theirs, value in fu.peer_weights(model, case["peer"]).items():
        assert value.dtype == tensors[theirs].dtype and np.array_equal(value, tensors[theirs]), theirs


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("arguments", [{}, LARGE, HUGE, {"depths": (3,), "patch_size": 16}])
def test_the_round_trip_is_exact(family, arguments, tmp_path):
    model = small(**arguments)
    other = small(**arguments)
    save_file(fu.peer_weights(model, family), tmp_path / "there.safetensors")
    report = fu.load_checkpoint(other, tmp_path / "there.safetensors")
    assert report.family in (family, "official") and same(model.get_weights(), other.get_weights())
    assert str(report).startswith(f"{len(model.weights)} tensors, {model.count_params():,} parameters, named as in ")


def test_a_classifier_is_left_out_or_kept():
    tensors = fu.peer_weights(small(), "timm")
    report = fu.load_checkpoint(small(include_top=False), tensors)
    assert report.skipped == ["head.fc.weight", "head.fc.bias"] and report.untouched == []
    assert str(report).endswith("; left out: head.fc.weight, head.fc.bias")
    model = small(classes=9)
    head = model.get_layer("head").get_weights()
    report = fu.load_checkpoint(model, tensors, head=False)
    assert report.untouched == ["head/bias", "head/kernel"] and same(head, model.get_layer("head").get_weights())
    refused(small(classes=9), tensors, ValueError, "another number of classes", "head=False")
    headless = {name: value for name, value in tensors.items() if not name.startswith("head")}
    refused(small(), headless, ValueError, "a checkpoint without a classifier", "head=False")
    assert fu.load_checkpoint(small(), headless, head=False).tensors == len(headless)


def test_transformers_model_without_classifier_has_shorter_names():
    model = small()
    other = small(include_top=False)
    tensors = {name.removeprefix("focalnet."): v for name, v in fu.peer_weights(model, "transformers").items()}
    bare = {name: value for name, value in tensors.items() if not name.startswith("classifier")}
    assert fu.load_checkpoint(other, bare).family == "transformers"
    assert same(other.get_weights(), model.get_weights()[:-2])


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"embed_dim": 12}, ("has shape (4, 4, 3, 12) in the checkpoint, (4, 4, 3, 8) in the model", "another width")),
        ({"depths": (1, 3)}, ("has no place in the model", "another depth", "and ")),
        ({"depths": (1, 1)}, ("is missing in the checkpoint", "another depth")),
        ({"focal_levels": 3}, ("focal_layers.2.0.weight has no place", "srf has 2, lrf and fl3 have 3")),
        ({"focal_windows": 5}, ("has shape (5, 5, 8, 1)", "focal_window is 5 in large_fl3")),
        ({"use_conv_embed": True}, ("has shape (7, 7, 3, 8)", "use_conv_embed belongs to the large variants")),
        ({"layer_scale": 1e-4}, ("gamma", "layer_scale=1e-4 belongs")),
        ({"use_postln_in_modulation": True}, ("modulation", "use_postln_in_modulation=True belongs")),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_another_variants_weights_are_refused_with_the_likely_cause(family, there, words):
    source = fu.peer_weights(small(**there), family)
    words = [word for word in words if not (word == "gamma" and family == "timm")]
    refused(small(), source, ValueError, "Nothing was loaded", f"({family} names)", *words)


def test_post_norm_is_told_by_timms_names():
    source = fu.peer_weights(small(use_postln=True), "timm")
    refused(small(), source, ValueError, "norm1_post.weight has no place", "use_postln=True belongs")


def test_one_wrong_tensor_among_many_changes_nothing():
    source = fu.peer_weights(small(), "timm")
    last = list(source)[-1]
    refused(small(), {**source, last: source[last][:-1]}, ValueError, last, "has shape (4,) in the checkpoint")
    refused(small(), {n: v for n, v in source.items() if n != last}, ValueError, f"{last} is missing")
    refused(small(), {**source, "surprise": np.ones(3)}, ValueError, "surprise has no place in the model")


def test_what_is_no_focalnet_is_refused():
    refused(small(), {"conv1.weight": np.ones((3, 3))}, ValueError, "no FocalNet checkpoint", "conv1.weight")
    refused(small(), {}, ValueError, "holds nothing")
    other = fu.FocalNet((32, 32, 3), 5, embed_dim=8, depths=(1,), mixer="attention")
    refused(other, fu.peer_weights(small(), "timm"), ValueError, "for which there is no name in official checkpoints")
    with pytest.raises(ValueError, match="family='keras' is not known"):
        fu.peer_weights(small(), "keras")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "small.safetensors"
    save_file(fu.peer_weights(small(), "timm"), path)
    return path


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(keep, saved):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    refused(small(), saved, DamagedData, str(saved), "cut short or damaged")


def header(path, change):
    """Rewrite the JSON header of a safetensors file and leave the data as they are."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    text = json.dumps(change(json.loads(data[8 : 8 + length]))).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_a_header_that_lies_is_refused(saved):
    def longer(entries):
        entries["norm.weight"]["data_offsets"][1] += 4000
        return entries

    def other_shape(entries):
        entries["norm.weight"]["shape"] = [8]
        return entries

    data = saved.read_bytes()
    for change in (longer, other_shape):
        saved.write_bytes(data)
        header(saved, change)
        refused(small(), saved, DamagedData, "cut short or damaged")
    saved.write_bytes(struct.pack("<Q", 1 << 60) + data[8:])
    refused(small(), saved, DamagedData, "cut short or damaged")


def test_other_files_are_refused(tmp_path):
    refused(small(), tmp_path / "absent.safetensors", FileNotFoundError, "There is no checkpoint")
    other = tmp_path / "model.weights.h5"
    other.write_bytes(b"")
    refused(small(), other, ValueError, "see load_weights")


def test_pytorchs_format_without_pytorch_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "focalnet_tiny_srf.pth"
    path.write_bytes(b"PK")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(small(), path, ImportError, "PyTorch is not installed", ".safetensors, which need no PyTorch")


def test_pytorchs_format_is_read_and_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    model = small()
    path = tmp_path / "model.pth"
    tensors = {name: torch.from_numpy(value) for name, value in fu.peer_weights(model, "official").items()}
    torch.save({"model": tensors}, path)
    other = small()
    assert fu.load_checkpoint(other, path).family == "official" and same(model.get_weights(), other.get_weights())

    marker = tmp_path / "it_ran"

    class Payload:
        def __reduce__(self):
            return Path.touch, (marker,)

    torch.save({"model": tensors, "extra": Payload()}, path)
    refused(small(), path, DamagedData, "nothing of it was run")
    path.write_bytes(pickle.dumps(Payload()))
    refused(small(), path, DamagedData)
    assert not marker.exists()
    torch.save({"model": tensors}, path)
    path.write_bytes(path.read_bytes()[:-500])
    refused(small(), path, DamagedData, path.name)


@pytest.mark.parametrize(
    ("here", "there", "cause"),
    [
        ({"input_shape": (32, 32, 1)}, {}, "images of another number of channels: 3 there, 1 here"),
        ({}, {"input_shape": (32, 32, 5)}, "images of another number of channels: 5 there, 3 here"),
        ({}, {"patch_size": 2}, "another patch_size: 2 there, 4 here"),
        ({}, {"mlp_ratio": 2.0}, "another mlp_ratio: 2 there, 4 here"),
        ({}, {"focal_windows": 9}, "other kernels, ((9, 11), (9, 11)) there, ((3, 5), (3, 5)) here"),
        (
            {},
            {"embed_dim": 4, "classes": 7},
            "another width, so another variant: 4 channels there, 8 here; and another",
        ),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cause_is_the_right_one(family, here, there, cause):
    shape = here.get("input_shape", (32, 32, 3))
    other = there.get("input_shape", (32, 32, 3))
    arguments = {"embed_dim": 8, "depths": (1, 2), "focal_levels": 2, "classes": 5}
    model = fu.FocalNet(**arguments | here | {"input_shape": shape})
    source = fu.peer_weights(fu.FocalNet(**arguments | there | {"input_shape": other}), family)
    refused(model, source, ValueError, f"Likely cause: {cause}")


def other_network(source):
    """The same names, but for a Swin's attention in the place of modulation."""
    return {name.replace("modulation.", "attn."): value for name, value in source.items()}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda source: source | {"surprise": np.ones(3, "float32")}, None),
        (lambda source: source | {"layers.0.extra.weight": np.ones(3, "float32")}, None),
        (lambda source: {name: value for name, value in source.items() if name != "norm.weight"}, None),
        (lambda source: source | {"norm.weight": source["norm.weight"][:-1]}, None),
        (other_network, "it is of another network: it holds self-attention"),
    ],
    ids=["a key too many", "one inside too many", "one missing", "one cut", "Swin"],
)
def test_no_cause_is_better_than_a_wrong_one(change, cause):
    model = small()
    with pytest.raises(ValueError, match="Nothing was loaded") as caught:
        fu.load_checkpoint(model, change(fu.peer_weights(model, "official")))
    assert ("Likely cause" in str(caught.value)) == bool(cause) and (cause or "") in str(caught.value)


def behind(prefix):
    return lambda source: {prefix + name: value for name, value in source.items()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "backbone.", "model.", "encoder.", "module._orig_mod.", "student.net."]
)
def test_what_stands_before_the_names_is_taken_off_and_told(prefix, family):
    model = small()
    other = small()
    report = fu.load_checkpoint(other, behind(prefix)(fu.peer_weights(model, family)))
    assert report.stripped == prefix and same(model.get_weights(), other.get_weights())
    assert report.skipped == [] and f"each behind {prefix!r}" in str(report)


def test_other_parts_of_a_network_are_left_out_and_told():
    model = small(include_top=False)
    other = small(include_top=False)
    source = behind("backbone.")(fu.peer_weights(model, "official"))
    source["decode_head.conv.weight"] = np.ones(3, "float32")
    source["n_averaged"] = np.int64(3)
    report = fu.load_checkpoint(other, source)
    assert report.skipped == ["decode_head.conv.weight", "n_averaged"] and same(
        model.get_weights(), other.get_weights()
    )
    inside = source | {"backbone.surprise": np.ones(3, "float32")}
    refused(other, inside, ValueError, "surprise has no place in the model")
    del source["backbone.norm.weight"]
    refused(other, source, ValueError, "norm.weight is missing")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("model",), "model"),
        (("state_dict",), "state_dict"),
        (("model", "model_ema"), "model_ema"),
        (("state_dict", "state_dict_ema"), "state_dict_ema"),
        (("ema_state_dict", "state_dict"), "ema_state_dict"),
        (("net/weights", "averaged/weights"), "averaged/weights"),
    ],
)
def test_a_trainings_dictionaries_are_searched_and_an_average_is_taken(names, taken):
    models = {name: small() for name in names}
    source = {"epoch": 3, "args": "--lr 1", "optimizer": {"state": {0: {"step": np.ones(1)}}, "param_groups": []}}
    for name, model in models.items():
        first, _, second = name.partition("/")
        weights = behind("module.")(fu.peer_weights(model, "timm"))
        source[first] = {second: weights} if second else weights
    other = small()
    report = fu.load_checkpoint(other, source)
    assert (report.taken, report.stripped) == (taken, "module.") and same(
        models[taken].get_weights(), other.get_weights()
    )
    assert f"from the checkpoint's {taken!r}" in str(report)
    first, _, second = taken.partition("/")
    broken = source[first][second] if second else source[first]
    broken["module.norm.weight"] = broken["module.norm.weight"][:-1]
    refused(other, source, ValueError, f"{taken!r} in the checkpoint", "norm.weight has shape")


@pytest.mark.parametrize("prefix", ["ema.", "model.ema.", "swa."])
def test_an_average_beside_the_weights_is_taken(prefix):
    weights = small()
    average = small()
    other = small()
    source = behind("net.")(fu.peer_weights(weights, "official")) | behind(prefix)(fu.peer_weights(average, "official"))
    report = fu.load_checkpoint(other, source)
    assert report.stripped == prefix and same(average.get_weights(), other.get_weights())
    assert len(report.skipped) == len(weights.weights)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.full(16, "text"), "holds <U4"),
        (np.full(16, b"text"), "holds |S4"),
        (np.full(16, None), "holds object"),
        (np.ones(16, complex), "holds complex128"),
        (np.ones(16, bool), "holds bool"),
        (np.ones(16, "int8"), "holds int8"),
        (np.ones(16, "int64"), "holds int64"),
        (np.array([np.nan] + [1.0] * 15), "holds 1 numbers that are NaN or infinite in float32"),
        (np.full(16, -np.inf, "float16"), "holds 16 numbers that are NaN or infinite"),
        (np.full(16, 1e300), "holds 16 numbers that are NaN or infinite in float32"),
        ([1.0] * 16, "these are no arrays: norm.weight"),
        (3.0, "these are no arrays: norm.weight"),
    ],
)
def test_what_is_no_weight_is_refused(value, words):
    refused(small(), fu.peer_weights(small(), "timm") | {"norm.weight": value}, ValueError, "norm.weight", words)


def test_half_precision_is_read_from_files_and_dicts(tmp_path):
    import ml_dtypes

    tensors = fu.peer_weights(small(), "timm")
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        model = small()
        half = {name: value.astype(dtype) for name, value in tensors.items()}
        fu.load_checkpoint(model, half)
        got = model.get_weights()
        save_file(half, tmp_path / "half.safetensors")
        fu.load_checkpoint(model, tmp_path / "half.safetensors")
        assert same(got, model.get_weights())
        assert all(value.dtype == "float32" for value in got)
        for theirs, value in fu.peer_weights(model, "timm").items():
            assert np.array_equal(value, half[theirs].astype("float32"))


@pytest.mark.parametrize("failing", [0, 3, -1])
def test_an_assignment_that_fails_changes_nothing(failing, monkeypatch):
    model = small()
    source = fu.peer_weights(small(), "timm")
    variable = model.weights[failing]
    before = model.get_weights()
    assign = variable.assign
    failed = []

    def fails_once(value):
        if not failed:
            failed.append(True)
            raise MemoryError("the device is full")
        return assign(value)

    monkeypatch.setattr(variable, "assign", fails_once)
    with pytest.raises(MemoryError, match="the device is full"):
        fu.load_checkpoint(model, source)
    assert failed and same(before, model.get_weights())


@pytest.mark.parametrize("source", [None, 3, ["a.pth"], b"a.pth"])
def test_what_is_neither_a_path_nor_a_dict_is_refused(source):
    refused(small(), source, TypeError, "give the path of a checkpoint")


@pytest.mark.parametrize("model", [None, "tiny_srf", np.ones(3), fu.FocalModulation])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match="give a FocalNet"):
        fu.load_checkpoint(model, {})


def test_a_folder_is_refused_and_its_files_are_named(tmp_path):
    folder = tmp_path / "focalnet.safetensors"
    folder.mkdir()
    refused(small(), folder, IsADirectoryError, "is a folder", "It is empty")
    (folder / "model.safetensors").touch()
    refused(small(), str(folder), IsADirectoryError, "is a folder", "In it are model.safetensors.")
    refused(small(), tmp_path, IsADirectoryError, "is a folder")


@pytest.mark.skipif(sys.platform == "win32", reason="file permissions")
def test_a_file_that_may_not_be_read_says_so(saved, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    refused(small(), saved, PermissionError, "Permission denied", str(saved))


def archive(path, data=b"weights", compression=zipfile.ZIP_STORED):
    """A zip file laid out as PyTorch's."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/data/0", bytes(1000))
    return path


@pytest.mark.parametrize("position", [50, 200, 500, 900])
def test_a_flipped_bit_in_pytorchs_format_is_found_by_its_checksums(position, tmp_path):
    path = archive(tmp_path / "model.pth")
    tensors.refuse_wrong_checksums(path)
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedData, match="model.pth is cut short or damaged"):
        tensors.refuse_wrong_checksums(path)


def test_compressed_members_are_not_pytorchs(tmp_path):
    path = archive(tmp_path / "bomb.pth", bytes(10**7), zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedData, match="compressed members"):
        tensors.refuse_wrong_checksums(path)


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "last.ckpt", "checkpoint.pth.tar", "pytorch_model.bin"])
def test_trainings_files_of_pytorch_are_read(name, tmp_path):
    torch = pytest.importorskip("torch")
    model = small()
    other = small()
    path = tmp_path / name
    weights = {f"module.{key}": torch.from_numpy(value) for key, value in fu.peer_weights(model, "timm").items()}
    training = {"epoch": 3, "state_dict": weights, "args": argparse.Namespace(lr=0.1), "metric": np.float64(81.5)}
    torch.save(training, path)
    report = fu.load_checkpoint(other, path)
    assert (report.taken, report.stripped) == ("state_dict", "module.") and same(
        model.get_weights(), other.get_weights()
    )


def test_a_flipped_bit_in_a_checkpoint_of_pytorch_is_found(tmp_path):
    torch = pytest.importorskip("torch")
    model = small()
    path = tmp_path / "model.pth"
    torch.save({name: torch.from_numpy(value) for name, value in fu.peer_weights(model, "timm").items()}, path)
    data = path.read_bytes()
    right = model.get_weights()
    other = [weight + 1 for weight in right]
    rng = np.random.default_rng(0)
    harmless = 0
    for position in rng.integers(0, len(data), 150):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        model.set_weights(other)
        try:
            fu.load_checkpoint(model, path)
        except (DamagedData, ValueError):
            assert same(other, model.get_weights())
        else:  # a bit that says nothing, of a date or of padding
            assert same(right, model.get_weights())
            harmless += 1
    assert harmless < 75


@pytest.mark.parametrize("length", [1 << 20, 99_000_000, 1 << 40])
def test_a_header_that_announces_much_takes_no_memory(length, saved):
    data = saved.read_bytes()
    saved.write_bytes(struct.pack("<Q", length) + data[8:])
    refused(small(), saved, DamagedData, "cut short or damaged")


@pytest.mark.parametrize("shape", [[10**9, 10**9], [2**62, 4], [10**12]])
def test_a_tensor_that_announces_much_takes_no_memory(shape, saved):
    def huge(entries):
        entries["norm.weight"]["shape"] = shape
        return entries

    header(saved, huge)
    refused(small(), saved, DamagedData, "cut short or damaged")


def test_tensors_are_checked_before_they_are_read(saved, monkeypatch):
    """A checkpoint of another variant is refused without reading its data."""
    from focal_utils.weights import checkpoints as peers

    monkeypatch.setattr(peers, "to_keras", None)
    refused(small(embed_dim=4), saved, ValueError, "another width")
    assert load_file(saved)


LOADING = """
import json, sys, time
import psutil
import focal_utils as fu
from focal_utils.measuring import memory

model = fu.focalnet("tiny_srf")
before, start = psutil.Process().memory_info().rss, time.process_time()
peak = memory.linux_peak(lambda: fu.load_checkpoint(model, sys.argv[1]))
print(json.dumps([time.process_time() - start, peak - before]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counter of a process's highest size (Linux)")
def test_a_tiny_checkpoint_takes_two_seconds_and_twice_its_size(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_file(fu.peer_weights(fu.focalnet("tiny_srf"), "timm"), path)
    done = subprocess.run([sys.executable, "-c", LOADING, path], capture_output=True, text=True, timeout=240)
    seconds, extra = json.loads(done.stdout.splitlines()[-1])
    assert seconds < 2
    assert extra < 2.5 * path.stat().st_size


def maps_of(model, images):
    return [keras.ops.convert_to_numpy(one) for one in fu.feature_maps(model, norm=True)(images)]


def randomised(**more):
    model = small(**more)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.weights])
    return model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("there, here", [(3, 9), (3, 5), (5, 11), ((3, 5), (3, 9))])
def test_smaller_kernels_fit_larger_ones_exactly(there, here, family):
    model = randomised(focal_windows=there)
    other = small(focal_windows=here, include_top=False)
    source = fu.peer_weights(model, family)
    refused(other, source, ValueError, 'kernels="pad"')
    report = fu.load_checkpoint(other, source, kernels="pad")
    levels = 2 * (3 if here != (3, 9) else 2)  # two levels in each of three blocks, or of the two that differ
    assert len(report.padded) == levels and f"zeros around {levels} kernels" in str(report)
    images = np.random.default_rng(1).uniform(size=(2, 32, 32, 3)).astype("float32")
    for one, same_one in zip(maps_of(model, images), maps_of(other, images), strict=True):
        assert np.abs(one - same_one).max() <= 1e-5 * np.abs(one).max()


def test_larger_kernels_do_not_fit_smaller_ones():
    for word in (None, "pad"):
        refused(small(), fu.peer_weights(small(focal_windows=9), "timm"), ValueError, "other kernels", kernels=word)
    refused(small(), fu.peer_weights(small(focal_windows=4), "timm"), ValueError, "(4, 6)", kernels="pad")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bands", "how"), [(1, "mean"), (5, "mean"), (1, "repeat"), (5, "repeat"), (6, "repeat")])
def test_a_stem_for_other_bands(bands, how, family):
    model = randomised()
    other = fu.FocalNet((32, 32, bands), embed_dim=8, depths=(1, 2), focal_levels=2, classes=5)
    source = fu.peer_weights(model, family)
    refused(other, source, ValueError, "3 there", 'stem="mean"')
    report = fu.load_checkpoint(other, source, stem=how)
    assert report.stem == f"3 bands to {bands} by {how!r}" and report.stem in str(report)
    grey = np.random.default_rng(1).uniform(size=(2, 32, 32, 1)).astype("float32")
    if (bands, how) == (6, "repeat"):
        images = np.random.default_rng(2).uniform(size=(2, 32, 32, 3)).astype("float32")
        expected = model(images)
        got = other(np.concatenate([images, images], axis=-1))
    elif how == "mean":
        expected = model(np.repeat(grey, 3, axis=-1))
        got = other(np.repeat(grey, bands, axis=-1))
    else:
        kernel = keras.ops.convert_to_numpy(model.get_layer("stem").proj.kernel)
        expected = kernel[:, :, np.arange(bands) % 3] * np.float32(3 / bands)
        got = other.get_layer("stem").proj.kernel
    expected = keras.ops.convert_to_numpy(expected)
    got = keras.ops.convert_to_numpy(got)
    assert np.abs(expected - got).max() <= 1e-5 * np.abs(expected).max()


def test_dense_prediction_checkpoints_have_a_norm_for_each_map():
    model = randomised(include_top=False)
    other = small(include_top=False, focal_windows=9)
    weights = fu.peer_weights(model, "official")
    source = {name.replace("norm.", "norm1.") if name.startswith("norm.") else name: v for name, v in weights.items()}
    source["norm0.weight"] = np.ones(8, "float32")
    source["norm0.bias"] = np.zeros(8, "float32")
    source = behind("backbone.")(source) | {"decode_head.conv.weight": np.ones(3, "float32")}
    report = fu.load_checkpoint(other, source, kernels="pad")
    assert report.skipped == ["norm0.weight", "norm0.bias", "decode_head.conv.weight"]
    assert same(model.get_layer("norm").get_weights(), other.get_layer("norm").get_weights())
    del source["backbone.norm1.weight"], source["backbone.norm1.bias"]
    refused(other, source, ValueError, "norm.weight has shape (8,)", kernels="pad")


@pytest.mark.parametrize("options", [{"kernels": "clip"}, {"kernels": True}, {"stem": "sum"}, {"stem": 3}])
def test_unknown_words_for_kernels_and_stem_are_refused(options):
    refused(small(), fu.peer_weights(small(), "timm"), ValueError, "is not known: choose one of None", **options)


def test_what_is_fitted_is_still_all_or_nothing():
    source = fu.peer_weights(randomised(), "timm")
    larger = small(focal_windows=9)
    for name, value in (("stem.proj.weight", np.full((8, 3, 4, 4), "a")), ("norm.weight", np.full(16, np.nan))):
        refused(larger, source | {name: value}, ValueError, name, kernels="pad", stem="mean")
    level = "layers.0.blocks.0.modulation.focal_layers.0.0.weight"
    refused(larger, source | {level: np.ones((8, 1, 3, 5), "float32")}, ValueError, level, kernels="pad")
    refused(larger, source | {level: np.full((8, 1, 3, 3), np.nan)}, ValueError, level, kernels="pad")


@pytest.mark.parametrize("shape", [(16,), (), (4, 4, 16)], ids=str)
@pytest.mark.parametrize(
    "name", ["layers.0.blocks.0.mlp.fc1.weight", "layers.0.blocks.0.modulation.f.weight", "head.fc.weight"]
)
def test_a_tensor_of_another_rank_is_refused_in_words(name, shape):
    model = small()
    tensors = fu.peer_weights(model, "timm")
    name = next(known for known in tensors if known.endswith(name.split(".", 1)[1]))
    refused(model, {**tensors, name: np.zeros(shape, "float32")}, ValueError, name)
