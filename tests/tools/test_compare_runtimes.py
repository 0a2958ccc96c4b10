"""The race of runtimes: what is kept of a contender, and that the committed race says what is said of it."""

import json

import pytest

from compare_runtimes import summary
from parts.files import RESULTS


def test_a_contender_is_summed_up(tmp_path):
    (tmp_path / "a.js").write_bytes(b"1" * 1000)
    (tmp_path / "b.wasm").write_bytes(b"2" * 500)
    found = {"files": ["/a.js", "/b.wasm"], "logits": [1.0, -4.1], "ready": 12.4, "times": [3, 1, 2, 4, 5]}
    row = summary(found, tmp_path, [1.0, -4.0])
    assert (row["bytes"], row["files"], row["first_answer_ms"]) == (1500, 2, 12)
    assert (row["median_ms"], row["least_ms"]) == (3, 1) and row["bytes_compressed"] < 100
    assert row["largest_difference"] == pytest.approx(0.025)


def test_what_did_not_run_says_why(tmp_path):
    assert summary({"error": "no such operation"}, tmp_path, []) == {"error": "no such operation"}


def test_the_committed_race_is_as_the_package_tells_it():
    """`explorer/network.py` says why the page has no runtime: bytes, first answer, and who is faster."""
    rows = json.loads((RESULTS / "runtimes.json").read_text("utf-8"))["runtimes"]
    ours = rows["our own"]
    onnx = rows["ONNX Runtime Web"]
    litert = rows["LiteRT.js"]
    assert round(onnx["bytes"] / ours["bytes"]) == 12 and round(litert["bytes"] / ours["bytes"]) == 9
    assert ours["first_answer_ms"] < min(onnx["first_answer_ms"], litert["first_answer_ms"])
    assert 0.3 < litert["median_ms"] / ours["median_ms"] < 0.7 and 0.6 < onnx["median_ms"] / ours["median_ms"] < 1.5
    assert ours["median_ms"] < 50 and max(row["largest_difference"] for row in rows.values()) < 1e-3
