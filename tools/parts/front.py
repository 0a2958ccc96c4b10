"""The front page of the site: the explorer, one line of results, and a card for each notebook."""

import base64
import html
import io
import json
import re
import tempfile
from pathlib import Path

from parts.files import ROOT

SITE = ROOT / "tools" / "site"
CARDS = SITE / "static" / "cards.css"
EXPLORER = "explorer.html"  # the explorer in one file, with all its networks
DESCRIPTION = (
    "Learn focal modulation by building it: notebooks in Keras, and a FocalNet that runs in this page. "
    "Point at a pixel, see how far it looks, switch a level off."
)
TITLE = re.compile(r"\A# (?:(?P<number>\d+) · )?(?P<title>.+)\n\n\*(?P<question>[^*]+)\*")
PICTURE = re.compile(r"data:image/(?:png|webp);base64,([\w+/=]+)")


def first_picture(notebook):
    """A notebook's first figure of its own as the bytes of a PNG, or None.

    The layer's drawing stands in many; and what is folded until the reader has guessed stays so.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get("text/html", "")
            match = PICTURE.search(page)
            if match and "layer_diagram" not in cell.source and 'class="answer"' not in page:
                return as_png(base64.b64decode(match[1]))
    return None


def as_png(data):
    """A picture's bytes, PNG or WebP, as those of a PNG."""
    from PIL import Image

    packed = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(packed, format="png", optimize=True)
    return packed.getvalue()


def drawing():
    """The layer's drawing as the bytes of a PNG, for a notebook that has no figure to show beforehand."""
    from focal_utils.figures import layer_diagram

    file = io.BytesIO()
    layer_diagram().savefig(file, format="png", dpi=60)
    return file.getvalue()


def card(address, title, words, picture=None):
    """A card that leads to a page: its title, a sentence, and, if there is one, a picture."""
    image = f'<img src="{picture}" alt="" loading="lazy" fetchpriority="low">' if picture else ""
    return (
        f'<li><a class="card" href="{address}">{image}<div><b>{html.escape(title)}</b>'
        f"<span>{html.escape(words)}</span></div></a></li>"
    )


def notebook_card(name, notebook):
    """The card of a notebook, by its first cell; `write_front` writes the thumbnail."""
    title = TITLE.match(notebook.cells[0].source)
    number = f"{title['number']} · " if title["number"] else ""
    return card(f"notebooks/{name}.html", f"{number}{title['title']}", title["question"], f"front/{name}.png")


def result(facts, weight):
    """One line of results: what the network on the page is worth."""
    return (
        f"It reads <b>{100 * facts['test_accuracy']:.2f} %</b> of {facts['test_images']:,} real traffic signs that it "
        f"never saw, with {facts['parameters']:,} parameters: {weight / 1e6:.1f} MB in this page."
    )


def network(id, title, model, pictures, folder, credit="", notes=None, precision="float16"):
    """A network for the page, its file and its pictures written into `folder`: what `mount` takes."""
    from PIL import Image

    from focal_utils.explorer import network_bytes

    names = getattr(model, "class_names", None)
    (folder / f"{id}.focal").write_bytes(network_bytes(model, names and list(names), precision))
    listed = []
    for number, (name, picture) in enumerate(pictures.items()):
        file = f"{id}_{number}.webp"
        Image.fromarray(picture).save(folder / file, lossless=True)
        listed.append({"name": name, "address": f"front/{file}", "notes": [notes[number]] if notes else []})
    return {"id": id, "title": title, "file": f"front/{id}.focal", "pictures": listed, "credit": credit}


def address_of(path):
    """A file as a data address."""
    return f"data:image/{path.suffix[1:]};base64," + base64.b64encode(path.read_bytes()).decode()


def write_one_file(target, networks, name):
    """Write the explorer with all its networks, 8 bits for a weight, as one file that needs no other.

    Args:
        target: of the file. networks: as for `write_front`. name: of the first picture.
    """
    from focal_utils.explorer import page_text

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shown = [make(folder, precision="int8") for make in networks]
        for one in shown:
            data = (folder / Path(one["file"]).name).read_bytes()
            one["file"] = {"base64": base64.b64encode(data).decode()}
            for picture in one["pictures"]:
                picture["address"] = address_of(folder / Path(picture["address"]).name)
    options = {"networks": shown, "address": True}
    target.write_text(page_text(options, name, shown[0]["pictures"][0]["address"]), "utf-8")


def write_front(notebooks, target, networks, still, address):
    """Write the front page, and what it loads, into the folder `target`.

    Args:
        notebooks: name → notebook, in order. networks: functions of a folder, each of which gives one for `mount`.
        still: a picture (H, W, 3) uint8 of what is to be seen, for browsers that cannot. address: of the repository.
    """
    from PIL import Image

    from focal_utils.explorer import script, style

    folder = target / "front"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "explorer.js").write_text(script() + "\nexport { mount };\n", "utf-8")
    Image.fromarray(still).save(folder / "still.png")
    for name, notebook in notebooks.items():
        (folder / f"{name}.png").write_bytes(first_picture(notebook) or drawing())
    shown = [make(folder) for make in networks]
    facts = json.loads((ROOT / "data" / "results" / "gtsrb.json").read_text())
    weight = (folder / f"{shown[0]['id']}.focal").stat().st_size
    marks = {
        "STYLE": "".join(path.read_text("utf-8") for path in (SITE / "front.css", CARDS)) + style(),
        "NETWORK": shown[0]["file"],
        "FIRST": shown[0]["id"],
        "DESCRIPTION": html.escape(DESCRIPTION),
        "CARD": "front/still.png",
        "STILL_WIDTH": str(still.shape[1]),
        "STILL_HEIGHT": str(still.shape[0]),
        "STILL_ALT": "A traffic sign, and beside it how much of each level of context every pixel takes.",
        "EXPLORER": EXPLORER,
        "MEGABYTES": f"{weight / 1e6:.1f}",
        "RESULT": result(facts, weight),
        "CARDS": "\n".join(notebook_card(name, notebook) for name, notebook in notebooks.items()),
        "NETWORKS": json.dumps({"networks": shown, "address": True, "tour": True}).replace("<", "\\u003c"),
    }
    page = (SITE / "front.html").read_text("utf-8")
    text = re.sub(r"/\*([A-Z_]+)\*/", lambda match: marks[match[1]], page)
    (target / "index.html").write_text(text, "utf-8")
