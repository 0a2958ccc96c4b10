"""The gate explorer in JupyterLab, worked as a reader works it; what is asserted is what is on the screen."""

import io
import statistics

import numpy as np
import pytest
from PIL import Image

from tests.browser.pages import (
    EXPLORER,
    SETUP,
    colour,
    control,
    gates_shown,
    milliseconds,
    picture,
    point,
    run_all,
    seen,
)

# The figures that the explorer promises are half of these; a busy machine is given twice the time.
SLOWEST_MEDIAN, SLOWEST, SLOWEST_SWITCH = 300, 800, 600  # milliseconds
HOVER = 16  # milliseconds, one frame: no kernel is asked, so no allowance is needed


def all_on(explorer):
    """The button that switches all levels on."""
    return explorer.get_by_role("button", name="All levels on")


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
    """Each test begins with all levels on, on the first picture and block."""
    if all_on(explorer).is_enabled():
        milliseconds(explorer, lambda: all_on(explorer).click(), "switched", 0)
    control(explorer, "Show").select_option("gate")
    for label in ("Block", "Level"):
        control(explorer, label).select_option(index=0)
    if seen(explorer, "picture") != "0":
        milliseconds(explorer, lambda: control(explorer, "Picture").select_option("0"), "picture", 0)


def test_hover_shows_gates_and_receptive_fields(explorer):
    point(explorer, 15.6, 15.6)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("8", "8")
    values = gates_shown(explorer)
    assert len({*values}) == 4 and all(abs(float(value)) < 100 for value in values)
    shares = explorer.locator("table").first.locator("tbody tr td:nth-of-type(3)").all_inner_texts()
    assert len(shares) == 4 and abs(sum(float(share.removesuffix(" %")) for share in shares) - 100) <= 2
    assert "Map pixel 9 down, 9 across of 16×16" in explorer.locator(".fx-pixel").inner_text()
    # Level 2 sees 7 map pixels of 2 picture pixels around the centre 16.5: its square goes from 9.5 to 23.5.
    assert colour(explorer, 9.5, 16, canvas=1)[3] > 0 and colour(explorer, 23.5, 16, canvas=1)[3] > 0
    assert colour(explorer, 11.5, 16, canvas=1)[3] == 0
    point(explorer, 3, 3)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("1", "1")
    assert gates_shown(explorer) != values


def test_hover_takes_less_than_a_frame_and_asks_no_kernel(explorer):
    script = """(canvas) => {
        const box = canvas.getBoundingClientRect(), times = [];
        for (let i = 0; i < 200; i++) {
            const [x, y] = [(37 * i) % box.width, (53 * i) % box.height];
            const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true };
            const start = performance.now();
            canvas.dispatchEvent(new PointerEvent("pointermove", at));
            canvas.getContext("2d").getImageData(0, 0, 1, 1);  // waits until it is drawn
            times.push(performance.now() - start);
        }
        return times;
    }"""
    messages = []
    explorer.page.on("websocket", lambda socket: messages.append(socket))
    sent = explorer.page.evaluate(
        "() => { const old = WebSocket.prototype.send; window.sent = 0; "
        "WebSocket.prototype.send = function (data) { window.sent++; return old.call(this, data); }; return 0; }"
    )
    tries = [picture(explorer).evaluate(script) for _ in range(3)]
    times = min(tries, key=lambda times: sorted(times)[-3])  # what else the machine does may hit a try
    assert explorer.page.evaluate("() => window.sent") == sent == 0 and messages == []
    print(f"hover: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms of {len(times)}")
    assert statistics.median(times) < HOVER and sorted(times)[-3] < HOVER


def test_another_block_level_and_view_are_drawn(explorer):
    before = colour(explorer, 20, 12)
    control(explorer, "Block").select_option("3")
    assert seen(explorer, "block") == "stage2_block0" or seen(explorer, "block").startswith("stage")
    assert colour(explorer, 20, 12) != before
    assert control(explorer, "Level").locator("option").all_inner_texts()[-1] == "global"
    control(explorer, "Show").select_option("winner")
    assert control(explorer, "Level").is_disabled()
    assert "level that contributes most" in explorer.inner_text()
    control(explorer, "Show").select_option("modulator")
    assert "L2 norm over" in explorer.inner_text()


def test_opacity_slider_goes_from_picture_to_map(explorer):
    control(explorer, "Smooth (bilinear)").set_checked(False)
    seen_at = {}
    for value in (0, 100):
        control(explorer, "Opacity of the map").fill(str(value))
        seen_at[value] = [colour(explorer, x, 16) for x in (4, 12, 20, 28)]
    assert seen_at[0] != seen_at[100]
    control(explorer, "Opacity of the map").fill("60")


