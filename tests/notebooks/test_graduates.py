"""Code that notebooks show as the package's own is the package's own."""

import ast

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from check_graduates import DEFINITIONS, differences, notebook_differences, package_definitions
from check_notebooks import code_cells, tags
from parts.files import notebooks

PACKAGE = '''
def gate(x, levels: int = 2):
    """Gates of every level."""
    return x * levels  # a comment


class Layer:
    """A layer."""

    def call(self, x):
        """Apply it."""
        return gate(x)


@serializable
def bend(x):
    return x * x


@serializable
class Gates(Layer):
    """Gates and what they are for."""

    levels = 2

    def __init__(self, levels, name=None, **kwargs):
        super().__init__(name=name, **kwargs)

    def parts(self, x):
        """Gates of x."""
        return gate(x)

    def call(self, x):
        return self.parts(x)

    def get_config(self):
        return {"levels": 2}
'''

SHOWN = "    def parts(self, x):\n        return gate(x)\n"
CALLED = "    def call(self, x):\n        return self.parts(x)\n"
OWN_START = "    def __init__(self):\n        super().__init__()\n"


@pytest.fixture
def package(tmp_path):
    (tmp_path / "focal_utils").mkdir()
    (tmp_path / "focal_utils" / "layers.py").write_text(PACKAGE)
    return package_definitions(tmp_path)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_graduated_code_is_the_code_of_the_package(path):
    assert list(notebook_differences(nbformat.read(path, as_version=4), package_definitions())) == []


def graduates(path):
    """The names of what is defined in a notebook's cells that are tagged `graduates`."""
    for _, cell in code_cells(nbformat.read(path, as_version=4)):
        if "graduates" in tags(cell):
            yield from (node.name for node in ast.parse(cell.source).body if isinstance(node, DEFINITIONS))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_graduates_say_in_which_notebook_they_grew(path):
    package = package_definitions()
    silent = []
    for name in graduates(path):
        said = [" ".join((ast.get_docstring(node) or "").split()) for node in package[name]]
        if not any(f"Grown in notebook {path.stem[:2]}." in words for words in said):
            silent.append(name)
    assert silent == []


@pytest.mark.parametrize(
    "source",
    [
        'def gate(x, levels: int = 2):\n    """Gates of every level."""\n    return x * levels',
        "def gate(x, levels: int = 2):\n    return (x * levels)  # laid out otherwise",
        "def bend(x):\n    return x * x",
        "@serializable\ndef bend(x):\n    return x * x",
        "class Layer:\n    def call(self, x):\n        return gate(x)",
        'class Layer:\n    def call(self, x):\n        """Apply it."""\n        return gate(x)',
        f"class Gates(Layer):\n    levels = 2\n{SHOWN}{CALLED}",
        f"class Gates(Layer):\n    levels = 2\n{OWN_START}{SHOWN}{CALLED}",
        f"class Gates(Layer):\n    levels = 2\n{OWN_START}{CALLED}",
        f"@serializable\nclass Gates(Layer):\n    levels = 2\n{SHOWN}",
        f'class Gates(Layer):\n    """Gates and what they are for."""\n    levels = 2\n{OWN_START}{SHOWN}',
    ],
)
def test_the_same_code_passes(source, package):
    assert list(differences(source, package)) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def gate(x, levels: int = 3):\n    return x * levels", "gate is not the package's"),
        ("def gate(x, levels=2):\n    return x * levels", "gate is not the package's"),
        ("def gate(x, levels: int = 2):\n    return x + levels", "gate is not the package's"),
        ('def gate(x, levels: int = 2):\n    """Other words."""\n    return x * levels', "gate is not the package's"),
        ("@other\ndef bend(x):\n    return x * x", "bend is not the package's"),
        ("class Layer(object):\n    def call(self, x):\n        return gate(x)", "Layer is not the package's"),
        (f"class Gates(Layer):\n    levels = 2\n{OWN_START}", "Gates is not the package's"),
        (f"class Gates(Layer):\n    levels = 3\n{SHOWN}", "Gates is not the package's"),
        (f"class Gates:\n    levels = 2\n{SHOWN}", "Gates is not the package's"),
        (f"@other\nclass Gates(Layer):\n    levels = 2\n{SHOWN}", "Gates is not the package's"),
        (f"class Gates(Layer):\n    levels = 2\n{SHOWN}    def f(self):\n        pass", "Gates is not the package's"),
        (f"class Gates(Layer):\n    levels = 2\n{SHOWN.replace('gate(x)', 'x')}", "Gates is not the package's"),
        (f'class Gates(Layer):\n    """Other words."""\n    levels = 2\n{SHOWN}', "Gates is not the package's"),
        ("def other(x):\n    return x", "other is not in focal_utils"),
        ("gate = 3", "defines no function or class"),
    ],
)
def test_other_code_is_reported(source, message, package):
    cells = [new_code_cell("1 + 1"), new_code_cell(source, metadata={"tags": ["graduates"]})]
    (difference,) = notebook_differences(new_notebook(cells=cells), package)
    assert difference.startswith("cell 1: ") and message in difference
