"""Kill a training at 20 moments (SIGKILL), let it go on from its backup, and compare where it ends.

    python tools/kill_runs.py

Half of the kills end all processes of a job, of the one-process job (TensorFlow) and of the two-process job (JAX) in
turns; the others end one process of the two-process job: what is left of that job is ended then, and all of it started
again. The moments are drawn, one in each twentieth of the run, within steps, between them and while backups are
written. A job that was killed has to end with the weights of one that was left alone.
Writes data/results/killed_runs.json, kill by kill: when interrupted, the same command goes on.
"""

import os
import statistics
import sys
import tempfile
import time

from parts import arguments, files
from parts.series import Series

RESULTS = files.RESULTS / "killed_runs.json"
KILLS = 20
SEED = 0
EPOCHS = 2
STEPS = 12
BACKUP_EVERY = 5
# What JAX has compiled is kept, so that a job that is started again need not compile it.
COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}


def parser():
    return arguments.parser(__doc__)


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np

from train_distributed import WAYS, run


def plan(kills=KILLS, steps=EPOCHS * STEPS, seed=SEED):
    """What is killed when: a list of (way, ranks of the processes that are killed, moment).

    Moment 7.4 is when 4 tenths of a step's time have passed since the end of step 7.
    """
    rng = np.random.default_rng(seed)
    moments = (rng.permutation(kills) + rng.random(kills)) / kills * steps
    victims = [("tensorflow", [0]), ("processes", [0]), ("processes", [0, 1]), ("processes", [1])]
    return [(*victims[number % 4], round(float(moment), 2)) for number, moment in enumerate(moments)]


class Watch:
    """Follows a job's steps, for `train_distributed.run`; kills processes of its first life at a moment.

    Attributes:
        steps: rank → the last step that it told in its first life. resumed: rank → the step where it went on.
        times: when the first process told of its steps, in seconds.
    """

    def __init__(self, ranks=(), moment=None, step_seconds=0.0):
        self.ranks = ranks
        self.moment = moment
        self.step_seconds = step_seconds
        self.first = None
        self.killed = False
        self.steps = {}
        self.resumed = {}
        self.times = []

    def __call__(self, job, rank, line):
        word, _, number = line.partition(" ")
        if word not in ("from", "step"):
            return
        self.first = self.first or job
        if job is not self.first:
            self.resumed.setdefault(rank, int(number))
            return
        self.steps[rank] = int(number)
        if rank == 0:
            self.times.append(time.perf_counter())
        if self.ranks and not self.killed and rank == self.ranks[0] and int(number) >= int(self.moment):
            self.killed = True
            time.sleep(self.moment % 1 * self.step_seconds)
            for victim in self.ranks:
                job.processes[victim].kill()


def undisturbed(way, arguments):
    """The final weights of a run that nobody kills, and how long one of its steps takes."""
    watch = Watch()
    _, weights = run(way, arguments, watch=watch)
    return weights, statistics.median(np.diff(watch.times))


def kill(way, ranks, moment, arguments, weights, step_seconds):
    """Kill one run and let it go on; the facts of it."""
    watch = Watch(ranks, moment, step_seconds)
    with tempfile.TemporaryDirectory() as folder:
        more = ["--backup", folder, "--backup-every", BACKUP_EVERY]
        _, ended = run(way, [*arguments, *more], restarts=1, watch=watch)
    difference = max(float(np.abs(one - other).max()) for one, other in zip(weights, ended, strict=True))
    return {
        "way": way,
        "processes": WAYS[way][1],
        "killed": ranks,
        "moment": moment,
        "step": max(watch.steps.values()),
        "resumed_from": [step for _, step in sorted(watch.resumed.items())],
        "largest_difference": difference,
    }


def main():
    parser().parse_args()
    settings = {"epochs": EPOCHS, "steps": STEPS, "backup_every": BACKUP_EVERY, "seed": SEED}
    options = ["--epochs", EPOCHS, "--steps", STEPS, "--seed", SEED, "--validation", 64]
    series = Series(RESULTS, "kills", fixed={"settings": settings}, packages=["jax"])
    done = series.rows["kills"]
    wanted = plan()
    references = {}
    with tempfile.TemporaryDirectory() as compiled:
        os.environ.update({**COMPILED, "JAX_COMPILATION_CACHE_DIR": compiled})
        for way, ranks, moment in wanted[len(done) :]:
            if way not in references:
                references[way] = undisturbed(way, options)
            facts = kill(way, ranks, moment, options, *references[way])
            series.add("kills", facts, complete=len(done) + 1 == len(wanted))
            print(f"{len(done):2d} of {len(wanted)}  {facts}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
