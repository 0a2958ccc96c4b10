"""Choose the pictures of cell nuclei that ship, and write them to data/nuclei: PNG files and their list.

    python tools/select_nuclei.py

Needs the whole set (FOCAL_DATA_DIR, the cache, or a download). Each picture keeps the part that it has there. Of each
size, and of each part, the table WANTED says how many; they are taken in the order of their ids, each from another
origin, but for one origin of four tiles, which is taken whole so that one can see what tiles are.
"""

import csv

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

import numpy as np
from PIL import Image

import focal_utils as fu
from focal_utils.data import PARTS
from focal_utils.files import data_folder

# Width and height → how many pictures for training, validation and test.
WANTED = {
    (256, 256): (24, 6, 8),
    (320, 256): (10, 3, 5),
    (360, 360): (4, 2, 2),
    (347, 260): (1, 0, 0),
    (640, 512): (1, 1, 1),
    (696, 520): (4, 1, 2),
    (1024, 1024): (2, 1, 2),
    (1272, 603): (0, 1, 0),
    (1388, 1040): (0, 0, 1),
}
WHOLE = {(256, 256), (320, 256)}  # sizes of which one origin of four tiles is taken whole, for training
MOST = 8_000_000  # bytes of all files


def chosen(pictures, origins, wanted, whole):
    """The rows of the pictures to take, for each size the first of each origin: a sorted list.

    Args:
        pictures, origins: of one part, in the order of their ids.
        wanted: (width, height) → how many. whole: sizes of which one origin of four is taken whole, before others.
    """
    taken = []
    for size, count in wanted.items():
        rows = [row for row, picture in enumerate(pictures) if picture.shape[1::-1] == size]
        first = []
        if size in whole:
            members = {origin: [row for row in rows if origins[row] == origin] for origin in origins[rows]}
            first = next(found for found in members.values() if len(found) == 4)
        used = {origins[row] for row in first}
        for row in rows:
            if origins[row] not in used:
                first.append(row)
                used.add(origins[row])
        if len(first) < count:  # fewer origins than wanted: more of the same
            first += [row for row in rows if row not in first]
        taken += first[:count]
    return sorted(taken)


def as_png(array, path):
    """Write a picture, (H, W, 3) uint8 or (H, W) uint16, as small as PNG can; one channel where it is grey."""
    if array.ndim == 3 and not np.ptp(array, axis=-1).any():
        array = array[..., 0]
    Image.fromarray(array).save(path, optimize=True)


def main():
    parser(__doc__).parse_args()
    nuclei = fu.load_nuclei()
    print(nuclei)
    folder = data_folder() / "nuclei"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    rows = []
    for place, part in enumerate(PARTS):
        pictures = getattr(nuclei, f"x_{part}")
        labels = getattr(nuclei, f"y_{part}")
        ids = getattr(nuclei, f"id_{part}")
        origins = getattr(nuclei, f"origin_{part}")
        wanted = {size: counts[place] for size, counts in WANTED.items()}
        for row in chosen(pictures, origins, wanted, WHOLE if part == "train" else ()):
            as_png(pictures[row], folder / f"{ids[row]}.png")
            as_png(labels[row], folder / f"{ids[row]}_nuclei.png")
            rows.append({"id": ids[row], "part": part, "origin": origins[row]})
    with open(folder / "pictures.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("id", "part", "origin"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(rows)} pictures, {size:,} bytes of at most {MOST:,}")
    if size > MOST:
        raise SystemExit("Too large: take fewer.")


if __name__ == "__main__":
    main()
