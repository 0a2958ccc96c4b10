"""The address of the repository: how it comes in, and that nothing leads to one that is not there."""

import ast
import zipfile

import nbformat
import pytest

import make_colab
import write_links
import write_times
from parts.files import ROOT, notebooks

ADDRESS = "https://github.com/someone/focal-modulation"


@pytest.mark.parametrize(
    "text",
    [
        ADDRESS,
        f"{ADDRESS}/",
        f"{ADDRESS}.git",
        "git@github.com:someone/focal-modulation.git",
        "git@github.com:someone/focal-modulation",
    ],
)
def test_an_address_is_understood_as_browsers_and_git_write_it(text):
    assert write_links.given_address(text) == ADDRESS


@pytest.mark.parametrize(
    "text", ["", "someone/focal-modulation", "http://example.org/x", f"{ADDRESS}/tree/main", "x; rm"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="https://github.com/NAME/REPOSITORY is expected"):
        write_links.given_address(text)


def test_no_remote(tmp_path):
    with pytest.raises(ValueError, match="no remote of the name origin"):
        write_links.given_address("origin", tmp_path)


def copied(folder):
    """The files that hold the address, in a folder of their own: notebook 00 stands for all."""
    (folder / "notebooks").mkdir()
    (folder / "data" / "results").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "CITATION.cff", f"notebooks/{notebooks()[0].name}"):
        (folder / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    return folder


def written(folder, address):
    """All texts of the copied files, once the address is written into them."""
    project = folder / "pyproject.toml"
    project.write_text(write_links.addressed_project(project.read_text("utf-8"), address), "utf-8")
    for tool in (write_links, write_times):
        for path, text in tool.outdated(folder):
            path.write_text(text, "utf-8")
    return "".join(path.read_text("utf-8") for path in sorted(folder.rglob("*")) if path.is_file())


def test_an_address_comes_everywhere_and_can_change(tmp_path):
    folder = copied(tmp_path)
    text = written(folder, ADDRESS)
    assert write_links.repository_address(folder) == ADDRESS
    assert f"git clone {ADDRESS} focal-modulation" in text
    assert f'repository-code: "{ADDRESS}"' in text.splitlines()
    assert write_links.badge(ADDRESS, notebooks()[0].name) in text
    other = written(folder, "https://github.com/else/where")
    assert "someone" not in other and other.count("else/where") == text.count("someone/focal-modulation")
    assert write_links.outdated(folder) == []


@pytest.mark.skipif(write_links.repository_address() is not None, reason="the repository has an address")
def test_without_an_address_nothing_leads_to_one():
    files = [ROOT / "README.md", ROOT / "CITATION.cff", ROOT / "pyproject.toml", *notebooks()]
    texts = {path.name: path.read_text("utf-8") for path in files}
    assert [name for name, text in texts.items() if "OWNER" in text or "colab.research.google.com" in text] == []


def test_the_zip_for_colab_is_small_and_always_the_same(tmp_path):
    first = tmp_path / "one.zip"
    second = tmp_path / "two.zip"
    assert make_colab.write_zip(first) <= make_colab.MOST
    make_colab.write_zip(second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"focal-modulation"}
    assert {f"focal-modulation/notebooks/{path.name}" for path in notebooks()} <= set(names)
    assert "focal-modulation/focal_utils/explorer/page.html" in names
    assert "focal-modulation/data/weights/gtsrb.keras" in names


def words_in(source):
    """The texts that stand in a cell's code."""
    plain = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
    return [node.value for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.Constant) and node.value]


def test_every_file_that_a_notebook_names_goes_in():
    packed = {path.name for path in make_colab.members()}
    files = [path for folder in ("tests/reference", "data") for path in (ROOT / folder).rglob("*.*")]
    kept = {path.name for path in files if "cache" not in path.relative_to(ROOT).parts}
    named = {}
    for path in notebooks():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                for word in words_in(cell.source):
                    named.setdefault(str(word).rpartition("/")[2], path.name)
    wanted = {name: page for name, page in named.items() if name in kept}
    assert "timm_module_l2_w3.npz" in wanted
    assert {name: page for name, page in wanted.items() if name not in packed} == {}


def test_notebooks_go_in_whole_but_for_their_outputs():
    for path in notebooks():
        here = nbformat.read(path, as_version=4)
        there = nbformat.reads(make_colab.content(path).decode(), as_version=4)
        assert [cell.source for cell in there.cells] == [cell.source for cell in here.cells]
        assert [cell.metadata for cell in there.cells] == [cell.metadata for cell in here.cells]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in there.cells)
        nbformat.validate(there)


def test_a_zip_that_is_too_large_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(make_colab, "MOST", 1000)
    with pytest.raises(ValueError, match="at most 0 are wanted"):
        make_colab.write_zip(tmp_path / "one.zip")
    assert list(tmp_path.iterdir()) == []
