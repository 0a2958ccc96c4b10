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


def picture(explorer):
    """The canvas that is pointed at."""
    return explorer.get_by_label(re.compile("^The picture"))


def point(explorer, x, y, zoom=14):
    """Move the mouse to a place on the picture, in picture pixels."""
    picture(explorer).hover(position={"x": x * zoom, "y": y * zoom})


def gates_shown(explorer):
    """The numbers of the gates at the pixel, as written."""
    return explorer.locator("table").first.locator("tbody tr td:nth-of-type(2)").all_inner_texts()


def colour(explorer, x, y, canvas=0, zoom=14):
    """Red, green, blue and opacity of one screen pixel, at a place in picture pixels; canvas 1 holds the squares."""
    script = "(canvas, at) => [...canvas.getContext('2d').getImageData(at[0], at[1], 1, 1).data]"
    return explorer.locator("canvas").nth(canvas).evaluate(script, [int(x * zoom), int(y * zoom)])


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
