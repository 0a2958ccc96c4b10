"""Every notebook of the series is what a notebook should be; the tools that write into notebooks have been run."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
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


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_each_line_of_the_head_is_a_line_of_its_own_and_gives_the_readers_time(path):
    head = nbformat.read(path, as_version=4).cells[0].source
    bold = [line for line in head.splitlines() if line.startswith("**")]
    assert len(bold) == 4 and all(line.endswith("  ") for line in bold[:-1])
    assert re.match(r"\*\*Time\*\* \d+ minutes for you", bold[-1])


def test_what_a_reader_takes_grows_with_words_code_and_exercises():
    words = new_markdown_cell("word " * 1100)
    code = new_code_cell("x = 1\n" * 120)
    exercise = new_markdown_cell("**Exercise 1.1 · easy · 15 minutes.**")
    assert write_times.reading_minutes([words]) == 10
    assert write_times.reading_minutes([words, code]) == 20
    assert write_times.reading_minutes([words, code, exercise]) == 35


def test_every_sanitizer_rule_is_read_and_does_what_its_example_says():
    text = SANITIZER.read_text(encoding="utf-8")
    rules = get_sanitize_patterns(text)
    examples = re.findall(r"^example: (.*) -> (.*)$", text, re.MULTILINE)
    assert len(rules) == len(re.findall(r"^\s*regex", text, re.MULTILINE)) == len(examples) > 0
    for (regex, replace), (before, after) in zip(rules, examples, strict=True):
        assert re.sub(regex, replace, before) == after
