"""The workflows are valid, run what the project runs itself, and ask for no more rights than they need."""

import re

import pytest
import yaml

from parts.files import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    workflow["on"] = workflow.pop(True, workflow.get("on"))  # YAML 1.1 takes the word `on` for true
    return workflow


def commands(workflow):
    """What the steps of all jobs run."""
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_what_every_workflow_needs(path):
    workflow = read(path)
    assert {"name", "on", "permissions", "jobs"} <= workflow.keys()
    assert workflow["permissions"]["contents"] == "read"
    for job in workflow["jobs"].values():
        assert job["runs-on"] and job["steps"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
        for needed in [job.get("needs", [])] if isinstance(job.get("needs"), str) else job.get("needs", []):
            assert needed in workflow["jobs"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands(read(path)):
        for target in re.findall(r"\bmake ([\w-]+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for script in re.findall(r"\bbash ([\w./-]+)", command):
            assert (ROOT / script).is_file(), script


def test_one_runs_the_tests_and_one_publishes_the_site():
    ran = {path.name: " ".join(commands(read(path))) for path in WORKFLOWS}
    assert "bash .ci/run" in ran["test.yml"] and "make test-site" in ran["site.yml"]
    site = read(ROOT / ".github" / "workflows" / "site.yml")
    uses = [step.get("uses", "") for job in site["jobs"].values() for step in job["steps"]]
    assert any(use.startswith("actions/deploy-pages@") for use in uses)
    assert site["permissions"]["pages"] == "write" and site["permissions"]["id-token"] == "write"
