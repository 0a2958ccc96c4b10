"""Time and memory of focal modulation and self-attention against the pixels, and the largest image that fits.

    python tools/measure_mixers.py             all three parts, about half an hour
    python tools/measure_mixers.py sizes       one of them: sizes, small_maps, largest

Writes data/results/mixers_<part>.json, row by row: when interrupted, the same command goes on. What does not fit is
ended and said to be so. Fused attention needs PyTorch, whose rows are left out where it is not installed.
"""

import json
import time

from parts import arguments
from parts.files import ROOT, how_made, write_text

PARTS = ("sizes", "small_maps", "largest")


def parser():
    options = arguments.parser(__doc__)
    options.add_argument(
        "parts", nargs="*", type=arguments.one_of(PARTS), help="sizes, small_maps, largest (default: all)"
    )
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np

import focal_utils as fu
from focal_utils.measuring import installed_backends

DIM = 96  # the first stage of the tiny networks: 3 heads
SIDES = (32, 48, 64, 96, 128, 192, 256)  # of the map, in pixels: as many tokens are their squares
SMALL_SIDES = (4, 6, 8, 10, 14, 20, 28, 40)
FIRST_SIDES = (96, 192, 320)  # of the images from which the largest is guessed
STEP = 32  # of the largest image's side, in pixels
LIMITS = (2, 4, 8)  # GB

MIXERS = {
    "focal modulation, L = 2": fu.FocalModulation(DIM),
    "focal modulation, L = 3": fu.FocalModulation(DIM, focal_level=3),
    "windowed attention, 7×7": fu.WindowedAttention(DIM, window=7),
    "self-attention": fu.SelfAttention(DIM),
}
FUSED = {
    "focal modulation, L = 2": MIXERS["focal modulation, L = 2"],
    "self-attention": MIXERS["self-attention"],
    "fused self-attention": fu.SelfAttention(DIM, fused=True),
}


def path(part):
    return ROOT / "data" / "results" / f"mixers_{part}.json"


def show(rows):
    for row in rows:
        cost = row.note or f"{1e3 * row.seconds:9.1f} ms {row.peak_bytes / 1e6:9.1f} MB"
        work = "training" if row.training else "forward"
        print(f"  {row.name:26s} {row.backend:10s} {row.input_shape[0]:4d}²  {work:8s} {cost}", flush=True)


def by_backend():
    """Pairs (backend, mixers): all on TensorFlow, and on PyTorch those that the fused kernel is compared with."""
    return [("tensorflow", MIXERS)] + ([("torch", FUSED)] if "torch" in installed_backends() else [])


def measure_sizes():
    for side in SIDES:
        for training in (False, True):
            for backend, mixers in by_backend():
                if backend == "torch" and training and side > 128:
                    continue  # a step of fused attention takes a minute there
                options = {"rounds": 5 if side <= 128 else 2, "training": training, "backend": backend}
                show(fu.measure(mixers, (side, side, DIM), save=path("sizes"), **options))


def measure_small_maps():
    for side in SMALL_SIDES:
        for backend, mixers in by_backend():
            show(fu.measure(mixers, (side, side, DIM), batch=64, rounds=9, backend=backend, save=path("small_maps")))


def networks(side):
    """FocalNet-T (SRF), the same with windows (Swin-T) and with global attention, and a ViT of 16×16 patches."""
    shape = (side, side, 3)
    return {
        "FocalNet-T": lambda: fu.focalnet("tiny_srf", shape),
        "Swin-T": lambda: fu.focalnet("tiny_srf", shape, mixer="window", window=7),
        "four stages of self-attention": lambda: fu.focalnet("tiny_srf", shape, mixer="attention"),
        "ViT-S/16": lambda: fu.focalnet("small_iso_16", shape, mixer="attention"),
    }


def training_row(name, side, rounds, **limits):
    """What a training step of one image of side² pixels takes, as `measure` says it."""
    (row,) = fu.measure({name: networks(side)[name.split(", ")[0]]()}, training=True, rounds=rounds, **limits)
    return row


def fits(name, side, gigabytes):
    """Whether a training step of one image of side² pixels fits into as much memory, the whole process counted."""
    limits = {"memory_limit": int(gigabytes * 1e9), "patience": 300, "save": path("largest")}
    row = training_row(f"{name}, {gigabytes} GB", side, rounds=0, **limits)
    print(f"  {row.name}: {side}² {row.note or 'fits'}", flush=True)
    return row.note == ""


def expected_sides(name):
    """For each limit, the side at which memory should reach it, from what three small images take."""
    pixels = np.array([side**2 for side in FIRST_SIDES], float)
    used = [training_row(name, side, rounds=1, save=path("largest")).process_bytes for side in FIRST_SIDES]
    curve = np.polynomial.Polynomial.fit(pixels, used, 2)  # a constant, what grows with pixels, and with their square
    sides = np.arange(FIRST_SIDES[-1], 8192, STEP)
    return [STEP * int(sides[np.argmax(curve(sides**2.0) > gigabytes * 1e9)] // STEP) for gigabytes in LIMITS]


def largest(name, gigabytes, start):
    """The side of the largest image that fits, a multiple of STEP, searched for from `start`; None if none does."""
    side = start
    while side and not fits(name, side, gigabytes):
        side -= STEP
    while side and side >= start and fits(name, side + STEP, gigabytes):
        side += STEP
    return side or None


def measure_largest():
    for name in networks(64):
        for gigabytes, start in zip(LIMITS, expected_sides(name), strict=True):
            print(f"{name}: {largest(name, gigabytes, start)}² in {gigabytes} GB", flush=True)


MEASURES = dict(zip(PARTS, (measure_sizes, measure_small_maps, measure_largest), strict=True))


def main():
    for part in parser().parse_args().parts or PARTS:
        print(part, flush=True)
        start = time.time()
        MEASURES[part]()
        report = json.loads(path(part).read_text())
        write_text(path(part), json.dumps(how_made(time.time() - start) | {"rows": report["rows"]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
