"""Traffic signs, blood cells, MedMNIST, CIFAR-10, photographs: loaders that give each image set as one object."""

import contextlib
import os
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from focal_utils.data.arrays import read_npz, write_npz
from focal_utils.data.gtsrb import (
    ADDRESS,
    ARCHIVES,
    FIXED_COUNTS,
    GTSRB_CLASSES,
    find_layouts,
    read_official,
    validation_mask,
)
from focal_utils.data.imageset import PARTS, ImageSet, as_images, as_labels
from focal_utils.data.resizing import check_size
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.files import cache_folder, check_digest, data_folder, fetch, given_folder, reading

GTSRB_KEYS = (
    "x_train",
    "y_train",
    "x_test",
    "y_test",
    "track_train",
    "orig_size_train",
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

BREAST = ("malignant", "normal or benign")

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

CIFAR10_COUNTS = (50_000, 10_000)  # training, test

CIFAR10_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"

# Where Keras keeps it: in the folder that KERAS_HOME names, or in the user's own.
CIFAR10_FOLDER = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "cifar-10-batches-py-target"

# Name, MD5 checksum of the official file and class names of the MedMNIST v3 sets known here.
MEDMNIST = {
    "bloodmnist": ("7053d0359d879ad8a5505303e11de1dc", BLOOD_CELLS),
    "bloodmnist_64": ("2b94928a2ae4916078ca51e05b6b800b", BLOOD_CELLS),
    "breastmnist": ("750601b1f35ba3300ea97c75c52ff8f6", BREAST),
    "breastmnist_64": ("742edef2a1fd1524b2efff4bd7ba9364", BREAST),
    "pneumoniamnist": ("28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia")),
}


def load_gtsrb(size=32, validation=0.1, seed=0, download=True):
    """Load the German Traffic Sign Recognition Benchmark (Stallkamp et al. 2012).

    The official 39,209 training images, split by track into training and validation, and the official 12,630 test
    images: the full frame (the sign with about 10 % border), resized with bilinear interpolation.

    Looked for in this order: `gtsrb_<size>.npz` in the folder that `FOCAL_DATA_DIR` names, the cache folder, the
    official archives in either folder, the same images as Kaggle lays them out or unpacked, and the official source on
    the internet (about 350 MB, once). Where there is only `GTSRB-Training_fixed.zip`, as torchvision has it, its 26,640
    training images are read, and the set says so in its name.

    Args:
        size: height and width in pixels.
        validation: share of each class's tracks that goes to validation.
        seed: the same seed gives the same split.
        download: whether the official archives may be fetched.

    Returns:
        An `ImageSet`.

    Raises:
        ValueError: `size` or `validation` is out of range.
        DataNotFound: the data is not here and cannot be had; the message names three ways out.
        DamagedData: a file is cut short or not what it should be.

    Example:
        >>> load_gtsrb()
        <ImageSet GTSRB (official): 35,309 / 3,900 / 12,630 train / val / test, 32×32×3 uint8, 43 classes>
    """
    check_size(size)
    whole = whole_gtsrb(int(size), download)
    return whole.hold_out(validation_mask(whole.y_train, whole.track_train, validation, seed))


def whole_gtsrb(size, download):
    """GTSRB before some of its training images become validation."""
    name = f"gtsrb_{size}.npz"
    folders = [folder for folder in (given_folder(), cache_folder()) if folder and folder.is_dir()]
    given = given_folder()
    if given and (given / name).is_file():
        facts = (given / name).stat()
        read = partial(read_packed, given / name, size)
        origin = f"{facts.st_size} {facts.st_mtime_ns}"
        return through_cache(f"gtsrb_{size}_copy.npz", size, read, origin, given / name)
    layouts = [layout for folder in folders for layout in find_layouts(folder)]
    all_are_here = (cache_folder() / name).is_file() or all(find_file(archive) for archive in ARCHIVES)
    if layouts and not all_are_here:
        layout = min(layouts, key=lambda layout: layout.fixed)
        prefix = "gtsrb_fixed" if layout.fixed else "gtsrb"
        origin = " ".join(str(path) for path in layout.paths) if layout.fixed else None
        return through_cache(f"{prefix}_{size}.npz", size, partial(layout.read, size), origin)
    return through_cache(name, size, partial(read_archives, size, name, download))


def read_archives(size, name, download):
    files = {archive: (ADDRESS + archive, md5) for archive, md5 in ARCHIVES.items()}
    hint = " (gtsrb_32.npz serves size=32 only)" if size != 32 else ""
    wanted = f"the official archives or {name}{hint}"
    instead = "render_signs(n) gives traffic signs without any data"
    return read_official(*obtain(files, wanted, instead, download), size)