def test_changes_answer_in_time(explorer):
    times = []
    for i in range(50):
        label, name = [("Picture", "picture"), ("Block", "block"), ("Level", "level")][i % 3]
        options = control(explorer, label).locator("option").count()
        value = (int(control(explorer, label).input_value()) + 1) % options
        text = control(explorer, label).locator("option").nth(value).inner_text()
        expected = text if name == "block" else value
        times.append(
            milliseconds(explorer, lambda c=label, v=value: control(explorer, c).select_option(str(v)), name, expected)
        )
    print(f"change: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {len(times)}")
    pictures = times[::3]
    print(f"of these, another picture: median {statistics.median(pictures):.0f} ms, worst {max(pictures):.0f} ms")
    assert statistics.median(times) < SLOWEST_MEDIAN and max(times) < SLOWEST


def test_a_level_switched_off_changes_the_prediction(explorer):
    times = []
    before = explorer.locator("table").nth(1).inner_text()
    for mode in ("off", "on", "mean", "on", "off"):
        switch = control(explorer, "level 2 of stage0_block0 is")
        times.append(milliseconds(explorer, lambda m=mode, s=switch: s.select_option(m), "switched", int(mode != "on")))
    print(f"switch: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms of {len(times)}")
    after = explorer.locator("table").nth(1).inner_text()
    assert "after switching" in after and after != before
    assert explorer.locator(".fx-verdict").inner_text().startswith("The prediction")
    assert statistics.median(times) < SLOWEST_SWITCH
    milliseconds(explorer, lambda: all_on(explorer).click(), "switched", 0)
    assert explorer.locator("table").nth(1).inner_text() == before


def test_one_level_in_every_block(explorer):
    control(explorer, "A switch acts").select_option("every")
    switch = control(explorer, "global of stage0_block0 is")
    blocks = control(explorer, "Block").locator("option").count()
    milliseconds(explorer, lambda: switch.select_option("off"), "switched", blocks)
    control(explorer, "Block").select_option("1")
    assert explorer.locator("tbody select").last.input_value() == "off"
    control(explorer, "A switch acts").select_option("this")


def test_keyboard_alone(explorer):
    picture(explorer).focus()
    point(explorer, 15.6, 15.6)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        explorer.page.keyboard.press(key)
    assert (seen(explorer, "row"), seen(explorer, "column")) == ("9", "9")
    control(explorer, "Block").focus()
    second = control(explorer, "Block").locator("option").nth(1).inner_text()
    milliseconds(explorer, lambda: explorer.page.keyboard.press("ArrowDown"), "block", second)
    switch = explorer.locator("tbody select").first
    switch.focus()
    milliseconds(explorer, lambda: explorer.page.keyboard.press("End"), "switched", 1)
    assert switch.input_value() == "off" and switch.evaluate("(select) => select === document.activeElement")
    unlabelled = explorer.evaluate(
        "(root) => [...root.querySelectorAll('input, select, button')]"
        ".filter((c) => !c.labels?.length && !c.ariaLabel && !c.textContent).length"
    )
    assert unlabelled == 0


def files():
    """Uploads as they come: name → bytes, and what is on the screen afterwards."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype="uint8")
    image, large = Image.fromarray(noise), Image.new("RGB", (5500, 3700), "teal")

    def encoded(picture, kind, **options):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    jpeg = encoded(image, "JPEG")
    resized = "The network reads 32×32 pixels"
    return {
        "notes.png": (b"these are my notes", "is not an image"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "is damaged or cut short"),
        "large.jpg": (encoded(large, "JPEG"), resized),
        "grey.png": (encoded(image.convert("L"), "PNG"), resized),
        "glass.png": (encoded(image.convert("RGBA"), "PNG"), "laid on white"),
        "moving.gif": (encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)] * 3), "first frame"),
    }


@pytest.mark.parametrize("name", files())
def test_upload(explorer, name):
    data, expected = files()[name]
    before = explorer.locator(".fx-note").inner_text()
    chooser = control(explorer, "Your own picture")
    chooser.set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
    message = explorer.locator(".fx-message", has_text=expected)
    message.wait_for(timeout=20_000)
    failed = "is not" in expected or "damaged" in expected
    assert ("fx-wrong" in message.get_attribute("class")) == failed
    now = explorer.locator(".fx-note").inner_text()
    assert (now == before) if failed else now.startswith(name)
    times = milliseconds(explorer, lambda: control(explorer, "Picture").select_option("2"), "picture", 2)
    assert times < SLOWEST * 4  # the kernel lives
