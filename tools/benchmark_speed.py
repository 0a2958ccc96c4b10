"""Race this project's FocalNet against timm, transformers, Keras' own networks and stock layers, on this machine.

    python tools/benchmark_speed.py [--rounds 12] [--only forward training]

Forward passes of tiny_srf (batch 8, 224×224) and training steps of a network of 1.0 M parameters (batch 128, 32×32), on
the same images with all cores. Each contender lives in a process of its own, all at once, and they take turns: whatever
slows the machine down slows down all of them, and the ratios stay. What is not installed is left out and named.
Writes data/results/speed_forward.json and speed_training.json.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
from importlib.metadata import version

from parts.files import ROOT, how_made, write_text


def parser():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--only", nargs="+", choices=["forward", "training"], default=["forward", "training"])
    options.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

from focal_utils.measuring import Worker, serve
from parts.contenders import PRODUCT, PRODUCT_OPERATIONS, TASKS, contenders

ENOUGH = 0.7  # seconds: a turn is as many steps as take about as long


def work(task, name):
    """What a contender's process does: build, take one step, then time as many steps as each request says."""
    step = contenders(task)[name].build(TASKS[task])

    def seconds(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - start

    serve(seconds)


class Runner(Worker):
    """A contender's process, which has taken its first steps."""

    def __init__(self, task, name, backend):
        command = [sys.executable, __file__, "--worker", task, name]
        super().__init__(name, command, {"KERAS_BACKEND": backend})
        self.first = self.ask(1)
        self.steps = max(1, round(ENOUGH / min(self.ask(1), self.ask(1))))
        self.turns = []

    def turn(self):
        self.turns.append(self.ask(self.steps) / self.steps)


def installed(task):
    """The modules that the contenders of a task need, beside Keras, and that are there: a set of names."""
    needed = {module for contender in contenders(task).values() for module in contender.modules}
    return {module for module in needed if importlib.util.find_spec(module)}


def race(task, rounds):
    """Seconds a step in each round, name → list; seconds of the first step, name → number; names of what is missing."""
    runners = []
    missing = []
    for name, contender in contenders(task).items():
        if not all(importlib.util.find_spec(module) for module in contender.modules):
            missing.append(name)
            continue
        runners.append(Runner(task, name, contender.backend))
        print(f"  {name}: ready after {runners[-1].first:.1f} s", flush=True)
    for number in range(rounds):
        for runner in runners[number % len(runners) :] + runners[: number % len(runners)]:
            runner.turn()
        print(f"  round {number + 1} of {rounds}", flush=True)
    for runner in runners:
        runner.stop()
    return {r.name: r.turns for r in runners}, {r.name: r.first for r in runners}, missing


def summary(task, turns, first, missing):
    """What is kept: images/s, and ours over each, as median, lowest and highest of the rounds."""

    def spread(values):
        return [round(value, 3) for value in (statistics.median(values), min(values), max(values))]

    batch = TASKS[task].batch
    reference = turns["ours, TensorFlow"]
    rows = {
        name: {
            "images_per_second": spread([batch / seconds for seconds in times]),
            "ours_over_it": spread([seconds / mine for seconds, mine in zip(times, reference, strict=True)]),
            "first_step_seconds": round(first[name], 1),
        }
        for name, times in turns.items()
        if name != PRODUCT
    }
    return {"contenders": rows, "not_installed": missing} | floor(task, turns)


def floor(task, turns):
    """How near to what a plain matrix product of as many operations would take: a forward pass, or three for a step."""
    import focal_utils as fu

    network = TASKS[task]
    model = fu.FocalNet((network.size, network.size, 3), network.classes, **network.network)
    operations = 2 * fu.count_macs(model) * network.batch * (1 if task == "forward" else 3)
    shares = [
        operations / PRODUCT_OPERATIONS * product / ours
        for product, ours in zip(turns[PRODUCT], turns["ours, TensorFlow"], strict=True)
    ]
    gigaflops = PRODUCT_OPERATIONS / statistics.median(turns[PRODUCT]) / 1e9
    return {
        "parameters": model.count_params(),
        "matrix_product_gflops": round(gigaflops, 1),
        "floor_images_per_second": round(network.batch * gigaflops * 1e9 / operations, 2),
        "ours_over_floor": round(statistics.median(shares), 3),
    }


def main():
    options = parser().parse_args()
    if options.worker:
        return work(*options.worker)
    for task in options.only:
        start = time.time()
        print(f"{task}: {TASKS[task].batch} images of {TASKS[task].size}×{TASKS[task].size}", flush=True)
        facts = summary(task, *race(task, options.rounds))
        facts = how_made(time.time() - start) | {"rounds": options.rounds} | facts
        for module in installed(task) - facts["versions"].keys():
            facts["versions"][module] = version(module)
        for name, row in facts["contenders"].items():
            speed = row["images_per_second"]
            ratio = row["ours_over_it"]
            ratios = f"ours {ratio[0]:5.2f} times ({ratio[1]:.2f} to {ratio[2]:.2f})"
            print(f"  {name:48s} {speed[0]:8.1f} images/s   {ratios}")
        print(f"  floor {facts['floor_images_per_second']} images/s, ours {facts['ours_over_floor']:.0%} of it")
        write_text(ROOT / "data" / "results" / f"speed_{task}.json", json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
