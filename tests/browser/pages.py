"""How the browser tests read and work the explorer: by what a person sees and hears, its labels and its canvases."""

import re

SETUP = """
import io
import numpy as np
import focal_utils as fu
model = fu.load_trained("gtsrb")
signs = {f"sign {label}": fu.render_sign(label, seed=label) for label in (14, 1, 2, 38, 13, 12, 18, 17)}
"""
EXPLORER = """
explorer = fu.GateExplorer(model, signs)
explorer
"""


def open_notebook(page, address, timeout=120_000):
    """Open a notebook in JupyterLab and wait until its kernel is there."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=timeout)
    page.get_by_text(re.compile("Python 3.*Idle")).first.wait_for(state="attached", timeout=timeout)


def run_all(page, address, timeout=120_000):
    """Open a notebook in JupyterLab, run all its cells, and wait for the explorer: its element."""
    open_notebook(page, address, timeout)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    explorer = page.locator("section.fx[data-drawn]")
    explorer.wait_for(timeout=timeout)
    return explorer


def seen(explorer, name):
    """An entry of what the explorer says of itself: block, view, level, picture, row, column, …"""
    return explorer.get_attribute(f"data-{name}")


def control(explorer, label):
    return explorer.get_by_label(label, exact=True)


def choice(explorer, group, option):
    """The label of one of several choices in a row, which is what a person clicks."""
    return explorer.get_by_role("group", name=group, exact=True).get_by_text(option, exact=True)


def chosen(explorer, group):
    """The word of the choice that is on, or None."""
    inputs = explorer.get_by_role("group", name=group, exact=True).locator("input")
    return inputs.evaluate_all("(all) => all.find((one) => one.checked)?.labels[0].textContent ?? null")


def block(explorer, title):
    """The button of a block: "first block"."""
    return explorer.get_by_role("list", name="The blocks of the network").get_by_role("button", name=re.compile(title))


def picture(explorer):
    """The picture that is pointed at."""
    return explorer.get_by_label(re.compile("^The picture[.]"))


def place(explorer, x, y):
    """A place on the screen, from the picture's corner, for one in picture pixels."""
    box = picture(explorer).bounding_box()
    height, width = (int(side) for side in size(explorer))
    return {"x": x * box["width"] / width, "y": y * box["height"] / height}


def size(explorer):
    """Height and width of the picture, in its pixels."""
    return picture(explorer).locator("canvas").evaluate("(canvas) => [canvas.height, canvas.width]")


def point(explorer, x, y):
    """Move the mouse to a place on the picture, in picture pixels."""
    picture(explorer).hover(position=place(explorer, x, y))


def gates_shown(explorer):
    """The numbers of the gates at the pixel, as written."""
    texts = explorer.locator(".fx-row > .fx-number:not(.fx-share)").all_inner_texts()
    return [text.replace("−", "-") for text in texts]


def stands_on_one_screen(explorer, height):
    """That picture, map, answer and gates are seen at once in `height` pixels, the answer beside the picture."""
    boxes = {}
    for part in (".fx-picture .fx-stack", ".fx-map .fx-stack", ".fx-bars", ".fx-rows"):
        boxes[part] = explorer.locator(part).bounding_box()
        assert boxes[part]["y"] >= 0 and boxes[part]["y"] + boxes[part]["height"] <= height, (part, boxes[part])
    shown, bars = (boxes[part] for part in (".fx-map .fx-stack", ".fx-bars"))
    assert bars["x"] >= shown["x"] + shown["width"] and bars["y"] < shown["y"] + shown["height"]


def answers(explorer):
    """What the network says: class → percentage, of the classes shown."""
    rows = explorer.locator(".fx-bars li").all_inner_texts()
    parts = [row.split("\n") for row in rows]
    return {part[0]: float(part[1].removesuffix(" %")) for part in parts}


def colours(explorer, stack="map"):
    """Red, green and blue of every pixel of the map, or of the picture: a list of lists."""
    canvas = explorer.locator(f".fx-{stack} canvas").first
    script = """(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [...Array(data.length / 4).keys()].map((i) => [...data.slice(4 * i, 4 * i + 3)]);
    }"""
    return canvas.evaluate(script)


def milliseconds(explorer, act, name, expected):
    """Do something with a control, and wait until `data-<name>` of the explorer, set as it draws, is `expected`.

    Returns the milliseconds, taken in the page, from the control's event to the end of the frame that shows the answer.
    """
    explorer.evaluate(
        """(root, [name, expected]) => {
            let start = null;
            const begin = () => { start ??= performance.now(); };
            const once = { capture: true, once: true };
            for (const event of ["change", "input", "click"]) root.addEventListener(event, begin, once);
            root.timing = new Promise((resolve, reject) => {
                setTimeout(() => reject(`after 10 s data-${name} is ${root.dataset[name]}, not ${expected}`), 10000);
                const watcher = new MutationObserver(() => {
                    if (start === null || root.dataset[name] !== expected || Number(root.dataset.drawn) < start) return;
                    watcher.disconnect();
                    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
                });
                watcher.observe(root, { attributes: true });
            });
        }""",
        [name, str(expected)],
    )
    act()
    return explorer.evaluate("(root) => root.timing")
