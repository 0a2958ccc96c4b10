"""What the site is laid out from, and what finds broken links: on small pages, without the site's packages."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from check_site import problems, read_pages
from make_site_source import PAGES, WIDGET, linked, site_notebook
from parts.files import ROOT
from write_links import badge

ADDRESS = "https://github.com/someone/focal-modulation"


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("README.md", "[00](notebooks/00_start_here.ipynb)", "[00](notebooks/00_start_here.ipynb)"),
        ("README.md", "[card](data/README.md#blood-cells)", "[card](data/README.md#blood-cells)"),
        ("README.md", "![Signs](data/results/signs_and_gates.png)", "![Signs](data/results/signs_and_gates.png)"),
        ("README.md", "[MIT](LICENSE)", f"[MIT]({ADDRESS}/blob/main/LICENSE)"),
        ("notebooks/x.ipynb", "[a](../conftest.py#L3)", f"[a]({ADDRESS}/blob/main/conftest.py#L3)"),
        ("data/README.md", "[`C`](photos/CREDITS.md)", "[`C`](photos/CREDITS.md)"),
        ("README.md", "[far](https://arxiv.org/abs/1) [near](#start)", "[far](https://arxiv.org/abs/1) [near](#start)"),
        ("README.md", "`maps[0](x)`\n```python\nmaps[0](y)\n```", "`maps[0](x)`\n```python\nmaps[0](y)\n```"),
    ],
)
def test_links_lead_to_a_page_or_to_the_repository(page, text, expected):
    assert linked(text, page, ADDRESS) == expected


def test_a_link_to_nothing_is_named():
    with pytest.raises(ValueError, match=r"data/README.md links to photos/none.png"):
        linked("![none](photos/none.png)", "data/README.md", ADDRESS)


def test_pages_are_there():
    assert all((ROOT / page).is_file() for page in PAGES)


def test_a_notebook_gets_a_frame_for_its_widget_and_keeps_its_other_outputs():
    printed = new_output("stream", name="stdout", text="0.9\n")
    widget = new_output("execute_result", {WIDGET: {"model_id": "1"}, "text/plain": "GateExplorer()"})
    notebook = new_notebook(
        cells=[
            new_markdown_cell(badge(ADDRESS, "07_x.ipynb")),
            new_code_cell("import sys", metadata={"tags": ["setup"]}),
            new_code_cell("print(0.9)", outputs=[printed]),
            new_code_cell("explorer", outputs=[widget]),
        ]
    )
    assert site_notebook(notebook, "07_x.ipynb", ADDRESS) == {"explorer_07_x_0.html": "explorer"}
    head, setup, other, shown = notebook.cells
    assert head.source.startswith("[Open in Colab](https://colab.") and "svg" not in head.source
    assert setup.metadata.tags == ["setup", "hide-input"]
    assert other.outputs == [printed]
    assert WIDGET not in shown.outputs[0].data
    assert 'src="../explorer_07_x_0.html"' in shown.outputs[0].data["text/html"]


GOOD = '<h2 id="top">A</h2><img src="a.svg" alt="A dot."><a href="b.html#end">b</a><a href="https://a.org/x">x</a>'


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("", None),
        ('<a href="c.html">c</a>', "a.html: c.html: no such file"),
        ('<a href="b.html#none">b</a>', "a.html: b.html#none: no such anchor"),
        ('<a href="#none">a</a>', "a.html: #none: no such anchor"),
        ('<a href="https://nowhere">x</a>', "a.html: https://nowhere: no address has this form"),
        ('<img src="a.svg">', "a.html: picture 2 has no alternative text"),
        ('<img src="a.svg" alt=" ">', "a.html: picture 2 has no alternative text"),
        ('<img src="none.svg" alt="None.">', "a.html: none.svg: no such file"),
        ('<script src="//cdn.org/x.js"></script>', "a.html: //cdn.org/x.js: loaded from another site"),
        ('<link href="https://cdn.org/x.css">', "a.html: https://cdn.org/x.css: loaded from another site"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path, wrong, expected):
    (tmp_path / "a.html").write_text(GOOD + wrong)
    (tmp_path / "b.html").write_text('<a id="end" href="a.html#top">back</a>')
    (tmp_path / "a.svg").write_text("<svg/>")
    assert problems(read_pages(tmp_path)) == ([expected] if expected else [])
