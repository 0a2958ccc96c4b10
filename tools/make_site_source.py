"""Lay out what the site is built from, in build/site-source.

A front page of its own with the explorer, the notebooks as they are committed, made ready to be read, README.md, the
data's cards, and a page for each subject of the package.

    python tools/make_site_source.py

Nothing committed is changed and no notebook is run; only the cell that makes an explorer is, with the shipped network.
"""

import argparse
import json
import os
import re
import shutil
import sys
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath

import nbformat
import numpy as np

from parts.api_pages import pages as api_pages
from parts.files import ROOT, notebooks
from parts.front import EXPLORER, card, network, notebook_card, write_front, write_one_file
from parts.reading import WIDGET, prepare
from write_links import BADGE, colab_link, repository_address

SOURCE = ROOT / "build" / "site-source"
PAGES = ("README.md", "data/README.md", "data/photos/CREDITS.md")
CODE = r"```.*?```|`[^`\n]*`"  # in which nothing is a link
LINK = re.compile(CODE + r"|(?P<head>!?\[[^\]]*\]\()(?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)", re.DOTALL)
# The groups of the menu: a heading, and the pages below it.
GROUPS = {
    "Build it": [f"notebooks/{number:02d}_*" for number in range(6)],
    "Train it, look inside": ["notebooks/06_*", "notebooks/07_*", "explorer_page"],
    "Measure it": ["notebooks/08_*", "notebooks/09_*"],
    "Use it": ["notebooks/1*"],
    "Look it up": ["Install, results, speed <readme>", "api/index", "data/README", "data/photos/CREDITS"],
}
# Of the pages that are no notebooks: title, what is to be had there, a picture.
TOLD = {
    "explorer_page": (
        "The gate explorer",
        "Three networks to point at and to switch, with pictures of your own.",
        "front/still.png",
    ),
    "readme": ("Install, results, speed", "Every way in, what was measured, and how long it takes.", None),
    "api/index": ("Every function and layer", "What each takes and gives, with its equations.", None),
    "data/README": ("Data", "What the networks learned from, under which licence, and what is wrong with it.", None),
    "data/photos/CREDITS": ("Photographs", "Who took those that the notebooks show.", None),
}
CONTENTS = """# All pages

The <a href="index.html">front page</a> has the explorer. Here is everything that there is to read.
"""
NUCLEI_CREDIT = "2018 Data Science Bowl, BBBC038v1, Caicedo et al. 2019, doi 10.1038/s41592-019-0612-7, CC0"
NUCLEI = {  # of the shipped test pictures: what is to be seen
    0: "crowded, some touch",
    5: "touching",
    8: "small and sparse",
    11: "stained tissue",
    18: "stained, crowded",
    10: "small and many",
    20: "a whole field of view, 1388×1040",
}
CELLS_CREDIT = "Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1, CC BY 4.0"
EXPLORER_PAGE = """# The gate explorer

{frame}

Three trained networks in your browser, for traffic signs, blood cells and cell nuclei: point at a pixel of the picture
and see its gates, what each level of context sees from there, and how the numbers are made from each other. Switch a
level off, freeze or scale it, and see whether the network changes its mind, or how many nuclei it finds. Try a picture
of your own: it stays on your machine. Notebook 07 asks what the maps mean, notebook 12 does so for nuclei.

## Why no runtime?

The page computes the network by itself, {modules} of JavaScript and WebAssembly, and can change every gate on the way.
In one Chromium, on one thread, by turns (`tools/compare_runtimes.py`):

| | to fetch; compressed | processor time for a picture |
| --- | --- | --- |
{rows}
"""
FRAME = (
    '<iframe class="explorer" src="{page}" title="The gate explorer: answers to mouse, finger and keyboard" '
    'onload="const body = this.contentDocument?.body;'
    "body && new ResizeObserver(() => (this.style.height = body.scrollHeight + 40 + 'px')).observe(body)\"></iframe>"
)


def linked(text, page, address, root=ROOT):
    """Markdown `text` of the file `page` (its path in the repository) with links that work in the site.

    Links to notebooks, pages and pictures stay as they are; those to other files lead to the repository at `address`,
    and are words alone while there is none.

    Raises:
        ValueError: a link to a file that is not there.
    """

    def replaced(match):
        if not match["path"]:
            return match[0]
        path = PurePosixPath(os.path.normpath(PurePosixPath(page).parent / match["path"])).as_posix()
        if not (root / path).exists():
            raise ValueError(f"{page} links to {match['path']}, which is not there: mend the link.")
        if path in PAGES or path.endswith(".ipynb") or "![" in match["head"]:
            return match[0]
        if address is None:
            return match["head"][1:-2]
        return f"{match['head']}{address}/blob/main/{path}{match['anchor'] or ''})"

    return LINK.sub(replaced, text)


def site_notebook(notebook, name, address):
    """Make a notebook ready for the site, in place: links, the badge as words, folds, captions, no widgets.

    Returns a dict: the page that stands in for a widget → the source of the cell that shows the widget.
    """
    explorers = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            badge = "" if address is None else f"[Open in Colab]({colab_link(address, name)})"
            cell.source = linked(BADGE.sub(badge, cell.source), f"notebooks/{name}", address)
        for output in cell.get("outputs", []):
            if output.get("data", {}).pop(WIDGET, None):
                page = f"explorer_{Path(name).stem}_{len(explorers)}.html"
                output.data["text/html"] = FRAME.format(page=f"../{page}")
                explorers[page] = cell.source
    prepare(notebook.cells)
    return explorers


