"""One object for one image set, and the files that hold its arrays."""

import lzma
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from focal_utils.errors import DamagedData
from focal_utils.files import whole_file


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images and labels of one data set, split into training, validation and test.

    Images are uint8 of shape (N, height, width, channels), labels int64 of shape (N,), ``class_names[label]`` is a
    label's name. ``source`` is "official" (the published split), "own split" or "rendered".

    Only GTSRB has the rest: ``track_*`` (N,), which frames show the same physical sign; ``size_*`` (N, 2), width and
    height of the original photograph in pixels; ``roi_*`` (N, 4), the sign's box x1, y1, x2, y2 in those pixels.
    """

    name: str
    source: str
    class_names: tuple
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    track_train: np.ndarray | None = None
    track_val: np.ndarray | None = None
    size_train: np.ndarray | None = None
    size_val: np.ndarray | None = None
    size_test: np.ndarray | None = None
    roi_train: np.ndarray | None = None
    roi_val: np.ndarray | None = None
    roi_test: np.ndarray | None = None

    @property
    def num_classes(self):
        return len(self.class_names)

    @property
    def image_shape(self):
        """(height, width, channels)"""
        return self.x_train.shape[1:]

    def __repr__(self):
        shape = "×".join(map(str, self.image_shape))
        counts = " / ".join(f"{len(x):,}" for x in (self.x_train, self.x_val, self.x_test))
        return (
            f"<ImageSet {self.name} ({self.source}): {counts} train / val / test, "
            f"{shape} {self.x_train.dtype}, {self.num_classes} classes>"
        )


def read_npz(path, keys):
    """Read all arrays of an ``.npz`` file, nothing unpickled, and check that ``keys`` are there.

    Raises:
        DamagedData: the file is cut short, altered or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        ValueError,
        NotImplementedError,
        AttributeError,
    ) as error:
        raise DamagedData(f"{path} is damaged or cut short ({error}).") from error
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DamagedData(f"{path} has no array {', '.join(missing)}; it holds {', '.join(arrays)}.")
    return arrays


def write_npz(path, **arrays):
    """Write an uncompressed ``.npz``: complete under its name, or not there at all."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
