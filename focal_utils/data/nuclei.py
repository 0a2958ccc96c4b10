"""Cell nuclei under the microscope, in pictures up to a megapixel: BBBC038v1, stage 1 of the 2018 Data Science Bowl.

Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16,
doi 10.1038/s41592-019-0612-7; public domain (CC0). Many pictures are tiles of one larger picture: a split must not
put one tile into training and its neighbour into the test.
"""

import csv
import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import fft, sparse

from focal_utils.data.arrays import read_npz
from focal_utils.data.imageset import PARTS
from focal_utils.data.loaders import find_file, obtain
from focal_utils.errors import DamagedData, check_choice
from focal_utils.files import cache_folder, data_folder, open_archive, read_member, reading, whole_file

ADDRESS = "https://data.broadinstitute.org/bbbc/BBBC038/"
OFFICIAL = "stage1_train.zip"
MENDED = "nuclei_stage1_train.zip"
# Number of pictures → which archive it is. No checksum is published for the official one.
EDITIONS = {670: "official", 664: "mended"}

SHARES = {"test": 0.2, "val": 0.15}  # of the origins; the rest is for training
# Of the seeds 0 to 39 one of the three whose parts have shares nearest to those of every common size; of these the one
# with the only picture of 1388×1040 in the test. Chosen before anything was trained.
SPLIT = 20

MEMBER = re.compile(r"(?:.*/)?(?P<id>[^/]+)/(?P<kind>images|masks)/[^/]+\.png")
PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA")  # Pillow's names for pictures of 8 bits a channel

# What tells the tiles of one picture (`same_origin`). Of the 664 pictures, 497 pairs of borders pass, and of as many
# that cannot be neighbours, since one border is read backwards, 2 (`tools/measure_nuclei.py`).
ALIKE = 0.7  # least correlation of two borders that touch
STEP = 1.35  # largest change from border to border, over that from a border to the pixels beside it
RARE = 10  # a size that fewer pictures have is taken for one origin
SAME = 0.9  # least correlation of what two pictures show of the same place
SHARED = 0.25  # least share of a picture for such a place
TOUCH = 0.01  # largest share of a nucleus that another mask may claim too


@dataclass(frozen=True, eq=False, repr=False)
class PictureSet:
    """Pictures of any size with a label map each, split into training, validation and test.

    `x_*` are lists of uint8 pictures (height, width, 3); `y_*` lists of uint16 label maps (height, width), 0 outside,
    1, 2, … one number for each object. `id_*` (N,) are the pictures' names and `origin_*` (N,) whole numbers: pictures
    with the same one were cut from the same larger picture, and stand in the same part.
    """

    name: str
    source: str
    x_train: list
    y_train: list
    x_val: list
    y_val: list
    x_test: list
    y_test: list
    id_train: np.ndarray
    id_val: np.ndarray
    id_test: np.ndarray
    origin_train: np.ndarray
    origin_val: np.ndarray
    origin_test: np.ndarray

    def __repr__(self):
        parts = [getattr(self, f"x_{part}") for part in PARTS]
        counts = " / ".join(f"{len(part):,}" for part in parts)
        pictures = [picture for part in parts for picture in part]
        sides = [side for picture in pictures for side in picture.shape[:2]]
        return (
            f"<PictureSet {self.name} ({self.source}): {counts} train / val / test, "
            f"sides of {min(sides)} to {max(sides)} pixels>"
        )


class Nuclei(NamedTuple):
    """The pictures of an archive, as they come: lists of one length."""

    ids: list
    pictures: list  # uint8 (height, width, 3) each
    labels: list  # uint16 (height, width) each
    edition: str


def kind_of(picture):
    """How a picture was taken: "fluorescence", bright nuclei on black; "brightfield", grey; "stained", in colour."""
    if np.ptp(picture, axis=-1).any():
        return "stained"
    return "brightfield" if picture.mean() > 127 else "fluorescence"


