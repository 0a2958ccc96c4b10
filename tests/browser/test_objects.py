"""The explorer of a segmenter: objects told apart, outlined and counted in the page, on pictures up to 1388×1040."""

import os
import re
import statistics

import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from focal_utils.explorer.bundle import PAGE
from focal_utils.explorer.network import network_bytes, read_network
from focal_utils.explorer.shown import switch_edit
from focal_utils.tracing import run_traced
from focal_utils.training import pixel_logits, separate
from tests.browser.pages import choice, control, picture, run_all, seen
from tests.browser.test_page import encoded

ADDRESS = "http://objects.test/"  # answered by the test itself: nothing is sent anywhere
SMALL = (5, 8, 11, 18)  # of the shipped test pictures: bright on dark, sparse, stained, stained and crowded
LARGEST = 20  # of 1388×1040 pixels
SAME = 0.999  # of the pixels of a picture that are told to be of the same object
HOVER = 16  # milliseconds, one frame
PAGE_BYTES = 3_000_000  # of a page with one picture of 1388×1040 pixels
STILL = 200  # milliseconds between two frames while the network computes
SEPARATE = """async ([height, width, rules]) => {
    const { separated, borders } = await import("./objects.js");
    const values = new Float32Array(await (await fetch("logits")).arrayBuffer());
    const found = separated({ height, width, channels: 2, values }, rules);
    return [Array.from(found.labels), found.sizes.length - 1, borders(found)];
}"""
# Moves over a frame, each until the page is laid out anew; and until the vectors of the pixel are there.
MOVES = """async (stack) => {
    const box = stack.getBoundingClientRect(), times = [], whole = [];
    const place = document.querySelector(".fx-sums h3 span");
    for (let i = 0; i < 100; i++) {
        const [x, y] = [(37 * i) % box.width, (53 * i) % box.height];
        const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerType: "mouse" };
        const root = stack.closest(".fx");
        const start = performance.now();
        stack.dispatchEvent(new PointerEvent("pointermove", at));
        stack.getBoundingClientRect();
        times.push(performance.now() - start);
        const where = `pixel ${Number(root.dataset.row) + 1} down, ${Number(root.dataset.column) + 1} across`;
        while (!place.textContent.startsWith(where)) await new Promise((resolve) => setTimeout(resolve));
        stack.getBoundingClientRect();
        whole.push(performance.now() - start);
    }
    return [times, whole];
}"""

# A click, and what was on the screen before it, when the first new maps are there, and when the outlines are: times,
# maps and outlines.
EARLY = """async (button) => {
    const root = button.closest(".fx"), seen = [];
    const look = () => seen.push([
        performance.now() - start,
        root.querySelector(".fx-map-stack canvas").toDataURL(),
        root.querySelector("path.fx-object").getAttribute("d"),
    ]);
    const start = performance.now();
    look();
    const changed = new Promise((resolve) => {
        let early = false;
        new MutationObserver((_, observer) => {
            const now = root.classList.contains("fx-early");
            if (now === early) return;
            early = now;
            requestAnimationFrame(() => {
                look();
                if (now) return;
                observer.disconnect();
                resolve();
            });
        }).observe(root, { attributes: true, attributeFilter: ["class"] });
    });
    button.click();
    await changed;
    return seen;
}"""


@pytest.fixture(scope="module")
def nuclei():
    return fu.load_nuclei(shipped=True)


@pytest.fixture(scope="module")
def rounded():
    """The shipped network with the weights that a page with 8 bits for each has."""
    model = fu.load_trained("nuclei")
    weights = read_network(network_bytes(model, precision="int8"))[1]
    for variable in model.weights:
        variable.assign(weights[variable.path])
    return model


@pytest.fixture(scope="module")
def pages(tmp_path_factory, nuclei):
    """Pages of the explorer as files: "small" with four pictures, "large" with one of 1388×1040 pixels."""
    folder = tmp_path_factory.mktemp("pages")
    model = fu.load_trained("nuclei")
    sets = {
        "small": {f"picture {row}": nuclei.x_test[row] for row in SMALL},
        "large": {"a whole field of view": nuclei.x_test[LARGEST]},
    }
    for name, pictures in sets.items():
        fu.GateExplorer(model, pictures).to_html(folder / f"{name}.html")
    return folder


