"""Train all networks of a study (parts/studies.py), several at once, each on a core; write data/results/<study>.json.

    python tools/run_study.py comparison        FocalNet, Swin and ViT of equal size, the same recipe, 3 seeds
    python tools/run_study.py ablations         the paper's ablations and two departures of the article, 3 seeds
    python tools/run_study.py optimizers        one FocalNet trained with AdamW and with Muon, 3 seeds

Learning rates are chosen on validation images: the smallest whose accuracy is within one standard error of the best,
since a tie is settled by noise and the smaller rate is the safer in a longer training. The test set is read once for
each seed of each network, at the end.
Finished runs are kept in data/cache/runs: an interrupted study goes on from there, and what is there is already in the
JSON, marked as not complete.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from parts import arguments
from parts.files import ROOT, how_made, save_results, write_text


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("study", choices=arguments.STUDIES)
    options.add_argument(
        "--workers",
        type=arguments.at_least(1),
        default=os.cpu_count(),
        help="runs at a time (default: one per core)",
    )
    options.add_argument("--task", help=argparse.SUPPRESS)
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np

import focal_utils as fu
from focal_utils.measuring import child_environment
from parts.studies import COURSES, STUDIES

CURVE_IMAGES = 500  # validation images, the same for all networks, for each point of a run's curve


class Curve(keras.callbacks.Callback):
    """Validation accuracy at some moments of a run: `points` is a list of [images seen, accuracy]."""

    def __init__(self, data, steps, batch_size, moments):
        super().__init__()
        rows = np.random.default_rng(0).permutation(len(data.x_val))[:CURVE_IMAGES]
        self.images = data.x_val[rows]
        self.labels = data.y_val[rows]
        self.batch_size = batch_size
        self.points = []
        self.moments = {round(steps * (i + 1) / moments) for i in range(moments)}
        self.step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step in self.moments:
            accuracy = fu.accuracy(self.model, self.images, self.labels)
            self.points.append([self.step * self.batch_size, round(accuracy, 5)])


def work(study, network, course, rate, seed, final):
    """One run in this process; prints its facts as JSON on the last line."""
    place = COURSES[course]
    batch_size = 128
    recipe = STUDIES[study].training.get(network, {})
    epochs = place.epochs if final else place.grid_epochs
    options = {**STUDIES[study].networks[network], "preprocessing": place.preprocessing}
    data = place.load()
    keras.utils.set_random_seed(seed)
    model = fu.FocalNet(data.image_shape, data.num_classes, **options)
    curve = Curve(data, epochs * (len(data.x_train) // batch_size), batch_size, STUDIES[study].points)
    start = time.process_time()  # of this process, so that a pause or other work does not count
    fu.train(model, data, epochs, batch_size, None, seed, learning_rate=rate, callbacks=[curve], **recipe)
    seconds = time.process_time() - start
    facts = {
        "network": network,
        "course": course,
        "learning_rate": rate,
        "seed": seed,
        "epochs": epochs,
        "parameters": model.count_params(),
        "macs": fu.count_macs(model),
        "seconds": round(seconds),
        "curve": curve.points,
        "validation_accuracy": round(fu.accuracy(model, data.x_val, data.y_val), 5),
        "validation_images": len(data.x_val),
    }
    if final:
        facts["test_accuracy"] = round(fu.accuracy(model, data.x_test, data.y_test), 5)
        facts["test_images"] = len(data.x_test)
    print(json.dumps(facts))


class Pool:
    """Runs in processes of their own, `workers` at a time, each on a core of its own; results in a folder."""

    def __init__(self, study, workers):
        self.study = study
        self.workers = workers
        self.folder = ROOT / "data" / "cache" / "runs" / study
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, task):
        return self.folder / ("_".join(str(part) for part in task).replace(" ", "-").replace("'", "") + ".json")

    def facts(self, task):
        return json.loads(self.path(task).read_text()) if self.path(task).exists() else None

    def work(self, task, cores):
        """Run a task, (network, course, learning rate, seed, final), on a core that is free; keep what it finds.

        Raises:
            RuntimeError: it failed; the message has the end of what it said.
        """
        core = cores.get()
        command = [sys.executable, "-u", __file__, self.study, "--task", json.dumps(task)]
        pin = ["taskset", "-c", str(core)] if sys.platform == "linux" else []
        with open(self.path(task).with_suffix(".log"), "w+") as log:
            done = subprocess.run(pin + command, stdout=log, stderr=subprocess.STDOUT, env=child_environment())
            log.seek(0)
            lines = log.read().splitlines()
        cores.put(core)
        if done.returncode:
            raise RuntimeError(f"{task} failed. The end of what it said:\n" + "\n".join(lines[-15:]))
        write_text(self.path(task), lines[-1] + "\n")
        return task

    def run(self, tasks, done):
        """All tasks that are not finished yet; `done(task)` after each. Where one fails, no other is begun."""
        left = [task for task in tasks if self.facts(task) is None]
        cores = queue.SimpleQueue()
        for core in range(self.workers):
            cores.put(core)
        start = time.time()
        with ThreadPoolExecutor(self.workers) as threads:
            running = [threads.submit(self.work, task, cores) for task in left]
            try:
                for ready, finished in enumerate(as_completed(running), 1):
                    task = finished.result()
                    done(task)
                    minutes = (time.time() - start) / ready * (len(left) - ready) / 60
                    text = f"{ready:3d} of {len(left)}  about {minutes:.0f} min left  {self.summary(task)}"
                    print(text, flush=True)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def summary(self, task):
        facts = self.facts(task)
        text = f"{facts['network']}, {facts['course']}, rate {facts['learning_rate']}, seed {facts['seed']}: "
        return text + f"validation {facts['validation_accuracy']:.4f}, {facts['seconds']} s"


def chosen_rate(tried):
    """Of runs that differ in the learning rate, the smallest rate within one standard error of the best accuracy."""
    best = max(run["validation_accuracy"] for run in tried)
    error = (best * (1 - best) / tried[0]["validation_images"]) ** 0.5
    return min(run["learning_rate"] for run in tried if run["validation_accuracy"] >= best - error)


def write(study, pool, grid, runs, begin):
    """Write what has been found so far to data/results; the time is that of one core, without the grid."""
    tried = [facts for facts in map(pool.facts, grid) if facts]
    found = [facts for facts in map(pool.facts, runs) if facts]
    report = {
        **how_made(time.time() - begin),
        "seconds": sum(run["seconds"] for run in found),
        "complete": bool(runs) and len(found) == len(runs),
        "networks": STUDIES[study].networks,
        "grid": [{name: value for name, value in facts.items() if name != "seconds"} for facts in tried],
        "runs": found,
    }
    save_results(ROOT / "data" / "results" / f"{study}.json", report)


def main():
    options = parser().parse_args()
    if options.task:
        return work(options.study, *json.loads(options.task))
    begin = time.time()
    study = STUDIES[options.study]
    pool = Pool(options.study, options.workers)
    pairs = [(network, course) for course in study.courses for network in study.networks]
    rates = study.learning_rates
    grid = [(*pair, rate, 0, False) for pair in pairs for rate in rates] if len(rates) > 1 else []
    pool.run(grid, lambda task: write(options.study, pool, grid, [], begin))

    def best_rate(pair):
        return chosen_rate([pool.facts((*pair, rate, 0, False)) for rate in rates]) if grid else rates[0]

    runs = [(*pair, best_rate(pair), seed, True) for seed in study.seeds for pair in pairs]
    pool.run(runs, lambda task: write(options.study, pool, grid, runs, begin))
    write(options.study, pool, grid, runs, begin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