def load_nuclei(shipped=False, seed=SPLIT, download=True):
    """Load cell nuclei under the microscope (BBBC038v1, stage 1; Caicedo et al. 2019), split by origin.

    Looked for in this order: `nuclei_stage1_train.zip` (664 pictures, masks mended by hand) or `stage1_train.zip` (the
    official 670), in the folder that `FOCAL_DATA_DIR` names and in the cache folder; then the official archive on the
    internet (about 80 MB, once). The masks, one file for each nucleus, become one label map for each picture the first
    time, which takes a minute; it is kept in the cache.

    An origin, one larger picture with all its tiles, stands in one part as a whole (`same_origin`, `part_of`).

        nuclei = fu.load_nuclei()
        nuclei.x_train[0].shape, nuclei.y_train[0].max()    # (256, 256, 3) and how many nuclei it shows

    Args:
        shipped: only the selection of pictures in `data/nuclei`, which come with the project; its parts are those of
            the whole set. It needs no other data and no network. Where the folder holds no more than the selection's
            list, as in the zip for Colab, the pictures are taken out of the whole set.
        seed: the same seed gives the same split. The selection, and what the shipped network was trained on, is of 20.
        download: whether the official archive may be fetched.

    Returns:
        A `PictureSet`; its `source` says which archive it was.

    Raises:
        DataNotFound: the data is not here and cannot be had; the message names three ways out.
        DamagedData: an archive is cut short or not what it should be: pictures without masks, masks of another size,
            overlapping masks, pictures of 16 bits.
        ValueError: the selection with another seed than that it was made with.
    """
    if shipped:
        if seed != SPLIT:
            raise ValueError(f"seed={seed}: the selection that ships was made with seed {SPLIT}. Leave seed out.")
        folder = data_folder() / "nuclei"
        if any(folder.glob("*.png")):
            return read_selection(folder)
        return selected(whole_set(seed, download, "copy the folder data/nuclei of the project here"), read_list(folder))
    instead = "load_nuclei(shipped=True) gives a selection of the pictures without any other data"
    return whole_set(seed, download, instead)


def whole_set(seed, download, instead):
    """All pictures, split; `instead` is what to do where they are not here and cannot be had. See `load_nuclei`."""
    path = find_file(MENDED) or find_file(OFFICIAL)
    if path is None:
        wanted = f"{OFFICIAL} or {MENDED}"
        (path,) = obtain({OFFICIAL: (ADDRESS + OFFICIAL, None)}, wanted, instead, download)
    nuclei, origins = with_labels(path)
    source = f"{nuclei.edition}, {len(nuclei.ids)} pictures"
    return split_by_origin(nuclei.ids, nuclei.pictures, nuclei.labels, origins, source, seed)


def split_by_origin(ids, pictures, labels, origins, source, seed=SPLIT):
    """The `PictureSet` of pictures, their label maps and their origins: lists of one length."""
    keys = {origin: min(i for i, other in zip(ids, origins, strict=True) if other == origin) for origin in set(origins)}
    parts = np.array([part_of(keys[origin], seed) for origin in origins])
    fields = {}
    for part in PARTS:
        rows = np.flatnonzero(parts == part)
        fields[f"x_{part}"] = [pictures[row] for row in rows]
        fields[f"y_{part}"] = [labels[row] for row in rows]
        fields[f"id_{part}"] = np.array([ids[row] for row in rows])
        fields[f"origin_{part}"] = np.array([origins[row] for row in rows])
    return PictureSet("nuclei", source, **fields)


def part_of(key, seed=SPLIT):
    """The part that an origin goes to, "train", "val" or "test", drawn by a hash of the first name of its pictures.

    So the part does not depend on what else there is: in the official archive a picture stands where it stands in the
    mended one, which lacks six.
    """
    draw = int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
    if draw < SHARES["test"]:
        return "test"
    return "val" if draw < SHARES["test"] + SHARES["val"] else "train"


