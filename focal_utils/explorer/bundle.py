"""The page's modules as one script: for the widget, which takes one, and for pages opened from a folder.

A browser loads `page/*.js` one by one from a server, and needs nothing made from them. Here they are put one after the
other, without their `import` and `export` lines, which is all that a bundler would do for modules that share no names.
"""

import json
import re
from functools import cache
from pathlib import Path

WORKER_TEXT = "workertext.js"
PAGE = Path(__file__).parent / "page"
IMPORT = re.compile(r'^import [^;]*? from "\./(?P<name>[\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (\{[^}]*\}|default [^;]*);\n", re.MULTILINE)


def in_order(entry, seen=()):
    """The names of the modules that `entry` needs, each behind those that it needs itself, `entry` last."""
    found = []
    for match in IMPORT.finditer((PAGE / entry).read_text("utf-8")):
        if match["name"] in seen:
            raise ValueError(f"{entry} and {match['name']} need each other: one script cannot hold that.")
        found += in_order(match["name"], (*seen, entry))
    return list(dict.fromkeys([*found, entry]))


@cache
def script(entry="explorer.js"):
    """All modules that `entry` needs as one script, without an export.

    In it stands, as a text, the script of the worker that computes for the page: there are no files to load it from.
    """
    texts = [worker_text() if name == WORKER_TEXT else (PAGE / name).read_text("utf-8") for name in in_order(entry)]
    return "\n".join(EXPORT.sub("", IMPORT.sub("", text)).strip() + "\n" for text in texts)


def worker_text():
    """The module that holds the worker's script."""
    return f"const workerText = {json.dumps(script('worker.js'))};\n".replace("<", "\\u003c")


@cache
def style():
    """The explorer's style sheet."""
    return (PAGE / "explorer.css").read_text("utf-8")
