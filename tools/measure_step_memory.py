"""Measure what an image more in a step takes of memory when the paper's smallest network trains.

    python tools/measure_step_memory.py            two batch sizes, as it is and recomputed: some minutes

Memory of a step of `tiny_srf` at 224×224 grows with the images in it: the maps of each are kept until the gradient has
come back. What a batch of 4 takes more than one of 2, divided by 2, is an image's share, with blocks as they are and
with blocks that compute their branches a second time (recompute=True). Each case is a process of its own. Memory is the
same on a busy machine; no times are recorded. Writes data/results/step_memory.json.
"""

import json
import time

from parts import arguments
from parts.files import RESULTS, how_made, save_results

VARIANT = "tiny_srf"
BATCHES = (2, 4)
WAYS = {"as it is": False, "recomputed": True}


def parser():
    options = arguments.parser(__doc__)
    options.add_argument(
        "--limit", type=arguments.between(0), default=8, metavar="GB", help="of a process's memory (default: 8)"
    )
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import focal_utils as fu


def peak(way, batch, limit):
    """Bytes that a training step takes at its peak, weights and libraries not counted.

    Raises:
        MemoryError: it did not fit.
    """
    case = {way: fu.focalnet(VARIANT, recompute=WAYS[way])}
    (row,) = fu.measure(case, batch=batch, training=True, rounds=1, memory_limit=int(limit * 1e9), patience=900)
    if row.peak_bytes is None:
        raise MemoryError(f"{way}, {batch} images: {row.note}")
    print(f"  {way:12s}{batch} images  {row.peak_bytes / 1e6:8.1f} MB", flush=True)
    return row.peak_bytes


def bytes_per_image(peaks):
    """What an image more takes, from {images in a step: bytes at its peak} of two batch sizes: a whole number."""
    (few, less), (many, more) = sorted(peaks.items())
    return round((more - less) / (many - few))


def main():
    options = parser().parse_args()
    start = time.time()
    peaks = {way: {batch: peak(way, batch, options.limit) for batch in BATCHES} for way in WAYS}
    facts = how_made(time.time() - start) | {
        "network": VARIANT,
        "bytes_per_image": {way: bytes_per_image(found) for way, found in peaks.items()},
        "peak_bytes": peaks,
    }
    save_results(RESULTS / "step_memory.json", facts)
    print(json.dumps(facts["bytes_per_image"], indent=1))


if __name__ == "__main__":
    main()
