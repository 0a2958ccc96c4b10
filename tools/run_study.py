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
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras  # noqa: E402
import numpy as np  # noqa: E402

import focal_utils as fu  # noqa: E402
from focal_utils.measuring import child_environment  # noqa: E402
from parts.files import ROOT, how_made, write_text  # noqa: E402
from parts.studies import COURSES, STUDIES  # noqa: E402

CURVE_IMAGES = 500  # validation images, the same for all networks, for each point of a run's curve


class Curve(keras.callbacks.Callback):
    """Validation accuracy at some moments of a run: `points` is a list of [images seen, accuracy]."""

    def __init__(self, data, steps, batch_size, moments):
        super().__init__()
        rows = np.random.default_rng(0).permutation(len(data.x_val))[:CURVE_IMAGES]
        self.images, self.labels = data.x_val[rows], data.y_val[rows]
        self.batch_size, self.points = batch_size, []
        self.moments = {round(steps * (i + 1) / moments) for i in range(moments)}
        self.step = 0

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step in self.moments:
            accuracy = fu.accuracy(self.model, self.images, self.labels)
            self.points.append([self.step * self.batch_size, round(accuracy, 5)])


def work(study, network, course, rate, seed, final):
    """One run in this process; prints its facts as JSON on the last line."""
    place, batch_size, recipe = COURSES[course], 128, STUDIES[study].training.get(network, {})
    arguments = STUDIES[study].networks[network] | {"preprocessing": place.preprocessing}
    data, epochs = place.load(), place.epochs if final else place.grid_epochs
    keras.utils.set_random_seed(seed)
    model = fu.FocalNet(data.image_shape, data.num_classes, **arguments)
    curve = Curve(data, epochs * (len(data.x_train) // batch_size), batch_size, STUDIES[study].points)
    start = time.process_time()  # of this process, so that a pause or other work does not count
    fu.train(model, data, epochs, batch_size, None, seed, learning_rate=rate, callbacks=[curve], **recipe)
    facts = {"network": network, "course": course, "learning_rate": rate, "seed": seed, "epochs": epochs}
    facts |= {"parameters": model.count_params(), "macs": fu.count_macs(model)}
    facts |= {"seconds": round(time.process_time() - start)}
    validated = fu.accuracy(model, data.x_val, data.y_val)
    facts |= {"curve": curve.points, "validation_accuracy": round(validated, 5), "validation_images": len(data.x_val)}
    if final:
        right = fu.predict(model, data.x_test).argmax(-1) == data.y_test
        facts |= {"test_accuracy": round(float(np.mean(right)), 5), "test_images": len(right)}
    print(json.dumps(facts))


class Pool:
    """Runs in processes of their own, `workers` at a time, each on a core of its own; results in a folder."""

    def __init__(self, study, workers):
        self.study, self.workers, self.folder = study, workers, ROOT / "data" / "cache" / "runs" / study
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, task):
        return self.folder / ("_".join(str(part) for part in task).replace(" ", "-").replace("'", "") + ".json")

    def facts(self, task):
        return json.loads(self.path(task).read_text()) if self.path(task).exists() else None

    def start(self, task, core):
        """A process for a task, (network, course, learning rate, seed, final), and where its output goes."""
        log = open(self.path(task).with_suffix(".log"), "w+")  # noqa: SIM115 (closed in `finish`)
        command = [sys.executable, "-u", __file__, self.study, "--task", json.dumps(task)]
        pin = ["taskset", "-c", str(core)] if sys.platform == "linux" else []
        process = subprocess.Popen(pin + command, stdout=log, stderr=subprocess.STDOUT, env=child_environment())
        return process, log

    def finish(self, task, process, log):
        log.seek(0)
        lines = log.read().splitlines()
        log.close()
        if process.returncode:
            raise RuntimeError(f"{task} failed. The end of what it said:\n" + "\n".join(lines[-15:]))
        write_text(self.path(task), lines[-1] + "\n")

    def run(self, tasks, done):
        """All tasks that are not finished yet; `done(task)` after each."""
        left, running = [task for task in tasks if self.facts(task) is None], {}
        start, total = time.time(), len(left)
        try:
            while left or running:
                for core in range(self.workers):
                    if core not in running and left:
                        task = left.pop(0)
                        running[core] = (task, *self.start(task, core))
                time.sleep(0.5)
                for core in [core for core, (_, process, _) in running.items() if process.poll() is not None]:
                    task, process, log = running.pop(core)
                    self.finish(task, process, log)
                    done(task)
                    ready = total - len(left) - len(running)
                    minutes = (time.time() - start) / ready * (total - ready) / 60
                    print(f"{ready:3d} of {total}  about {minutes:.0f} min left  {self.summary(task)}", flush=True)
        finally:  # where one has failed, the others stop too
            for _, process, log in running.values():
                process.kill()
                log.close()

    def summary(self, task):
        facts = self.facts(task)
        text = f"{facts['network']}, {facts['course']}, rate {facts['learning_rate']}, seed {facts['seed']}: "
        return text + f"validation {facts['validation_accuracy']:.4f}, {facts['seconds']} s"


def chosen_rate(tried):
    """Of runs that differ in the learning rate, the smallest rate within one standard error of the best accuracy."""
    best = max(run["validation_accuracy"] for run in tried)
    error = (best * (1 - best) / tried[0]["validation_images"]) ** 0.5
    return min(run["learning_rate"] for run in tried if run["validation_accuracy"] >= best - error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at a time (default: one per core)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        return work(options.study, *json.loads(options.task))

    study, pool, begin = STUDIES[options.study], Pool(options.study, options.workers), time.time()
    pairs = [(network, course) for course in study.courses for network in study.networks]
    grid = [(*pair, rate, 0, False) for pair in pairs for rate in study.learning_rates]
    grid = grid if len(study.learning_rates) > 1 else []
    runs = []

    def write(_=None):
        found = {"grid": [facts for facts in map(pool.facts, grid) if facts]}
        found |= {"runs": [facts for facts in map(pool.facts, runs) if facts]}
        complete = bool(runs) and len(found["runs"]) == len(runs)
        facts = how_made(time.time() - begin) | {"complete": complete, "networks": study.networks} | found
        for run in found["grid"]:
            del run["seconds"]
        facts["seconds"] = sum(run["seconds"] for run in found["runs"])  # of one core, without the grid
        write_text(ROOT / "data" / "results" / f"{options.study}.json", json.dumps(facts, indent=1) + "\n")

    pool.run(grid, write)

    def best_rate(pair):
        if not grid:
            return study.learning_rates[0]
        return chosen_rate([pool.facts((*pair, rate, 0, False)) for rate in study.learning_rates])

    runs += [(*pair, best_rate(pair), seed, True) for seed in study.seeds for pair in pairs]
    pool.run(runs, write)
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
