"""The site that `make site` built, in a real Chromium: phone and desk, search, dark theme, explorer."""

import functools
import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest

from check_site import problems, read_pages
from parts.files import ROOT, notebooks
from tests.browser.pages import choice, gates_shown, milliseconds, picture, point

SITE = ROOT / "build" / "site"
WIDTHS = (390, 1280)
SERIES = [f"notebooks/{path.stem}.html" for path in notebooks()]
LOOKED_UP = ["readme.html", "api/index.html", "api/layers.html", "data/README.html", "data/photos/CREDITS.html"]
AXE = os.environ.get("AXE", ROOT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js")
CHECKED = ["index.html", "contents.html", SERIES[1], SERIES[6], SERIES[8], "explorer.html"]
PAGES = ["contents.html", *SERIES, "explorer_page.html", *LOOKED_UP, "search.html"]

pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no site: `make test-site` builds it first")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """The site, served on this machine alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(new_page, address):
    """A function that opens a page; a complaint, a failed request and one to another site fail the test."""
    wrong = []

    def open_at(path, width=1280, **options):
        page = new_page(width, 900, **options)
        page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("response", lambda response: response.status >= 400 and wrong.append(response.url))
        ours = (address, "data:", f"blob:{address}")  # the last is the worker, whose script is in the page
        page.on("request", lambda request: request.url.startswith(ours) or wrong.append(request.url))
        page.goto(f"{address}/{path}", wait_until="networkidle")
        return page

    yield open_at
    assert wrong == []


def test_every_link_anchor_and_alternative_text():
    pages = read_pages(SITE)
    assert {str(path.relative_to(SITE)) for path in pages} >= {*PAGES, "explorer_07_gate_maps_0.html"}
    assert sum(len(page.links) for page in pages.values()) > 300
    assert sum(len(page.alts) for page in pages.values()) > 30
    assert problems(pages) == []


def numbered(path):
    """How many numbered equations a page's notebook has."""
    notebook = (ROOT / path).with_suffix(".ipynb")
    cells = nbformat.read(notebook, as_version=4).cells if path in SERIES else []
    return sum(cell.source.count("\\tag{") for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_page_fits_and_is_complete(visit, path, width):
    page = visit(path, width)
    page.locator("details").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("(scrollTo(10000, 0), scrollX)") == 0
    broken = "(all) => all.filter((one) => !one.alt.trim() || !one.complete || !one.naturalWidth).length"
    assert page.locator("img:not(.card img)").evaluate_all(broken) == 0  # a card's is decoration
    assert page.locator(".katex-error").count() == 0
    box = "getBoundingClientRect()"
    gaps = f"(tags) => tags.map((tag) => tag.{box}.left - tag.previousSibling.{box}.right)"
    gaps = page.locator(".katex-html > .katex-tag").evaluate_all(gaps)
    assert len(gaps) == numbered(path) and min(gaps, default=0) >= 0  # no number lies on its formula
    assert page.locator("article").evaluate("(one) => parseFloat(getComputedStyle(one).fontSize)") >= 16


def test_next_and_previous_go_through_the_series(visit):
    series = [*SERIES[:8], "explorer_page.html", *SERIES[8:]]
    page = visit("contents.html")
    for path in series:
        page.locator("a.next-page").click()
        page.wait_for_url(f"**/{path}")
    for path in [*series[-2::-1], "contents.html"]:
        page.locator("a.prev-page").click()
        page.wait_for_url(f"**/{path}")


def test_contents_name_every_notebook_and_every_section(visit):
    page = visit(SERIES[2], 1400)
    for path in SERIES:
        assert page.locator(f'.sidebar-tree a[href$="{path.split("/")[1]}"]').count() + (path == SERIES[2]) >= 1
    sections = page.locator("article h2, article h3").all_inner_texts()
    shown = page.locator(".toc-tree a").all_inner_texts()
    assert len(shown) > 5 and {name.removesuffix("¶").strip() for name in sections} <= {*shown}


def test_all_pages_are_cards_that_lead_somewhere(visit, address):
    page = visit("contents.html")
    cards = page.locator("article .card").evaluate_all("(all) => all.map((one) => one.href)")
    menu = page.locator(".sidebar-tree > ul > li > a").evaluate_all("(all) => all.map((one) => one.href)")
    assert cards == menu and {f"{address}/{path}" for path in SERIES} <= {*cards}
    page.locator("article .card img").last.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert page.locator("article .card img").evaluate_all("(all) => all.every((one) => one.naturalWidth > 0)")


@pytest.mark.parametrize(
    "word, page_found",
    [
        ("gates", "02_gated_aggregation"),
        ("explorer", "explorer_page"),
        ("memory", "08_focal_vs_self_attention"),
        ("install", "readme"),
        ("FocalModulation", "api/layers"),
    ],
)
def test_search_finds(visit, word, page_found):
    page = visit("contents.html")
    page.locator(".sidebar-search").fill(word)
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    page.get_by_text("Search finished").wait_for()
    assert any(page_found in link for link in found.evaluate_all("(all) => all.map((one) => one.href)"))


@pytest.mark.parametrize("width", WIDTHS)
def test_theme_is_toggled_and_kept(visit, width):
    page = visit(SERIES[7], width, color_scheme="null")
    explorer = page.frame_locator("iframe.explorer").locator("section.fx[data-drawn]")
    explorer.wait_for()
    light = "(one) => eval(getComputedStyle(one).backgroundColor.match(/\\d+/g).slice(0, 3).join('+'))"
    seen = {}
    toggle = page.locator(".theme-toggle:visible")
    while (theme := page.locator("body").get_attribute("data-theme")) not in seen:
        seen[theme] = [page.locator("body").evaluate(light), explorer.evaluate(light)]
        toggle.click()
    assert seen.keys() == {"auto", "light", "dark"}
    assert max(seen["dark"]) < 200 and min(seen["light"]) > 600
    while page.locator("body").get_attribute("data-theme") != "dark":
        toggle.click()
    page.reload()
    assert page.locator("body").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", CHECKED)
def test_axe_finds_nothing_serious(visit, path, scheme):
    if not os.path.exists(AXE):
        pytest.skip("no axe-core: `npm install --prefix build/npm axe-core`, or name its axe.min.js by AXE=…")
    page = visit(path, color_scheme=scheme)
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        "axe.run().then(({ violations }) => violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html]))"
    )
    print(path, scheme, [one[:3] for one in found])
    assert [one for one in found if one[0] in ("critical", "serious")] == []


def test_the_answer_of_a_predict_waits_for_a_click(visit):
    page = visit(SERIES[1])
    answer = page.locator("details.answer").first
    said = answer.locator("pre").first
    assert not said.is_visible()
    answer.locator("summary").click()
    assert said.is_visible()


def test_no_page_says_that_an_exercise_is_not_solved(visit):
    for path in SERIES:
        assert "not solved yet" not in (SITE / path).read_text("utf-8"), path


def test_figures_have_captions(visit):
    page = visit(SERIES[1])
    assert page.locator("figure figcaption").count() >= 3
    assert page.locator(".cell_output img").count() == page.locator("figure img").count()


def test_the_package_has_a_page_for_each_public_name(visit):
    import focal_utils as fu

    for subject, names in fu.PUBLIC.items():
        text = (SITE / "api" / f"{subject}.html").read_text("utf-8")
        assert [name for name in names if f"<h2>{name}<" not in text] == [], subject


def test_hints_and_solutions_unfold(visit):
    page = visit(SERIES[1], 390)
    solution = page.locator("details", has=page.get_by_text("Solution", exact=True)).first
    code = solution.locator("pre")
    assert not code.is_visible()
    solution.locator("summary").click()
    assert code.is_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_explorer_works_in_its_page(visit, width):
    page = visit(SERIES[7], width, has_touch=width < 500)
    frame = page.frame_locator("iframe.explorer")
    explorer = frame.locator("section.fx[data-drawn]")
    explorer.wait_for()
    hidden = "({ ownerDocument: { body } }) => [body.scrollWidth - innerWidth, body.scrollHeight - innerHeight]"
    assert max(explorer.evaluate(hidden)) <= 0
    if width < 500:
        picture(explorer).tap(position={"x": 100, "y": 100})
    else:
        point(explorer, 15.6, 15.6)
    assert len({*gates_shown(explorer)}) == 4 and "–" not in gates_shown(explorer)
    thumbs = explorer.get_by_role("group", name="Pictures").get_by_role("button")
    milliseconds(explorer, lambda: thumbs.nth(2).click(), "picture", 2)
    switch = choice(explorer, "level 1 of the first block is", "off")
    milliseconds(explorer, lambda: switch.click(), "switched", 1)
    assert "1 gate is changed" in explorer.locator(".fx-verdict").inner_text()


def test_the_explorer_in_one_file_has_every_network(new_page):
    page = new_page(1280, 900)
    page.set_default_timeout(60_000)
    page.goto((SITE / "explorer.html").as_uri())
    page.get_by_text("The network says").wait_for()
    page.get_by_role("group", name="Network").get_by_text("Cell nuclei").click()
    page.locator(".fx-says", has_text=re.compile("[0-9]+ nuclei")).wait_for()
    size = (SITE / "explorer.html").stat().st_size
    print(f"{size / 1e6:.1f} MB")
    assert size < 8e6
