"""The German Traffic Sign Recognition Benchmark as published: its classes, its tracks, its archives.

Stallkamp et al. 2012, "Man vs. computer: Benchmarking machine learning algorithms for traffic sign recognition",
Neural Networks 32, doi 10.1016/j.neunet.2012.02.016.
"""

import csv
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from focal_utils.data.resizing import resize_bilinear
from focal_utils.errors import DamagedData
from focal_utils.files import open_archive, read_member

ADDRESS = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"

# Archive and its MD5 checksum, where one is published.
ARCHIVES = {
    "GTSRB_Final_Training_Images.zip": None,
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}

# Name, number of training images, number of test images: the official split, in the order of the class ids.
GTSRB_TABLE = (
    ("speed limit 20", 210, 60),
    ("speed limit 30", 2220, 720),
    ("speed limit 50", 2250, 750),
    ("speed limit 60", 1410, 450),
    ("speed limit 70", 1980, 660),
    ("speed limit 80", 1860, 630),
    ("end of speed limit 80", 420, 150),
    ("speed limit 100", 1440, 450),
    ("speed limit 120", 1410, 450),
    ("no overtaking", 1470, 480),
    ("no overtaking by lorries", 2010, 660),
    ("priority at next junction", 1320, 420),
    ("priority road", 2100, 690),
    ("yield", 2160, 720),
    ("stop", 780, 270),
    ("no vehicles", 630, 210),
    ("no lorries", 420, 150),
    ("no entry", 1110, 360),
    ("general caution", 1200, 390),
    ("curve left", 210, 60),
    ("curve right", 360, 90),
    ("double curve", 330, 90),
    ("uneven road", 390, 120),
    ("slippery road", 510, 150),
    ("road narrows on the right", 270, 90),
    ("road works", 1500, 480),
    ("traffic lights", 600, 180),
    ("pedestrians", 240, 60),
    ("children", 540, 150),
    ("cyclists", 270, 90),
    ("ice or snow", 450, 150),
    ("wild animals", 780, 270),
    ("end of all limits", 240, 60),
    ("turn right ahead", 689, 210),
    ("turn left ahead", 420, 120),
    ("ahead only", 1200, 390),
    ("ahead or right", 390, 120),
    ("ahead or left", 210, 60),
    ("keep right", 2070, 690),
    ("keep left", 300, 90),
    ("roundabout", 360, 90),
    ("end of no overtaking", 240, 60),
    ("end of no overtaking by lorries", 240, 90),
)

GTSRB_CLASSES = tuple(row[0] for row in GTSRB_TABLE)

TRAIN_COUNTS = tuple(row[1] for row in GTSRB_TABLE)

TEST_COUNTS = tuple(row[2] for row in GTSRB_TABLE)

# What a mirror shows: class → class. Ten signs are their own mirror image, eight change with their partner; the mirror
# image of any other is no sign.
MIRRORED = {label: label for label in (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)}

for _left, _right in ((19, 20), (33, 34), (36, 37), (38, 39)):
    MIRRORED |= {_left: _right, _right: _left}


