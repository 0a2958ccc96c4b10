"""The gate explorer in JupyterLab, worked as a reader works it; what is asserted is what is on the screen."""

import io
import re
import statistics

import numpy as np
import pytest
from PIL import Image

from tests.browser.pages import (
    EXPLORER,
    SETUP,
    answers,
    block,
    choice,
    chosen,
    colours,
    control,
    gates_shown,
    milliseconds,
    picture,
    point,
    run_all,
    seen,
    stands_on_one_screen,
)

# The figures that the explorer promises are half of these; a busy machine is given twice the time.
# In milliseconds.
SLOWEST_MEDIAN = 300
SLOWEST = 800
SLOWEST_SWITCH = 600
HOVER = 16  # milliseconds, one frame: no kernel is asked, so no allowance is needed


def all_on(explorer):
    """The button that switches all levels on."""
    return explorer.get_by_role("button", name="All on")


@pytest.fixture(scope="module")
def explorer(chromium, jupyter_lab):
    """One explorer for all tests of this file, in a notebook whose kernel keeps running."""
    page = chromium.new_context(viewport={"width": 1400, "height": 1300}).new_page()
    shown = run_all(page, jupyter_lab("explorer", [SETUP, EXPLORER]))
    page.set_default_timeout(8000)
    yield shown
    page.context.close()


@pytest.fixture(autouse=True)
def fresh(explorer):
    """Each test begins with all levels on, no pixel pinned, on the first picture and block."""
    if all_on(explorer).is_enabled():
        milliseconds(explorer, lambda: all_on(explorer).click(), "switched", 0)
    choice(explorer, "The map shows", "gates").click()
    choice(explorer, "A switch acts in", "this block").click()
    block(explorer, "first").click()
    explorer.get_by_role("button", name=re.compile("^level 1")).click()
    if seen(explorer, "picture") != "0":
        milliseconds(explorer, lambda: explorer.get_by_role("button", name="sign 14").click(), "picture", 0)
    if seen(explorer, "pinned") == "true":
        picture(explorer).press("Escape")


def test_hover_shows_gates_and_receptive_fields(explorer):
    point(explorer, 15.6, 15.6)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("8", "8")
    values = gates_shown(explorer)
    assert len({*values}) == 4 and all(abs(float(value)) < 100 for value in values)
    shares = explorer.locator(".fx-row .fx-share").all_inner_texts()
    assert len(shares) == 4 and abs(sum(float(share.removesuffix(" %")) for share in shares) - 100) <= 2
    explorer.get_by_text(re.compile("pixel 9 down, 9 across, of 16×16")).first.wait_for()
    # Level 2 sees 7 map pixels of 2 picture pixels around the centre 16.5: its square goes from 9.5 to 23.5.
    square = picture(explorer).locator('rect.fx-square[data-level="1"]')
    sides = [float(square.get_attribute(name)) for name in ("x", "y", "width", "height")]
    assert sides == [9.5, 9.5, 14, 14]
    point(explorer, 3, 3)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("1", "1")
    assert gates_shown(explorer) != values


def test_hover_takes_less_than_a_frame_and_asks_no_kernel(explorer):
    script = """(stack) => {
        const box = stack.getBoundingClientRect(), times = [];
        for (let i = 0; i < 200; i++) {
            const [x, y] = [(37 * i) % box.width, (53 * i) % box.height];
            const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerType: "mouse" };
            const start = performance.now();
            stack.dispatchEvent(new PointerEvent("pointermove", at));
            stack.getBoundingClientRect();  // waits until it is laid out
            times.push(performance.now() - start);
        }
        return [times, window.sent];
    }"""
    explorer.page.evaluate(
        "() => { const old = WebSocket.prototype.send; window.sent = 0; "
        "WebSocket.prototype.send = function (data) { window.sent++; return old.call(this, data); }; return 0; }"
    )
    tries = [picture(explorer).evaluate(script) for _ in range(3)]
    times, _ = min(tries, key=lambda one: sorted(one[0])[-3])  # what else the machine does may hit a try
    assert tries[0][1] == 0  # only a pointer at rest asks the kernel, once, for the vectors of the pixel
    assert explorer.page.evaluate("() => window.sent") <= len(tries)
    print(f"hover: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of {len(times)}")
    assert statistics.median(times) < HOVER and sorted(times)[-3] < HOVER


