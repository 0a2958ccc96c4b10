"""Write the times of the notebooks where readers see them: README.md's table and the head of each notebook.

    python tools/write_times.py            write
    python tools/write_times.py --check    write nothing; exit 1 and say what is out of date

The machine's times are data/results/notebook_times.json, made by tools/run_notebooks.py. The reader's are estimated
from the words, the lines of code and the minutes that exercises announce. What is in bold at the head of a notebook
also gets a line of its own.
"""

import argparse
import json
import math
import re
import sys

import nbformat

from parts.files import ROOT, changed, notebooks, replace_between, write_or_report
from write_links import colab_link, repository_address

TIME_LINE = re.compile(r"^\*\*Time\*\* .*$", re.MULTILINE)
HEAD_LINE = re.compile(r"^(\*\*(?:You [a-z ]+|Time)\*\* .*?) *$", re.MULTILINE)
FOLDED = re.compile(r"<details.*?</details>", re.DOTALL)
EXERCISE = re.compile(r"· (\d+) minutes")
WORDS = 110  # a minute, of prose with equations; an estimate
LINES = 12  # of code, a minute; likewise
TITLE = re.compile(r"\A# (?:\d+ · )?(?P<title>.+)\n\n\*(?P<question>[^*]+)\*")


def measured(root=ROOT):
    """The measured seconds: a dict from machine to a dict from notebook name (without .ipynb) to seconds."""
    path = root / "data" / "results" / "notebook_times.json"
    machines = json.loads(path.read_text())["machines"] if path.exists() else {}
    return {machine: {name: row["seconds"] for name, row in rows.items()} for machine, rows in machines.items()}


def duration(seconds):
    """Seconds as a reader wants them, rounded up: `35 s`, `1 min 20 s`."""
    if seconds <= 55:
        return f"{5 * math.ceil(seconds / 5)} s"
    minutes, rest = divmod(10 * math.ceil(seconds / 10), 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "")


def reading_minutes(cells):
    """The minutes that a reader takes for a notebook's cells, exercises included: a multiple of five."""
    minutes = 0.0
    for cell in cells:
        if cell.cell_type == "markdown":
            minutes += len(FOLDED.sub("", cell.source).split()) / WORDS + sum(map(int, EXERCISE.findall(cell.source)))
        elif "setup" not in cell.metadata.get("tags", []):
            minutes += len([line for line in cell.source.splitlines() if line.strip()]) / LINES
    return 5 * max(1, round(minutes / 5))


def time_line(name, times, minutes):
    """The line in a notebook's head: how long a reader takes, and how long each machine that was measured."""
    known = [f"{duration(rows[name])} on {machine}" for machine, rows in times.items() if name in rows]
    machines = f"; to run it all takes {', '.join(known)}" if known else "; not measured yet"
    return f"**Time** {minutes} minutes for you{machines}"


def timed_notebook(text, name, times):
    """The notebook file's text with its head's time line written, and each bold line of the head a line of its own."""
    notebook = nbformat.reads(text, as_version=4)
    if notebook.cells:
        first = notebook.cells[0]
        head = TIME_LINE.sub(time_line(name, times, reading_minutes(notebook.cells)), first.source)
        head = HEAD_LINE.sub(lambda line: f"{line[1]}  ", head)  # two spaces end a line in Markdown
        first.source = head.rstrip()
    return nbformat.writes(notebook) + "\n"


def table(root, times):
    """README.md's table of the series: titles and questions from the notebooks' heads, times as measured."""
    address = repository_address(root)
    head = ["no.", "notebook", "the question it answers", "for you", *times, *([] if address is None else [""])]
    rows = [head, ["---"] * len(head)]
    for path in notebooks(root):
        cells = nbformat.read(path, as_version=4).cells
        titled = TITLE.match(cells[0].source) if cells else None
        title, question = titled.group("title", "question") if titled else (path.stem, "")
        known = [duration(rows_[path.stem]) if path.stem in rows_ else "–" for rows_ in times.values()]
        link = f"[{title}](notebooks/{path.name})"
        colab = [] if address is None else [f"[Colab]({colab_link(address, path.name)})"]
        yours = f"{reading_minutes(cells)} min"
        rows.append([path.name[:2], link, question, yours, *known, *colab])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def outdated(root=ROOT):
    """Pairs (path, right text) of the files that do not hold the measured times."""
    times = measured(root)
    files = [(path, lambda text, name=path.stem: timed_notebook(text, name, times)) for path in notebooks(root)]
    files.append((root / "README.md", lambda text: replace_between(text, "times", table(root, times))))
    return changed(files)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    return write_or_report(outdated(), options.check, "make times")


if __name__ == "__main__":
    sys.exit(main())
