"""Measure what large pictures take, in training and in answering: memory and time against the picture's size.

    python tools/measure_large.py                 both parts, about half an hour; goes on where it was
    python tools/measure_large.py forward         one of them: training, forward
    python tools/measure_large.py --anew          forgets what was measured before
    python tools/measure_large.py --rounds 0      neither time nor memory: only what fits

One picture in a step, from 256×256 pixels to the largest of the nuclei, 1388×1040, for the shipped segmenter and the
same with windows and with global attention in the place of focal modulation; for training each of them also with blocks
that compute their branches a second time for the gradient (recompute=True). Each case is a process of its own, ended
where it goes over the limit; those of one size take turns. Writes data/results/large_pictures.json for training and
large_pictures_forward.json, row by row: when interrupted, the same command goes on. Memory is the same on a busy
machine; times are those of a quiet one, and told where each case had three turns or more.
"""

import json
import math
import statistics
import time

from parts import arguments
from parts.files import RESULTS, how_made, save_results

SIZES = ((256, 256), (384, 384), (512, 512), (768, 768), (1024, 1024), (1040, 1388))  # height, width
PARTS = {"training": RESULTS / "large_pictures.json", "forward": RESULTS / "large_pictures_forward.json"}
ENOUGH = 3  # turns of each, without which times are not compared


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("parts", nargs="*", type=arguments.one_of(PARTS), help="training, forward (default: both)")
    options.add_argument("--rounds", type=arguments.at_least(0), default=5, help="turns of each case (default: 5)")
    options.add_argument(
        "--limit", type=arguments.between(0), default=8, metavar="GB", help="of a process's memory (default: 8)"
    )
    options.add_argument("--anew", action="store_true", help="forget what was measured before")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import focal_utils as fu
from parts.segmenters import MIXERS, mixed_segmenter

AGAIN = ", recomputed"
ENDINGS = {"training": ("", AGAIN), "forward": ("",)}  # only a gradient has anything to recompute


def cases(part, height, width):
    """The segmenter with each mixer, for training also recomputing: a dict of models for pictures of this size."""
    return {
        mixer + ending: mixed_segmenter("nuclei", mixer, (height, width, 3), recompute=ending == AGAIN)
        for mixer in MIXERS
        for ending in ENDINGS[part]
    }


def weighed(rows, name):
    """The rows of a case whose memory was weighed, by their pixels, few first: {(height, width): row}."""
    found = {tuple(row["input_shape"][:2]): row for row in rows if row["name"] == name and row["peak_bytes"]}
    return dict(sorted(found.items(), key=lambda size: math.prod(size[0])))


def growth(rows, name):
    """How memory grows with pixels, as a power of them, from the smallest to the largest square that fits; or None.

    A step's memory is asked, beyond what the process has before it: 1 is in proportion, 2 with the square.
    """
    squares = {size: row for size, row in weighed(rows, name).items() if size[0] == size[1]}
    if len(squares) < 2:
        return None
    small, *_, large = squares
    ratio = squares[large]["peak_bytes"] / squares[small]["peak_bytes"]
    power = math.log(ratio) / math.log(math.prod(large) / math.prod(small))
    return {"power": round(power, 3), "from": list(small), "to": list(large)}


def what_recomputing_does(rows, mixer):
    """Memory and time of a recomputing step over those of a plain one, at each size where both fit: a list of dicts."""
    plain = weighed(rows, mixer)
    again = weighed(rows, mixer + AGAIN)
    found = []
    for size in plain.keys() & again.keys():
        turns = [second / first for first, second in zip(plain[size]["rounds"], again[size]["rounds"], strict=False)]
        found.append(
            {
                "height": size[0],
                "width": size[1],
                "memory": round(again[size]["peak_bytes"] / plain[size]["peak_bytes"], 3),
                "time": round(statistics.median(turns), 3) if len(turns) >= ENOUGH else None,
            }
        )
    return sorted(found, key=lambda row: row["height"] * row["width"])


def answering(rows, mixer):
    """Seconds and bytes of one picture's answer at each size that fits, few pixels first: a list of dicts."""
    return [
        {"height": height, "width": width, "seconds": row["seconds"], "peak_bytes": row["peak_bytes"]}
        for (height, width), row in weighed(rows, mixer).items()
    ]


def summary(part, rows):
    """For each mixer: how memory grows, the first size that does not fit, or None, and what recomputing does.

    Of the forward part what each size takes stands in the place of what recomputing does.
    """
    found = {}
    for mixer in MIXERS:
        unfit = [row for row in rows if row["name"] == mixer and row["note"]]
        first = min(unfit, key=lambda row: math.prod(row["input_shape"]), default=None)
        found[mixer] = {
            "growth": growth(rows, mixer),
            "first_that_does_not_fit": first and first["input_shape"][:2],
        }
        if part == "training":
            found[mixer]["growth_recomputing"] = growth(rows, mixer + AGAIN)
            found[mixer]["recomputing"] = what_recomputing_does(rows, mixer)
        else:
            found[mixer]["answering"] = answering(rows, mixer)
    return found


def complete(part, rows):
    """Whether every case has been measured at every size."""
    known = {(row["name"], *row["input_shape"][:2]) for row in rows}
    names = [mixer + ending for mixer in MIXERS for ending in ENDINGS[part]]
    return all((name, *size) in known for name in names for size in SIZES)


def measure_part(part, options):
    """Measure one part, size by size, and save each."""
    start = time.time()
    path = PARTS[part]
    if options.anew:
        path.unlink(missing_ok=True)
    limits = {"memory_limit": int(options.limit * 1e9), "patience": 900, "save": path}
    for height, width in SIZES:
        models = cases(part, height, width)
        for row in fu.measure(models, training=part == "training", rounds=options.rounds, **limits):
            cost = row.note or f"{row.seconds or 0:7.2f} s {(row.peak_bytes or 0) / 1e6:9.1f} MB"
            print(f"  {part:8s} {row.name:30s} {width}×{height}  {cost}", flush=True)
        conclude(part, time.time() - start, options.limit)
    print(json.dumps(json.loads(path.read_text("utf-8"))["summary"], indent=1))


def conclude(part, seconds, limit):
    """Put above the rows that are there how they were made, and what they say together."""
    path = PARTS[part]
    rows = json.loads(path.read_text("utf-8"))["rows"]
    head = how_made(seconds) | {"limit_gigabytes": limit, "pictures_in_a_step": 1, "complete": complete(part, rows)}
    save_results(path, head | {"summary": summary(part, rows), "rows": rows})


def main():
    options = parser().parse_args()
    for part in options.parts or PARTS:
        measure_part(part, options)


if __name__ == "__main__":
    main()
