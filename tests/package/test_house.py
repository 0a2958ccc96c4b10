"""The rules of the house, held by reading the code: what imports what, and one thought a line."""

import ast
import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "focal_utils"

# Two names that are one thing, so that one line may set both; other words may stand around them, as in `cut_height`.
ONE_THING = (
    ("height", "width"),
    ("rows", "columns"),
    ("row", "column"),
    ("x", "y"),
    ("low", "high"),
    ("left", "top"),
    ("left", "right"),
    ("first", "last"),
)

# From the ground up: a subject imports its own floor and those below.
FLOORS = (
    {"errors"},
    {"machine", "files", "statistics"},
    {"layers"},
    {"models", "weights", "data", "figures", "article"},
    {"tracing", "measuring", "training", "keras_hub"},
    {"explorer", "exercises"},
    {"__main__"},
)
DOOR = "__main__"  # what the package does on a command line: it stands on all floors, and is no room

MOST_NAMES = 16

# A test may import the file that it tests, which its name says; these test a file of another name.
TESTED_BY = {
    "test_backbone.py": ("models.variants", "weights.classes", "weights.published"),
    "test_cifar10.py": ("data.loaders",),
    "test_checkpoints.py": ("weights.tensors",),
    "test_exercises_all.py": ("exercises.checking",),
    "test_dials.py": ("exercises.guessing",),
    "test_exercises_02.py": ("exercises.nb02",),
    "test_exercises_03.py": ("exercises.nb03",),
    "test_exercises_06.py": ("exercises.pictures",),
    "test_exercises_13.py": ("exercises.nb13",),
    "test_explorer.py": ("data.pictures", "explorer.bundle", "explorer.network", "explorer.shown"),
    "test_explorer_network.py": ("explorer.bundle", "explorer.shown"),
    "test_explorer_pages.py": ("explorer.shown",),
    "test_exports.py": ("weights.trials",),
    "test_gtsrb.py": ("data.loaders",),
    "test_judging.py": ("exercises.checking",),
    "test_measuring.py": ("measuring.memory", "measuring.processes", "measuring.race"),
    "test_models.py": ("models.focalnet",),
    "test_network.py": ("explorer.bundle",),
    "test_backup.py": ("training.facts",),
    "test_objects.py": ("explorer.bundle", "explorer.network", "explorer.shown"),
    "test_page.py": ("explorer.bundle", "explorer.network", "explorer.shown"),
    "test_telling.py": ("explorer.shown",),
    "test_training.py": ("training.optimizers",),
    "test_training_checks.py": ("training.batches",),
}


def code_files():
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def files_of_tests():
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py"))


@cache
def tree_of(name):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


# ---- one thought a line


def parallel_assignments(tree):
    """`a, b = x, y`, unless it is a swap or the two are one thing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Tuple, ast.List)):
            for target in node.targets:
                if isinstance(target, (ast.Tuple, ast.List)) and not is_one_thing(target, node.value):
                    yield node, "several things are set in one line: give each its own"


def is_one_thing(target, value):
    names = [ast.unparse(element) for element in target.elts]
    swap = sorted(names) == sorted(ast.unparse(element) for element in value.elts)
    last_words = [name.rpartition(".")[2] for name in names]
    return swap or (len(names) == 2 and any(are_pair(*last_words, *pair) for pair in ONE_THING))


def are_pair(one, other, first, second):
    """Whether `one` becomes `other` when the word `first` in it becomes `second`, or the other way round."""
    words = one.split("_")
    others = other.split("_")
    swapped = {first: second, second: first}
    return words != others and [swapped.get(word, word) for word in words] == others


def grown_dicts(tree):
    """`|=` on a dict."""
    dicts = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and makes_dict(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        grows = isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr)
        if grows and (makes_dict(node.value) or ast.unparse(node.target) in dicts):
            yield node, "a dict is grown by |=: write it as one, or set its keys"


def makes_dict(value):
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return makes_dict(value.left) or makes_dict(value.right)
    if isinstance(value, ast.IfExp):
        return makes_dict(value.body) or makes_dict(value.orelse)
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("dict", "dict.fromkeys")
    return isinstance(value, (ast.Dict, ast.DictComp))


def uses_of_locals(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node) in ("locals()", "vars()"):
            yield node, "local variables are read as a dict: name what is meant"


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def deep_comprehensions(tree):
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS) and loops_within(node) >= 3:
            yield node, "loops stand three deep in one expression: write them as loops, or name a part"


def loops_within(node):
    own = len(node.generators) if isinstance(node, COMPREHENSIONS) else 0
    return own + max((loops_within(child) for child in ast.iter_child_nodes(node)), default=0)


def names_with_underscore(tree):
    """What is public stands in a subject's `__init__`; an underscore marks only what an object keeps to itself."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            names = []
        if any(name.startswith("_") and not name.startswith("__") for name in names):
            yield node, "a name of a file begins with an underscore: what is public, the subject's __init__ says"


RULES = (parallel_assignments, grown_dicts, uses_of_locals, deep_comprehensions)


