"""Every tool says what it is for, at once, and does nothing when it is asked."""

import functools
import json
import os
import subprocess
import sys

import pytest

from parts.files import ROOT

TOOLS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))
# Each takes a second or more to be imported, and the last of them are not installed by README's commands.
HEAVY = {"keras", "tensorflow", "matplotlib", "skimage", "jax", "torch", "timm", "transformers"}
ASKED = ("--help", "--no-such-argument")
RUN = """
import contextlib, io, json, runpy, sys
tool, *asked = sys.argv[1:]
sys.path.insert(0, "tools")
answers = {}
for argument in asked:
    sys.argv = [f"tools/{tool}", argument]
    out = io.StringIO()
    err = io.StringIO()
    status = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = end.code
    imported = sorted({name.split(".")[0] for name in sys.modules})
    answers[argument] = {"status": status, "out": out.getvalue(), "err": err.getvalue(), "imported": imported}
print(json.dumps(answers))
"""


@functools.cache
def said(tool):
    """What a tool says to each of `ASKED`, all in one process: its exit status, its words, and all that was imported.

    What a tool leaves changed is under "changed": whether anything is.
    """
    before = state()
    done = subprocess.run(
        [sys.executable, "-c", RUN, tool, *ASKED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "changed": state() != before}


def state():
    """What git sees changed, and when each committed result was written."""
    seen = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    return seen, {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*") if "cache" not in path.parts}


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_given_at_once_and_changes_nothing(tool):
    answer = said(tool)["--help"]
    assert answer["status"] == 0, answer["err"]
    assert answer["out"].startswith("usage:") and f"python tools/{tool}" in answer["out"]
    assert not said(tool)["changed"]
    assert not HEAVY & set(answer["imported"])


@pytest.mark.parametrize("tool", TOOLS)
def test_an_argument_that_a_tool_does_not_know_is_refused(tool):
    answer = said(tool)["--no-such-argument"]
    assert answer["status"] == 2
    assert "--no-such-argument" in answer["err"] or "required" in answer["err"]
    assert not HEAVY & set(answer["imported"])
