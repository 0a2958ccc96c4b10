"""One's own photographs: a folder with one for each class, read into an `ImageSet`, with a report of every file."""

import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from focal_utils.data.imageset import ImageSet
from focal_utils.data.pictures import fit_picture, in_words, read_picture
from focal_utils.data.resizing import check_size
from focal_utils.errors import check_number, check_whole

MOST_FILE = 256 << 20  # bytes of a file; one that has more is not read
MOST_MEMORY = 4 << 30  # bytes of all pictures together, as they are kept
BURST = 3  # seconds between two photographs of one camera that are taken for one burst
ALIKE = 0.98  # correlation of two small grey copies, from which on the pictures are taken for near duplicates
COPY_SIDE = 32  # pixels of these copies
SAID = 8  # files that a report names before it only counts them
PARTS_OF_OTHERS = {"train", "training", "val", "valid", "validation", "test", "testing"}

# What cameras and people add to the name of a picture that shows the same thing: "IMG_7 (2).jpg", "IMG_7_BURST003.jpg".
SAME_NAME = re.compile(r"([ _-]*(burst\w*\d+|copy|edited|cover|\(\d+\)|~\d+))+$", re.IGNORECASE)
TURNED = range(2, 9)  # values of the rotation mark that are not "upright"
LYING = range(5, 9)  # those by which width and height are exchanged
ROTATION = 0x0112
CAMERA = 0x0110
DETAILS = 0x8769  # where EXIF keeps the time of a photograph
TAKEN = 0x9003
MODES = {"L": "grey", "LA": "grey", "1": "black and white", "CMYK": "CMYK", "P": "with a palette"}


class Photograph(NamedTuple):
    """A file that could be read."""

    name: str  # "cats/a.jpg", from the folder on
    label: int
    picture: np.ndarray  # (height, width, 3) uint8, of the size that was asked for
    size: tuple  # width and height in pixels of the upright photograph
    digest: str  # of the file's bytes
    taken: tuple | None  # camera and time, where EXIF knows them


@dataclass(frozen=True)
class FolderReport:
    """What became of every file of a folder; printed, it says so in words."""

    read: int  # pictures that are in the set
    skipped: tuple  # pairs (file, why)
    notes: dict  # what was done to pictures, in words: how many
    groups: int  # groups of more than one picture, which stay on one side
    grouped: int  # pictures in them
    parts: dict  # part: {class: pictures}
    warnings: tuple = ()  # sentences

    def __str__(self):
        lines = [f"{self.read:,} pictures were read, {len(self.skipped):,} files skipped."]
        lines += [f"  {name}: {why}" for name, why in self.skipped[:SAID]]
        if len(self.skipped) > SAID:
            lines.append(f"  … and {len(self.skipped) - SAID:,} more, in .skipped.")
        lines += [f"{count:,} of them: {note}" for note, count in self.notes.items()]
        if self.groups:
            lines.append(
                f"{self.grouped:,} pictures form {self.groups:,} groups, of one subject, one moment or one look: each "
                "group is in one part."
            )
        for part, counts in self.parts.items():
            each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            lines.append(f"{part}: {sum(counts.values()):,} ({each})")
        return "\n".join([*lines, *self.warnings])


@dataclass(frozen=True, eq=False, repr=False)
class FolderSet(ImageSet):
    """An `ImageSet` that was read from a folder, with the report of it."""

    report: FolderReport | None = None


