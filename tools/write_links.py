"""Write the repository's address, which stands once in pyproject.toml, wherever it is needed.

python tools/write_links.py            write notebooks (Colab badge, set-up cell), README.md and CITATION.cff
python tools/write_links.py --check    write nothing; exit 1 and say what is out of date
"""

import argparse
import re
import sys
import tomllib

import nbformat

from parts.files import ROOT, changed, notebooks, replace_between, write_or_report

BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
REPOSITORY_CODE = re.compile(r"^repository-code: .*$", re.MULTILINE)

FETCH = "!test -d {folder} || git clone -q --depth=1 {address} {folder}"
NO_ADDRESS = 'raise RuntimeError("This copy has no public address yet: set it in pyproject.toml and run `make links`.")'
SETUP = """\
# @title Set-up: finds the project, then loads it (about ten seconds)
import os
import sys

root = os.path.dirname(os.getcwd())  # the checkout: this notebook lies in its folder notebooks/
if "google.colab" in sys.modules and not os.path.exists(f"{{root}}/focal_utils"):  # on Colab: fetch it, upgrade nothing
    {fetch}
    root = os.path.abspath("{folder}")
    os.chdir(f"{{root}}/notebooks")
sys.path.append(root)

print("Loading TensorFlow and focal_utils: about ten seconds.")
import focal_utils as fu"""
SAYS = "Loading TensorFlow and focal_utils: about ten seconds.\n"


def repository_address(root=ROOT):
    """The public address of the repository, from `[project.urls]` in pyproject.toml, with no slash at its end."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"].rstrip("/")


def is_placeholder(address):
    """Whether the address is still the one that waits for an owner."""
    return "/OWNER/" in address


def setup_cell(address):
    """The source of the set-up cell, the same in every notebook: nothing to edit in JupyterLab or Colab."""
    folder = address.rsplit("/", 1)[-1]
    fetch = NO_ADDRESS if is_placeholder(address) else FETCH.format(address=address, folder=folder)
    return SETUP.format(folder=folder, fetch=fetch)


def colab_link(address, name):
    """Where Colab opens notebook `name` (a file name) of the repository."""
    repository = address.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}"


def badge(address, name):
    """The Markdown of the Colab badge of notebook `name` (a file name)."""
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
    """README.md's text with the commands that begin at the address."""
    folder = address.rsplit("/", 1)[-1]
    commands = [
        f"git clone {address} && cd {folder}",
        "make lab      # JupyterLab, on notebook 00",
        "make test     # every check",
    ]
    return replace_between(text, "clone", "\n".join(["```sh", *commands, "```"]))


def outdated(root=ROOT):
    """Pairs (path, right text) of the files that do not hold what they should."""
    address = repository_address(root)
    files = [(path, lambda text, name=path.name: linked_notebook(text, name, address)) for path in notebooks(root)]
    files.append((root / "README.md", lambda text: linked_readme(text, address)))
    files.append((root / "CITATION.cff", lambda text: REPOSITORY_CODE.sub(f'repository-code: "{address}"', text)))
    return changed(files)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    status = write_or_report(outdated(), options.check, "make links")
    if is_placeholder(repository_address()):
        print("The address is still a placeholder: replace OWNER in pyproject.toml, [project.urls].")
    return status


if __name__ == "__main__":
    sys.exit(main())