def read_packed(path, size):
    """The arrays of a `gtsrb_<size>.npz`; DamagedData for images of another size or type."""
    arrays = read_npz(path, GTSRB_KEYS, optional=("roi_train", "origin"))
    for part in ("train", "test"):
        images = arrays[f"x_{part}"]
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
            raise DamagedData(
                f"{path}: x_{part} has shape {images.shape} and type {images.dtype}, expected uint8 images "
                f"({size}, {size}, 3). Delete the file and get it again."
            )
    return arrays


def through_cache(name, size, read, origin=None, source="GTSRB"):
    """GTSRB out of the cache, or what `read()` gives, which then is put there.

    `origin` says what the cached arrays must have been made from; None accepts any. `source` is what messages call
    that from which is read.
    """
    path = cache_folder() / name
    if path.is_file():
        try:
            arrays = read_packed(path, size)
            if str(arrays.get("origin", "")) == origin or origin is None:
                return gtsrb_set(path, arrays)
        except DamagedData as error:
            warnings.warn(f"{error} It is not used, and made again.", stacklevel=4)
    arrays = {key: values for key, values in read().items() if key != "origin"}
    whole = gtsrb_set(source, arrays)
    with contextlib.suppress(OSError):  # without a cache it takes longer the next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, origin=np.array(origin or "official archives"), **arrays)
    return whole


def gtsrb_set(path, arrays):
    fixed = len(arrays["y_train"]) == sum(FIXED_COUNTS)
    return image_set(
        path,
        "GTSRB, Training_fixed" if fixed else "GTSRB",
        "official",
        GTSRB_CLASSES,
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        track_train=arrays["track_train"],
        size_train=arrays["orig_size_train"],
        roi_train=arrays.get("roi_train"),
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        size_test=arrays["orig_size_test"],
        roi_test=arrays["roi_test"],
    )


def load_medmnist(name, download=True):
    """Load a MedMNIST v3 data set (Yang et al. 2023, doi 10.1038/s41597-022-01721-8) with its official split.

    Args:
        name: "bloodmnist", "breastmnist" or "pneumoniamnist" (28 × 28), "bloodmnist_64" or "breastmnist_64".
        download: whether the file may be fetched from Zenodo if it is neither in `FOCAL_DATA_DIR` nor in the cache.

    Returns:
        An `ImageSet`; grey images have one channel.

    Raises:
        ValueError: no such name.
        DataNotFound: the data is not here and cannot be had; the message names three ways out.
        DamagedData: the file is not the official one.
    """
    if not isinstance(name, str) or name not in MEDMNIST:
        raise ValueError(f"There is no MedMNIST set {name!r} here, expected one of {', '.join(MEDMNIST)}.")
    md5, class_names = MEDMNIST[name]
    file = f"{name}.npz"
    (path,) = obtain(
        {file: (f"{MEDMNIST_ADDRESS}{file}?download=1", md5)},
        file,
        "render_signs(n) gives another set, traffic signs, without any data",
        download,
    )
    return read_medmnist(path, name, "official", class_names)


def load_cifar10(validation=0.1, seed=0):
    """Load CIFAR-10 (Krizhevsky 2009, *Learning multiple layers of features from tiny images*) through Keras' loader.

    60,000 photographs of 32×32 pixels. Keras looks in its own cache, `~/.keras/datasets`, then fetches 170 MB, once,
    from the set's home, and checks it. None of the images ship with this project.

    Args:
        validation: share of each class's 5,000 training images that goes to validation.
        seed: the same seed gives the same split.

    Returns:
        An `ImageSet` with the official 10,000 test images.

    Raises:
        ValueError: `validation` is out of range.
        DataNotFound: the images are not here and cannot be had; the message names three ways out.
        DamagedData: what Keras read is not CIFAR-10.

    Example:
        >>> load_cifar10()
        <ImageSet CIFAR-10 (official): 45,000 / 5,000 / 10,000 train / val / test, 32×32×3 uint8, 10 classes>
    """
    (x_train, y_train), (x_test, y_test) = read_cifar10()
    whole = image_set(
        CIFAR10_FOLDER,
        "CIFAR-10",
        "official",
        CIFAR10_CLASSES,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
    )
    each_alone = np.arange(len(whole.y_train))
    return whole.hold_out(validation_mask(whole.y_train, each_alone, validation, seed))


