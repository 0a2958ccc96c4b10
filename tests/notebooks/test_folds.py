"""What only draws or checks is collapsed, and says in its first line what it holds."""

import nbformat
import pytest

from parts.files import notebooks
from parts.reading import FOLDED, is_wiring, title_of


def code_cells(path):
    return [(i, cell) for i, cell in enumerate(nbformat.read(path, as_version=4).cells) if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_wiring_is_folded(path):
    open_ones = [i for i, cell in code_cells(path) if is_wiring(cell) and not tags(cell) & FOLDED]
    assert not open_ones, f"cells {open_ones} only draw or check: tag them `folded`"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_a_folded_cell_is_collapsed_and_has_a_title(path):
    for i, cell in code_cells(path):
        if "folded" in tags(cell):
            assert cell.metadata.get("jupyter", {}).get("source_hidden"), f"cell {i} is not collapsed"
            assert cell.metadata.get("cellView") == "form", f"cell {i} is not collapsed in Colab"
            assert title_of(cell), f"cell {i}: its first line should be `# @title …`"
