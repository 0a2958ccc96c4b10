"""Two devices learn what one learns, step by step; a job that is killed goes on to the same end; what is shipped."""

import json
import sys

import keras
import numpy as np
import pytest

import kill_runs
import train_distributed
from focal_utils.measuring import installed_backends
from parts.jobs import Job, JobFailed
from train_distributed import WAYS

LOSSES_ALIKE = 1e-4
WEIGHTS_ALIKE = 1e-5
SMALL = ["--steps", 5, "--epochs", 1, "--batch-size", 8, "--validation", 8]

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts processes on every backend, once: from TensorFlow's tests"
)


@pytest.fixture(scope="module")
def alone():
    """Losses and final weights of one device that nothing disturbs."""
    facts, weights = train_distributed.run("tensorflow", SMALL)
    return facts["losses"], weights


def compare(way, alone):
    facts, weights = train_distributed.run(way, SMALL)
    assert len(facts["devices"]) == 2 and len(facts["losses"]) == 5
    assert np.abs(np.subtract(facts["losses"], alone[0])).max() < LOSSES_ALIKE
    assert len(set(facts["losses"])) == 5  # each step's own
    return max(float(np.abs(one - other).max()) for one, other in zip(weights, alone[1], strict=True))


@needs_tensorflow
@pytest.mark.slow
def test_two_devices_of_tensorflow_learn_what_one_learns(alone):
    assert compare("MirroredStrategy", alone) < 1e-4


@needs_tensorflow
@pytest.mark.slow
@pytest.mark.skipif("jax" not in installed_backends(), reason="JAX is not installed (make test-backends installs it)")
@pytest.mark.parametrize("way", ["DataParallel", "processes"])
def test_two_devices_of_jax_learn_what_one_of_tensorflow_learns(way, alone):
    compare(way, alone)


@needs_tensorflow
@pytest.mark.slow
def test_a_killed_process_goes_on_from_its_backup_to_the_same_end(alone, monkeypatch):
    monkeypatch.setattr(kill_runs, "BACKUP_EVERY", 2)
    facts = kill_runs.kill("tensorflow", [0], 3.5, SMALL, alone[1], step_seconds=0.1)
    assert facts["step"] >= 3 and facts["resumed_from"] in ([2], [4])
    assert facts["largest_difference"] <= WEIGHTS_ALIKE


def test_where_one_process_fails_the_others_are_ended():
    wait = "import sys, time; print('here', flush=True); time.sleep(0.2); 'rank 1' in ' '.join(sys.argv[-2:]) and 1 / 0"
    with Job([sys.executable, "-c", wait + "; time.sleep(60)"], 2, {}) as job:
        with pytest.raises(JobFailed, match="(?s)Process 1 ended with status 1.*ZeroDivisionError"):
            list(job.follow())
        assert job.processes[0].poll() is None
    assert [process.poll() for process in job.processes] == [-9, 1]


def test_the_kills_are_spread_over_the_run_and_over_jobs():
    plan = kill_runs.plan()
    steps = kill_runs.EPOCHS * kill_runs.STEPS
    moments = sorted(moment for _, _, moment in plan)
    assert len(plan) == 20 and all(i <= 20 * moment / steps <= i + 1 for i, moment in enumerate(moments))
    single = [ranks for way, ranks, _ in plan if len(ranks) < WAYS[way][1]]
    assert sorted(single) == 5 * [[0]] + 5 * [[1]]
    assert plan == kill_runs.plan() != kill_runs.plan(seed=1)


def test_shipped_losses_are_alike_on_one_device_two_devices_and_two_processes():
    report = json.loads(train_distributed.RESULTS.read_text())
    assert report["complete"] and report["command"].startswith("python tools/train_distributed.py")
    assert report["settings"]["steps"] == 50
    assert report["settings"]["network"] == json.loads(json.dumps(train_distributed.NETWORK))
    assert [facts["way"] for facts in report["runs"]] == list(WAYS)
    for facts in report["runs"]:
        _, processes, devices = WAYS[facts["way"]]
        assert len(facts["losses"]) == 50 and len(facts["devices"]) == processes * devices
        found = facts["largest_difference"]
        assert facts["losses"][-1] < facts["losses"][0] and set(found) == {"tensorflow", "jax"}
        for other in report["runs"][:2]:
            apart = np.abs(np.subtract(facts["losses"], other["losses"])).max()
            assert apart == pytest.approx(found[other["way"]]) and apart <= LOSSES_ALIKE


def test_shipped_kills_all_went_on_to_the_same_end():
    report = json.loads(kill_runs.RESULTS.read_text())
    every = report["settings"]["backup_every"]
    assert report["complete"] and report["command"] == "python tools/kill_runs.py"
    assert [(row["way"], row["killed"], row["moment"]) for row in report["kills"]] == kill_runs.plan()
    for row in report["kills"]:
        assert len(row["resumed_from"]) == row["processes"] and len(set(row["resumed_from"])) == 1
        assert 0 <= row["step"] - row["resumed_from"][0] <= every
        assert row["largest_difference"] <= WEIGHTS_ALIKE
