"""Every tool says what it is for, at once, and does nothing when it is asked."""

import os
import resource
import subprocess
import sys

import pytest

from parts.files import ROOT

TOOLS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))
# TensorFlow alone takes more than this to be imported, in seconds of processor time.
LIGHT = 2.5


def state():
    """What git sees changed, and when each committed result was written."""
    seen = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    return seen, {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*") if "cache" not in path.parts}


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_given_at_once_and_changes_nothing(tool):
    before = state()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, f"tools/{tool}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:") and f"python tools/{tool}" in done.stdout
    assert state() == before
    assert now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime < LIGHT


@pytest.mark.parametrize("tool", TOOLS)
def test_an_argument_that_a_tool_does_not_know_is_refused(tool):
    done = subprocess.run(
        [sys.executable, f"tools/{tool}", "--no-such-argument"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert "--no-such-argument" in done.stderr or "required" in done.stderr
