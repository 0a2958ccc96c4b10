"""Strict nbval, as the project sets it, catches what it should and lets pass what it should; the longest file first."""

import base64
import json
import shutil
import subprocess
import sys
from importlib import util
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from parts.files import ROOT, notebooks


def show(colour):
    """A cell that shows a grey picture, and as its output the picture of `colour`."""
    buffer = BytesIO()
    Image.new("RGB", (80, 60), (colour,) * 3).save(buffer, "png")
    page = f'<img alt="A grey picture." src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    source = (
        "import base64, io\nfrom IPython.display import display\nfrom PIL import Image\nbuffer = io.BytesIO()\n"
        "Image.new('RGB', (80, 60), (100, 100, 100)).save(buffer, 'png')\n"
        "data = base64.b64encode(buffer.getvalue()).decode()\n"
        'page = f\'<img alt="A grey picture." src="data:image/png;base64,{data}">\'\n'
        "display({'text/html': page, 'text/plain': 'A grey picture.'}, raw=True)"
    )
    return source, new_output("display_data", {"text/html": page, "text/plain": "A grey picture."})


def stdout(source, text):
    return source, new_output("stream", name="stdout", text=text)


CELLS = {
    "same text": (stdout("print(1 + 1)", "2\n"), "passed"),
    "other text": (stdout("print(1 + 1)", "3\n"), "failed"),
    "other duration": (stdout("print('took 1.5 s')", "took 22.0 s\n"), "passed"),
    "address": (stdout("print(object())", "<object object at 0x7f0123456789>\n"), "passed"),
    "same picture": (show(100), "passed"),
    "nearly the same picture": (show(102), "passed"),
    "other picture": (show(120), "failed"),
    "stderr comes": (("import sys\nprint('slow', file=sys.stderr)", None), "passed"),
    "text lost": (stdout("pass", "2\n"), "failed"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run one notebook with all the cells in a folder that has the project's settings: outcome of each."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "tests").mkdir()
    for name in ("conftest.py", "pyproject.toml", "tests/nbval_sanitize.cfg"):
        shutil.copy(ROOT / name, folder / name)
    cells = []
    for count, ((source, output), _) in enumerate(CELLS.values(), 1):
        cells.append(new_code_cell(source, outputs=[output] if output else [], execution_count=count))
    nbformat.write(new_notebook(cells=cells), folder / "sample.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--color=no", "-p", "no:cacheprovider", "sample.ipynb"]
    lines = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300).stdout.splitlines()
    found = {}
    for line in lines:
        outcome, _, rest = line.partition(" ")
        if outcome in {"PASSED", "FAILED"} and "::Cell " in rest:
            found[int(rest.split("::Cell ")[1].split()[0])] = outcome.lower()
    assert len(found) == len(CELLS), json.dumps(lines, indent=1)
    return found


@pytest.mark.parametrize("name", CELLS)
def test_strict_comparison(name, outcomes):
    assert outcomes[list(CELLS).index(name)] == CELLS[name][1]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The project's settings of pytest, a module, which know that the page "long" takes 100 s and "short" 10 s."""
    spec = util.spec_from_file_location("settings_of_pytest", ROOT / "conftest.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    times = {"short": {"seconds": 10}, "long": {"seconds": 100}}
    (tmp_path / "times.json").write_text(json.dumps({"machines": {"2 CPU cores": times}}))
    monkeypatch.setattr(module, "TIMES", tmp_path / "times.json")
    return module


def items_of(name, count, slow=0):
    """Items of a file as pytest collects them, of which the last `slow` are marked."""
    marks = [None] * (count - slow) + [True] * slow
    return [SimpleNamespace(path=Path(name), get_closest_marker={"slow": mark}.get) for mark in marks]


def test_the_file_that_takes_longest_comes_first(settings):
    quick = items_of("test_quick.py", 50)
    slow = items_of("test_slow.py", 3, slow=2)
    pages = items_of("short.ipynb", 40), items_of("long.ipynb", 2)
    assert settings.longest_first([*quick, *pages[0], *slow, *pages[1]]) == [*pages[1], *slow, *pages[0], *quick]


def test_without_times_pages_are_ordered_by_their_cells(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "TIMES", tmp_path / "none.json")
    short = items_of("short.ipynb", 40)
    long = items_of("long.ipynb", 2)
    assert settings.longest_first([*long, *short]) == [*short, *long]


def test_every_page_has_a_time():
    """Else it would come last, and be waited for."""
    names = set(json.loads((ROOT / "data" / "results" / "notebook_times.json").read_text())["machines"]["2 CPU cores"])
    assert names == {path.stem for path in notebooks()}
