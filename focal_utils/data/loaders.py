"""Traffic signs, blood cells, MedMNIST, photographs: loaders that give each image set as one object."""

import contextlib
import warnings

import numpy as np
from PIL import Image

from focal_utils.data.arrays import read_npz, write_npz
from focal_utils.data.gtsrb import ADDRESS, ARCHIVES, GTSRB_CLASSES, read_official, validation_mask
from focal_utils.data.imageset import PARTS, ImageSet, as_images, as_labels
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.files import cache_folder, check_digest, data_folder, fetch, given_folder

GTSRB_KEYS = (
    "x_train",
    "y_train",
    "x_test",
    "y_test",
    "track_train",
    "orig_size_train",
    "roi_train",
    "orig_size_test",
    "roi_test",
)

MEDMNIST_ADDRESS = "https://zenodo.org/records/10519652/files/"

BLOOD_CELLS = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)

_BREAST = ("malignant", "normal or benign")

# Name, MD5 checksum of the official file and class names of the MedMNIST v3 sets known here.
MEDMNIST = {
    "bloodmnist": ("7053d0359d879ad8a5505303e11de1dc", BLOOD_CELLS),
    "bloodmnist_64": ("2b94928a2ae4916078ca51e05b6b800b", BLOOD_CELLS),
    "breastmnist": ("750601b1f35ba3300ea97c75c52ff8f6", _BREAST),
    "breastmnist_64": ("742edef2a1fd1524b2efff4bd7ba9364", _BREAST),
    "pneumoniamnist": ("28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia")),
}


def load_gtsrb(size=32, validation=0.1, seed=0, download=True):
    """Load the German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012).

    The official 39,209 training images, split by track into training and validation, and the official 12,630 test
    images: the full frame (the sign with about 10 % border), resized with bilinear interpolation.

    Looked for in this order: ``gtsrb_<size>.npz`` in the folder that ``FOCAL_DATA_DIR`` names, the cache folder, the
    official archives in either folder, and their source on the internet (about 350 MB, once).

    Args:
        size: height and width in pixels.
        validation: share of each class's tracks that goes to validation.
        seed: the same seed gives the same split.
        download: whether the official archives may be fetched.

    Returns:
        An ``ImageSet``.

    Raises:
        DataNotFound: the data is not here and cannot be had; the message names three ways out.
        DamagedData: a file is cut short or not what it should be.
    """
    if not 8 <= size <= 1024:
        raise ValueError(f"size is {size!r}, expected 8 to 1024 pixels.")
    arrays = _gtsrb_arrays(size, download)
    held_out = validation_mask(arrays["y_train"], arrays["track_train"], validation, seed)
    parts = {}
    for part, rows in (("train", ~held_out), ("val", held_out)):
        parts |= {
            f"x_{part}": arrays["x_train"][rows],
            f"y_{part}": arrays["y_train"][rows].astype(np.int64),
            f"track_{part}": arrays["track_train"][rows],
            f"size_{part}": arrays["orig_size_train"][rows],
            f"roi_{part}": arrays["roi_train"][rows],
        }
    return ImageSet(
        "GTSRB",
        "official",
        GTSRB_CLASSES,
        x_test=arrays["x_test"],
        y_test=arrays["y_test"].astype(np.int64),
        size_test=arrays["orig_size_test"],
        roi_test=arrays["roi_test"],
        **parts,
    )


def _gtsrb_arrays(size, download):
    name = f"gtsrb_{size}.npz"
    given = given_folder()
    if given and (given / name).is_file():
        facts = (given / name).stat()
        return _through_cache(
            f"gtsrb_{size}_copy.npz", f"{facts.st_size} {facts.st_mtime_ns}", lambda: read_npz(given / name, GTSRB_KEYS)
        )

    wanted = f"the official archives or {name}" + (" (gtsrb_32.npz serves size=32 only)" if size != 32 else "")
    instead = "render_signs(n) gives traffic signs without any data"
    return _through_cache(
        name,
        None,
        lambda: read_official(
            *_obtain(
                {archive: (ADDRESS + archive, md5) for archive, md5 in ARCHIVES.items()}, wanted, instead, download
            ),
            size,
        ),
    )


def _through_cache(name, origin, make):
    """Return GTSRB's arrays from the cache, or make them and put them there.

    ``origin`` says what the cached arrays must have been made from; ``None`` accepts any.
    """
    path = cache_folder() / name
    if path.is_file():
        try:
            arrays = read_npz(path, GTSRB_KEYS)
            if str(arrays.pop("origin", "")) == origin or origin is None:
                return arrays
        except DamagedData as error:
            warnings.warn(f"{error} It is not used, and made again.", stacklevel=4)
    arrays = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, origin=np.array(origin or "official archives"), **arrays)
    return arrays


