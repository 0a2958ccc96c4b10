"""Measure what training takes on large pictures: memory and time of a step against the picture's size.

    python tools/measure_large.py                 about half an hour
    python tools/measure_large.py --rounds 0      memory is not weighed either: only what fits

One picture in a step, from 256×256 pixels to the largest of the nuclei, 1388×1040, for the shipped segmenter and the
same with windows and with global attention in the place of focal modulation; each of them also with blocks that compute
their branches a second time for the gradient (recompute=True). Each case is a process of its own, ended where it goes
over the limit; those of one size take turns. Writes data/results/large_pictures.json, row by row: when interrupted, the
same command goes on. Memory is the same on a busy machine; the two times of a pair are compared round by round.
"""

import json
import math
import statistics
import time

from parts import arguments
from parts.files import RESULTS, how_made, save_results

SIZES = ((256, 256), (384, 384), (512, 512), (768, 768), (1024, 1024), (1040, 1388))  # height, width
FROM = 256 * 256  # pixels between which the slope is taken
TO = 1024 * 1024


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("--rounds", type=arguments.at_least(0), default=5, help="turns of each case (default: 5)")
    options.add_argument(
        "--limit", type=arguments.between(0), default=8, metavar="GB", help="of a process's memory (default: 8)"
    )
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import focal_utils as fu
from parts.segmenters import MIXERS, mixed_segmenter

PATH = RESULTS / "large_pictures.json"
AGAIN = ", recomputed"


def cases(height, width):
    """The segmenter with each mixer, and each of them recomputing: a dict of models for pictures of this size."""
    return {
        mixer + ending: mixed_segmenter("nuclei", mixer, (height, width, 3), recompute=ending == AGAIN)
        for mixer in MIXERS
        for ending in ("", AGAIN)
    }


def row_of(rows, name, pixels):
    """The row of a case at so many pixels, or None where it is missing or did not fit."""
    for row in rows:
        height, width, _ = row["input_shape"]
        if row["name"] == name and height * width == pixels:
            return row if row["peak_bytes"] else None
    return None


def slope(rows, name):
    """How memory grows from `FROM` to `TO` pixels, as a power of them: a number, None where `TO` does not fit.

    A step's memory is asked, beyond what the process has before it: 1 is in proportion, 2 with the square.
    """
    small = row_of(rows, name, FROM)
    large = row_of(rows, name, TO)
    if small is None or large is None:
        return None
    return round(math.log(large["peak_bytes"] / small["peak_bytes"]) / math.log(TO / FROM), 3)


def what_recomputing_does(rows, mixer):
    """Memory and time of a recomputing step over those of a plain one, at each size where both fit: a list of dicts."""
    found = []
    for height, width in SIZES:
        plain = row_of(rows, mixer, height * width)
        again = row_of(rows, mixer + AGAIN, height * width)
        if plain is None or again is None:
            continue
        turns = [second / first for first, second in zip(plain["rounds"], again["rounds"], strict=True)]
        found.append(
            {
                "height": height,
                "width": width,
                "memory": round(again["peak_bytes"] / plain["peak_bytes"], 3),
                "time": round(statistics.median(turns), 3),
                "time_from_to": [round(min(turns), 3), round(max(turns), 3)],
            }
        )
    return found


def summary(rows):
    """For each mixer: its slopes, what recomputing does, and the first size that does not fit, if one does not."""
    found = {}
    for mixer in MIXERS:
        outcome = {"recomputing": what_recomputing_does(rows, mixer)}
        for ending in ("", AGAIN):
            unfit = [row for row in rows if row["name"] == mixer + ending and row["note"]]
            first = min(unfit, key=lambda row: math.prod(row["input_shape"]), default=None)
            outcome["slope" + ending.replace(", ", "_")] = slope(rows, mixer + ending)
            outcome["first_that_does_not_fit" + ending.replace(", ", "_")] = first and first["input_shape"][:2]
        found[mixer] = outcome
    return found


def main():
    options = parser().parse_args()
    start = time.time()
    for height, width in SIZES:
        limits = {"memory_limit": int(options.limit * 1e9), "patience": 900, "save": PATH}
        for row in fu.measure(cases(height, width), training=True, rounds=options.rounds, **limits):
            cost = row.note or f"{row.seconds or 0:7.2f} s {(row.peak_bytes or 0) / 1e6:9.1f} MB"
            print(f"  {row.name:38s} {width}×{height}  {cost}", flush=True)
    rows = json.loads(PATH.read_text("utf-8"))["rows"]
    head = how_made(time.time() - start) | {"limit_gigabytes": options.limit, "picture_per_step": 1}
    save_results(PATH, head | {"summary": summary(rows), "rows": rows})
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
