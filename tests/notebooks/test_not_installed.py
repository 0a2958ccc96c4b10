"""A notebook that measures runs where the package is not installed: its processes find it too."""

import json
import os
import subprocess
import sys

import pytest

from parts.files import ROOT

# Python reads a file of this name at each start, in the notebook's process and in those that it starts.
HIDE = """
import os, sys
given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
installed = [place for place in sys.path if os.path.isdir(os.path.join(place, "focal_utils"))]
sys.path[:] = [place for place in sys.path if place in given or place not in installed]
"""


def run_hidden(tmp_path, source, path=()):
    """Run a script in the notebooks' folder in a Python that has no package `focal_utils`: what came of it."""
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *path]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    script = tmp_path / "notebook.py"
    script.write_text(source)
    return subprocess.run(
        [sys.executable, script], cwd=ROOT / "notebooks", capture_output=True, text=True, env=environment, timeout=600
    )


def cells_of(number):
    """The code cells of a notebook, a list of texts."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook = json.loads(path.read_text("utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_package_is_hidden(tmp_path):
    done = run_hidden(tmp_path, "import focal_utils")
    assert done.returncode == 1 and "No module named 'focal_utils'" in done.stderr


@pytest.mark.slow
def test_notebook_08_measures(tmp_path):
    setup, first, *others = cells_of("08")
    lines = [line for cell in others for line in cell.splitlines()]
    (mixers,) = [cell for cell in others if cell.startswith("mixers = {")]
    (measuring,) = [line for line in lines if line.startswith("live = ") and "in fu.measure(" in line]
    shown = "print([row.name for row in live], all(row.seconds > 0 for row in live), fu.__file__)"
    done = run_hidden(tmp_path, "\n".join([setup, first, mixers, measuring.replace("(16, 32, 64)", "(8,)"), shown]))
    assert done.returncode == 0, done.stderr
    names = ["focal modulation", "windowed attention", "self-attention"]
    assert done.stdout.splitlines()[-1] == f"{names} True {ROOT / 'focal_utils' / '__init__.py'}"


JOB = """
import sys
sys.path[:0] = [{root!r}, {tools!r}]
from parts.jobs import Job
work = "import focal_utils, parts; print(focal_utils.__file__)"
with Job([sys.executable, "-c", work], 1, {{"FOCAL": "1"}}) as job:
    print([line for _, line in job.follow()])
"""
WORKER = """
import sys
sys.path.append({root!r})
from focal_utils.measuring import Worker
work = "import focal_utils; from focal_utils.measuring import serve; serve(lambda request: focal_utils.__file__)"
with Worker("it", [sys.executable, "-c", work]) as worker:
    print([worker.ask(None)])
"""


@pytest.mark.parametrize("source", [JOB, WORKER], ids=["job", "worker"])
def test_processes_look_for_packages_where_their_parent_does(tmp_path, source):
    done = run_hidden(tmp_path, source.format(root=str(ROOT), tools=str(ROOT / "tools")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([str(ROOT / "focal_utils" / "__init__.py")])
