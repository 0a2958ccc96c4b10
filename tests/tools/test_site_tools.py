"""What the site is laid out from, and what finds broken links: on small pages, without the site's packages."""

import base64
import io

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from check_site import problems, read_pages
from make_site_source import PAGES, WIDGET, linked, site_notebook
from parts.api_pages import described
from parts.files import ROOT
from parts.reading import captioned, is_wiring, prepare
from write_links import badge

ADDRESS = "https://github.com/someone/focal-modulation"


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("README.md", "[00](notebooks/00_start_here.ipynb)", "[00](notebooks/00_start_here.ipynb)"),
        ("README.md", "[card](data/README.md#blood-cells)", "[card](data/README.md#blood-cells)"),
        ("README.md", "![Signs](data/results/explorer.png)", "![Signs](data/results/explorer.png)"),
        (
            "README.md",
            "[![Film](data/results/explorer.gif)](README.md)",
            "[![Film](data/results/explorer.gif)](README.md)",
        ),
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


GOOD = '<h2 id="top">A</h2><img src="a.svg" alt="A dot."><img src="a.svg" alt=""><a href="b.html#end">b</a><a href="https://a.org/x">x</a>'


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


def cell(kind, source, text="", **metadata):
    """A cell of a notebook; a code cell prints `text`."""
    made = new_markdown_cell(source) if kind == "markdown" else new_code_cell(source)
    if text:
        made.outputs = [new_output("stream", text=text)]
    made.metadata.update(metadata)
    return made


def test_an_exercise_that_nobody_has_begun_says_nothing():
    cells = [cell("code", 'fu.check("2.1", mine)', "2.1   not solved yet: put your answer in place of the dots.\n")]
    prepare(cells)
    assert cells[0].outputs == []


def test_a_figure_has_the_caption_that_its_alternative_text_is():
    assert captioned('<img alt="A &lt;b&gt; sign" src="data:,">') == (
        '<figure><img alt="A &lt;b&gt; sign" src="data:,"><figcaption>A &lt;b&gt; sign</figcaption></figure>'
    )


def test_a_figure_that_has_its_caption_gets_no_other():
    shown = '<figure style="margin:0"><img alt="A sign" src="data:,"><figcaption style="a">A sign</figcaption></figure>'
    assert captioned(shown) == captioned('<img alt="A sign" src="data:,">')
    assert captioned(shown + "<p>and</p>" + shown).count("<figcaption>") == 2


@pytest.mark.parametrize(
    ("source", "wiring"),
    [
        ("assert x > 0", True),
        ("assert x > 0\nprint('above zero')", True),
        ("print('above zero')", False),
        ("x = f(1)\nassert x > 0", False),
        ("%pip list", False),
    ],
)
def test_cells_that_only_check_are_wiring(source, wiring):
    assert is_wiring(cell("code", source)) is wiring


def test_a_folded_cell_says_what_it_holds():
    cells = [cell("code", "# @title draws the sizes\nx = 1", tags=["folded"])]
    prepare(cells)
    assert cells[0].metadata["mystnb"]["code_prompt_show"] == "Show the code: draws the sizes"
    assert cells[0].metadata["tags"] == ["folded", "hide-input"]


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("ink, drawing", [(20, True), (150, False)])
def test_a_figure_that_is_lines_on_white_is_a_drawing(ink, drawing, kind):
    pixels = np.full((200, 200, 3), 255, "uint8")
    pixels[:ink] = np.random.default_rng(0).integers(0, 256, (ink, 200, 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    image = f'<img alt="a" src="data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    assert captioned(image).startswith('<figure class="drawing">') is drawing


def test_a_docstring_becomes_a_page():
    def scale(x, by=2):
        """x times a number, (B, C) → (B, C).

        Args:
            x: (B, C). by: the number,
                a float.

        Raises:
            ValueError: no number.

        Example:
            >>> scale(1)
        """

    text = described("scale", scale)
    assert text.startswith("## scale") and "fu.scale(x, by=2)" in text
    assert "- `x`: (B, C). by: the number, a float." in text and "- `ValueError`: no number." in text
    assert ">>> scale(1)" in text