def read_archive(path, editions=EDITIONS):
    """Read pictures and masks of an archive in the official layout, without unpacking it.

    `<id>/images/<id>.png` is a picture, each of `<id>/masks/*.png` one nucleus of it.

    Args:
        path: of the zip archive.
        editions: how many pictures there may be → what the archive is then called.

    Returns:
        `Nuclei`, in the order of the ids.

    Raises:
        DamagedData: the archive is cut short, has another number of pictures, or a picture or mask is not as it should
            be; the message names it.
    """
    from rich.progress import track

    with open_archive(path) as archive:
        found = members_of(archive)
        edition = editions.get(len(found))
        if edition is None:
            expected = " or ".join(f"{count} ({name})" for count, name in editions.items())
            raise DamagedData(f"{path} holds {len(found)} pictures, expected {expected}. Get the archive again.")
        pictures = []
        labels = []
        for members in track(found.values(), f"Reading {len(found)} pictures and their masks"):
            picture = read_picture_of(archive, members["images"])
            pictures.append(picture)
            labels.append(read_labels(archive, members, picture.shape[:2]))
    return Nuclei(list(found), pictures, labels, edition)


def members_of(archive):
    """The members of each picture, in the order of the ids: {id: {"images": name, "masks": names}}.

    Raises:
        DamagedData: a picture without masks, masks without a picture, or two pictures of one id.
    """
    found = {}
    for name in sorted(archive.namelist()):
        if match := MEMBER.fullmatch(name):
            found.setdefault(match["id"], {"images": [], "masks": []})[match["kind"]].append(name)
    for picture, members in found.items():
        if len(members["images"]) != 1:
            raise DamagedData(
                f"{archive.filename}: {picture} has {len(members['images'])} pictures in its folder images, expected 1."
            )
        if not members["masks"]:
            raise DamagedData(
                f"{archive.filename}: {members['images'][0]} has no masks. Every picture needs a folder masks beside "
                "images, with one PNG file for each nucleus."
            )
        members["images"] = members["images"][0]
    return found


def open_picture(archive, name):
    """A member as a Pillow image of 8 bits a channel.

    Raises:
        DamagedData: it is no picture, or has 16 or 32 bits.
    """
    data = read_member(archive, name)
    with reading(f"{archive.filename}: {name}"):
        picture = Image.open(io.BytesIO(data))
        picture.load()
    if picture.mode not in PLAIN:
        raise DamagedData(
            f"{archive.filename}: {name} has pixels of mode {picture.mode}, expected 8 bits a channel (grey, RGB or "
            "RGBA). Scale pictures of 16 bits to 0…255 first: what is white in them is not known here."
        )
    return picture


def read_picture_of(archive, name):
    """A picture (height, width, 3), uint8; alpha is dropped where it is opaque everywhere.

    Raises:
        DamagedData: see `open_picture`; or pixels that are transparent, whose colour is not known.
    """
    picture = open_picture(archive, name)
    if "A" in picture.getbands() and picture.getchannel("A").getextrema()[0] < 255:
        raise DamagedData(
            f"{archive.filename}: {name} has transparent pixels, whose colour is not known. Lay it on a background "
            "first."
        )
    return np.asarray(picture.convert("RGB"))


def read_labels(archive, members, shape):
    """The label map of a picture's masks: uint16 (height, width), 0 outside, then 1, 2, … in the order of their names.

    A pixel that two masks claim goes to the first. In the mended archive six pictures have one or two such pixels.

    Raises:
        DamagedData: a mask of another size, one that marks nothing, or one of which others claim more than a hundredth.
    """
    labels = np.zeros(shape, np.uint16)
    for number, name in enumerate(members["masks"], start=1):
        image = open_picture(archive, name).convert("L")
        where = f"{archive.filename}: the mask {name}"
        height, width = shape
        if image.size != (width, height):
            raise DamagedData(
                f"{where} is {image.width}×{image.height} pixels large, its picture {width}×{height}: masks have "
                "the size of their picture."
            )
        box = image.getbbox()  # a nucleus is small, and the rest of its mask is not looked at
        if box is None:
            raise DamagedData(f"{where} marks no pixel. Leave empty masks out.")
        left, top, right, bottom = box
        mask = np.asarray(image.crop(box)) > 0
        part = labels[top:bottom, left:right]
        size = int(mask.sum())
        twice = int((part[mask] > 0).sum())
        if twice > max(TOUCH * size, 2):
            raise DamagedData(
                f"{where} overlaps the masks before it in {twice} of its {size} pixels. A pixel belongs to one nucleus."
            )
        part[mask & (part == 0)] = number
    return labels


