"""What an image more in a step takes: from two batch sizes; the shipped measurement is whole and says what it is."""

import json

import measure_step_memory
from parts.files import RESULTS


def test_what_a_step_takes_without_images_cancels():
    assert measure_step_memory.bytes_per_image({4: 1_000 + 4 * 200, 2: 1_000 + 2 * 200}) == 200


def test_shipped_measurement():
    report = json.loads((RESULTS / "step_memory.json").read_text())
    assert report["command"].startswith("python tools/measure_step_memory.py") and report["machine"] and report["date"]
    assert report["network"] == measure_step_memory.VARIANT
    for way in measure_step_memory.WAYS:
        peaks = {int(batch): peak for batch, peak in report["peak_bytes"][way].items()}
        assert tuple(peaks) == measure_step_memory.BATCHES
        assert report["bytes_per_image"][way] == measure_step_memory.bytes_per_image(peaks)
    assert report["bytes_per_image"]["recomputed"] < report["bytes_per_image"]["as it is"]