def test_a_click_pins_a_pixel_and_escape_frees_it(explorer):
    point(explorer, 15.6, 15.6)
    picture(explorer).click(position={"x": 200, "y": 60})
    pinned = (seen(explorer, "row"), seen(explorer, "column"))
    point(explorer, 25, 25)
    assert (seen(explorer, "row"), seen(explorer, "column")) == pinned and "Esc frees" in explorer.inner_text()
    picture(explorer).press("Escape")
    point(explorer, 24, 24)
    assert (seen(explorer, "row"), seen(explorer, "column")) != pinned


def test_the_kernel_gives_the_vectors_of_a_pixel(explorer):
    point(explorer, 15.6, 15.6)
    explorer.locator(".fx-line", has_text="channel").wait_for()
    explorer.get_by_text("pixel 9 down, 9 across").wait_for()
    explorer.page.wait_for_timeout(600)
    line = explorer.locator(".fx-line").inner_text().replace("−", "-")
    terms, rest = line.split(":", 1)[1].split(" = ", 1)
    total = float(rest.split(";")[0])
    numbers = [float(number) for number in re.findall(r"[\d.]+", terms)]
    assert len(numbers) == 8 and abs(total) < sum(a * b for a, b in zip(numbers[::2], numbers[1::2], strict=True)) + 0.1
    assert gates_shown(explorer) == [
        text.replace("−", "-") for text in explorer.locator(".fx-factor span").all_inner_texts()
    ]


def test_another_block_level_and_view_are_drawn(explorer):
    before = colours(explorer)
    block(explorer, "fourth").click()
    assert seen(explorer, "block") == "3"
    assert colours(explorer) != before
    assert explorer.locator(".fx-row").last.inner_text().startswith("global")
    choice(explorer, "The map shows", "strongest level").click()
    assert "the level that contributes most" in explorer.inner_text()
    choice(explorer, "The map shows", "modulator").click()
    assert "length of the modulator" in explorer.inner_text()
    assert "stage" not in explorer.inner_text()


def test_the_picture_is_shown_as_it_is(explorer):
    """No colour of a map is mixed into the picture."""
    shown = np.array(colours(explorer, "picture")).reshape(32, 32, 3)
    address = explorer.get_by_role("button", name="sign 14").locator("img").get_attribute("src")
    raw = explorer.page.evaluate(
        "async (address) => [...new Uint8Array(await (await fetch(address)).arrayBuffer())]", address
    )
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(bytes(raw))).convert("RGB")))


def test_changes_answer_in_time(explorer):
    times = []
    pictures = explorer.get_by_role("group", name="Pictures").get_by_role("button")
    blocks = explorer.get_by_role("list", name="The blocks of the network").get_by_role("button")
    levels = explorer.locator("button.fx-level")
    for i in range(50):
        name, buttons = [("picture", pictures), ("block", blocks), ("level", levels)][i % 3]
        value = (int(seen(explorer, name)) + 1) % buttons.count()
        times.append(milliseconds(explorer, lambda b=buttons, v=value: b.nth(v).click(), name, value))
    print(f"change: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {len(times)}")
    others = times[::3]
    print(f"of these, another picture: median {statistics.median(others):.0f} ms, worst {max(others):.0f} ms")
    assert statistics.median(times) < SLOWEST_MEDIAN and max(times) < SLOWEST


def test_a_level_switched_off_changes_the_prediction(explorer):
    times = []
    before = answers(explorer)
    for word in ("off", "on", "frozen", "on", "off"):
        switch = choice(explorer, "level 2 of the first block is", word)
        times.append(milliseconds(explorer, lambda s=switch: s.click(), "switched", int(word != "on")))
    print(f"switch: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {len(times)}")
    assert answers(explorer) != before
    assert explorer.locator(".fx-verdict").inner_text().removeprefix("↻ ").startswith("1 gate is changed")
    assert statistics.median(times) < SLOWEST_SWITCH
    milliseconds(explorer, lambda: all_on(explorer).click(), "switched", 0)
    assert answers(explorer) == before


def test_a_gate_can_be_scaled(explorer):
    slider = control(explorer, "level 3 of the first block: times its gate")
    point(explorer, 15.6, 15.6)
    before = [float(value) for value in gates_shown(explorer)]
    milliseconds(explorer, lambda: slider.fill("-1.5"), "switched", 1)
    after = [float(value) for value in gates_shown(explorer)]
    assert abs(after[2] + 1.5 * before[2]) < 0.02 and after[:2] == before[:2]
    assert chosen(explorer, "level 3 of the first block is") is None


