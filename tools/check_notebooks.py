"""The notebook gate: what every notebook must be, checked without running it.

    python tools/check_notebooks.py                    all notebooks
    python tools/check_notebooks.py notebooks/03_*     these

Prints what is wrong, cell by cell, and exits with 1 if anything is. Whether outputs are still true is for nbval to say.
"""

import argparse
import ast
import html
import json
import re
import sys
from pathlib import Path

import nbformat
from nbformat.validator import iter_validate

from parts.files import notebooks
from write_links import badge, repository_address, setup_cell

MAX_BYTES = 1_000_000
MAX_IGNORED = 0.25
MIN_ALT = 20
IGNORING_TAGS = {"nbval-ignore-output", "nbval-skip"}
RAISING_TAGS = {"raises-exception", "nbval-raises-exception"}
COMMENT_MARKERS = re.compile(r"^\s*#+\s*(NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|root|tmp|work|Users)/[\w.-]*")
DATA_URI = re.compile(r"data:image/[\w+]+;base64,[\w+/=]*")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEAD = {
    "a question in italics on the third line": re.compile(r"\A# .+\n\n\*[^*].*\?\*\n"),
    "**You will build**": re.compile(r"^\*\*You will build\*\* \S", re.MULTILINE),
    "**You will learn**": re.compile(r"^\*\*You will learn\*\* \S", re.MULTILINE),
    "**You need**": re.compile(r"^\*\*You need\*\* \S", re.MULTILINE),
    "a measured **Time** (run tools/write_times.py)": re.compile(r"^\*\*Time\*\* .*\d", re.MULTILINE),
}
FOOT = {
    "What you learned": re.compile("what you learned", re.IGNORECASE),
    "does not show": re.compile("does not show", re.IGNORECASE),
    "References": re.compile("references", re.IGNORECASE),
    "a DOI or arXiv number": re.compile(r"doi\.org/|arxiv", re.IGNORECASE),
    "Next": re.compile(r"\bNext\b"),
}


def tags(cell):
    return set(cell.metadata.get("tags", []))


def code_cells(notebook):
    """Pairs (position in the notebook, cell) of the code cells."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def markdown_cells(notebook):
    """Pairs (position in the notebook, cell) of the Markdown cells."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"]


def syntax_tree(source):
    """The cell's syntax tree, IPython's own lines (`!`, `%`, `?`) left out; empty where it is no Python."""
    try:
        return ast.parse(re.sub(r"^(\s*)[!%?].*$", r"\1pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return ast.parse("")


def check_size(notebook, path):
    if (size := path.stat().st_size) > MAX_BYTES:
        yield f"{size:,} bytes, at most {MAX_BYTES:,} are allowed: fewer or smaller figures"


def check_execution(notebook, path):
    for expected, (i, cell) in enumerate(code_cells(notebook), 1):
        if not cell.source.strip():
            yield f"cell {i}: empty code cell"
        if cell.execution_count != expected:
            yield f"cell {i}: execution count {cell.execution_count}, {expected} is expected: restart and run all"
            return


def check_outputs(notebook, path):
    for i, cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" and not tags(cell) & RAISING_TAGS:
                yield f"cell {i}: error output {output.ename} in a cell not tagged raises-exception"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {i}: output on stderr: {output.text.strip()[:80]!r}"


def check_ignored(notebook, path):
    cells = code_cells(notebook)
    ignored = [position for position, (_, cell) in enumerate(cells) if tags(cell) & IGNORING_TAGS]
    if cells and len(ignored) > MAX_IGNORED * len(cells):
        yield f"{len(ignored)} of {len(cells)} code cells ignore their output, at most a quarter may"
    for position in ignored:
        i, _ = cells[position]
        following = [cell for _, cell in cells[position + 1 : position + 2] if not tags(cell) & IGNORING_TAGS]
        if not any(isinstance(node, ast.Assert) for cell in following for node in ast.walk(syntax_tree(cell.source))):
            yield f"cell {i}: ignores its output: the next code cell must assert what holds, and ignore nothing itself"
    for i, cell in cells:
        if marker := COMMENT_MARKERS.search(cell.source):
            yield f"cell {i}: comment {marker[1]}: use the tag instead"


def trains(node):
    """Whether a node of a syntax tree calls a training: `fu.train(…)`, `fu.train_segmenter(…)`, `model.fit(…)`."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).rpartition(".")[2]
    return called in {"fit", "train"} or called.startswith("train_")


def trained_names(tree):
    """Names that a cell gives to what a training returns, or to a part of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(trains(part) for part in ast.walk(node.value)):
            yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))


