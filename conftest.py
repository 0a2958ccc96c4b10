"""How pytest runs the notebooks: nbval, told what to compare and how long to wait. Pictures are compared too."""

import base64
import json
import os
import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

OUTPUT_TIMEOUT = (
    60  # seconds that a cell may say nothing once it has ended; nbval's own 5 are too few for a busy machine
)
# Pictures are inside text/html: they are compared below. A widget's view is the number of its model, another each time.
NOT_COMPARED = ("stderr", "text/html", "application/vnd.jupyter.widget-view+json")
THUMBNAIL = (48, 48)
MAX_RMS = 0.02  # of thumbnails, colours from 0 to 1
TIMES = Path(__file__).parent / "data" / "results" / "notebook_times.json"
SLOW = 20  # seconds of a test that is marked as slow, about
QUICK = 0.3  # seconds of another
PICTURE = re.compile(r"data:image/(?:png|webp);base64,([\w+/=]+)")


def pytest_configure(config):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if hasattr(config.option, "nbval_sanitize_with") and config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval_sanitize.cfg")


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):  # one of several processes
        items[:] = longest_first(items)
    for cell in (item for item in items if type(item).__name__ == "IPyNbCell"):
        cell.output_timeout = OUTPUT_TIMEOUT
        cell.parent.skip_compare = tuple(dict.fromkeys([*cell.parent.skip_compare, *NOT_COMPARED]))
        cell.compare_outputs = comparing_pictures(cell, cell.compare_outputs)


def longest_first(items):
    """The items file by file, first the file that takes longest: so two workers end at about the same time.

    What a notebook takes was measured; a file of tests is taken to last as long as its tests that are marked as slow.
    """
    seconds = notebook_seconds()
    total = Counter()
    for item in items:
        total[item.path] += SLOW if item.get_closest_marker("slow") else QUICK
    total.update({path: seconds.get(path.stem, 0) for path in total})
    return sorted(items, key=lambda item: -total[item.path])


def notebook_seconds():
    """What the notebooks take by the last measurement, name → seconds; empty where there is none."""
    if not TIMES.exists():
        return {}
    machines = json.loads(TIMES.read_text(encoding="utf-8"))["machines"]
    return {name: facts["seconds"] for known in machines.values() for name, facts in known.items()}


def comparing_pictures(cell, compare_outputs):
    """nbval's comparison of a cell's outputs, and then that of its pictures."""

    def compare(test, reference, skip_compare=None):
        if not compare_outputs(test, reference, skip_compare):
            return False
        difference = picture_difference(pictures(reference), pictures(test))
        if difference:
            cell.comparison_traceback.append(difference)
        return not difference

    return compare


def pictures(outputs):
    """The pictures, as bytes, in the `text/html` of a cell's outputs."""
    pages = [output.get("data", {}).get("text/html", "") for output in outputs]
    return [base64.b64decode(data) for page in pages for data in PICTURE.findall(page)]


def thumbnail(picture):
    """A picture (PNG or WebP bytes) as a small RGB array from 0 to 1: what is seen from afar, whatever the fonts."""
    with Image.open(BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB").resize(THUMBNAIL, Image.Resampling.BOX), dtype=float) / 255


def picture_difference(reference, test):
    """How the pictures of a cell (bytes) differ from the committed ones: a sentence, empty where they agree."""
    if len(reference) != len(test):
        return f"{len(test)} pictures, {len(reference)} are committed"
    for number, (old, new) in enumerate(zip(reference, test, strict=True), 1):
        rms = float(np.sqrt(np.mean((thumbnail(old) - thumbnail(new)) ** 2)))
        if rms > MAX_RMS:
            return f"picture {number} differs from the committed one: RMS {rms:.3f}, at most {MAX_RMS} is allowed"
    return ""
