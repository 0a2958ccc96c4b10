"""Every tool says what it is for, at once, and does nothing when it is asked."""

import os
import subprocess
import sys

import pytest

from parts.files import ROOT

TOOLS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))
# Each takes a second or more to be imported, and the last of them are not installed by README's commands.
HEAVY = {"keras", "tensorflow", "matplotlib", "skimage", "jax", "torch", "timm", "transformers"}
RUN = """
import runpy, sys
tool, *arguments = sys.argv[1:]
sys.path.insert(0, "tools")
sys.argv = [f"tools/{tool}", *arguments]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def run(tool, argument):
    """What a tool says to one argument: its exit status, its output, and below its errors all that it imported."""
    return subprocess.run(
        [sys.executable, "-c", RUN, tool, argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def state():
    """What git sees changed, and when each committed result was written."""
    seen = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    return seen, {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*") if "cache" not in path.parts}


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_given_at_once_and_changes_nothing(tool):
    before = state()
    done = run(tool, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:") and f"python tools/{tool}" in done.stdout
    assert state() == before
    assert not HEAVY & set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("tool", TOOLS)
def test_an_argument_that_a_tool_does_not_know_is_refused(tool):
    done = run(tool, "--no-such-argument")
    assert done.returncode == 2
    assert "--no-such-argument" in done.stderr or "required" in done.stderr
    assert not HEAVY & set(done.stderr.splitlines()[-1].split())