def check_live_figures(notebook, path):
    """A curve of a training that runs here depends on the processor's arithmetic: no two machines draw the same."""
    live = set()
    for i, cell in code_cells(notebook):
        tree = syntax_tree(cell.source)
        live.update(trained_names(tree))
        used = sorted(live & {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
        draws = any("<img" in output.get("data", {}).get("text/html", "") for output in cell.outputs)
        if used and draws and not tags(cell) & IGNORING_TAGS:
            yield f"cell {i}: draws {used[0]}, trained on the page: tag it nbval-ignore-output, assert in the next cell"


def check_head(notebook, path):
    texts = [(i, FENCED.sub("", cell.source)) for i, cell in markdown_cells(notebook)]
    headings = [i for i, text in texts for _ in re.findall(r"^# \S", text, re.MULTILINE)]
    if headings != [0]:
        yield f"one H1, in the first cell, is expected; found in cells {headings}"
    first = notebook.cells[0].source if notebook.cells else ""
    for name, pattern in HEAD.items():
        if not pattern.search(first):
            yield f"cell 0: the head lacks {name}"
    if badge(repository_address(), path.name) not in first:
        yield "cell 0: the head lacks this notebook's Colab badge (run tools/write_links.py)"


def check_setup(notebook, path):
    cells = code_cells(notebook)
    tagged = [cell for _, cell in cells if "setup" in tags(cell)]
    if len(tagged) != 1 or cells[0][1] is not tagged[0]:
        yield "the first code cell, and no other, must be tagged setup"
    elif tagged[0].source != setup_cell(repository_address()):
        yield "the set-up cell is not the one of the series (run tools/write_links.py)"


def check_machine_paths(notebook, path):
    for i, cell in enumerate(notebook.cells):
        texts = [cell.source, *(DATA_URI.sub("", text) for text in output_texts(cell))]
        for found in sorted({match[0] for text in texts for match in MACHINE_PATH.finditer(text)}):
            yield f"cell {i}: a path of one machine: {found}"


def output_texts(cell):
    """Every text that a cell's outputs hold; pictures in base64 are none."""
    for output in cell.get("outputs", []):
        yield from (output.get(key, "") for key in ("text", "evalue"))
        yield from output.get("traceback", [])
        for kind, value in output.get("data", {}).items():
            if isinstance(value, str) and (kind.startswith("text/") or kind == "image/svg+xml"):
                yield value


def check_figures(notebook, path):
    for i, cell in code_cells(notebook):
        for data in (output.get("data", {}) for output in cell.outputs):
            bare = sorted(kind for kind in data if kind.startswith("image/"))
            if bare:
                yield f"cell {i}: {bare[0]} output has no alternative text in HTML: show it with fu.show(fig, alt='…')"
            yield from (f"cell {i}: {problem}" for problem in html_images_without_alt(data.get("text/html", "")))
    for i, cell in markdown_cells(notebook):
        source = FENCED.sub("", cell.source)
        yield from (f"cell {i}: {problem}" for problem in html_images_without_alt(source))
        if re.search(r"!\[\s*\]\(", source):
            yield f"cell {i}: a picture has no alternative text: ![…](…)"


def html_images_without_alt(text):
    for image in re.findall(r"<img\b[^>]*>", text):
        alt = re.search(r"""\balt=(["'])(.*?)\1""", image, re.DOTALL)
        words = html.unescape(alt[2]).strip() if alt else ""
        if len(words) < MIN_ALT:
            yield f"alternative text of a picture is missing or under {MIN_ALT} characters: {words!r}"


def check_predictions(notebook, path):
    found = sum("Predict" in cell.source for _, cell in markdown_cells(notebook))
    if found < 2:
        yield f"{found} Markdown cells with “Predict”, at least two are expected"


def check_exercises(notebook, path):
    calls = sum(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "fu.check"
        for _, cell in code_cells(notebook)
        for node in ast.walk(syntax_tree(cell.source))
    )
    details = re.compile(r"<details\b.*?</details>", re.DOTALL)
    folded = [block for _, cell in markdown_cells(notebook) for block in details.findall(cell.source)]
    if path.name[:2] in {"01", "02", "03", "04", "05"}:
        if calls < 2:
            yield f"{calls} exercises with fu.check(…), at least two are expected"
        if len(folded) < 2:
            yield f"{len(folded)} folded hints or solutions (<details>), at least two are expected"
    for i, cell in markdown_cells(notebook):
        if cell.source.count("<details") != cell.source.count("</details>"):
            yield f"cell {i}: <details> that does not end in the same cell"
    for block in folded:
        summary = re.search(r"<summary>(.*?)</summary>", block, re.DOTALL)
        named = "hint|solution|answer|formula|signs and words"
        if not summary or not re.search(named, summary[1], re.IGNORECASE):
            names = "Hint, Solution, answer, formula nor Signs and words"
            yield f"<details> whose <summary> says neither {names}: {block[:60]!r}"


def check_foot(notebook, path):
    last = notebook.cells[-1] if notebook.cells else None
    if last is None or last.cell_type != "markdown":
        yield "the last cell must be Markdown: the foot"
        return
    for name, pattern in FOOT.items():
        if not pattern.search(last.source):
            yield f"last cell: the foot lacks {name}"
    number = int(path.name[:2]) if path.name[:2].isdigit() else -1
    for following in path.parent.glob(f"{number + 1:02d}_*.ipynb"):
        if f"({following.name})" not in last.source:
            yield f"last cell: no link to the next notebook, {following.name}"


def check_links(notebook, path):
    for i, cell in markdown_cells(notebook):
        for target in re.findall(r"\]\(([^)\s:#]+\.ipynb)", cell.source):
            if not (path.parent / target).is_file():
                yield f"cell {i}: a link to {target}, which is not there"


CHECKS = [
    check_size, check_execution, check_outputs, check_ignored, check_live_figures, check_head, check_setup,
    check_machine_paths, check_figures, check_predictions, check_exercises, check_foot, check_links,
]  # fmt: skip


def format_problems(content):
    """What keeps a file's JSON from being a notebook in format 4.5."""
    if not isinstance(content, dict) or (content.get("nbformat"), content.get("nbformat_minor", 0)) < (4, 5):
        yield "not in notebook format 4.5, with cell ids (run tools/run_notebooks.py)"
        return
    yield from (f"not a valid notebook: {error.message}" for error in iter_validate(content))
    ids = [cell.get("id") for cell in content.get("cells", [])]
    if len(set(ids)) < len(ids):
        yield "two cells have the same id"


def problems(path):
    """What is wrong with the notebook at `path`: a list of sentences, empty for a good one."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except ValueError as error:
        return [f"not readable as a notebook: {error}"]
    if found := list(format_problems(content)):
        return found
    notebook = nbformat.reads(text, as_version=4)
    return [problem for check in CHECKS for problem in check(notebook, path)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all)")
    found = 0
    for path in parser.parse_args(arguments).paths or notebooks():
        listed = problems(path)
        found += len(listed)
        print(f"{path.name}: {'passes' if not listed else f'{len(listed)} problems'}")
        for problem in listed:
            print(f"  {problem}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