def load_folder(path, size=224, validation=0.2, test=0.2, seed=0, alike=ALIKE):
    """Read photographs, one folder for each class, into an `ImageSet` that is split into training, validation and test.

    Photographs are turned upright as their camera says; grey, CMYK, palette, 16-bit, transparent and animated ones
    become RGB as `read_picture` makes them. Each is cut at its centre to the shape of `size`. WebP and whatever else
    Pillow reads is read; HEIC, where the package pillow-heif is installed. What cannot be read is skipped, and
    `report` says why. Of files that are byte for byte the same one is kept; where they lie in two classes, none.

    What shows the same thing stays in one part, so that validation and test ask for more than memory. Pictures form a
    group if they lie in one folder inside that of their class, if their names differ only in a mark for bursts and
    copies, if one camera took them within 3 seconds, or if their small grey copies are nearly equal.

    Args:
        path: of the folder. Hidden files are left aside.
        size: of the pictures in the set, in pixels: a side, or (height, width).
        validation: share of each class's pictures for validation.
        test: likewise for the test; 0 for none.
        seed: fixes which groups go where.
        alike: correlation of the grey copies, 32 pixels a side, from which on two pictures are near duplicates; None
            for no such comparison.

    Returns:
        An `ImageSet`, with `report`, a `FolderReport`; its tracks are the groups.

    Raises:
        FileNotFoundError, NotADirectoryError: no such folder, or a file.
        ValueError: fewer than two classes, a class without readable pictures, too many pictures for the memory, a size
            or share out of range, or classes of so few groups that they cannot be split.

    Example:
        >>> data = fu.load_folder("my_pictures", size=128)  # my_pictures/cats/…, my_pictures/dogs/…
        >>> print(data.report)
    """
    height, width = sides_of(size)
    shares = {"val": check_number("validation", validation, at_least=0, below=1)}
    shares["test"] = check_number("test", test, at_least=0, below=1)
    if sum(shares.values()) >= 1:
        raise ValueError(f"validation={validation} and test={test} leave nothing to train on: lower them.")
    if alike is not None:
        check_number("alike", alike, above=0, at_most=1)
    check_whole("seed", seed)
    folder = Path(path)
    class_names, files = files_of_classes(folder)
    check_memory(len(files), height, width)
    ready_for_heic()
    photographs, skipped, notes = read_files(folder, files, height, width)
    photographs, copies = without_copies(photographs, class_names)
    skipped += copies
    check_classes(folder, class_names, photographs, skipped)
    groups = groups_of(photographs, alike)
    parts, warnings = split(photographs, groups, shares, class_names, seed)
    sizes = Counter(groups)
    report = FolderReport(
        read=len(photographs),
        skipped=tuple(sorted(skipped)),
        notes=dict(notes.most_common()),
        groups=sum(count > 1 for count in sizes.values()),
        grouped=sum(count for count in sizes.values() if count > 1),
        parts=counts_of(photographs, parts, class_names),
        warnings=tuple(warnings),
    )
    return as_set(folder, class_names, photographs, groups, parts, report)


def sides_of(size):
    """Height and width from a side or a pair; ValueError where they are none."""
    pair = isinstance(size, (tuple, list)) and len(size) == 2
    height, width = size if pair else (size, size)
    check_size(height)
    check_size(width)
    return int(height), int(width)


def files_of_classes(folder):
    """The classes' names in order, and all files that are not hidden as pairs (path, label).

    Raises:
        FileNotFoundError, NotADirectoryError: no folder. ValueError: it holds fewer than two, or parts of a data set.
    """
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}, seen from {Path.cwd()}: check its name.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: give the folder that holds a folder for each class.")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = tuple(entry.name for entry in classes)
    if names and {name.lower() for name in names} <= PARTS_OF_OTHERS:
        raise ValueError(
            f"{folder} holds {', '.join(names)}, which are parts of a data set, not classes: give the folder "
            "that holds one folder for each class. It is split here, so that near duplicates stay together."
        )
    if len(names) < 2:
        raise ValueError(
            f"{folder} holds {len(names)} folders, and two or more are needed, one for each class: "
            f"{folder.name}/cats/1.jpg, {folder.name}/dogs/1.jpg, …"
        )
    files = []
    for label, entry in enumerate(classes):
        files += [(path, label) for path in sorted(entry.rglob("*")) if path.is_file() and not is_hidden(path, folder)]
    return names, files


def is_hidden(path, folder):
    """Whether a file, or a folder between it and `folder`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def check_memory(count, height, width):
    """Raise ValueError where so many pictures would take more memory than is meant to be used."""
    needed = count * height * width * 3
    if needed > MOST_MEMORY:
        raise ValueError(
            f"{count:,} files of {width}×{height} pixels would take {needed / 1e9:.1f} GB, over the limit of "
            f"{MOST_MEMORY / 1e9:.1f}: choose a smaller size."
        )


def ready_for_heic():
    """Let Pillow read HEIC, an iPhone's format, where the package pillow-heif is installed; whether it is."""
    if find_spec("pillow_heif") is None:
        return False
    import_module("pillow_heif").register_heif_opener()
    return True


def read_files(folder, files, height, width):
    """Read files: a list of `Photograph`, a list of pairs (file, why not), and a `Counter` of what was done to them."""
    photographs = []
    skipped = []
    notes = Counter()
    for path, label in files:
        name = path.relative_to(folder).as_posix()
        try:
            photograph, said = read_file(path, name, label, height, width)
        except (ValueError, OSError) as error:
            skipped.append((name, reason(path, error)))
            continue
        photographs.append(photograph)
        notes.update(said)
    return photographs, skipped, notes