def opened(new_page, pages, name, **options):
    """The explorer of a page, once it has answered."""
    page = new_page(1280, 900, **options)
    page.set_default_timeout(120_000)
    page.goto((pages / f"{name}.html").as_uri())
    explorer = page.locator("section.fx[data-drawn]")
    explorer.wait_for()
    return explorer


def said(explorer):
    """How many objects it says that it finds."""
    word = explorer.locator(".fx-says strong").inner_text()
    return int(re.match(r"\d+", word.replace("no ", "0 "))[0])


def outline(explorer):
    return explorer.locator("path.fx-object").get_attribute("d")


@pytest.mark.parametrize("row", [*SMALL, 10])
def test_objects_are_told_apart_in_the_page_as_in_python(new_page, nuclei, row):
    logits = pixel_logits(fu.load_trained("nuclei"), nuclei.x_test[row]).astype("<f4")
    bodies = {"": ("<!doctype html>", "text/html"), "logits": (logits.tobytes(), "application/octet-stream")}
    page = new_page()

    def answered(route):
        name = route.request.url.removeprefix(ADDRESS)
        module = (PAGE / name).read_bytes() if name.endswith(".js") else None
        body, kind = bodies.get(name, (module, "text/javascript"))
        route.fulfill(body=body, content_type=kind)

    page.route(ADDRESS + "**", answered)
    page.goto(ADDRESS)
    rules = read_network(network_bytes(fu.load_trained("nuclei")))[0]["decoder"]
    labels, count, path = page.evaluate(SEPARATE, [*logits.shape[:2], rules])
    wanted = separate(logits)
    same = np.mean(np.reshape(labels, wanted.shape) == wanted)
    print(f"picture {row}: {count} objects, {wanted.max()} in Python; {same:.6f} of the pixels are the same")
    assert count == wanted.max() and same >= SAME
    # The outline runs along every edge between two objects, or an object and the ground, and along no other.
    padded = np.pad(wanted.astype(int), 1)
    edges = sum(int((np.diff(padded, axis=axis) != 0).sum()) for axis in (0, 1))
    assert sum(int(length) for length in re.findall(r"[hv](\d+)", path)) == edges


def test_they_are_outlined_and_counted_anew_after_each_switch_and_each_picture(new_page, pages, nuclei, rounded):
    explorer = opened(new_page, pages, "small")
    crowded = nuclei.x_test[SMALL[0]]
    assert said(explorer) == fu.find_nuclei(rounded, crowded).max()
    before = outline(explorer)
    choice(explorer, "level 3 of the first block is", "off").click()
    explorer.locator(".fx-verdict", has_text="1 gate is changed").wait_for()
    edit = switch_edit({"stage0_block0": ["on", "on", "off", "on"]})
    found = separate(run_traced(rounded, crowded[None], edit)[0][0]).max()
    assert said(explorer) == found and outline(explorer) != before
    explorer.get_by_role("button", name="All on").click()
    explorer.locator(".fx-verdict", has_text="All levels are on").wait_for()
    assert outline(explorer) == before
    own = nuclei.x_test[SMALL[2]][:200, :240]
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": encoded(Image.fromarray(own))}
    control(explorer, "Your own picture").set_input_files(file)
    explorer.locator(".fx-picture h3", has_text="mine.png").wait_for()
    assert said(explorer) == fu.find_nuclei(rounded, own).max()


def test_a_switchs_maps_are_shown_before_the_outlines_that_follow_from_them(new_page, pages):
    explorer = opened(new_page, pages, "small")
    choice(explorer, "A switch acts in", "every block").click()
    explorer.get_by_role("button", name=re.compile("^second block")).first.click()
    off = choice(explorer, "level 3 of the second block is", "off")
    (_, old, outlines), (first, maps, pale), (last, new, after) = off.evaluate(EARLY)
    print(f"a switch: maps after {first:.0f} ms, outlines after {last:.0f} ms")
    assert maps != old and pale == outlines
    assert new == maps and after != outlines
    assert 0 < first < last