def read_cifar10():
    """What Keras' loader gives, two pairs of images and labels, if it is CIFAR-10."""
    archive = CIFAR10_FOLDER.with_name(f"{CIFAR10_FOLDER.name}_archive")
    by_hand = (
        "Three ways out:\n"
        f"  1. download {CIFAR10_ADDRESS} by hand, and put it there as {archive};\n"
        "  2. call load_cifar10() once where there is a network; Keras keeps the images in its cache;\n"
        "  3. render_signs(n) gives traffic signs without any data."
    )
    if os.environ.get("FOCAL_OFFLINE") and not archive.is_file():
        raise DataNotFound(f"CIFAR-10 is not in Keras' cache, and FOCAL_OFFLINE is set. {by_hand}")
    try:
        parts = import_module("keras").datasets.cifar10.load_data()  # only here: no other loader needs a framework
    except Exception as error:  # Keras says a plain Exception where it cannot fetch, and anything where it cannot read
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OSError) or "fetch" in reason:
            raise DataNotFound(f"CIFAR-10 could not be fetched by Keras ({reason}). {by_hand}") from error
        raise DamagedData(f"{CIFAR10_FOLDER}: {reason}. Delete it and {archive.name}, and load again.") from error
    for (images, labels), count in zip(parts, CIFAR10_COUNTS, strict=True):
        if images.shape != (count, 32, 32, 3) or images.dtype != np.uint8 or len(labels) != count:
            raise DamagedData(
                f"{CIFAR10_FOLDER}: images {images.shape} of type {images.dtype}, expected uint8 ({count}, 32, 32, 3). "
                f"Delete it and {archive.name}, and load again."
            )
    return [(images, labels.ravel()) for images, labels in parts]


def load_blood_cells():
    """Load peripheral blood cells (Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1, CC BY 4.0) at 28 × 28.

    These are the images that BloodMNIST was made from, with another split: results are not comparable with
    published BloodMNIST figures. Five images stand in both training and test.

    Returns:
        An `ImageSet` with 11,965 / 1,710 / 3,417 images of 8 classes.

    Raises:
        DataNotFound: the file is not here; the message names the ways out.
        DamagedData: the file is cut short or not what it should be.
    """
    file = "bloodcells_pbc_28.npz"
    path = find_file(file)
    if path is None:
        raise DataNotFound(
            f"{file} is not on this machine, and there is no address to fetch it from. Three ways out:\n"
            f"  1. set FOCAL_DATA_DIR to a folder that holds it (now: {given_in_words()});\n"
            f"  2. put it into {cache_folder()};\n"
            '  3. load_medmnist("bloodmnist") downloads the official set made from the same source.'
        )
    return read_medmnist(path, "blood cells", "own split", BLOOD_CELLS, (28, 28, 3))


def read_medmnist(path, name, source, class_names, shape=None):
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
    return image_set(path, name, source, class_names, **parts)


def image_set(path, name, source, class_names, **parts):
    """The `ImageSet` of what stands in a file: what is wrong with it is said of the file."""
    try:
        return ImageSet(name, source, class_names, **parts)
    except ValueError as error:
        raise DamagedData(f"{path}: {error} Delete the file and get it again.") from error


def load_photos():
    """Load the freely licensed photographs in `data/photos` (credits: `data/photos/CREDITS.md`).

    Returns:
        Dict from name to uint8 array of shape (height, width, 3), in alphabetical order.

    Raises:
        FileNotFoundError: the project's data folder is not here.
        DamagedData: a photograph cannot be read.
    """
    photos = {}
    for path in sorted((data_folder() / "photos").glob("*.jpg")):
        with reading(path), Image.open(path) as picture:
            photos[path.stem] = np.asarray(picture.convert("RGB"))
    if not photos:
        raise FileNotFoundError(f"{data_folder() / 'photos'} holds no .jpg file.")
    return photos


def find_file(name):
    for folder in (given_folder(), cache_folder()):
        if folder and (folder / name).is_file():
            return folder / name
    return None


def obtain(files, wanted, instead, download):
    """Return the paths of checked files, found or fetched into the cache; `files` maps names to (url, md5)."""
    paths = {name: find_file(name) for name in files}
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
            f"  1. set FOCAL_DATA_DIR to a folder that holds {wanted} (now: {given_in_words()});\n"
            f"  2. download by hand, and put into {cache_folder()}:{addresses}\n"
            f"  3. {instead}."
        ) from error
    return list(paths.values())


def given_in_words():
    given = given_folder()
    return "not set" if given is None else f"{given}, which does not hold it"