def test_one_level_in_every_block(explorer):
    choice(explorer, "A switch acts in", "every block").click()
    blocks = explorer.get_by_role("list", name="The blocks of the network").get_by_role("button").count()
    switch = choice(explorer, "global of the first block is", "off")
    milliseconds(explorer, lambda: switch.click(), "switched", blocks)
    block(explorer, "second").click()
    assert chosen(explorer, "global of the second block is") == "off"


def test_beside_the_file_browser_it_stands_on_one_screen(explorer):
    page = explorer.page
    size = page.viewport_size
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.locator(".jp-DirListing").is_visible()
    explorer.evaluate("(root) => root.scrollIntoView({ block: 'end' })")
    explorer.locator(".fx-main").evaluate("(main) => main.scrollIntoView({ block: 'end' })")
    print(f"the cell leaves it {explorer.bounding_box()['width']:.0f} px")
    stands_on_one_screen(explorer, 900)
    assert (
        control(explorer, "Pictures").bounding_box()["y"]
        > page.locator(".jp-NotebookPanel-toolbar").bounding_box()["y"]
    )
    page.set_viewport_size(size)


def test_keyboard_alone(explorer):
    point(explorer, 15.6, 15.6)
    picture(explorer).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        explorer.page.keyboard.press(key)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("9", "9")
    for key, expected in (
        ("Home", ("9", "0")),
        ("End", ("9", "15")),
        ("PageUp", ("0", "15")),
        ("PageDown", ("15", "15")),
    ):
        explorer.page.keyboard.press(key)
        assert (seen(explorer, "row"), seen(explorer, "column")) == expected
    block(explorer, "second").focus()
    milliseconds(explorer, lambda: explorer.page.keyboard.press("Enter"), "block", 1)
    switch = explorer.get_by_role("group", name="level 1 of the second block is").locator("input").first
    switch.focus()
    milliseconds(explorer, lambda: explorer.page.keyboard.press("ArrowRight"), "switched", 1)
    assert chosen(explorer, "level 1 of the second block is") == "frozen"
    assert explorer.evaluate("(root) => document.activeElement.checked && root.contains(document.activeElement)")
    unlabelled = explorer.evaluate(
        "(root) => [...root.querySelectorAll('input, select, button')]"
        ".filter((c) => !c.labels?.length && !c.ariaLabel && !c.textContent).length"
    )
    assert unlabelled == 0


def files():
    """Uploads as they come: name → bytes, and what is on the screen afterwards."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype="uint8")
    image = Image.fromarray(noise)
    large = Image.new("RGB", (5500, 3700), "teal")

    def encoded(picture, kind, **options):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    jpeg = encoded(image, "JPEG")
    resized = "The network reads 32×32 pixels"
    return {
        "notes.png": (b"these are my notes", "is not an image"),
        "cut.jpg": (jpeg[:300], "is damaged or cut short"),
        "large.jpg": (encoded(large, "JPEG"), resized),
        "grey.png": (encoded(image.convert("L"), "PNG"), resized),
        "glass.png": (encoded(image.convert("RGBA").resize((40, 40)).rotate(45), "PNG"), "laid on white"),
        "moving.gif": (encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)] * 3), "first frame"),
    }


@pytest.mark.parametrize("name", files())
def test_upload(explorer, name):
    data, expected = files()[name]
    title = explorer.locator(".fx-picture h3")
    before = title.inner_text()
    layout = explorer.locator(".fx-main").bounding_box()
    control(explorer, "Your own picture").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
    message = explorer.locator(".fx-message", has_text=expected)
    message.wait_for(timeout=20_000)
    failed = "is not" in expected or "damaged" in expected
    assert ("fx-wrong" in message.get_attribute("class")) == failed
    if failed:
        assert title.inner_text() == before
    else:
        explorer.locator(".fx-picture h3", has_text=name).wait_for(timeout=20_000)
    assert explorer.locator(".fx-main").bounding_box() == layout  # a message moves nothing
    times = milliseconds(
        explorer, lambda: explorer.get_by_role("button", name="sign 2", exact=True).click(), "picture", 2
    )
    assert times < SLOWEST * 4  # the kernel lives
