"""Write build/focal-modulation.zip: notebooks, package and data in one file that can be dropped into Colab's files.

    python tools/make_colab.py

The first cell of each notebook unpacks it there. Notebooks go in without their outputs, which running them makes, and
the pictures of cell nuclei stay out, which `fu.load_nuclei` fetches there, so that the file is at most 15 MB; exit
status 1 if it is larger, and none is written.
"""

import sys
import zipfile

import nbformat

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

from focal_utils.files import whole_file
from parts.files import ROOT
from write_links import NAME

PATTERNS = (
    "notebooks/*.ipynb",
    "focal_utils/**/*",
    "data/*.md",
    "data/nuclei/*.csv",
    "data/photos/*",
    "data/results/*",
    "data/weights/*",
    "tests/reference/timm_module_l2_w3.npz",  # notebook 03 compares with it
    "tests/reference/timm_network_four_stages.npz",  # notebook 10
    "pyproject.toml",
    "requirements-colab.txt",
    "README.md",
    "LICENSE*",
)
MOST = 15_000_000  # bytes
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in it, so that equal content gives an equal zip


def members(root=ROOT):
    """The files that go into the zip, in order of their names."""
    found = {path for pattern in PATTERNS for path in root.glob(pattern)}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def content(path):
    """What goes into the zip for a file, as bytes: the file, but a notebook without its outputs."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return (nbformat.writes(notebook) + "\n").encode()


def write_zip(target, root=ROOT):
    """Write the zip, whole or not at all; its size in bytes.

    Raises:
        ValueError: it would be larger than `MOST`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in members(root):
                entry = zipfile.ZipInfo(f"{NAME}/{path.relative_to(root).as_posix()}", EPOCH)
                archive.writestr(entry, content(path), zipfile.ZIP_DEFLATED, 9)
        size = part.stat().st_size
        if size > MOST:
            raise ValueError(f"The zip has {size / 1e6:.1f} MB, at most {MOST / 1e6:.0f} are wanted: leave out more.")
    return size


def main():
    parser(__doc__).parse_args()
    target = ROOT / "build" / f"{NAME}.zip"
    try:
        size = write_zip(target)
    except ValueError as error:
        print(error)
        return 1
    print(f"{target.relative_to(ROOT)}: {size / 1e6:.1f} MB. Drop it into Colab's files, then run a notebook there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
