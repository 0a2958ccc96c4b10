"""The files round the package agree with each other, and the environment script fails cleanly."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import write_results
import write_times
from parts.files import ROOT, replace_between, write_text
from run_notebooks import record

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(lines):
    return {re.split(r"[<>=~\[ ]", line.strip())[0].lower() for line in lines if re.match(r"\s*\w", line)}


def test_requirements_hold_what_the_package_needs():
    assert names(PROJECT["dependencies"]) <= names((ROOT / "requirements.txt").read_text().splitlines())
    assert names(PROJECT["dependencies"]) <= names((ROOT / "requirements-colab.txt").read_text().splitlines())


def test_citation_names_the_paper_the_article_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert f"## [{PROJECT['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()
    (paper,) = citation["references"]
    assert paper["title"] == "Focal Modulation Networks"
    assert [author["family-names"] for author in paper["authors"]] == ["Yang", "Li", "Dai", "Gao"]
    assert "2203.11926" in paper["url"]
    assert "Focal Modulation vs Self-Attention in Keras" in citation["abstract"]


def test_conda_environment_installs_the_requirements():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "-r requirements.txt" in pip


def environment_script(environment, requirements, python, *options):
    return subprocess.run(
        ["bash", str(ROOT / "tools" / "env.sh"), *options, str(environment), str(requirements)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        timeout=300,
    )


def test_a_failed_install_leaves_no_stamp_and_is_tried_again(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"{tmp_path}/no-such-package\n")
    for expected in ("[1/3] Creating the virtual environment", "is there"):
        done = environment_script(tmp_path / "env", requirements, sys.executable)
        assert done.returncode != 0
        assert expected in done.stdout and "[2/3] Installing" in done.stdout and "no-such-package" in done.stderr
        assert list((tmp_path / "env").glob(".installed-*")) == []


def test_an_environment_without_the_package(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("")
    done = environment_script(tmp_path / "env", requirements, sys.executable, "--without-package")
    assert done.returncode == 0 and "focal_utils is not installed" in done.stdout, done.stderr
    command = [tmp_path / "env" / "bin" / "python", "-c", "import focal_utils"]
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    asked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=elsewhere)
    assert "No module named 'focal_utils'" in asked.stderr
    assert (
        "is up to date"
        in environment_script(tmp_path / "env", requirements, sys.executable, "--without-package").stdout
    )


def test_an_old_python_is_refused_with_advice(tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.1" || exit 1\n')
    python.chmod(0o755)
    done = environment_script(tmp_path / "env", "requirements.txt", python)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr and "Python 3.9.1" in done.stderr
    assert not (tmp_path / "env").exists()


def test_a_missing_python_is_named(tmp_path):
    done = environment_script(tmp_path / "env", "requirements.txt", "python9.9")
    assert done.returncode == 1
    assert "python9.9 was not found" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "5 s"), (31, "35 s"), (55, "55 s"), (55.2, "1 min"), (60, "1 min"), (61, "1 min 10 s"), (119, "2 min")],
)
def test_durations_are_rounded_up(seconds, text):
    assert write_times.duration(seconds) == text


def test_times_of_a_machine_are_added_to_what_is_known(tmp_path):
    path = tmp_path / "results" / "times.json"
    record({"01_b": 12.345}, "2 CPU cores", path)
    record({"00_a": 3.0}, "2 CPU cores", path)
    record({"01_b": 2.0}, "a GPU", path)
    machines = json.loads(path.read_text())["machines"]
    assert list(machines["2 CPU cores"]) == ["00_a", "01_b"]
    assert machines["2 CPU cores"]["01_b"]["seconds"] == 12.3
    assert machines["a GPU"]["01_b"]["keras"].startswith("3.")


def test_results_in_the_readmes_are_the_measured_ones():
    assert [str(path.relative_to(ROOT)) for path, _ in write_results.outdated()] == []


def test_text_between_markers_is_replaced():
    text = "a\n<!-- x:start -->\nold\n<!-- x:end -->\nb"
    assert replace_between(text, "x", "new") == "a\n<!-- x:start -->\nnew\n<!-- x:end -->\nb"


@pytest.mark.parametrize("text", ["nothing", "<!-- x:start -->", "<!-- x:end --><!-- x:start -->"])
def test_markers_that_are_missing_are_named(text):
    with pytest.raises(ValueError, match="expected one <!-- x:start -->"):
        replace_between(text, "x", "new")


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
