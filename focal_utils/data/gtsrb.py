"""The German Traffic Sign Recognition Benchmark as published: its classes, its tracks, its archives.

Stallkamp et al. 2012, "Man vs. computer: Benchmarking machine learning algorithms for traffic sign recognition",
Neural Networks 32, doi 10.1016/j.neunet.2012.02.016.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from focal_utils.data.resizing import resize_bilinear
from focal_utils.errors import DamagedData
from focal_utils.files import OpenFolder, open_archive, read_member, reading

ADDRESS = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"

# Archive and its MD5 checksum, where one is published.
ARCHIVES = {
    "GTSRB_Final_Training_Images.zip": None,
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}

TEST_ARCHIVES = ("GTSRB_Final_Test_Images.zip", "GTSRB_Final_Test_GT.zip")

FIXED_ARCHIVE = "GTSRB-Training_fixed.zip"

KAGGLE_ARCHIVES = ("gtsrb-german-traffic-sign.zip", "archive.zip")  # as its command and its page name the download

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

# `GTSRB-Training_fixed.zip`, 26,640 of the 39,209, which torchvision and others train on: training images per class.
FIXED_COUNTS = (
    *(150, 1500, 1500, 960, 1320, 1260, 300, 960, 960, 990, 1350, 900, 1410, 1440, 540, 420, 300, 750, 810, 150, 240),
    *(240, 270, 360, 180, 1020, 420, 180, 360, 180, 300, 540, 180, 480, 300, 810, 270, 150, 1380, 210, 240, 180, 180),
)

# What a mirror shows: class → class. Ten signs are their own mirror image, eight change with their partner; the mirror
# image of any other is no sign.
OWN_MIRROR_IMAGES = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)

MIRROR_PAIRS = ((19, 20), (33, 34), (36, 37), (38, 39))

MIRRORED = {
    **{label: label for label in OWN_MIRROR_IMAGES},
    **dict(MIRROR_PAIRS),
    **{right: left for left, right in MIRROR_PAIRS},
}

LARGEST_TABLE = 16 << 20  # bytes of an annotation file; Kaggle's, the largest, has 2 million
LARGEST_SIDE = 4096  # pixels of an image; the largest of GTSRB has 266


def validation_mask(labels, tracks, fraction, seed):
    """Which images go to validation: whole tracks of every class.

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

    Raises:
        ValueError: `fraction` is no share, or a class has a single track.
    """
    if not isinstance(fraction, Real) or not 0 < fraction < 1:
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
    """One line of an annotation file: an image, and what is known about it."""

    where: str
    member: str
    size: tuple
    roi: tuple
    label: int
    track: int = -1


# What the archives hold, and what others have made of it: the folder of the training images, with a folder and an
# annotation file for each class; that of the test images; and the test images' annotation file.
FINAL = "GTSRB/Final_Training/Images/"
FIXED = "GTSRB/Training/"
TEST = "GTSRB/Final_Test/Images/"
TEST_TABLE = "GT-final_test.csv"


def read_official(training, test_images, test_labels, size, train_counts=None, test_counts=None):
    """Read the official archives, without unpacking them, or the folders that they were unpacked to.

    Args:
        training: path of the training archive, `GTSRB_Final_Training_Images.zip` or `GTSRB-Training_fixed.zip`, or of
            a folder.
        test_images: path of the archive of test images, or of a folder.
        test_labels: path of the archive of their labels, or of a folder.
        size: height and width in pixels to resize the full frames to.
        train_counts: expected numbers of images per class; None for what the archive has that it says it is.
        test_counts: likewise.

    Returns:
        Dict with `x_*`, `y_*`, `orig_size_*`, `roi_*` for train and test, and `track_train` (1000 × class + track).

    Raises:
        DamagedData: an archive is damaged, a CSV row has no image or is not right, or the counts per class do not add
            up.
    """
    with open_place(training) as images, open_place(test_images) as more, open_place(test_labels) as labels:
        fixed = f"{FIXED}00000/GT-00000.csv" in images.namelist()
        base = FIXED if fixed else FINAL
        if train_counts is None:
            train_counts = FIXED_COUNTS if fixed else TRAIN_COUNTS
        if test_counts is None:
            test_counts = TEST_COUNTS
        train_rows = []
        for label in range(len(train_counts)):
            folder = f"{base}{label:05d}/"
            train_rows += read_rows(images, f"{folder}GT-{label:05d}.csv", images, folder, label)
        test_rows = read_rows(labels, TEST_TABLE, more, TEST)
        check_counts(training, train_rows, train_counts)
        check_counts(test_labels, test_rows, test_counts)
        return {**read_arrays(images, train_rows, size, "train"), **read_arrays(more, test_rows, size, "test")}


def read_kaggle(path, size):
    """Read GTSRB as Kaggle lays it out: `Train/0` to `Train/42`, `Test`, `Train.csv` and `Test.csv`, zipped or not.

    Its PNG files hold the pixels of the official PPM files. Without `Train.csv` the folders and names say the classes
    and tracks, and there is no `roi_train`.

    Args:
        path: of the zip archive or the folder.
        size: height and width in pixels to resize the full frames to.

    Returns, Raises: as `read_official`.
    """
    with open_place(path) as place:
        if "Train.csv" in place.namelist():
            train_rows = read_rows(place, "Train.csv", place, "")
        else:
            train_rows = rows_by_name(place, PurePosixPath("Train"), len(TRAIN_COUNTS))
        test_rows = read_rows(place, "Test.csv", place, "")
        check_counts(path, train_rows, TRAIN_COUNTS)
        check_counts(path, test_rows, TEST_COUNTS)
        return {**read_arrays(place, train_rows, size, "train"), **read_arrays(place, test_rows, size, "test")}


@dataclass(frozen=True)
class Layout:
    """GTSRB somewhere on this machine: what reads it, the paths that it takes, and whether it is Training_fixed."""

    function: Callable
    paths: tuple
    fixed: bool = False

    def read(self, size):
        return self.function(*self.paths, size)


def find_layouts(folder):
    """GTSRB in a folder, or one or two folders below it, other than as the official archives or an `.npz`.

    Kaggle's zip or folder; the official archives unpacked, as torchvision leaves them for instance; and
    `GTSRB-Training_fixed.zip` beside the archives of the test images. A list of `Layout`, those of all training images
    first.
    """
    below = [place for place in sorted(folder.glob("*")) if place.is_dir()]
    places = [folder, *below, *(place for parent in below for place in sorted(parent.glob("*")) if place.is_dir())]
    found = [Layout(read_kaggle, (path,)) for name in KAGGLE_ARCHIVES if is_kaggle(path := folder / name)]
    for place in places:
        if (place / "Test.csv").is_file() and (place / "Train").is_dir():
            found.append(Layout(read_kaggle, (place,)))
        if (place / TEST).is_dir() and (place / TEST_TABLE).is_file():
            if (place / FINAL).is_dir():
                found.append(Layout(read_official, (place,) * 3))
            elif (place / FIXED).is_dir():
                found.append(Layout(read_official, (place,) * 3, fixed=True))
        archives = tuple(place / name for name in (FIXED_ARCHIVE, *TEST_ARCHIVES))
        if all(archive.is_file() for archive in archives):
            found.append(Layout(read_official, archives, fixed=True))
    return sorted(found, key=lambda layout: layout.fixed)


def is_kaggle(path):
    if not path.is_file():
        return False
    with open_archive(path) as archive:
        return "Test.csv" in archive.namelist()


def open_place(path):
    return OpenFolder(path) if Path(path).is_dir() else open_archive(path)


def read_rows(archive, table, images, folder, label=None):
    """The rows of an annotation file of `archive`, whose images are members of `images` in `folder`.

    Args:
        archive: an archive or folder. table: name of the file in it, CSV with semicolons, or commas (Kaggle's).
        images: an archive or folder. folder: what stands before the names of its images.
        label: the class that all rows must have; None for the test images, of all classes.
    """
    members = set(images.namelist())
    first_row = {}
    rows = []
    for number, line in enumerate(read_lines(archive, table), start=2):
        where = f"{archive.filename}, {table}, row {number}"
        row = as_row(where, line, folder)
        if row.member not in members:
            raise DamagedData(f"{where}: its image {row.member} is not in {images.filename}.")
        if row.member in first_row:
            raise DamagedData(f"{where}: its image {row.member} stands in row {first_row[row.member]} too.")
        if label is not None and row.label != label:
            raise DamagedData(f"{where}: ClassId is {row.label}, expected {label}.")
        first_row[row.member] = number
        rows.append(row)
    return rows


def read_lines(archive, table):
    """The lines of an annotation file, each a dict from column to text."""
    try:
        data = read_member(archive, table, LARGEST_TABLE)
    except KeyError:
        raise DamagedData(f"{archive.filename} has no {table}: this is not the official archive.") from None
    where = f"{archive.filename}: {table}"
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DamagedData(f"{where} is no UTF-8 text ({error.reason}): save it as UTF-8, or get it again.") from error
    delimiter = ";" if lines and ";" in lines[0] else ","
    with reading(where):
        return list(csv.DictReader(lines, delimiter=delimiter))


def as_row(where, line, folder):
    try:
        member = folder + (line.get("Path") or line["Filename"])
        row = Row(
            where,
            member,
            size=(int(line["Width"]), int(line["Height"])),
            roi=tuple(int(line["Roi." + corner]) for corner in ("X1", "Y1", "X2", "Y2")),
            label=int(line["ClassId"]),
            track=track_of(member, int(line["ClassId"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedData(
            f"{where}: expected Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId, got {line} ({error!r})."
        ) from error
    left, top, right, bottom = row.roi
    width, height = row.size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise DamagedData(f"{where}: its box {row.roi} does not lie in its picture of {width}×{height} pixels.")
    return row


def track_of(member, label):
    """The track of an image `…/00002_00029.ppm`, or Kaggle's `…/00020_00002_00029.png`; −1 where the name has none."""
    numbers = PurePosixPath(member).stem.split("_")
    return 1000 * label + int(numbers[-2]) if len(numbers) > 1 else -1


def rows_by_name(place, base, classes):
    """Rows for the images in folders named by their class, of which no table says more."""
    rows = []
    for member in sorted(place.namelist()):
        path = PurePosixPath(member)
        label = path.parent.name
        if path.parent.parent == base and label.isdecimal() and path.suffix.lower() == ".png":
            where = f"{place.filename}, {member}"
            if int(label) >= classes or len(path.stem.split("_")) < 2:
                raise DamagedData(f"{where}: expected a class below {classes}, and class_track_frame.png.")
            rows.append(Row(where, member, None, None, int(label), track_of(member, int(label))))
    return rows


def check_counts(path, rows, expected):
    strange = next((row.label for row in rows if not 0 <= row.label < len(expected)), None)
    if strange is not None:
        raise DamagedData(f"{path}: ClassId {strange} occurs, expected 0 to {len(expected) - 1}.")
    counts = np.bincount([row.label for row in rows], minlength=len(expected))
    wrong = [
        f"class {label} ({GTSRB_CLASSES[label]}) has {count:,} images, expected {right:,}"
        for label, (count, right) in enumerate(zip(counts, expected, strict=True))
        if count != right
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more classes" if len(wrong) > 3 else ""
        raise DamagedData(f"{path}: the counts per class do not add up: {'; '.join(wrong[:3])}{more}.")


def read_arrays(archive, rows, size, part):
    from rich.progress import track

    images = np.empty((len(rows), size, size, 3), np.uint8)
    sizes = np.empty((len(rows), 2), np.int16)
    for place, row in enumerate(track(rows, f"Reading {len(rows):,} GTSRB {part} images")):
        image = decode(archive, row)
        sizes[place] = image.shape[1::-1]
        images[place] = resize_bilinear(image, size)
    arrays = {
        f"x_{part}": images,
        f"y_{part}": np.array([row.label for row in rows], np.uint8),
        f"orig_size_{part}": sizes,
    }
    if all(row.roi for row in rows):
        arrays[f"roi_{part}"] = np.array([row.roi for row in rows], np.int16)
    if part == "train":
        arrays["track_train"] = np.array([row.track for row in rows], np.int32)
    return arrays


def decode(archive, row):
    """The image of a row, (height, width, 3) uint8; it is decoded only if it is as large as the row says."""
    data = read_member(archive, row.member)
    with reading(f"{archive.filename}: {row.member}"), Image.open(io.BytesIO(data)) as picture:
        if row.size not in (None, picture.size):
            raise DamagedData(f"{row.where}: width and height are {row.size}, but the image has {picture.size}.")
        if max(picture.size) > LARGEST_SIDE or picture.mode.startswith(("I", "F")):
            raise DamagedData(
                f"{row.where}: the image has {picture.width}×{picture.height} pixels of mode {picture.mode}, expected "
                f"RGB and at most {LARGEST_SIDE} pixels a side."
            )
        return np.asarray(picture.convert("RGB"))