def with_labels(path):
    """`Nuclei` of an archive, and their origins: the label maps through the cache, since the masks take a minute."""
    cached = cache_folder() / f"{path.stem}_labels.npz"
    facts = path.stat()
    made_from = f"{facts.st_size} {facts.st_mtime_ns}"
    if cached.is_file():
        try:
            arrays = read_npz(cached, ("made_from", "ids", "origins", "shapes", "labels"))
            if str(arrays["made_from"]) == made_from:
                return from_cache(path, arrays)
        except DamagedData as error:
            warnings.warn(f"{error} It is not used, and made again.", stacklevel=3)
    nuclei = read_archive(path)
    origins = same_origin(nuclei.pictures)
    arrays = {
        "made_from": made_from,
        "ids": np.array(nuclei.ids),
        "origins": origins,
        "shapes": np.array([labels.shape for labels in nuclei.labels]),
        "labels": np.concatenate([labels.ravel() for labels in nuclei.labels]),
    }
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(cached) as part, open(part, "wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        warnings.warn(f"The label maps could not be kept in {cached} ({error}).", stacklevel=3)
    return nuclei, origins


def from_cache(path, arrays):
    """`Nuclei` of an archive whose label maps are in the cache, and the origins: only the pictures are read."""
    ids = arrays["ids"].tolist()
    with open_archive(path) as archive:
        found = members_of(archive)
        if list(found) != ids:
            raise DamagedData(f"The label maps kept of {path} are of other pictures than those in it.")
        pictures = [read_picture_of(archive, members["images"]) for members in found.values()]
    shapes = arrays["shapes"]
    cuts = np.split(arrays["labels"], np.cumsum(shapes.prod(axis=1))[:-1])
    labels = [flat.reshape(shape) for flat, shape in zip(cuts, shapes, strict=True)]
    return Nuclei(ids, pictures, labels, EDITIONS[len(ids)]), arrays["origins"]


def same_origin(pictures):
    """For each picture a whole number, the same for those cut from, or showing parts of, one larger picture: (N,).

    Two pictures of one size belong together where one's border continues in the other's (`touching`), for tiles cut
    without overlap; where both are no such tiles, if they show the same place (`overlapping`); and all pictures of a
    size that hardly any other has, which come from one microscope. Tiles whose borders show nothing but background
    cannot be told by them, and may stay apart.

    Args:
        pictures: a list of uint8 arrays (height, width, 3).
    """
    sizes = {}
    for row, picture in enumerate(pictures):
        sizes.setdefault(picture.shape[:2], []).append(row)
    pairs = []
    for rows in sizes.values():
        alike = [pictures[row] for row in rows]
        if len(rows) < RARE:
            found = [(0, other) for other in range(1, len(rows))]
        else:
            found = [(a, b) for a, b, _ in touching(alike)]
            alone = sorted(set(range(len(rows))) - {row for pair in found for row in pair})
            found += [(alone[a], alone[b]) for a, b in overlapping([alike[row] for row in alone])]
        pairs += [(rows[a], rows[b]) for a, b in found]
    count = len(pictures)
    first = [a for a, _ in pairs]
    second = [b for _, b in pairs]
    links = sparse.coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    return sparse.csgraph.connected_components(links, directed=False)[1]


def borders(pictures):
    """The grey borders of pictures of one size, each with the pixels beside it: {side: (outer, inner)}, (N, side)."""
    grey = [picture.mean(axis=-1, dtype="float32") for picture in pictures]

    def column(at):
        return np.stack([picture[:, at] for picture in grey])

    def row(at):
        return np.stack([picture[at] for picture in grey])

    return {
        "left": (column(0), column(1)),
        "right": (column(-1), column(-2)),
        "top": (row(0), row(1)),
        "bottom": (row(-1), row(-2)),
    }


def continues(one, other):
    """Which borders continue in which: correlations and steps, (N, M) each.

    Args:
        one, other: pairs (outer, inner) as from `borders`: a border's pixels and those beside them, (N, n) and (M, n).

    Returns:
        The correlation of every border of `one` with every one of `other`, and how much it changes from the one to the
        other, over how much both change by one pixel inwards: near 1 where one picture was cut in two.
    """
    outer, inner = one
    far_outer, far_inner = other
    centred = outer - outer.mean(axis=1, keepdims=True)
    far = far_outer - far_outer.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)[:, None] * np.linalg.norm(far, axis=1)
    correlation = centred @ far.T / np.maximum(lengths, 1e-6)
    across = np.stack([np.abs(border - far_outer).mean(axis=1) for border in outer])
    inwards = (np.abs(outer - inner).mean(axis=1)[:, None] + np.abs(far_outer - far_inner).mean(axis=1)) / 2
    return correlation, across / np.maximum(inwards, 1e-6)


