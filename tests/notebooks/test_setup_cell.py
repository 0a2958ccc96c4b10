"""The set-up cell, in JupyterLab and in what a machine without Colab can show of Colab."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from parts.files import ROOT
from write_links import SAYS, setup_cell

NONE_YET = None  # a repository without an address
RUN = """
import json, os, sys, types
from pathlib import Path
cells, colab, checkout, report = json.loads(sys.argv[1])
sys.path = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(checkout)]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]  # as if not installed
if colab:
    sys.modules["google.colab"] = types.ModuleType("google.colab")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in cells:
    result = shell.run_cell(cell, silent=True)
    if not result.success:
        print(result.error_in_exec)
        sys.exit(1)
    with open(report, "a") as file:
        print(json.dumps({"package": shell.user_ns["fu"].__file__, "folder": os.getcwd()}), file=file)
"""


def run_setup(address, folder, report, colab, times=1):
    """Run the set-up cell in a new process that starts in `folder`: the process, and what it found after each run."""
    argument = json.dumps([[setup_cell(address)] * times, colab, str(ROOT), str(report)])
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL"}
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, argument], cwd=folder, capture_output=True, text=True, env=environment, timeout=300
    )
    return done, [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []


@pytest.fixture
def repository(tmp_path):
    """A git repository with a package of the same name and a notebooks folder: its address."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    top = tmp_path / "remote" / "focal-modulation"
    for name in ("focal_utils/__init__.py", "notebooks/README.md", "data/weights/README.md"):
        (top / name).parent.mkdir(parents=True)
        (top / name).write_text("")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "sample"]):
        subprocess.run(["git", *command], cwd=top, check=True)
    return top.as_uri()


@pytest.fixture
def report(tmp_path):
    """Where a run writes what it found."""
    return tmp_path / "report.jsonl"


@pytest.fixture
def content(tmp_path):
    """The folder that a Colab session starts in."""
    folder = tmp_path / "content"
    folder.mkdir()
    return folder


def test_jupyterlab_uses_the_checkout_and_says_what_it_does(report):
    (ROOT / "notebooks").mkdir(exist_ok=True)
    done, found = run_setup(NONE_YET, ROOT / "notebooks", report, colab=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == (SAYS, "")
    assert found == [{"package": str(ROOT / "focal_utils" / "__init__.py"), "folder": str(ROOT / "notebooks")}]


def test_colab_fetches_the_checkout_once_and_works_in_its_notebooks_folder(repository, content, report):
    done, found = run_setup(repository, content, report, colab=True, times=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 2 * SAYS
    checkout = content / "focal-modulation"
    assert (checkout / "data" / "weights").is_dir()
    assert found == 2 * [
        {"package": str(checkout / "focal_utils" / "__init__.py"), "folder": str(checkout / "notebooks")}
    ]


def test_colab_session_restarted_after_the_fetch(repository, content, report):
    run_setup(repository, content, report, colab=True)
    done, found = run_setup(repository, content, report, colab=True)
    assert done.returncode == 0, done.stderr
    assert len(found) == 2 and found[1]["folder"] == str(content / "focal-modulation" / "notebooks")


@pytest.fixture
def zipped(repository, content):
    """The zip that one drops into Colab's files, in the folder that the session starts in."""
    with zipfile.ZipFile(content / "focal-modulation.zip", "w") as archive:
        archive.writestr("focal-modulation/focal_utils/__init__.py", "")
        archive.writestr("focal-modulation/notebooks/README.md", "")


@pytest.mark.parametrize("times", [1, 2])
def test_colab_finds_the_zip_in_its_files(zipped, content, report, times):
    done, found = run_setup(NONE_YET, content, report, colab=True, times=times)
    assert done.returncode == 0, done.stderr
    checkout = content / "focal-modulation"
    here = {"package": str(checkout / "focal_utils" / "__init__.py"), "folder": str(checkout / "notebooks")}
    assert found == times * [here]


def test_a_zip_comes_before_the_address(zipped, content, report):
    done, found = run_setup("https://github.com/nobody/nothing", content, report, colab=True)
    assert done.returncode == 0, done.stderr
    assert found[0]["package"].startswith(str(content))


def test_colab_that_finds_nothing_says_what_to_do(content, report):
    done, _ = run_setup(NONE_YET, content, report, colab=True)
    assert done.returncode != 0
    assert "Run `make colab` and drop the zip" in done.stdout and "Then run this cell again." in done.stdout


@pytest.mark.parametrize("address", [NONE_YET, "https://github.com/someone/focal-modulation"])
def test_the_cell_is_short_and_installs_nothing(address):
    source = setup_cell(address)
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 16
    assert "pip" not in source.replace("zipfile", "")
    assert source.index("print(") < source.index("import focal_utils")


@pytest.mark.parametrize(
    "broken",
    ["raise RuntimeError('broken on purpose')", "import nowhere_to_be_found", "raise SystemExit(3)"],
    ids=["error", "missing", "exit"],
)
def test_what_fails_while_loading_is_told_and_standard_error_comes_back(broken, tmp_path):
    """The package's first import fails: what was written until then is seen, and so is what is written after."""
    (tmp_path / "keras.py").write_text(f"import os\nos.write(2, b'said before')\n{broken}\n")
    script = (
        "import os\n"
        "try:\n    import focal_utils\n"
        "except BaseException as error:\n    os.write(2, f'said after {error!r}'.encode())\n    raise\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode != 0
    assert "said before" in done.stderr and "said after" in done.stderr


def test_a_script_that_imports_the_package_says_nothing(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(ROOT)
    run = [sys.executable, "-c", "import focal_utils as fu; fu.gelu(fu.render_sign(14))"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_package_is_imported_without_standard_error(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = "import os; os.close(2); import focal_utils; print('fine')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "fine")
