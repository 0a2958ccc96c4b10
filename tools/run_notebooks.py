"""Run notebooks in place, each from a cold start, tidy their metadata and record how long they took.

    python tools/run_notebooks.py                          all notebooks
    python tools/run_notebooks.py notebooks/03_*           these
    python tools/run_notebooks.py --time-only              measure, leave the notebooks as they are
    python tools/run_notebooks.py --no-time notebooks/03_* run, record no time (on a busy machine)
    python tools/run_notebooks.py --machine "one H200 GPU" --time-only --gpu

A notebook that fails is left as it was. Times go to data/results/notebook_times.json, and from there, by
tools/write_times.py, to where readers see them.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from parts.files import ROOT, notebooks, write_text
from parts.reading import FOLDED, WIDGET

TIMES = ROOT / "data" / "results" / "notebook_times.json"
PACKAGES = ["tensorflow", "keras", "numpy", "matplotlib"]


def upgraded(notebook):
    """The notebook in format 4.5, with cell ids."""
    if notebook.nbformat_minor < 5:
        notebook = nbformat.v4.upgrade(notebook, from_version=4, from_minor=notebook.nbformat_minor)
    _, notebook = nbformat.validator.normalize(notebook)
    return notebook


def tidy(notebook):
    """Keep what readers and tests use: outputs, counts, tags and folds; nothing of this machine, hour or editor."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        kept = {"tags": tags} if tags else {}
        if FOLDED & set(tags):  # collapsed, in JupyterLab and in Colab
            kept.update({"jupyter": {"source_hidden": True}, "cellView": "form"})
        cell.metadata = nbformat.from_dict(kept)
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                data.pop(WIDGET, None)  # the widget is gone with its kernel; the page stands for it
    return notebook


def run(path, timeout):
    """Execute the notebook at `path` in its own folder: (executed notebook, seconds from kernel start to its end)."""
    notebook = upgraded(nbformat.read(path, as_version=4))
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    client.execute()
    return tidy(notebook), time.perf_counter() - start


def installed(package):
    """The version of `package`, whose CPU build may go by another name."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except ModuleNotFoundError:
            continue
    return "none"


def record(seconds, machine, path=TIMES):
    """Add `seconds`, a dict from notebook name to measured time, to what is known of `machine`."""
    times = (
        json.loads(path.read_text()) if path.exists() else {"command": "python tools/run_notebooks.py", "machines": {}}
    )
    today = datetime.date.today().isoformat()
    software = {"python": platform.python_version(), **{name: installed(name) for name in PACKAGES}}
    known = times["machines"].setdefault(machine, {})
    for name, taken in seconds.items():
        known[name] = {"seconds": round(taken, 1), "date": today, **software}
    times["machines"][machine] = dict(sorted(known.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(times, indent=1) + "\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all)")
    parser.add_argument("--machine", default=f"{os.cpu_count()} CPU cores", help="what the times are filed under")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one cell may take")
    parser.add_argument("--time-only", action="store_true", help="leave the notebooks as they are")
    parser.add_argument("--no-time", action="store_true", help="record no time")
    parser.add_argument(
        "--gpu", action="store_true", help="let TensorFlow see a GPU (outputs are committed from a CPU)"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not options.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    failed = 0
    for path in options.paths or notebooks():
        print(f"{path.name} ...", end=" ", flush=True)
        try:
            notebook, seconds = run(path, options.timeout)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"failed, left as it was\n{error}")
            failed += 1
            continue
        print(f"{seconds:.1f} s")
        if not options.time_only:
            write_text(path, nbformat.writes(notebook) + "\n")
        if not options.no_time:
            record({path.stem: seconds}, options.machine)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