def matches(one, other):
    """Pairs (a, b, correlation) of borders that continue in each other, each the other's best: a list."""
    correlation, step = continues(one, other)
    np.fill_diagonal(correlation, -1)
    best = correlation.argmax(axis=1)
    back = correlation.argmax(axis=0)
    found = []
    for a, b in enumerate(best):
        if back[b] == a and correlation[a, b] >= ALIKE and step[a, b] <= STEP:
            found.append((a, int(b), float(correlation[a, b])))
    return found


def touching(pictures):
    """Pairs of pictures of one size of which the second continues the first, to the right or below: (a, b, direction).

    The direction is "right" or "below".
    """
    found = borders(pictures)
    right = [(a, b, "right") for a, b, _ in matches(found["right"], found["left"])]
    below = [(a, b, "below") for a, b, _ in matches(found["bottom"], found["top"])]
    return right + below


def halved(picture):
    """The logarithm of a picture's brightness at half its size: float32 (height // 2, width // 2)."""
    height = picture.shape[0] // 2
    width = picture.shape[1] // 2
    grey = picture[: 2 * height, : 2 * width].mean(axis=-1, dtype="float32")
    return np.log(grey.reshape(height, 2, width, 2).mean(axis=(1, 3)) + 4)


def overlapping(pictures, peak=15.0):
    """Pairs (a, b) of pictures of one size that show the same place, wherever it lies in them: a list.

    Phase correlation (Kuglin & Hines 1975) proposes the shift, and the correlation of what overlaps decides.
    scikit-image's `phase_cross_correlation` does it for one pair, and transforms both anew each time; here there are
    thousands of pairs.

    Args:
        pictures: uint8 (height, width, 3), of one size.
        peak: how many standard deviations a shift must stand out by, to be looked at.
    """
    if len(pictures) < 2:
        return []
    views = np.stack([halved(picture) for picture in pictures])
    shape = views.shape[1:]
    window = np.sqrt(np.hanning(shape[0])[:, None] * np.hanning(shape[1])).astype("float32")
    spectra = []
    for view in views:
        spectrum = fft.rfft2((view - view.mean()) * window)
        size = np.abs(spectrum)
        spectra.append(spectrum / (size + 1e-3 * size.max() + 1e-12))
    spectra = np.stack(spectra)
    pairs = []
    for a in range(len(views) - 1):
        answer = fft.irfft2(spectra[a] * spectra[a + 1 :].conj(), s=shape).reshape(len(views) - 1 - a, -1)
        place = answer.argmax(axis=1)
        height = answer.max(axis=1) / answer.std(axis=1)
        for b in np.flatnonzero(height > peak):
            down, right = divmod(int(place[b]), shape[1])
            if shows_the_same(views[a], views[a + 1 + b], down, right):
                pairs.append((a, int(a + 1 + b)))
    return pairs