def test_what_is_gone_and_what_is_new_is_said_and_marked(new_page, pages):
    explorer = opened(new_page, pages, "small")
    whole = said(explorer)
    choice(explorer, "A switch acts in", "every block").click()
    choice(explorer, "All levels are", "off").click()
    verdict = explorer.locator(".fx-verdict", has_text="gates are changed")
    verdict.wait_for()
    rows = dict(row.split("\n")[:2] for row in explorer.locator(".fx-bars li").all_inner_texts())
    now, gone, new = (int(rows[name]) for name in ("nuclei found", "no longer found", "newly found"))
    assert now == said(explorer) == whole - gone + new and gone > 0
    wanted = f"{now - whole} more" if now > whole else f"{whole - now} fewer"
    assert wanted in verdict.inner_text() and wanted in explorer.locator(".fx-says").inner_text()
    crosses = explorer.locator("path.fx-object-lost").last.get_attribute("d")
    assert crosses.count("M") == 2 * gone


def test_the_untrained_network_and_the_tour_work(new_page, pages):
    explorer = opened(new_page, pages, "small")
    choice(explorer, "The weights are", "untrained").click()
    explorer.page.wait_for_function("document.querySelector('.fx-says strong').textContent")
    explorer.get_by_role("button", name="Take the tour").click()
    card = explorer.get_by_label("Tour", exact=True)
    for step in range(4):
        card.get_by_text(f"{step + 1} of 8").wait_for()
        card.get_by_role("button", name="Next").click()
    card.get_by_text(re.compile("Now it finds [0-9]+ nuclei")).wait_for()
    card.get_by_role("button", name="fewer").click()
    card.get_by_text(re.compile("You were right|You guessed otherwise")).wait_for()
    explorer.locator(".fx-verdict", has_text="1 gate is changed").wait_for()
    assert seen(explorer, "switched") == "1"


def test_the_python_of_a_view_finds_as_many(new_page, pages, nuclei):
    explorer = opened(new_page, pages, "small")
    explorer.get_by_role("button", name="Show me the Python").click()
    text = explorer.locator(".fx-python code").inner_text()
    lines = text.replace("...  # your model", "fu.load_trained('nuclei')").split("\n")
    names = {"picture": nuclei.x_test[SMALL[0]]}
    exec("\n".join(line for line in lines if not line.startswith("picture =")), names)
    assert abs(int(names["labels"].max()) - said(explorer)) <= 1  # the page has 8 bits for a weight


def test_too_small_a_picture_is_refused_in_words(new_page, pages):
    explorer = opened(new_page, pages, "small")
    tiny = encoded(Image.new("RGB", (60, 9)))
    control(explorer, "Your own picture").set_input_files({"name": "t.png", "mimeType": "image/png", "buffer": tiny})
    explorer.locator(".fx-message.fx-wrong", has_text="60×9 pixels: this network needs").wait_for()


GAPS = """() => {
    window.gaps = [];
    let last = performance.now();
    const beat = (now) => {
        gaps.push(now - last);
        last = now;
        requestAnimationFrame(beat);
    };
    requestAnimationFrame(beat);
}"""


def test_the_page_stays_alive_while_a_large_picture_is_computed(new_page, pages):
    explorer = opened(new_page, pages, "large")
    layout = explorer.locator(".fx-main").bounding_box()
    explorer.page.evaluate(GAPS)
    choice(explorer, "level 1 of the first block is", "off").click()
    sign = explorer.locator(".fx-waiting", has_text=re.compile("computing … [0-9]+ %"))
    sign.wait_for()
    assert explorer.locator(".fx-main").bounding_box() == layout
    gaps = explorer.page.evaluate("gaps")  # up to here; drawing the answer comes later
    explorer.locator(".fx-verdict", has_text="1 gate is changed").wait_for()
    sign.wait_for(state="hidden")
    assert explorer.locator(".fx-main").bounding_box() == layout
    busy = max(1, os.getloadavg()[0] / os.cpu_count())
    print(f"longest wait for a frame {max(gaps):.0f} ms of {len(gaps)} frames, {busy:.1f} jobs for each core")
    assert max(gaps) <= STILL * busy


