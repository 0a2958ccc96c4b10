"""The public names as pages: each subject's functions and classes, with what their docstrings say, as Markdown."""

import inspect
import re

SECTION = re.compile(r"^(Args|Returns|Raises|Example|Traits[^:\n]*):\s*$", re.MULTILINE)
ENTRY = re.compile(r"^(?P<names>\*{0,2}[\w*]+(?:, \*{0,2}[\w*]+)*): (?P<text>.*)$")
# What a subject is about, in the order in which a reader meets it.
ORDER = ("layers", "models", "weights", "data", "training", "tracing", "measuring", "explorer", "exercises", "figures")


def sections(doc):
    """A docstring as (its prose, {name of a section: its text})."""
    doc = inspect.cleandoc(doc or "")
    found = list(SECTION.finditer(doc))
    prose = doc[: found[0].start()] if found else doc
    ends = [match.start() for match in found[1:]] + [len(doc)] * bool(found)
    return prose.strip(), {
        match[1]: inspect.cleandoc(doc[match.end() : end]) for match, end in zip(found, ends, strict=True)
    }


def joined(text):
    """Paragraphs with the breaks of the docstring's lines taken out; what is indented stays as it is, as code."""
    blocks = re.split(r"\n\s*\n", text)
    shown = []
    for block in blocks:
        if all(line.startswith(("    ", ">>>")) for line in block.splitlines()):
            shown.append(f"```python\n{inspect.cleandoc(block)}\n```")
        else:
            shown.append(" ".join(line.strip() for line in block.splitlines()))
    return "\n\n".join(shown)


def entries(text):
    """The entries of Args or Raises as a list in Markdown: a line that begins with a name begins an entry."""
    items = []
    for line in text.splitlines():
        match = ENTRY.match(line)
        if match:
            items.append(f"- `{match['names']}`: {match['text'].strip()}")
        elif items:
            items[-1] += " " + line.strip()
        else:
            items.append(line.strip())
    return "\n".join(items)


def signature(name, thing):
    """How a thing is called; empty for one that is not."""
    try:
        shown = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return ""
    return f"{name}{shown}".replace("(self, ", "(").replace("(self)", "()")


def described(name, thing):
    """One public name as Markdown: a heading, how it is called, and what its docstring says."""
    prose, parts = sections(inspect.getdoc(thing) if callable(thing) else "")
    lines = [f"## {name}", ""]
    if callable(thing):
        lines += [f"```python\n{signature(f'fu.{name}', thing)}\n```", ""]
        lines += [joined(prose), ""]
    else:
        lines += [f"A {type(thing).__name__} of {len(thing)}." if hasattr(thing, "__len__") else "", ""]
    for title, text in parts.items():
        if title == "Example":
            lines += ["**Example**", "", f"```python\n{text}\n```", ""]
        elif title == "Returns":
            lines += ["**Returns**", "", joined(text), ""]
        else:
            lines += [f"**{title}**", "", entries(text), ""]
    return "\n".join(lines)


def pages(fu):
    """Name of a page → its Markdown, for each subject that has public names, and an index."""
    subjects = sorted(fu.PUBLIC, key=lambda name: (name not in ORDER, ORDER.index(name) if name in ORDER else 0, name))
    found = {}
    rows = []
    for subject in subjects:
        module = __import__(f"focal_utils.{subject}", fromlist=["_"])
        summary = inspect.getdoc(module).split("\n\n")[0].replace("\n", " ")
        names = sorted(fu.PUBLIC[subject], key=str.lower)
        texts = [described(name, getattr(fu, name)) for name in names]
        found[f"{subject}.md"] = "\n".join([f"# {subject}", "", summary, "", *texts])
        links = ", ".join(f"[`{name}`]({subject}.md#{name.lower().replace('_', '-')})" for name in names)
        rows.append(f"| [{subject}]({subject}.md) | {links} |")
    head = ["# Every function and layer", "", "`import focal_utils as fu`, then `fu.name`.", ""]
    table = ["| subject | names |", "| --- | --- |", *rows, ""]
    tree = ["```{toctree}", ":hidden:", "", *(page.removesuffix(".md") for page in found), "```", ""]
    found["index.md"] = "\n".join([*head, *table, *tree])
    return found
