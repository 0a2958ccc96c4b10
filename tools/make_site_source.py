"""Lay out what the site is built from, in build/site-source: README.md as the front page, the notebooks as they are
committed, the data's cards, and the explorers as pages that need no kernel.

    python tools/make_site_source.py

Nothing committed is changed and no notebook is run; only the cell that makes an explorer is, with the shipped network.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath

import nbformat

from parts.files import ROOT, notebooks
from write_links import BADGE, colab_link, repository_address

SOURCE = ROOT / "build" / "site-source"
PAGES = ("README.md", "data/README.md", "data/photos/CREDITS.md")
WIDGET = "application/vnd.jupyter.widget-view+json"
CODE = r"```.*?```|`[^`\n]*`"  # in which nothing is a link
LINK = re.compile(CODE + r"|(?P<head>!?\[[^\]]*\]\()(?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)", re.DOTALL)
CONTENTS = """
```{toctree}
:hidden:
:titlesonly:
:glob:

notebooks/*
data/README
data/photos/CREDITS
```
"""
FRAME = (
    '<iframe class="explorer" src="../{page}" title="The gate explorer: answers to mouse, finger and keyboard" '
    'onload="const body = this.contentDocument?.body;'
    "body && new ResizeObserver(() => (this.style.height = body.scrollHeight + 40 + 'px')).observe(body)\"></iframe>"
)


def linked(text, page, address, root=ROOT):
    """Markdown `text` of the file `page` (its path in the repository) with links that work in the site.

    Links to notebooks, pages and pictures stay as they are; those to other files lead to the repository at `address`.

    Raises:
        ValueError: a link to a file that is not there.
    """

    def replaced(match):
        if not match["path"]:
            return match[0]
        path = PurePosixPath(os.path.normpath(PurePosixPath(page).parent / match["path"])).as_posix()
        if not (root / path).exists():
            raise ValueError(f"{page} links to {match['path']}, which is not there: mend the link.")
        if path in PAGES or path.endswith(".ipynb") or match["head"].startswith("!"):
            return match[0]
        return f"{match['head']}{address}/blob/main/{path}{match['anchor'] or ''})"

    return LINK.sub(replaced, text)


def site_notebook(notebook, name, address):
    """Make a notebook ready for the site, in place: links, the badge as words, the set-up cell folded, no widgets.

    Returns a dict: the page that stands in for a widget → the source of the cell that shows the widget.
    """
    explorers = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = BADGE.sub(f"[Open in Colab]({colab_link(address, name)})", cell.source)
            cell.source = linked(text, f"notebooks/{name}", address)
        if "setup" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("hide-input")
        for output in cell.get("outputs", []):
            if output.get("data", {}).pop(WIDGET, None):
                page = f"explorer_{Path(name).stem}_{len(explorers)}.html"
                output.data["text/html"] = FRAME.format(page=page)
                explorers[page] = cell.source
    return explorers


def write_explorers(explorers, folder):
    """Run the cells that show an explorer, given the network that knows signs, and write each explorer as a page."""
    import focal_utils as fu

    for page, source in explorers.items():
        names = {"fu": fu, "trained": fu.load_trained("gtsrb")}
        exec(source, names)
        (explorer,) = (value for value in names.values() if isinstance(value, fu.GateExplorer))
        explorer.to_html(folder / page)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    shutil.rmtree(SOURCE, ignore_errors=True)
    for folder in ("notebooks", "data/photos", "data/results", "_extra"):
        (SOURCE / folder).mkdir(parents=True)
    address = repository_address()
    explorers = {}
    for page in PAGES:
        (SOURCE / page).write_text(linked((ROOT / page).read_text("utf-8"), page, address), "utf-8")
    front = (SOURCE / "README.md").rename(SOURCE / "index.md")
    front.write_text(front.read_text("utf-8") + CONTENTS, "utf-8")
    for picture in (ROOT / "data" / "results").glob("*.png"):
        shutil.copy(picture, SOURCE / "data" / "results")
    for path in notebooks():
        notebook = nbformat.read(path, as_version=4)
        explorers.update(site_notebook(notebook, path.name, address))
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)
    write_explorers(explorers, SOURCE / "_extra")
    print(f"{SOURCE.relative_to(ROOT)}: {len(PAGES)} pages, {len(notebooks())} notebooks, {len(explorers)} explorers")


if __name__ == "__main__":
    sys.exit(main())