def test_of_many_changes_in_a_row_the_last_one_is_shown(new_page, pages):
    explorer = opened(new_page, pages, "small")
    slider = control(explorer, "level 1 of the first block: times its gate")
    slider.focus()
    for _ in range(15):
        slider.press("ArrowLeft")
    explorer.page.wait_for_function("document.querySelector('.fx-row output').textContent === '×−0.5'")
    explorer.locator(".fx-waiting").wait_for(state="hidden")
    assert "gates=0.0:-0.5" in explorer.page.evaluate(
        "new Promise((resolve) => setTimeout(() => resolve(location.hash), 800))"
    )


@pytest.mark.parametrize("worker", ["none", "forbidden"])
def test_without_a_worker_the_page_computes_itself(new_page, pages, nuclei, rounded, worker):
    page = new_page(1280, 900)
    page.set_default_timeout(120_000)
    scripts = {"none": "delete window.Worker", "forbidden": "window.Worker = class { constructor() { throw 1; } }"}
    page.add_init_script(scripts[worker])
    page.goto((pages / "small.html").as_uri())
    explorer = page.locator("section.fx[data-drawn]")
    explorer.wait_for()
    assert said(explorer) == fu.find_nuclei(rounded, nuclei.x_test[SMALL[0]]).max()


def test_a_picture_of_1388_by_1040_pixels_answers_under_the_mouse(new_page, pages, nuclei, rounded):
    size = (pages / "large.html").stat().st_size
    assert size <= PAGE_BYTES
    explorer = opened(new_page, pages, "large")
    assert "260×347" in explorer.locator(".fx-block").first.inner_text()  # stride 4
    whole = nuclei.x_test[LARGEST]
    assert said(explorer) == fu.find_nuclei(rounded, whole).max()
    tries = [picture(explorer).evaluate(MOVES) for _ in range(3)]
    times, vectors = min(tries, key=lambda one: sorted(one[0])[-3])  # what else the machine does may hit a try
    print(
        f"page {size / 1e6:.2f} MB; hover: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of "
        f"{len(times)}; with the vectors of the pixel median {statistics.median(vectors):.1f} ms"
    )
    busy = max(1, os.getloadavg()[0] / os.cpu_count())  # what has to wait for its turn is given the time
    assert statistics.median(times) < HOVER and sorted(times)[-3] < HOVER * busy


def test_a_page_of_what_was_recorded_shows_a_segmenter_too(new_page, tmp_path, nuclei):
    model = fu.load_trained("nuclei")
    explorer = fu.GateExplorer(model, {"one": nuclei.x_test[SMALL[1]]}, prepare=lambda batch: batch.astype("float32"))
    explorer.to_html(tmp_path / "recorded.html")
    shown = opened(new_page, tmp_path, "recorded")
    assert not shown.locator(".fx-says").is_visible()


def test_with_a_kernel_it_is_the_same(new_page, jupyter_lab, nuclei):
    cells = [
        "import focal_utils as fu\nnuclei = fu.load_nuclei(shipped=True)",
        f"fu.GateExplorer(fu.load_trained('nuclei'), nuclei.x_test[{SMALL[0]}])",
    ]
    explorer = run_all(new_page(), jupyter_lab("objects", cells))
    whole = fu.find_nuclei(fu.load_trained("nuclei"), nuclei.x_test[SMALL[0]]).max()
    assert said(explorer) == whole and outline(explorer)
    choice(explorer, "All levels are", "off").click()
    explorer.locator(".fx-verdict", has_text="4 gates are changed").wait_for()
    edit = switch_edit({"stage0_block0": ["off"] * 4})
    logits = run_traced(fu.load_trained("nuclei"), nuclei.x_test[SMALL[0]][None], edit)[0][0]
    assert said(explorer) == separate(logits).max()
