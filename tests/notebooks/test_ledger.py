"""Notebook 08's ledger: the article's thirteen claims, in its order, each with a verdict and where it comes from."""

import re

import nbformat
import pytest

from focal_utils.article import CLAIMS
from parts.files import ROOT

VERDICTS = ("shown", "hint", "not shown", "not tested here")


@pytest.fixture(scope="module")
def rows():
    """The ledger's rows, from the last output of the notebook in Markdown: its two tables, side by side."""
    (path,) = (ROOT / "notebooks").glob("08_*.ipynb")
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    *_, text = (output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {}))
    verdicts, figures = (table_of(part) for part in text.split("<details>"))
    assert [row[0] for row in verdicts] == [row[0] for row in figures]
    return [one + other[1:] for one, other in zip(verdicts, figures, strict=True)]


def table_of(text):
    """The cells of a table in Markdown, without its head: a list for each row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_there_is_one_row_for_each_claim_in_the_articles_order(rows):
    assert len(rows) == 13
    assert [row[0] for row in rows] == [str(number) for number in range(1, 14)]
    assert [row[1] for row in rows] == list(CLAIMS)


def test_each_row_has_a_verdict_of_the_scale_and_a_figure(rows):
    for number, _, verdict, where, figure, test, _ in rows:
        assert verdict in VERDICTS, number
        assert where, number
        assert re.search(r"\d", figure), number
        assert test, number


def test_each_row_names_what_makes_its_figure_again(rows):
    for number, *_, remade in rows:
        tools = re.findall(r"tools/\w+\.py", remade)
        assert tools or remade == "this page", number
        assert all((ROOT / tool).exists() for tool in tools), number