def read_file(path, name, label, height, width):
    """Read a file: a `Photograph`, and what was done to it, a list of words.

    Raises:
        ValueError: no picture, or one that is damaged or too large. OSError: the system does not let it be read.
    """
    length = path.stat().st_size
    if length > MOST_FILE:
        raise ValueError(f"it has {length >> 20} MB, over the limit of {MOST_FILE >> 20}")
    if not length:
        raise ValueError("it is empty")
    content = path.read_bytes()
    kind, size, taken = facts_of(content, path.name)
    picture, notes = read_picture(content, path.name)
    fitted = fit_picture(picture, height, width)[0]
    digest = hashlib.sha256(content).hexdigest()
    return Photograph(name, label, fitted, size, digest, taken), [*kind, *notes]


def facts_of(content, name):
    """What a file says of its picture.

    Returns:
        How it differs from upright RGB, a list of words; its width and height once it is upright; and its camera and
        the time of day in seconds, or None.

    Raises:
        ValueError: it is no picture.
    """
    with in_words(name), Image.open(io.BytesIO(content)) as image:
        kinds = [f"{MODES[image.mode]}, made RGB."] if image.mode in MODES else []
        size = image.size
        try:
            exif = image.getexif()
            rotation = exif.get(ROTATION, 1)
            camera = str(exif.get(CAMERA, ""))
            moment = exif.get_ifd(DETAILS).get(TAKEN)
        except Exception:  # thousands of programs write EXIF, and what is wrong in it says nothing of the picture
            return kinds, size, None
    if rotation in TURNED:
        kinds.append("turned upright, as the camera says.")
    if rotation in LYING:
        size = size[::-1]
    try:
        when = datetime.strptime(str(moment).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return kinds, size, None
    return kinds, size, (camera, (when - datetime(1970, 1, 1)).total_seconds())


def reason(path, error):
    """Why a file was skipped, in words that do not repeat its name."""
    if path.suffix.lower() in (".heic", ".heif") and find_spec("pillow_heif") is None:
        return "it is HEIC, which is read with the package pillow-heif: pip install pillow-heif, or save it as JPEG"
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return text.removeprefix(f"{path.name} ").rstrip(".")


def without_copies(photographs, class_names):
    """Of files that are the same byte for byte, the first; none where they lie in several classes. And those left out.

    Returns:
        A list of `Photograph`, and a list of pairs (file, why).
    """
    same = {}
    for photograph in photographs:
        same.setdefault(photograph.digest, []).append(photograph)
    kept = []
    left_out = []
    for alike in same.values():
        first, *others = sorted(alike, key=lambda photograph: (len(photograph.name), photograph.name))
        labels = sorted({photograph.label for photograph in alike})
        if len(labels) > 1:
            names = " and ".join(class_names[label] for label in labels)
            left_out += [(photograph.name, f"the same file lies in {names}: one is wrong") for photograph in alike]
            continue
        kept.append(first)
        left_out += [(photograph.name, f"the same file as {first.name}") for photograph in others]
    return kept, left_out


def check_classes(folder, class_names, photographs, skipped):
    """Raise ValueError unless there is a readable picture of each class."""
    for label, name in enumerate(class_names):
        if not any(photograph.label == label for photograph in photographs):
            own = [f"{file}: {why}" for file, why in sorted(skipped) if file.startswith(f"{name}/")]
            said = "; ".join(own[:3]) or "the folder is empty"
            raise ValueError(f"There is no picture of class {name!r} in {folder} that can be used ({said}).")


# ---- what shows the same thing


def groups_of(photographs, alike=ALIKE):
    """For each photograph the number of its group, which is that of its first member: a list."""
    leaders = list(range(len(photographs)))

    def leader(number):
        while leaders[number] != number:
            leaders[number] = leaders[leaders[number]]
            number = leaders[number]
        return number

    for one, other in [*of_one_name(photographs), *of_one_moment(photographs), *of_one_look(photographs, alike)]:
        first, last = sorted((leader(one), leader(other)))
        leaders[last] = first
    return [leader(number) for number in range(len(photographs))]


def of_one_name(photographs):
    """Pairs of photographs that lie in one folder inside their class's, or that differ in a mark of copies only."""
    first = {}
    for number, photograph in enumerate(photographs):
        path = Path(photograph.name)
        inside = len(path.parts) > 2
        key = path.parts[:2] if inside else (path.parts[0], SAME_NAME.sub("", path.stem))
        if key in first:
            yield first[key], number
        first.setdefault(key, number)


def of_one_moment(photographs):
    """Pairs of photographs that one camera took shortly after each other."""
    timed = [(photograph.taken, number) for number, photograph in enumerate(photographs) if photograph.taken]
    timed.sort()
    for (before, one), (after, other) in zip(timed, timed[1:], strict=False):
        if before[0] == after[0] and after[1] - before[1] <= BURST:
            yield one, other


def of_one_look(photographs, alike, rows=1024):
    """Pairs of photographs whose small grey copies correlate by `alike` or more; none where it is None.

    Of pictures without any contrast nothing is said.
    """
    if alike is None or not photographs:
        return
    copies = np.stack([grey_copy(photograph.picture) for photograph in photographs])
    for start in range(0, len(copies), rows):
        found = copies[start : start + rows] @ copies.T >= alike
        for one, other in zip(*np.nonzero(found), strict=True):
            if start + one < other:
                yield start + int(one), int(other)


def grey_copy(picture):
    """A picture as a vector (1024,) of brightnesses with mean 0 and length 1; zeros where it has no contrast."""
    small = Image.fromarray(picture).convert("L").resize((COPY_SIDE, COPY_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, "float32").ravel()
    values = values - values.mean()
    length = np.linalg.norm(values)
    return values / length if length > COPY_SIDE else np.zeros_like(values)  # less than a grey level on average


# ---- which part it goes to


def split(photographs, groups, shares, class_names, seed):
    """For each photograph the part that it goes to, a list; and sentences about classes that could not be split so.

    Groups go whole, in an order drawn by `seed`. A group belongs to the class of most of its pictures.

    Raises:
        ValueError: no class has enough groups to be split.
    """
    members = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    of_class = {label: [] for label in range(len(class_names))}
    for own in members.values():
        labels = Counter(photographs[number].label for number in own)
        of_class[labels.most_common(1)[0][0]].append(own)
    rng = np.random.default_rng(seed)
    parts = ["train"] * len(photographs)
    warnings = []
    for label, listed in of_class.items():
        left = [listed[place] for place in rng.permutation(len(listed))]
        total = sum(map(len, left))
        for part, share in shares.items():
            taken, left = take_groups(left, share, total)
            for number in (number for own in taken for number in own):
                parts[number] = part
            if share and not taken:
                warnings.append(
                    f"Class {class_names[label]!r} has no picture for {part}: its {total} pictures form "
                    f"{len(listed)} groups. Add pictures of other subjects or moments."
                )
    for part, share in shares.items():
        if share and part not in parts:
            raise ValueError(
                f"No class can be split: no group is left for {part}. {' '.join(warnings)} Or set "
                f"{'validation' if part == 'val' else part}=0."
            )
    return parts, warnings


def take_groups(groups, share, total):
    """Of some groups as many as come closest to a share of `total` pictures, but never all: those taken, those left."""
    wanted = max(1, round(share * total)) if share else 0
    taken = []
    left = []
    count = 0
    for place, group in enumerate(groups):
        last = place == len(groups) - 1 and not left
        if count + len(group) <= wanted and not last:
            taken.append(group)
            count += len(group)
        else:
            left.append(group)
    if wanted and not taken and len(left) > 1:  # all are larger than what is wanted: the smallest, if half is left
        smallest = min(left, key=len)
        if 2 * len(smallest) <= total:
            taken = [smallest]
            left = [group for group in left if group is not smallest]
    return taken, left


def counts_of(photographs, parts, class_names):
    """{part: {class: pictures}}, for the parts that there are."""
    counts = Counter((part, photograph.label) for part, photograph in zip(parts, photographs, strict=True))
    return {
        part: {name: counts[part, label] for label, name in enumerate(class_names)}
        for part in ("train", "val", "test")
        if part in parts
    }


def as_set(folder, class_names, photographs, groups, parts, report):
    """The `FolderSet`. A group that spans classes has a track in each, as a track is of one class."""
    tracks = {}
    for group, photograph in zip(groups, photographs, strict=True):
        tracks.setdefault((group, photograph.label), len(tracks))
    fields = {}
    for part in ("train", "val", "test"):
        rows = [number for number, own in enumerate(parts) if own == part]
        if not rows and part != "train":
            continue
        if not rows:
            raise ValueError(f"{folder}: no group of pictures is left to train on: lower validation and test.")
        fields[f"x_{part}"] = np.stack([photographs[number].picture for number in rows])
        fields[f"y_{part}"] = np.array([photographs[number].label for number in rows])
        fields[f"size_{part}"] = np.array([photographs[number].size for number in rows])
        if part != "test":
            fields[f"track_{part}"] = np.array([tracks[groups[number], photographs[number].label] for number in rows])
    return FolderSet(folder.resolve().name, "own split", class_names, report=report, **fields)