def load_medmnist(name, download=True):
    """Load a MedMNIST v3 data set (Yang et al. 2023, doi 10.1038/s41597-022-01721-8) with its official split.

    Args:
        name: "bloodmnist", "breastmnist" or "pneumoniamnist" (28 × 28), "bloodmnist_64" or "breastmnist_64".
        download: whether the file may be fetched from Zenodo if it is neither in ``FOCAL_DATA_DIR`` nor in the cache.

    Returns:
        An ``ImageSet``; grey images have one channel.

    Raises:
        ValueError: no such name.
        DataNotFound: the data is not here and cannot be had; the message names three ways out.
        DamagedData: the file is not the official one.
    """
    if name not in MEDMNIST:
        raise ValueError(f"There is no MedMNIST set {name!r} here, expected one of {', '.join(MEDMNIST)}.")
    md5, class_names = MEDMNIST[name]
    file = f"{name}.npz"
    (path,) = _obtain(
        {file: (f"{MEDMNIST_ADDRESS}{file}?download=1", md5)},
        file,
        "render_signs(n) gives another set, traffic signs, without any data",
        download,
    )
    return _medmnist_layout(path, name, "official", class_names)


def load_blood_cells():
    """Load peripheral blood cells (Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1, CC BY 4.0) at 28 × 28.

    These are the images that BloodMNIST was made from, with another split: results are not comparable with
    published BloodMNIST figures. Five images stand in both training and test.

    Returns:
        An ``ImageSet`` with 11,965 / 1,710 / 3,417 images of 8 classes.

    Raises:
        DataNotFound: the file is not here; the message names the ways out.
        DamagedData: the file is cut short or not what it should be.
    """
    file = "bloodcells_pbc_28.npz"
    path = _find(file)
    if path is None:
        raise DataNotFound(
            f"{file} is not on this machine, and there is no address to fetch it from. Three ways out:\n"
            f"  1. set FOCAL_DATA_DIR to a folder that holds it (now: {_given_text()});\n"
            f"  2. put it into {cache_folder()};\n"
            '  3. load_medmnist("bloodmnist") downloads the official set made from the same source.'
        )
    return _medmnist_layout(path, "blood cells", "own split", BLOOD_CELLS, (28, 28, 3))


def _medmnist_layout(path, name, source, class_names, shape=None):
    keys = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    arrays = read_npz(path, keys)
    parts = {}
    for part in PARTS:
        images = arrays[f"{part}_images"]
        labels = arrays[f"{part}_labels"]
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or (shape and images.shape[1:] != shape):
            wanted = shape or "(height, width[, 3])"
            raise DamagedData(
                f"{path}: {part}_images has shape {images.shape} and type {images.dtype}, expected uint8 images "
                f"{wanted}. Delete the file and get it again."
            )
        try:
            parts[f"x_{part}"] = as_images(images, f"{part}_images")
            parts[f"y_{part}"] = as_labels(labels, len(class_names), len(images), f"{part}_labels")
        except ValueError as error:
            raise DamagedData(f"{path}: {error} Delete the file and get it again.") from error
    return _image_set(path, name, source, class_names, **parts)


def _image_set(path, name, source, class_names, **parts):
    """The `ImageSet` of what stands in a file: what is wrong with it is said of the file."""
    try:
        return ImageSet(name, source, class_names, **parts)
    except ValueError as error:
        raise DamagedData(f"{path}: {error} Delete the file and get it again.") from error


def load_photos():
    """Load the freely licensed photographs in ``data/photos`` (credits: ``data/photos/CREDITS.md``).

    Returns:
        Dict from name to uint8 array of shape (height, width, 3), in alphabetical order.

    Raises:
        FileNotFoundError: the project's data folder is not here.
        DamagedData: a photograph cannot be read.
    """
    photos = {}
    for path in sorted((data_folder() / "photos").glob("*.jpg")):
        try:
            with Image.open(path) as picture:
                photos[path.stem] = np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise DamagedData(f"{path} is not a readable image ({error}).") from error
    if not photos:
        raise FileNotFoundError(f"{data_folder() / 'photos'} holds no .jpg file.")
    return photos


def _find(name):
    for folder in (given_folder(), cache_folder()):
        if folder and (folder / name).is_file():
            return folder / name
    return None


def _obtain(files, wanted, instead, download):
    """Return the paths of checked files, found or fetched into the cache; ``files`` maps names to (url, md5)."""
    paths = {name: _find(name) for name in files}
    for name, path in paths.items():
        if path:
            check_digest(path, files[name][1])
    try:
        for name in [name for name, path in paths.items() if path is None]:
            if not download:
                raise ConnectionError("download=False")
            fetch(files[name][0], cache_folder() / name, files[name][1])
            paths[name] = cache_folder() / name
    except OSError as error:
        missing = [name for name, path in paths.items() if path is None]
        addresses = "".join(f"\n       {files[name][0]}" for name in missing)
        raise DataNotFound(
            f"{', '.join(missing)}: not on this machine, and not to be fetched ({error}). Three ways out:\n"
            f"  1. set FOCAL_DATA_DIR to a folder that holds {wanted} (now: {_given_text()});\n"
            f"  2. download by hand, and put into {cache_folder()}:{addresses}\n"
            f"  3. {instead}."
        ) from error
    return list(paths.values())


def _given_text():
    given = given_folder()
    return "not set" if given is None else f"{given}, which does not hold it"
