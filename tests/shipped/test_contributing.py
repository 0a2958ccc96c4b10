"""CONTRIBUTING.md names every folder, and for every committed result the command that writes it."""

import re

from parts.files import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WRITTEN = TEXT.split("## Which command writes which results")[1]


def test_every_folder_of_the_package_is_in_the_table():
    folders = [path.name for path in (ROOT / "focal_utils").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in folders if f"`focal_utils/{name}/`" not in TEXT] == []


def test_every_committed_result_has_a_command():
    known = re.findall(r"`([\w.]+\.(?:json|csv|npz|png|gif))`", WRITTEN)
    patterns = [re.compile(re.escape(name).replace("NAME", "[a-z]+")) for name in known]
    files = [path.name for path in (ROOT / "data" / "results").iterdir() if path.is_file()]
    assert [name for name in files if not any(pattern.fullmatch(name) for pattern in patterns)] == []


def test_every_command_is_there():
    commands = set(re.findall(r"tools/(\w+\.py)", TEXT))
    assert [name for name in commands if not (ROOT / "tools" / name).exists()] == []
    targets = set(re.findall(r"`make ([\w-]+)", TEXT)) - {"test"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