def menu():
    """The tables of contents that make the menu, one for each group."""
    blocks = []
    for caption, pages in GROUPS.items():
        options = [":hidden:", ":titlesonly:", ":glob:", f":caption: {caption}"]
        blocks.append("\n".join(["```{toctree}", *options, "", *pages, "```"]))
    return "\n\n".join(blocks) + "\n"


def all_pages(series):
    """The groups of the menu as cards, under a heading each. series: name → notebook."""
    parts = [CONTENTS]
    for caption, pages in GROUPS.items():
        cards = []
        for page in pages:
            names = [name for name in series if fnmatch(f"notebooks/{name}", page)]
            cards += [notebook_card(name, series[name]) for name in names]
            path = page.split("<")[-1].rstrip(">")
            if path in TOLD:
                title, words, picture = TOLD[path]
                cards.append(card(f"{path}.html", title, words, picture))
        parts.append(f"## {caption}\n\n" + "\n".join(['<ul class="cards">', *cards, "</ul>"]) + "\n")
    return "\n".join(parts)


def write_explorers(explorers, folder):
    """Run the cells that show an explorer, given what they show by its name in them, and write each as a page."""
    import focal_utils as fu

    for page, source in explorers.items():
        names = {
            "fu": fu,
            "trained": fu.load_trained("gtsrb"),
            "model": fu.load_trained("nuclei"),
            "nuclei": fu.load_nuclei(shipped=True),
        }
        exec(source, names)
        (explorer,) = (value for value in names.values() if isinstance(value, fu.GateExplorer))
        explorer.to_html(folder / page)


def explorer_page():
    """The page of the explorer, with what was measured of it and of the runtimes that it does without."""
    measured = json.loads((ROOT / "data" / "results" / "runtimes.json").read_text("utf-8"))["runtimes"]
    rows = [
        f"| {name} | {row['bytes'] / 1e6:.1f} MB; {row['bytes_compressed'] / 1e6:.1f} MB | {row['median_ms']:.0f} ms |"
        for name, row in measured.items()
        if "bytes" in row
    ]
    modules = f"{measured['our own']['files'] - 1} modules"
    return EXPLORER_PAGE.format(frame=FRAME.format(page=EXPLORER), modules=modules, rows="\n".join(rows))


def write_live(series, folder, address):
    """Write what runs in the page, and the pages of the package: the front page, the explorer in one file, the API."""
    import focal_utils as fu

    signs = fu.telling_signs()
    trained = fu.load_trained("gtsrb")
    cells = fu.load_trained("bloodcells")
    still = np.concatenate([np.kron(sign, np.ones((5, 5, 1), "uint8")) for sign in list(signs.values())[:6]], axis=1)
    nuclei = fu.load_nuclei(shipped=True)
    pictures = {name: nuclei.x_test[row] for row, name in NUCLEI.items()}
    marked = [f"People marked {nuclei.y_test[row].max()} nuclei in it." for row in NUCLEI]
    networks = [
        partial(network, "signs", "Traffic signs", trained, signs),
        partial(network, "cells", "Blood cells", cells, fu.telling_cells(), credit=CELLS_CREDIT),
        partial(
            network, "nuclei", "Cell nuclei", fu.load_trained("nuclei"), pictures, credit=NUCLEI_CREDIT, notes=marked
        ),
    ]
    write_front(series, folder, networks, still, address)
    write_one_file(folder / EXPLORER, networks, next(iter(signs)))
    (SOURCE / "api").mkdir()
    for name, text in api_pages(fu).items():
        (SOURCE / "api" / name).write_text(text, "utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    shutil.rmtree(SOURCE, ignore_errors=True)
    for folder in ("notebooks", "data/photos", "data/results", "_extra"):
        (SOURCE / folder).mkdir(parents=True)
    address = repository_address()
    for page in PAGES:
        (SOURCE / page).write_text(linked((ROOT / page).read_text("utf-8"), page, address), "utf-8")
    (SOURCE / "README.md").rename(SOURCE / "readme.md")
    (SOURCE / "explorer_page.md").write_text(explorer_page(), "utf-8")
    for picture in (ROOT / "data" / "results").glob("explorer.*"):
        shutil.copy(picture, SOURCE / "data" / "results")
    explorers = {}
    series = {}
    for path in notebooks():
        notebook = nbformat.read(path, as_version=4)
        explorers.update(site_notebook(notebook, path.name, address))
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)
        series[path.stem] = notebook
    (SOURCE / "contents.md").write_text(all_pages(series) + "\n" + menu(), "utf-8")
    write_explorers(explorers, SOURCE / "_extra")
    write_live(series, SOURCE / "_extra", address)
    print(f"{SOURCE.relative_to(ROOT)}: {len(PAGES)} pages, {len(series)} notebooks, {len(explorers) + 1} explorers")


if __name__ == "__main__":
    sys.exit(main())
