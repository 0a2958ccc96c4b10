"""Measure what a split picture by picture would leak of the cell nuclei, and how sure the origins are.

    python tools/measure_nuclei.py

Writes data/results/nuclei_leak.json. Needs the whole set: FOCAL_DATA_DIR, the cache, or a download. Nothing is trained.
"""

import json
import time

from parts.arguments import parser
from parts.files import ROOT, how_made, write_text

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

import numpy as np

import focal_utils as fu
from focal_utils.data import PARTS, borders, matches, touching

SMALL = 16  # pictures are compared as so many by so many brightnesses


def by_size(pictures):
    """The rows of the pictures of each size that ten or more have: a list of lists."""
    sizes = {}
    for row, picture in enumerate(pictures):
        sizes.setdefault(picture.shape[:2], []).append(row)
    return [rows for rows in sizes.values() if len(rows) >= 10]


def backwards(border):
    """A border and the pixels beside it, (N, n) each, read from its other end: no picture continues in that."""
    outer, inner = border
    return outer[:, ::-1], inner[:, ::-1]


def borders_that_match(pictures):
    """How many pairs of borders pass as neighbours, and how many of as many that cannot be: two whole numbers."""
    true = 0
    false = 0
    for rows in by_size(pictures):
        alike = [pictures[row] for row in rows]
        found = borders(alike)
        true += len(touching(alike))
        false += len(matches(found["right"], backwards(found["left"])))
        false += len(matches(found["bottom"], backwards(found["top"])))
    return true, false


def with_sibling(origins, parts):
    """The share of the test pictures of which a picture of the same origin stands in training or validation."""
    origins = np.asarray(origins)
    elsewhere = set(origins[parts != "test"].tolist())
    return float(np.mean([origin in elsewhere for origin in origins[parts == "test"].tolist()]))


def vectors(pictures):
    """Each picture as SMALL × SMALL brightnesses in order of their size: what it is made of, not where. (N, 256)."""
    rows = []
    for picture in pictures:
        height = picture.shape[0] // SMALL
        width = picture.shape[1] // SMALL
        grey = picture[: SMALL * height, : SMALL * width].mean(axis=-1, dtype="float32")
        rows.append(np.sort(grey.reshape(SMALL, height, SMALL, width).mean(axis=(1, 3)).ravel()))
    return np.stack(rows)


def nearest_is_sibling(pictures, origins):
    """Of the pictures that have a sibling, how often one is the most similar of all others of its size; and by chance.

    Similar: the smallest mean difference of `vectors`.
    """
    found = []
    chance = []
    for rows in by_size(pictures):
        codes = vectors([pictures[row] for row in rows])
        distances = np.abs(codes[:, None] - codes).mean(axis=2)
        np.fill_diagonal(distances, np.inf)
        same = origins[rows][:, None] == origins[rows]
        np.fill_diagonal(same, False)
        has = same.any(axis=1)
        found += same[np.arange(len(rows)), distances.argmin(axis=1)][has].tolist()
        chance += (same.sum(axis=1) / (len(rows) - 1))[has].tolist()
    return float(np.mean(found)), float(np.mean(chance))


def main():
    parser(__doc__).parse_args()
    start = time.perf_counter()
    nuclei = fu.load_nuclei()
    pictures = [picture for part in PARTS for picture in getattr(nuclei, f"x_{part}")]
    origins = np.concatenate([getattr(nuclei, f"origin_{part}") for part in PARTS])
    ours = np.concatenate([[part] * len(getattr(nuclei, f"x_{part}")) for part in PARTS])
    random = [np.random.default_rng(seed).permutation(ours) for seed in range(20)]
    true, false = borders_that_match(pictures)
    alike, chance = nearest_is_sibling(pictures, origins)
    sizes = np.bincount(np.unique(origins, return_inverse=True)[1])
    facts = {
        **how_made(time.perf_counter() - start),
        "pictures": len(pictures),
        "origins": len(sizes),
        "pictures_with_a_sibling": int(sizes[sizes > 1].sum()),
        "borders_that_match": true,
        "borders_that_match_read_backwards": false,
        "split": {part: int((ours == part).sum()) for part in PARTS},
        "test_pictures_with_a_sibling_elsewhere": {
            "split_by_origin": with_sibling(origins, ours),
            "split_by_picture": round(float(np.mean([with_sibling(origins, parts) for parts in random])), 4),
        },
        "a_sibling_is_the_most_similar_picture": {
            "measured_as": f"{SMALL}×{SMALL} mean brightnesses, sorted; mean difference; among pictures of one size",
            "share": round(alike, 4),
            "by_chance": round(chance, 4),
        },
        "random_splits": len(random),
    }
    facts["seconds"] = round(time.perf_counter() - start)
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    write_text(ROOT / "data" / "results" / "nuclei_leak.json", text)
    print(text)


if __name__ == "__main__":
    main()