def shows_the_same(one, other, down, right):
    """Whether what two views (H, W) share is alike, one moved by (down, right) pixels, or by as many less H or W."""
    height, width = one.shape
    for dy in (down, down - height):
        for dx in (right, right - width):
            here = one[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
            there = other[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
            if here.size < SHARED * one.size or min(here.std(), there.std()) < 1e-3:
                continue
            if np.corrcoef(here.ravel(), there.ravel())[0, 1] >= SAME:
                return True
    return False


def read_png(path, mode=None):
    """A PNG file as an array, in another of Pillow's modes if asked.

    Raises:
        DamagedData: it is not there or not readable.
    """
    if not path.is_file():
        raise DamagedData(f"{path} is missing from the selection that ships. Get the project's data folder again.")
    with reading(path), Image.open(path) as picture:
        return np.asarray(picture.convert(mode) if mode else picture)


def read_selection(folder):
    """The `PictureSet` of a folder of PNG files, as `tools/select_nuclei.py` writes it, in the order of its list.

    `pictures.csv` lists id, part and origin; `<id>.png` is the picture and `<id>_nuclei.png` its label map, 16 bits.

    Raises:
        FileNotFoundError: there is no such list.
        DamagedData: a picture is missing or cannot be read, or its label map has another size.
    """
    rows = read_list(folder)
    found = {}
    for row in rows:
        picture = read_png(folder / f"{row['id']}.png", "RGB")
        labels = read_png(folder / f"{row['id']}_nuclei.png").astype(np.uint16)
        if labels.shape != picture.shape[:2]:
            raise DamagedData(f"{folder}: the label map of {row['id']} has shape {labels.shape}, its picture another.")
        found[row["id"]] = (picture, labels)
    return listed(rows, found, f"the {len(rows)} pictures that ship")


def read_list(folder):
    """The rows of a selection's list: dicts of id, part and origin.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a part that is none.
    """
    with open(folder / "pictures.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        check_choice("part", row["part"], PARTS)
    return rows


def selected(whole, rows):
    """The `PictureSet` of the rows of a selection's list, out of the whole set.

    Raises:
        DamagedData: a picture is not there.
    """
    found = {}
    for part in PARTS:
        pairs = zip(getattr(whole, f"x_{part}"), getattr(whole, f"y_{part}"), strict=True)
        found.update(zip(getattr(whole, f"id_{part}"), pairs, strict=True))
    missing = [row["id"] for row in rows if row["id"] not in found]
    if missing:
        raise DamagedData(f"{whole.source} lacks {len(missing)} of the {len(rows)} pictures, {missing[0]} for one.")
    return listed(rows, found, f"the {len(rows)} pictures that ship, out of {whole.source}")


def listed(rows, found, source):
    """The `PictureSet` of rows, in their order; `found` has for each id a picture and its label map."""
    fields = {f"{kind}_{part}": [] for part in PARTS for kind in ("x", "y", "id", "origin")}
    for row in rows:
        picture, labels = found[row["id"]]
        fields[f"x_{row['part']}"].append(picture)
        fields[f"y_{row['part']}"].append(labels)
        fields[f"id_{row['part']}"].append(row["id"])
        fields[f"origin_{row['part']}"].append(int(row["origin"]))
    for part in PARTS:
        fields[f"id_{part}"] = np.array(fields[f"id_{part}"])
        fields[f"origin_{part}"] = np.array(fields[f"origin_{part}"])
    return PictureSet("nuclei", source, **fields)