def validation_mask(labels, tracks, fraction, seed):
    """Choose whole tracks of every class for validation.

    A track is a series of about 30 frames of one physical sign. Frames of one track are near-duplicates, so a track
    goes to one side as a whole.

    Args:
        labels: class ids, shape (N,).
        tracks: track ids, unique over classes, shape (N,).
        fraction: share of each class's tracks for validation, between 0 and 1. Each class gives at least one track
            and keeps at least one.
        seed: the same seed gives the same split.

    Returns:
        Boolean array of shape (N,), true for validation.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation is {fraction!r}, expected a share of the tracks between 0 and 1, such as 0.1.")
    chosen = []
    for label in np.unique(labels):
        of_class = np.unique(tracks[labels == label])
        if len(of_class) < 2:
            raise ValueError(f"Class {label} has {len(of_class)} track: a split by track needs at least 2.")
        count = min(max(1, round(fraction * len(of_class))), len(of_class) - 1)
        chosen.append(np.random.default_rng([seed, int(label)]).permutation(of_class)[:count])
    return np.isin(tracks, np.concatenate(chosen))


@dataclass(frozen=True)
class Row:
    """One line of an annotation file: a member of an image archive, and what is known about it."""

    where: str
    member: str
    size: tuple
    roi: tuple
    label: int
    track: int = -1


def read_official(training, test_images, test_labels, size, train_counts=TRAIN_COUNTS, test_counts=TEST_COUNTS):
    """Read the official archives, without unpacking them.

    Args:
        training, test_images, test_labels: paths of the three archives.
        size: height and width in pixels to resize the full frames to.
        train_counts, test_counts: expected numbers of images per class.

    Returns:
        Dict with ``x_*``, ``y_*``, ``orig_size_*``, ``roi_*`` for train and test, and ``track_train``
        (1000 × class + track).

    Raises:
        DamagedData: an archive is damaged, a CSV row has no image, or the counts per class do not add up.
    """
    with open_archive(training) as images, open_archive(test_images) as more, open_archive(test_labels) as labels:
        train_rows = []
        for label in range(len(train_counts)):
            folder = f"GTSRB/Final_Training/Images/{label:05d}/"
            train_rows += _rows(images, folder + f"GT-{label:05d}.csv", images, folder, label)
        test_rows = _rows(labels, "GT-final_test.csv", more, "GTSRB/Final_Test/Images/")
        _check_counts(training, train_rows, train_counts)
        _check_counts(test_labels, test_rows, test_counts)
        arrays = _arrays(images, train_rows, size, "train") | _arrays(more, test_rows, size, "test")
    arrays["track_train"] = np.array([row.track for row in train_rows], np.int32)
    return arrays


def _rows(archive, csv_name, images, folder, label=None):
    members = set(images.namelist())
    try:
        lines = read_member(archive, csv_name).decode("utf-8-sig").splitlines()
    except KeyError:
        raise DamagedData(f"{archive.filename} has no {csv_name}: this is not the official archive.") from None
    rows = []
    for number, line in enumerate(csv.DictReader(lines, delimiter=";"), start=2):
        where = f"{archive.filename}, {csv_name}, row {number}"
        try:
            name = line["Filename"]
            row = Row(
                where,
                folder + name,
                (int(line["Width"]), int(line["Height"])),
                tuple(int(line["Roi." + corner]) for corner in ("X1", "Y1", "X2", "Y2")),
                int(line["ClassId"]),
                -1 if label is None else 1000 * label + int(name.split("_")[0]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedData(
                f"{where}: expected Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId, got {line} ({error!r})."
            ) from error
        if row.member not in members:
            raise DamagedData(f"{where}: its image {row.member} is not in {images.filename}.")
        if label is not None and row.label != label:
            raise DamagedData(f"{where}: ClassId is {row.label}, expected {label}.")
        rows.append(row)
    return rows


def _check_counts(path, rows, expected):
    counts = np.bincount([row.label for row in rows], minlength=len(expected))
    if len(counts) > len(expected):
        raise DamagedData(f"{path}: ClassId {len(counts) - 1} occurs, expected 0 to {len(expected) - 1}.")
    wrong = [
        f"class {label} ({GTSRB_CLASSES[label]}) has {count:,} images, expected {right:,}"
        for label, (count, right) in enumerate(zip(counts, expected, strict=True))
        if count != right
    ]
    if wrong:
        raise DamagedData(
            f"{path}: the counts per class do not add up: {'; '.join(wrong[:3])}"
            f"{f'; and {len(wrong) - 3} more classes' if len(wrong) > 3 else ''}."
        )


def _arrays(archive, rows, size, part):
    from rich.progress import track

    images = np.empty((len(rows), size, size, 3), np.uint8)
    for place, row in enumerate(track(rows, f"Reading {len(rows):,} GTSRB {part} images")):
        data = read_member(archive, row.member)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                image = np.asarray(picture.convert("RGB"))
        except (OSError, ValueError) as error:
            raise DamagedData(f"{archive.filename}: {row.member} is not a readable image ({error}).") from error
        if image.shape[1::-1] != row.size:
            raise DamagedData(f"{row.where}: width and height are {row.size}, but the image has {image.shape[1::-1]}.")
        images[place] = resize_bilinear(image, size)
    return {
        f"x_{part}": images,
        f"y_{part}": np.array([row.label for row in rows], np.uint8),
        f"orig_size_{part}": np.array([row.size for row in rows], np.int16),
        f"roi_{part}": np.array([row.roi for row in rows], np.int16),
    }
