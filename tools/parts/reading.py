"""A committed notebook as a page to read: wiring is folded, figures have captions."""

import ast
import base64
import html
import io
import re

WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGE = re.compile(
    r'(?:<figure[^>]*>)?(?P<image><img alt="(?P<alt>[^"]*)"[^>]*>)(?:<figcaption[^>]*>.*?</figcaption></figure>)?',
    re.DOTALL,
)
DATA = re.compile(r"data:image/(?:png|webp);base64,([\w+/=]+)")
PAPER = 0.7  # of a figure that is white where it is a drawing or a plot, not pictures
UNSOLVED = "not solved yet"
PLOTTING = re.compile(r"\bfu\.show\(|\bFigure\(|fu\.figures\.")
SHORT = 3  # lines of code that may stand beside their figure
FOLDED = {"setup", "folded"}  # tags of the cells whose code is collapsed in a notebook, too
TITLE = "# @title "  # the first line of a folded cell: Colab shows what follows it


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
        kind = ' class="drawing"' if is_drawing(match["image"]) else ""
        caption = html.escape(html.unescape(match["alt"]))
        return f"<figure{kind}>{match['image']}<figcaption>{caption}</figcaption></figure>"

    return IMAGE.sub(figure, text)


def solved(outputs):
    """The outputs without what an exercise says to somebody who has not begun it: on a page nobody can."""
    return [output for output in outputs if UNSOLVED not in "".join(output.get("text", ""))]


def is_wiring(cell):
    """Whether a code cell only draws or only checks, so that its code is folded: no reader has to pass through it."""
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.startswith("#")]
    try:
        body = ast.parse(cell.source).body
    except SyntaxError:  # a line of IPython's own
        return False
    if body and all(isinstance(node, ast.Assert) or is_print(node) for node in body):
        return any(isinstance(node, ast.Assert) for node in body)
    return has_picture(cell) and bool(PLOTTING.search(cell.source)) and len(lines) > SHORT


def is_print(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print"


def title_of(cell):
    """What a folded cell says that it holds, in its first line; None where it says nothing."""
    first = cell.source.split("\n")[0]
    return first.removeprefix(TITLE) if first.startswith(TITLE) else None


def prepare(cells):
    """Make the cells of a notebook ready to be read, in place."""
    for cell in cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = solved(cell.outputs)
        if "setup" in cell.metadata.get("tags", []):
            cell.outputs = []
            fold(cell, "input", "Show the set-up cell")
        elif "folded" in cell.metadata.get("tags", []):
            fold(cell, "input", f"Show the code: {title_of(cell)}")
        elif is_wiring(cell):
            what = "the code of this figure" if has_picture(cell) else "this check"
            fold(cell, "input", f"Show {what}")
        for output in cell.outputs:
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = captioned(output.data["text/html"])
