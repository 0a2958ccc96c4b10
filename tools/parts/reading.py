"""A committed notebook as a page to read: wiring is folded, figures have captions."""

import base64
import html
import io
import re

WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGE = re.compile(r'<img alt="(?P<alt>[^"]*)"[^>]*>')
DATA = re.compile(r"data:image/png;base64,([\w+/=]+)")
PAPER = 0.7  # of a figure that is white where it is a drawing or a plot, not pictures
UNSOLVED = "not solved yet"
PLOTTING = re.compile(r"\bfu\.show\(|\bFigure\(|fu\.figures\.")
CHECKING = ("assert ", "print(")
SHORT = 3  # lines of code that may stand beside their figure


def fold(cell, what, prompt):
    """Fold the input or the output of a cell under a sentence."""
    cell.metadata.setdefault("tags", []).append(f"hide-{what}")
    cell.metadata["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": "Fold it again"}


def has_picture(cell):
    return any("<img" in output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))


def is_drawing(image):
    """Whether the figure in an `<img …>` is lines on white, which a dark page may turn round; pictures it may not."""
    import numpy as np
    from PIL import Image

    data = DATA.search(image)
    if not data:
        return False
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as figure:
        pixels = np.asarray(figure.convert("RGB").resize((200, 200), Image.Resampling.NEAREST))
    return bool((pixels.min(axis=-1) > 250).mean() > PAPER)


def captioned(text):
    """The HTML of a figure with its alternative text as a caption that is seen; a drawing says that it is one."""

    def figure(match):
        kind = ' class="drawing"' if is_drawing(match[0]) else ""
        caption = html.escape(html.unescape(match["alt"]))
        return f"<figure{kind}>{match[0]}<figcaption>{caption}</figcaption></figure>"

    return IMAGE.sub(figure, text)


def solved(outputs):
    """The outputs without what an exercise says to somebody who has not begun it: on a page nobody can."""
    return [output for output in outputs if UNSOLVED not in "".join(output.get("text", ""))]


def prepare(cells):
    """Make the cells of a notebook ready to be read, in place."""
    for cell in cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = solved(cell.outputs)
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if "setup" in cell.metadata.get("tags", []):
            cell.outputs = []
            fold(cell, "input", "Show the set-up cell")
        elif has_picture(cell) and PLOTTING.search(cell.source) and len(lines) > SHORT:
            fold(cell, "input", "Show the code of this figure")
        elif lines and lines[0].startswith("assert ") and all(line.startswith(CHECKING) for line in lines):
            fold(cell, "input", "Show this check")
        for output in cell.outputs:
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = captioned(output.data["text/html"])
