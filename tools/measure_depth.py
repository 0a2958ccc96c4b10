"""Train stacks of the article's layers, with and without its norm and skip: do they learn?

    python tools/measure_depth.py                    all runs, some quarter of an hour on two cores
    python tools/measure_depth.py --minutes 5        begins no further run after so many

Twelve layers in three ways, as notebook 08 has them, and three layers in the way of the article's network; eight epochs
on rendered signs; three seeds, each in two arithmetics of TensorFlow's, oneDNN's and Eigen's, which round differently:
whether a stack starts to learn can hang on that. Another arithmetic needs another process, so the command starts one.

Writes data/results/article_depth.json, row by row: when interrupted, the same command goes on, and what is not complete
says so.
"""

import itertools
import os
import subprocess
import sys
import time

from parts import arguments
from parts.files import RESULTS

STACKS = (("block", 12), ("network", 12), ("bare", 12), ("network", 3))
SEEDS = (0, 1, 2)
ARITHMETICS = {"oneDNN": "1", "Eigen": "0"}  # name → TF_ENABLE_ONEDNN_OPTS
IMAGES = 2000
COMMAND = "python tools/measure_depth.py"  # of which each process does a part
LEARNED = 0.95  # a stack has learned whose loss is below so much of chance


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--minutes", type=arguments.between(0), help="begin no run after so many")
    options.add_argument("--arithmetic", choices=ARITHMETICS, help="one of the two; default: both")
    return options


if __name__ == "__main__":
    chosen = parser().parse_args()  # before TensorFlow is imported, which reads the variable then
    if chosen.arithmetic:
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = ARITHMETICS[chosen.arithmetic]

import numpy as np

import focal_utils as fu
from parts.series import Series


def case(way, depth, seed, arithmetic):
    return {"way": way, "depth": depth, "seed": seed, "arithmetic": arithmetic}


def summary(rows, chance):
    """For each stack: how many runs there are, how many have learned, and their losses: a list."""
    told = []
    for way, depth in STACKS:
        losses = [row["loss"] for row in rows if (row["way"], row["depth"]) == (way, depth)]
        told.append(
            {
                "way": way,
                "depth": depth,
                "runs": len(losses),
                "learned": sum(loss < LEARNED * chance for loss in losses),
                "lowest": min(losses, default=None),
                "median": round(float(np.median(losses)), 4) if losses else None,
                "highest": max(losses, default=None),
            }
        )
    return told


def measure(arithmetic, minutes):
    """Train what is missing in this process's arithmetic."""
    start = time.time()
    signs = fu.render_signs(IMAGES, seed=0)
    chance = float(np.log(len(np.unique(signs.y_train))))  # the loss of a guess that knows how many kinds there are
    fixed = {"images": IMAGES, "chance": round(chance, 4), "learned_below": LEARNED}
    series = Series(RESULTS / "article_depth.json", "runs", fixed=fixed)
    everything = [case(*stack, seed, name) for seed, stack, name in itertools.product(SEEDS, STACKS, ARITHMETICS)]
    wanted = [row for row in everything if row["arithmetic"] == arithmetic]

    def head(series):
        complete = not series.missing("runs", everything)
        return {"command": COMMAND, "complete": complete, "summary": summary(series.rows["runs"], chance)}

    for row in series.missing("runs", wanted):
        if minutes and time.time() - start > 60 * minutes:
            print("interrupted: the same command goes on")
            return
        loss = fu.article.loss_of_stack(row["way"], row["depth"], signs, row["seed"])
        series.add("runs", row | {"loss": round(float(loss), 4)}, told=head)
        print(f"{row['depth']:2d} layers, {row['way']}, seed {row['seed']}, {arithmetic}: {loss:.3f}", flush=True)


def main():
    options = parser().parse_args()
    if options.arithmetic:
        measure(options.arithmetic, options.minutes)
        return
    for name in ARITHMETICS:
        subprocess.run([sys.executable, sys.argv[0], "--arithmetic", name, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
