"""Files of NumPy arrays, `.npz`: written whole or not at all, and read only after a look at what they say they hold."""

import zipfile

import numpy as np
from numpy.lib import format as npy

from focal_utils.errors import DamagedData
from focal_utils.files import reading, whole_file

HARMLESS = 256 << 20  # bytes that any file may unpack to
MOST_GAIN = 50  # times its own size that a larger one may unpack to; pictures gain less than 5


def read_npz(path, keys=None, optional=()):
    """The arrays `keys` of an `.npz` file, all where it is None, and those of `optional` that it holds.

    Nothing is unpickled.

    Before anything is unpacked, what the arrays say of their shapes and types is compared with how long they are, and
    how long with the file: one of 1 MB may not unpack to 1 GB.

    Returns:
        Dict from name to array.

    Raises:
        DamagedData: the file is cut short, altered, lacks an array, or unpacks to too much.
        OSError: the file cannot be read.

    Example:
        >>> read_npz("gtsrb_32.npz", ["x_test", "y_test"])["x_test"].shape
        (12630, 32, 32, 3)
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        check_sizes(path, archive)
        for member in archive.infolist():
            check_header(archive, member)
    with reading(path), np.load(path, allow_pickle=False) as file:
        names = file.files
        if keys is None:
            keys = names
        arrays = {name: file[name] for name in (*keys, *optional) if name in names}
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DamagedData(f"{path} has no array {', '.join(missing)}; it holds {', '.join(names)}.")
    return arrays


def check_sizes(path, archive):
    unpacked = sum(member.file_size for member in archive.infolist())
    packed = sum(member.compress_size for member in archive.infolist())
    if unpacked > max(HARMLESS, MOST_GAIN * packed):
        raise DamagedData(
            f"{path}: its {packed:,} bytes would unpack to {unpacked:,}, as no pictures do. It was not read: get it "
            "again, or pack it less tightly (np.savez)."
        )


def check_header(archive, member):
    """Raise ValueError unless an array is as long as its header says, so that no more memory is asked for."""
    if not member.filename.endswith(".npy"):
        return
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{member.filename} is of version {version} of the format")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        stated = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
    if not dtype.hasobject and stated != member.file_size:
        raise ValueError(f"{member.filename} says it is {shape} {dtype}, but has {member.file_size:,} bytes")


def write_npz(path, **arrays):
    """Write an uncompressed `.npz`: complete under its name, or not there at all."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
