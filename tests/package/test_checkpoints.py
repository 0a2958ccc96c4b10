"""Published weights go in whole or not at all, under three families' names, and come out bit for bit."""

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import focal_utils as fu
from focal_utils.errors import DamagedData
from focal_utils.weights import FAMILIES

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
    model, other = small(**arguments), small(**arguments)
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
    model, other = small(), small(include_top=False)
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
    refused(small(), {}, ValueError, "it holds nothing")
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
    model, path = small(), tmp_path / "model.pth"
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
