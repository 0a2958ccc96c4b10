"""Every notebook of the series is what a notebook should be; the tools that write into notebooks have been run."""

import re
from pathlib import Path

import pytest
from nbval.plugin import get_sanitize_patterns

import check_notebooks
import write_links
import write_times
from parts.files import ROOT, notebooks

SANITIZER = Path(__file__).parents[1] / "nbval_sanitize.cfg"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_notebook_passes_the_gate(path):
    assert check_notebooks.problems(path) == []


def test_links_hold_the_repository_address():
    assert [path.relative_to(ROOT).as_posix() for path, _ in write_links.outdated()] == [], "run `make links`"


def test_times_are_the_measured_ones():
    assert [path.relative_to(ROOT).as_posix() for path, _ in write_times.outdated()] == [], "run `make times`"


def test_every_sanitizer_rule_is_read_and_does_what_its_example_says():
    text = SANITIZER.read_text(encoding="utf-8")
    rules = get_sanitize_patterns(text)
    examples = re.findall(r"^example: (.*) -> (.*)$", text, re.MULTILINE)
    assert len(rules) == len(re.findall(r"^\s*regex", text, re.MULTILINE)) == len(examples) > 0
    for (regex, replace), (before, after) in zip(rules, examples, strict=True):
        assert re.sub(regex, replace, before) == after
