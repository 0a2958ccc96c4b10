"""What is wrong with the links and pictures of a folder of HTML pages: read from the files, without a network.

    python tools/check_site.py build/site

Prints the counts and every problem, and exits with 1 if there is any. Links to other sites are checked for form alone.
"""

import argparse
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The ids of a page, its links, what it loads, and the alternative texts of its pictures."""

    def __init__(self, text):
        super().__init__()
        self.ids = {""}
        self.links = []
        self.loads = []
        self.alts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids.update(values[name] for name in ("id", "name") if values.get(name))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if "src" in values or (tag == "link" and "href" in values):
            self.loads.append(values.get("src") or values.get("href"))
        if tag == "img" and values.get("alt") != "":  # alt="" says that a picture only adorns
            self.alts.append((values.get("alt") or "").strip())


def read_pages(folder):
    """Every HTML page of a folder: path → `Page`."""
    return {path: Page(path.read_text("utf-8")) for path in sorted(Path(folder).resolve().rglob("*.html"))}


def link_problem(target, path, pages):
    """Why a link from the page at `path` leads nowhere; None for a good one."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        good = parts.scheme in ("https", "http", "mailto") and "." in (parts.netloc or parts.path) and " " not in target
        return None if good else "no address has this form"
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not file.is_file():
        return "no such file"
    if file in pages and unquote(parts.fragment) not in pages[file].ids:
        return "no such anchor"
    return None


def problems(pages):
    """Sentences: broken links, what is loaded from another site, pictures without alternative text."""
    found = []
    for path, page in pages.items():
        found += [
            f"{path.name}: {target}: {why}" for target in page.links if (why := link_problem(target, path, pages))
        ]
        for target in page.loads:
            if target.startswith("data:"):
                continue
            elsewhere = urlsplit(target).netloc and "loaded from another site"
            if why := elsewhere or link_problem(target.split("?")[0], path, pages):
                found.append(f"{path.name}: {target}: {why}")
        found += [f"{path.name}: picture {i} has no alternative text" for i, alt in enumerate(page.alts, 1) if not alt]
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the HTML pages")
    folder = parser.parse_args(arguments).folder
    pages = read_pages(folder)
    if not pages:
        parser.error(f"{folder} holds no HTML page: run `make site` first.")
    links, pictures = (sum(len(getattr(page, kind)) for page in pages.values()) for kind in ("links", "alts"))
    found = problems(pages)
    print(f"{len(pages)} pages, {links} links, {pictures} pictures, {len(found)} problems", *found, sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