def faults(rule, names):
    """Where the files break a rule, a line of text each."""
    return [f"{name}:{node.lineno}: {words}" for name in names for node, words in rule(tree_of(name))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_one_thought_a_line(rule):
    found = faults(rule, [*code_files(), *files_of_tests()])
    assert not found, "\n" + "\n".join(found)


def cells_of_notebooks():
    """Pairs (place, syntax tree) of the notebooks' code cells; those with lines of IPython's own are left out."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not source.lstrip().startswith(("!", "%")):
                yield f"{path.name} [{number}]", ast.parse(source)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_one_thought_a_line_in_notebooks(rule):
    found = [f"{place}: {words}" for place, tree in cells_of_notebooks() for _, words in rule(tree)]
    assert not found, "\n" + "\n".join(found)


def test_public_and_private_are_told_apart_by_one_rule():
    found = faults(names_with_underscore, code_files())
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("rule", "code", "broken"),
    [
        (parallel_assignments, "a, b = 1, f(x)", True),
        (parallel_assignments, "self.a, self.b = a, b", True),
        (parallel_assignments, "height, width, name = 1, 2, 'x'", True),
        (parallel_assignments, "a, b = f(x)", False),
        (parallel_assignments, "a, b = (f(x) for x in (c, d))", False),
        (parallel_assignments, "a, b = b, a", False),
        (parallel_assignments, "self.cut_height, self.cut_width = 3, 4", False),
        (grown_dicts, "facts |= {'a': 1}", True),
        (grown_dicts, "facts = {**head}\nfacts |= more", True),
        (grown_dicts, "facts |= {name: 1 for name in names}", True),
        (grown_dicts, "facts |= {'a': 1} if b else {}", True),
        (grown_dicts, "names |= {'a', 'b'}\nmask |= x > 3", False),
        (uses_of_locals, "config = dict(locals())", True),
        (uses_of_locals, "vars(model)", False),
        (names_with_underscore, "def _helper(): pass", True),
        (names_with_underscore, "_BESIDE = 3", True),
        (names_with_underscore, "class A:\n    def _keep(self): pass\n__all__ = []", False),
        (deep_comprehensions, "[[[c for c in b] for b in a] for a in x]", True),
        (deep_comprehensions, "{f(k): sum(c for c in b) for b in a for k in b}", True),
        (deep_comprehensions, "[[c for c in b] for b in a]", False),
    ],
)
def test_the_rules_find_what_they_are_for(rule, code, broken):
    assert bool(list(rule(ast.parse(code)))) == broken


# ---- the rooms, and what imports what


def subject_of(name):
    """focal_utils/data/signs.py → data, focal_utils/files.py → files."""
    return Path(name).relative_to("focal_utils").parts[0].removesuffix(".py")


def imports(name):
    """The modules of the package that a file imports, anywhere in it: (line, "data.signs" or "data" or "")."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in found:
            if module.split(".")[0] == "focal_utils":
                yield node.lineno, as_module(module)


def as_module(name):
    """focal_utils.data.signs.render_sign → data.signs: as much of a dotted name as is a file or folder."""
    parts = name.split(".")[1:]
    while parts and not (PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    return ".".join(parts)


def package_files():
    return [name for name in code_files() if name.startswith("focal_utils/") and name != "focal_utils/__init__.py"]


def test_the_shelf_is_short():
    names = {subject_of(name) for name in package_files()}
    assert names == set().union(*FLOORS), "a new subject needs a place among FLOORS"
    assert len(names - {DOOR}) <= MOST_NAMES


def test_arrows_point_down():
    floor = {subject: number for number, subjects in enumerate(FLOORS) for subject in subjects}
    up = [
        f"{name}:{line}: {subject_of(name)} imports {module or 'the face'}"
        for name in package_files()
        for line, module in imports(name)
        if not module or floor[module.split(".")[0]] > floor[subject_of(name)]
    ]
    assert not up, "\n" + "\n".join(up)


def circle(arrows):
    """A circle in a dict from name to the names it points to: a list of names, or None."""
    done = set()
    path = []

    def walk(name):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        path.append(name)
        for other in sorted(arrows.get(name, ())):
            if found := walk(other):
                return found
        done.add(path.pop())
        return None

    return next((found for name in sorted(arrows) if (found := walk(name))), None)


def test_there_is_no_circle():
    between_files = {}
    between_subjects = {}
    for name in package_files():
        module = as_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        for _, other in imports(name):
            between_files.setdefault(module, set()).add(other)
            if other.split(".")[0] != subject_of(name):
                between_subjects.setdefault(subject_of(name), set()).add(other.split(".")[0])
    found = circle(between_files) or circle(between_subjects)
    assert not found, " → ".join(found)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None
    assert all(first != second for first, second in pairwise(circle({"x": {"y"}, "y": {"x"}})))


def test_tools_import_a_subject_and_no_file_inside_it():
    names = [name for name in code_files() if name.startswith("tools/")]
    inside = [f"{name}:{line}: {module}" for name in names for line, module in imports(name) if "." in module]
    assert not inside, "\n" + "\n".join(inside)


def test_tests_import_no_file_inside_a_subject_but_the_one_they_test():
    inside = []
    for name in files_of_tests():
        for line, module in imports(name):
            file = module.rpartition(".")[2]
            tested = file in Path(name).stem or module in TESTED_BY.get(Path(name).name, ())
            if "." in module and not tested:
                inside.append(f"{name}:{line}: {module}")
    assert not inside, "\n" + "\n".join(inside)


def test_the_package_imports_no_notebook_test_or_tool():
    strange = []
    for name in package_files():
        for node in ast.walk(tree_of(name)):
            module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [module or ""]
            if {found.split(".")[0] for found in names} & {"tools", "tests", "notebooks", "parts", "conftest"}:
                strange.append(f"{name}:{node.lineno}")
    assert not strange, "\n" + "\n".join(strange)


def test_notebooks_import_the_face_and_nothing_past_it():
    past = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
            past += [
                f"{path.name} [{number}]: {line.strip()}"
                for line in lines
                if line.strip().startswith(("import focal_utils.", "from focal_utils."))
            ]
    assert not past, "\n" + "\n".join(past)
