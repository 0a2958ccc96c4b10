"""Code that was grown in a notebook and has moved into the package: is it still the same code?

    python tools/check_graduates.py

Compares the syntax tree of each cell tagged `graduates` with the package's, and exits with 1 where they differ.
"""

import argparse
import ast
import copy
import sys

import nbformat

from check_notebooks import code_cells, tags
from parts.files import ROOT, notebooks

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
PLUMBING = {"__init__", "build", "get_config"}
MIXINS = {"Configured"}


def definitions(body, prefix=""):
    """Pairs (qualified name, node) of the functions and classes in `body`, methods and inner ones included."""
    for node in body:
        if isinstance(node, DEFINITIONS):
            name = prefix + node.name
            yield name, node
            yield from definitions(node.body, name + ".")


def package_definitions(root=ROOT):
    """The package's top-level functions and classes: a dict from name to the list of nodes of that name."""
    found = {}
    for path in sorted((root / "focal_utils").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, DEFINITIONS):
                found.setdefault(node.name, []).append(node)
    return found


def with_docstrings_of(node, documented):
    """A copy of `node` that keeps only the docstrings of the qualified names in `documented`."""
    node = copy.deepcopy(node)
    for name, definition in definitions([node]):
        if name not in documented and ast.get_docstring(definition) is not None and len(definition.body) > 1:
            del definition.body[0]
    return node


class WithoutGuards(ast.NodeTransformer):
    """Takes out the lines that only call a `check_…`: a cell may leave the package's guards to the package."""

    def visit_Expr(self, node):
        call = node.value
        guards = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("check_")
        return None if guards else node


def shown_methods(node, shown, decorators):
    """A copy of the class `node` with those methods only whose names are in `shown`, and with `decorators`.

    Bases that are MIXINS, plumbing too, are left out.
    """
    node = copy.deepcopy(node)
    node.bases = [base for base in node.bases if ast.unparse(base) not in MIXINS]
    node.body = [part for part in node.body if not isinstance(part, DEFINITIONS) or part.name in shown]
    node.decorator_list = decorators
    return node


def same_code(grown, other):
    """Whether the definition `grown` in a cell is the package's `other`.

    Guards, lines that only call a `check_…`, count on neither side. A cell may leave out decorators.

    A class in a cell may leave out methods, MIXINS, and the PLUMBING or have its own: then it is the
    same if it has some other method, and each of them, the other bases and the class attributes are the package's.
    """
    documented = {name for name, inner in definitions([grown]) if ast.get_docstring(inner) is not None}
    other = WithoutGuards().visit(with_docstrings_of(other, documented))
    grown = WithoutGuards().visit(copy.deepcopy(grown))
    if not grown.decorator_list:
        other.decorator_list = []
    if ast.dump(grown) == ast.dump(other):
        return True
    if not (isinstance(grown, ast.ClassDef) and isinstance(other, ast.ClassDef)):
        return False
    shown = {part.name for part in grown.body if isinstance(part, DEFINITIONS)} - PLUMBING
    other = shown_methods(other, shown, other.decorator_list if grown.decorator_list else [])
    return bool(shown) and ast.dump(shown_methods(grown, shown, grown.decorator_list)) == ast.dump(other)


def differences(source, package):
    """What in a cell's `source` is not the code of the `package` (as `package_definitions` gives it): sentences.

    Syntax trees are compared: layout and comments are free. A docstring counts where the cell's definition has one.
    """
    grown = [node for node in ast.parse(source).body if isinstance(node, DEFINITIONS)]
    if not grown:
        yield "a cell tagged graduates defines no function or class"
    for node in grown:
        documented = {name for name, inner in definitions([node]) if ast.get_docstring(inner) is not None}
        candidates = package.get(node.name, [])
        if not candidates:
            yield f"{node.name} is not in focal_utils"
        elif not any(same_code(node, other) for other in candidates):
            wanted = ast.unparse(with_docstrings_of(candidates[0], documented))
            yield f"{node.name} is not the package's; focal_utils has:\n{wanted}"


def notebook_differences(notebook, package):
    """The differences in all cells of a notebook that are tagged `graduates`, with the cell's position."""
    for i, cell in code_cells(notebook):
        if "graduates" in tags(cell):
            yield from (f"cell {i}: {difference}" for difference in differences(cell.source, package))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    package = package_definitions()
    found = 0
    for path in notebooks():
        for difference in notebook_differences(nbformat.read(path, as_version=4), package):
            found += 1
            print(f"{path.name}, {difference}")
    print(f"{found} differences")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
