"""Compare networks of one size on the cell nuclei, by one short course of training, and a classical method.

    python tools/compare_segmenters.py                    goes on until all is done: some three hours on two cores
    python tools/compare_segmenters.py --minutes 60       begins no further run after an hour
    python tools/compare_segmenters.py --classical        only Otsu's threshold and watershed, a few minutes

Focal modulation, windows, global attention, plain convolutions, each behind the same decoder, and a U-Net: 400 steps of
AdamW on 8 crops of 192×192 pixels. First every network with seed 0 and the same learning rate; then with two other
rates, of which the mean average precision on validation pictures chooses; then two more seeds at the chosen one. Last,
the focal network on smaller crops, as many pixels in a batch. Test pictures are read, and choose nothing.

Writes data/results/nuclei_comparison.json, row by row: when interrupted, the same command goes on, and what is not
complete says so.
"""

import json
import statistics
import time

from parts import arguments
from parts.files import RESULTS

STEPS = 400
BATCH = 8
SIDE = 192  # of the crops in pixels
RATES = (2e-3, 4e-3, 1e-3)  # the first is everyone's first
SEEDS = (0, 1, 2)
SMALLER = (48, 96)  # sides of crops for the focal network, besides SIDE
APART = (3, 5, 8, 12)  # pixels between peaks, for the classical method; validation chooses


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--minutes", type=arguments.between(0), help="begin no run after so many")
    options.add_argument("--classical", action="store_true", help="only the classical method")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import focal_utils as fu
from focal_utils.models import count_macs
from focal_utils.training import judge, score
from parts.compared import NETWORKS, OtsuAndWatershed, train_briefly
from parts.segmenters import by_kind, figures
from parts.series import Series

FOCAL = "focal modulation"


def judged(scores, pictures):
    """The figures of pictures, and those of each kind of them."""
    return {**figures(scores), "by_kind": by_kind(scores, pictures)}


def run(case, data):
    """Train a network as a case says, and judge it: the row of the case."""
    start = time.perf_counter()
    batch = round(BATCH * SIDE**2 / case["side"] ** 2)
    model = train_briefly(case["network"], data, STEPS, batch, case["side"], case["learning_rate"], case["seed"])
    trained = time.perf_counter()
    return case | {
        "batch": batch,
        "parameters": model.network.count_params(),
        "macs_of_a_crop": count_macs(model.network, (case["side"], case["side"], 3)),
        "seconds_of_training": round(trained - start),
        "validation": figures(score(model, data.x_val, data.y_val)),
        "test": judged(score(model, data.x_test, data.y_test), data.x_test),
        "seconds": round(time.perf_counter() - start),
    }


def run_classical(data):
    """The classical method with the distance between peaks that validation pictures choose: its row."""
    start = time.perf_counter()
    tried = {apart: figures(judge(OtsuAndWatershed(apart).find, data.x_val, data.y_val)) for apart in APART}
    apart = max(tried, key=lambda apart: tried[apart]["average_precision_mean"])
    return {
        "network": "Otsu and watershed",
        "pixels_apart": apart,
        "validation": tried[apart],
        "validation_by_pixels_apart": {str(apart): found for apart, found in tried.items()},
        "test": judged(judge(OtsuAndWatershed(apart).find, data.x_test, data.y_test), data.x_test),
        "seconds": round(time.perf_counter() - start),
    }


def case(network, rate=RATES[0], seed=0, side=SIDE):
    return {"network": network, "learning_rate": rate, "seed": seed, "side": side}


def chosen_rate(series, network):
    """The learning rate whose run with the first seed did best on validation, of those that are done."""
    done = [row for rate in RATES if (row := series.find("runs", **case(network, rate)))]
    best = max(done, key=lambda row: row["validation"]["average_precision_mean"], default=None)
    return best and best["learning_rate"]


def missing(series):
    """The cases that have no row yet and can be told already, the next one first: a list."""
    for rate in RATES:
        found = series.missing("runs", [case(network, rate) for network in NETWORKS])
        if found:
            return found
    seeds = [case(network, chosen_rate(series, network), seed) for seed in SEEDS for network in NETWORKS]
    rate = chosen_rate(series, FOCAL)
    sides = [case(FOCAL, rate, seed, side) for seed in SEEDS for side in SMALLER]
    return series.missing("runs", seeds + sides)


def spread(values):
    """Mean and standard deviation of a figure over seeds, None where there is one seed only."""
    deviation = round(statistics.stdev(values), 4) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 4), "standard_deviation": deviation}


def summary(series):
    """For each network, at its chosen rate: how many seeds and rates are done, and its figures on test pictures."""
    found = {}
    for network in NETWORKS:
        rate = chosen_rate(series, network)
        if rate is None:
            continue
        rows = [row for seed in SEEDS if (row := series.find("runs", **case(network, rate, seed)))]
        names = ("dice", "average_precision_50", "average_precision_mean")
        found[network] = {
            "learning_rate": rate,
            "rates": sum(series.find("runs", **case(network, other)) is not None for other in RATES),
            "seeds": len(rows),
            "parameters": rows[0]["parameters"],
            **{name: spread([row["test"][name] for row in rows]) for name in names},
        }
    return found


def head(series):
    """What stands above the rows: whether all is done, of how many seeds and rates, and the summary."""
    wanted = {"seeds": len(SEEDS), "rates": len(RATES)}
    return {"complete": not missing(series) and bool(series.rows["classical"]), **wanted, "summary": summary(series)}


def main():
    options = parser().parse_args()
    start = time.time()
    data = fu.load_nuclei()
    counts = {part: len(getattr(data, f"x_{part}")) for part in ("train", "val", "test")}
    fixed = {
        "course": {"steps": STEPS, "batch": BATCH, "side": SIDE, "optimizer": "adamw", "rates_tried": RATES},
        "data": {"source": data.source, **counts},
    }
    series = Series(RESULTS / "nuclei_comparison.json", "classical", "runs", fixed=fixed, packages=("scikit-image",))
    if not series.rows["classical"]:
        series.add("classical", run_classical(data), told=head)
        print(json.dumps(series.rows["classical"][0]["test"]), flush=True)
    while not options.classical and (left := missing(series)):
        if options.minutes and time.time() - start > 60 * options.minutes:
            print(f"interrupted, {len(left)} runs or more are missing")
            break
        row = run(left[0], data)
        series.add("runs", row, told=head)
        test = row["test"]
        names = f"{row['network']}, crops of {row['side']}, rate {row['learning_rate']}, seed {row['seed']}"
        print(f"{names}: Dice {test['dice']}, AP50 {test['average_precision_50']}, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
