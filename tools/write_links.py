"""Write the repository's address, which stands once in pyproject.toml, wherever it is needed.

    python tools/write_links.py                        write notebooks (badge, set-up cell), README.md and CITATION.cff
    python tools/write_links.py --address ADDRESS      first put this address into pyproject.toml
    python tools/write_links.py --check                write nothing; exit 1 and say what is out of date

ADDRESS is https://github.com/NAME/REPOSITORY, or "origin" for what git knows under that name. While there is no
address, nothing leads to one: no badge, no link to Colab, and first commands that start from the folder at hand.
"""

import argparse
import re
import subprocess
import sys
import tomllib

import nbformat

from parts.files import ROOT, changed, notebooks, replace_between, write_or_report

NAME = "focal-modulation"  # of the folder that Colab works in, and of the file that `make colab` writes
NO_BADGE = "<!-- no address yet: make links -->"
BADGE = re.compile(rf"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)|{re.escape(NO_BADGE)}")
REPOSITORY_CODE = re.compile(r"^(?:# )?repository-code: .*$", re.MULTILINE)
URLS = re.compile(r"^(?:# )?\[project\.urls\]\n(?:# )?Repository = .*$", re.MULTILINE)
GITHUB = re.compile(r"(?:https://github\.com/|git@github\.com:)([\w.-]+/[\w.-]+?)(?:\.git)?/?")

SETUP = """\
# @title Set-up: finds the project, then loads it (about ten seconds)
import os
import sys

root = os.path.dirname(os.getcwd())  # the checkout: this notebook lies in its folder notebooks/
if "google.colab" in sys.modules and not os.path.exists(f"{root}/focal_utils"):  # on Colab; nothing is upgraded
    FETCH
    places = [os.path.abspath("focal-modulation"), "/content/drive/MyDrive/focal-modulation"]
    root = next((place for place in places if os.path.exists(f"{place}/focal_utils")), None)
    assert root, "Run `make colab` and drop the zip that it writes into Files, on the left. Then run this cell again."
    os.chdir(f"{root}/notebooks")
sys.path.append(root)

print("Loading TensorFlow and focal_utils: about ten seconds.")
import focal_utils as fu"""
UNZIP = """if os.path.exists("focal-modulation.zip") and not os.path.exists("focal-modulation"):
        os.system("python3 -m zipfile -e focal-modulation.zip .")"""
CLONE = 'os.system("test -d focal-modulation || git clone -q --depth=1 {address} focal-modulation")'
COLAB = """\
- **Colab**: `make colab` writes `build/focal-modulation.zip`. Upload a notebook to Colab, drop the zip into Colab's
  files (the folder on the left), and run the notebook: its first cell unpacks the zip, and leaves Colab's own
  TensorFlow, Keras, NumPy and ipywidgets as they are."""
COLAB_WITH_LINKS = """\
- **Colab**: the links in the table below; the first cell of each notebook fetches what it needs and leaves Colab's own
  TensorFlow, Keras, NumPy and ipywidgets as they are."""
SAYS = "Loading TensorFlow and focal_utils: about ten seconds.\n"


def repository_address(root=ROOT):
    """The public address of the repository, from `[project.urls]` in pyproject.toml; None while there is none."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"].get("urls", {}).get("Repository")


def given_address(text, root=ROOT):
    """The address that is meant by `text`: one on GitHub, as browser or git write it, or "origin".

    Raises:
        ValueError: it is no such address, or git knows no "origin" here.
    """
    if text == "origin":
        asked = subprocess.run(["git", "remote", "get-url", text], cwd=root, capture_output=True, text=True)
        if asked.returncode:
            raise ValueError("git knows no remote of the name origin here: give the address itself.")
        text = asked.stdout.strip()
    found = GITHUB.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no address of a repository: https://github.com/NAME/REPOSITORY is expected.")
    return f"https://github.com/{found[1]}"


def addressed_project(text, address):
    """The text of pyproject.toml with the address."""
    return URLS.sub(f'[project.urls]\nRepository = "{address}"', text)


def setup_cell(address):
    """The source of the set-up cell, the same in every notebook: nothing to edit in JupyterLab or Colab."""
    fetch = [UNZIP] if address is None else [UNZIP, CLONE.format(address=address)]
    return SETUP.replace("FETCH", "\n    ".join(fetch))


def colab_link(address, name):
    """Where Colab opens notebook `name` (a file name) of the repository."""
    repository = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"


def badge(address, name):
    """The Markdown of the Colab badge of notebook `name` (a file name), or a mark where it will stand."""
    if address is None:
        return NO_BADGE
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab_link(address, name)})"


def linked_notebook(text, name, address):
    """The notebook file's text with its badge and set-up cell written for `address`."""
    notebook = nbformat.reads(text, as_version=4)
    if notebook.cells:
        notebook.cells[0].source = BADGE.sub(badge(address, name), notebook.cells[0].source)
    for cell in notebook.cells:
        if "setup" in cell.metadata.get("tags", []):
            cell.source = setup_cell(address)
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=SAYS)]
            cell.metadata["jupyter"] = {"source_hidden": True}
            cell.metadata["cellView"] = "form"
    return nbformat.writes(notebook) + "\n"


def linked_readme(text, address):
    """README.md's text with its first commands, and its way to Colab."""
    begin = [] if address is None else [f"git clone {address} {NAME} && cd {NAME}"]
    commands = [*begin, "make lab      # JupyterLab, on notebook 00", "make test     # every check"]
    text = replace_between(text, "clone", "\n".join(["```sh", *commands, "```"]))
    return replace_between(text, "colab", COLAB if address is None else COLAB_WITH_LINKS)


def outdated(root=ROOT):
    """Pairs (path, right text) of the files that do not hold what they should."""
    address = repository_address(root)
    code = '# repository-code: "make links writes it"' if address is None else f'repository-code: "{address}"'
    files = [(path, lambda text, name=path.name: linked_notebook(text, name, address)) for path in notebooks(root)]
    files.append((root / "README.md", lambda text: linked_readme(text, address)))
    files.append((root / "CITATION.cff", lambda text: REPOSITORY_CODE.sub(code, text)))
    return changed(files)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    parser.add_argument("--address", help="put this address into pyproject.toml first")
    options = parser.parse_args(arguments)
    if options.address:
        try:
            address = given_address(options.address)
        except ValueError as error:
            parser.error(str(error))
        edits = [(ROOT / "pyproject.toml", lambda text: addressed_project(text, address))]
        write_or_report(changed(edits), options.check, "make links")
    status = write_or_report(outdated(), options.check, "make links")
    if repository_address() is None:
        print("There is no address yet, so nothing leads to one: make links ADDRESS=https://github.com/NAME/REPOSITORY")
    return status


if __name__ == "__main__":
    sys.exit(main())
