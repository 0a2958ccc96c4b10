"""The notebook gate sees each thing it is there to see, and nothing in a good notebook."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import check_notebooks
from write_links import badge, setup_cell

NAME = "01_sample.ipynb"
ADDRESS = "https://github.com/someone/focal-modulation"
ALT = "Two curves that cross once, at the origin."
PNG = "iVBORw0KGgo="
HEAD = f"""# 01 · Sample

*How far does one pixel see?*

{badge(ADDRESS, NAME)}

**You will build** a sample.
**You will learn** what passes.
**You need** nothing.
**Time** 20 minutes for you; to run it all takes 35 s on 2 CPU cores"""
EXERCISE = "**Predict.** How many?\n\n<details><summary>Hint</summary>Count.</details>"
FOOT = """## What you learned
What this does not show: much. Next: nothing.
## References
Yang et al. 2022, arXiv:2203.11926"""


@pytest.fixture(autouse=True)
def address(monkeypatch):
    monkeypatch.setattr(check_notebooks, "repository_address", lambda: ADDRESS)


def html_output(text):
    return new_output("display_data", {"text/html": text, "text/plain": ALT})


def code(source, outputs=(), tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {})


def good_notebook():
    """Cells 0 to 9: head, set-up, a figure, text, two exercises, an ignored output and its check, one more, foot."""
    cells = [
        new_markdown_cell(HEAD),
        code(setup_cell(ADDRESS), tags=["setup"]),
        code("fu.show(fig, alt=alt)", [html_output(f'<img alt="{ALT}" src="data:image/png;base64,{PNG}">')]),
        new_markdown_cell(EXERCISE),
        code('fu.check("1.1", 1)', [new_output("stream", name="stdout", text="solved\n")]),
        new_markdown_cell(EXERCISE),
        code('fu.check("1.2", 2)'),
        code("print(loss)", [new_output("stream", name="stdout", text="0.7\n")], tags=["nbval-ignore-output"]),
        code("assert loss < 1"),
        new_markdown_cell(FOOT),
    ]
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
    return new_notebook(cells=cells)


def report(notebook, folder):
    path = folder / NAME
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return check_notebooks.problems(path)


def test_a_good_notebook_passes(tmp_path):
    assert report(good_notebook(), tmp_path) == []


def old_format(notebook):
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]


def same_id_twice(notebook):
    notebook.cells[1].id = notebook.cells[0].id


def add_output(position, output):
    return lambda notebook: notebook.cells[position].outputs.append(output)


def set_source(position, source):
    return lambda notebook: notebook.cells[position].update(source=source)


def replace(position, old, new):
    def mutate(notebook):
        assert old in notebook.cells[position].source
        notebook.cells[position].source = notebook.cells[position].source.replace(old, new)

    return mutate


def set_count(notebook):
    notebook.cells[4].execution_count = 7


def never_run(notebook):
    notebook.cells[8].execution_count = None


def tag(position, name):
    return lambda notebook: notebook.cells[position].metadata.update(tags=[name])


def picture(text):
    return add_output(2, html_output(text))


def draw_live(call):
    """Cell 2, a figure, draws what a training in the cell before it has returned."""

    def mutate(notebook):
        notebook.cells[1].source += f"\nhistory = {call}"
        notebook.cells[2].source = "fu.show(fu.figures.training_curves(history), alt=alt)"

    return mutate


BAD = {
    "format 4.4": (old_format, "notebook format 4.5, with cell ids"),
    "an id twice": (same_id_twice, "same id"),
    "not valid": (lambda notebook: notebook.cells[3].update(source=7), "not a valid notebook"),
    "too large": (add_output(2, new_output("stream", text="x" * 1_000_001)), "bytes"),
    "not in order": (set_count, "execution count 7, 3 is expected"),
    "never run": (never_run, "execution count None"),
    "empty cell": (set_source(4, " \n"), "empty code cell"),
    "error output": (add_output(4, new_output("error", ename="ValueError", evalue="x")), "error output ValueError"),
    "stderr": (add_output(4, new_output("stream", name="stderr", text="warning: slow")), "stderr: 'warning: slow'"),
    "too much ignored": (tag(6, "nbval-ignore-output"), "at most a quarter"),
    "skipped counts too": (tag(6, "nbval-skip"), "at most a quarter"),
    "ignored, no assert": (set_source(8, "print('assert')"), "must assert"),
    "ignored by comment": (replace(4, "fu", "# NBVAL_IGNORE_OUTPUT\nfu"), "use the tag"),
    "live curve, ours": (draw_live("fu.train(model, signs)"), "cell 2: draws history"),
    "live curve, Keras'": (draw_live("model.fit(x, y).history"), "cell 2: draws history"),
    "live curve, pixels": (draw_live("fu.train_segmenter(model, nuclei)"), "cell 2: draws history"),
    "no H1": (replace(0, "# 01", "## 01"), "one H1"),
    "two H1": (replace(9, "## What", "# What"), "found in cells [0, 9]"),
    "no question": (replace(0, "*How", "How"), "question in italics"),
    "nothing built": (replace(0, "You will build", "You build"), "**You will build**"),
    "nothing learned": (replace(0, "You will learn", "You learn"), "**You will learn**"),
    "nothing needed": (replace(0, "You need", "Bring"), "**You need**"),
    "not timed": (replace(0, "20 minutes for you; to run it all takes 35 s on 2 CPU cores", "not known"), "**Time**"),
    "badge of another": (replace(0, NAME, "02_other.ipynb"), "Colab badge"),
    "no set-up cell": (tag(1, "other"), "tagged setup"),
    "two set-up cells": (tag(4, "setup"), "tagged setup"),
    "another set-up cell": (replace(1, "import os\n", "import os  # mine\n"), "not the one of the series"),
    "path in source": (set_source(4, "fu.check('/home/me/x', 1)"), "path of one machine: /home/me"),
    "path in output": (add_output(4, new_output("stream", text="in /Users/me/x")), "path of one machine: /Users/me"),
    "bare picture": (add_output(2, new_output("display_data", {"image/png": PNG})), "image/png output has no alt"),
    "picture without alt": (picture('<img src="data:image/png;base64,iVBORw0KGgo=">'), "missing or under 20"),
    "picture with a short alt": (picture('<img alt="plot" src="x.png">'), "'plot'"),
    "Markdown picture": (replace(3, "How many?", "![](x.png)"), "no alternative text: !["),
    "HTML picture in Markdown": (replace(3, "How many?", "<img src='x.png'>"), "missing or under 20"),
    "one prediction": (replace(3, "Predict", "Guess"), "1 Markdown cells with “Predict”"),
    "one exercise": (set_source(4, "print('fu.check(1)')"), "1 exercises"),
    "one hint": (set_source(3, "**Predict.**"), "1 folded"),
    "hint with no name": (replace(3, "Hint", "More"), "says neither Hint, Solution, answer"),
    "open hint": (replace(3, "</details>", ""), "does not end"),
    "no foot": (lambda notebook: notebook.cells.pop(), "the last cell must be Markdown"),
    "nothing learned at the end": (replace(9, "What you learned", "Summary"), "the foot lacks What you learned"),
    "no limits": (replace(9, "does not show", "shows"), "the foot lacks does not show"),
    "no references": (replace(9, "References", "Sources"), "the foot lacks References"),
    "no number": (replace(9, "arXiv", ""), "DOI or arXiv"),
    "no next": (replace(9, "Next", "Then"), "the foot lacks Next"),
    "dead link": (replace(9, "nothing.", "[02](02_gone.ipynb)"), "02_gone.ipynb, which is not there"),
}


@pytest.mark.parametrize(("mutate", "message"), BAD.values(), ids=BAD.keys())
def test_each_rule_fails_on_a_notebook_that_breaks_it(mutate, message, tmp_path):
    notebook = good_notebook()
    mutate(notebook)
    assert any(message in problem for problem in report(notebook, tmp_path))


def test_a_cell_may_raise_what_it_is_tagged_to_raise(tmp_path):
    notebook = good_notebook()
    add_output(4, new_output("error", ename="ValueError", evalue="x"))(notebook)
    tag(4, "raises-exception")(notebook)
    assert report(notebook, tmp_path) == []


def test_the_next_notebook_must_be_linked_once_it_is_there(tmp_path):
    (tmp_path / "02_next.ipynb").write_text("")
    assert report(good_notebook(), tmp_path) == ["last cell: no link to the next notebook, 02_next.ipynb"]


def test_a_file_that_is_no_notebook_is_reported(tmp_path):
    path = tmp_path / NAME
    path.write_text('{"cells": [')
    assert "not readable" in check_notebooks.problems(path)[0]


def test_the_command_reports_and_fails(tmp_path, capsys):
    notebook = good_notebook()
    set_count(notebook)
    report(notebook, tmp_path)
    assert check_notebooks.main([str(tmp_path / NAME)]) == 1
    assert "01_sample.ipynb: 1 problems\n  cell 4: execution count 7" in capsys.readouterr().out
