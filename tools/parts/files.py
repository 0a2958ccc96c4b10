"""What the tools share: where things are, and how a file is changed without ever being left half written."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "results"


def notebooks(root=ROOT):
    """The notebooks of the series, in order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def how_made(seconds, *packages):
    """Command, date, commit, duration, machine and versions of a run: the head of a JSON file of results.

    With `packages`, names of packages that processes of the run use besides this one's: their versions too.
    """
    from focal_utils.machine import machine_facts

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    facts = machine_facts()
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit.stdout.strip(),
        "seconds": round(seconds),
        **facts,
        "versions": {**facts["versions"], **{package: version(package) for package in packages}},
    }


def save_results(path, facts, indent=1):
    """Write facts to a JSON file of results; `fu.load_results` reads them."""
    write_text(path, json.dumps(facts, indent=indent, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write `text` to a file beside `path`, then put it in place."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def replace_between(text, name, body):
    """`text` with what stands between `<!-- name:start -->` and `<!-- name:end -->` replaced by `body`.

    Raises:
        ValueError: the text does not hold the two markers, once each and in this order.
    """
    start = f"<!-- {name}:start -->"
    end = f"<!-- {name}:end -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise ValueError(f"expected one {start} and after it one {end}; put them where the text belongs")
    before, rest = text.split(start)
    return f"{before}{start}\n{body}\n{end}{rest.split(end)[1]}"


def changed(edits):
    """Of pairs (path, function from text to text), the pairs (path, right text) of the files that are not right yet."""
    texts = [(path, path.read_text(encoding="utf-8"), edit) for path, edit in edits]
    return [(path, edit(text)) for path, text, edit in texts if edit(text) != text]


def write_or_report(changes, check, remedy):
    """Write `changes`, or with `check` only report them; the exit status: 1 if a file is out of date and stays so."""
    for path, text in changes:
        if not check:
            write_text(path, text)
        print(f"{path.relative_to(ROOT)}: {f'out of date, run `{remedy}`' if check else 'written'}")
    return int(check and bool(changes))
