"""Pictures as people have them, made into what a network reads: files, uploads, Pillow's images and arrays."""

import io
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 100_000_000  # a file that says it has more is not opened
WORKING_SIDE = 1024  # larger pictures are reduced to this side at once; no network here reads more
DEEPEST = 65_535  # white, in a picture of 16 bits

SHARES = "Its numbers go from 0 to 1: they were taken as shares of white."
DEEP = "It has 16 bits, of which 8 were kept: 65,535 is white."
DARK = "It has 16 bits, but no number over 255: they were taken as 8 bits, of which 255 is white."
FIRST_FRAME = "It is animated: this is its first frame."
FIRST_PAGE = "It has several pages: this is the first."


def read_picture(source, name="picture"):
    """A picture as an array, and what had to be done to it.

    Transparency is laid on white, of an animation the first frame is taken, and a camera's rotation mark is obeyed.

    Args:
        source: the path of an image file, its bytes, a Pillow image, or an array (H, W), (H, W, 1) or (H, W, 3): whole
            numbers from 0 to 255, 16 bits (`uint16`), floats from 0 to 1 or to 255, or booleans.
        name: what to call it in messages.

    Returns:
        (H, W, 3) uint8, and a list of sentences.

    Raises:
        ValueError: not an image, a damaged one, one of more than 100 million pixels, or an array of another shape.
        FileNotFoundError: no such file.

    Example:
        >>> picture, notes = read_picture("holiday.jpg")
    """
    if isinstance(source, Image.Image):
        with in_words(name):
            return converted(source, name)
    if isinstance(source, (str, Path)):
        path = Path(source)
        name = path.name
        if path.is_dir():
            raise ValueError(
                f"{path} is a folder: give its files, list(Path({str(path)!r}).glob('*.jpg')) for instance."
            )
        if not path.exists():
            raise FileNotFoundError(f"There is no picture {path}, seen from {Path.cwd()}: check its name and folder.")
        source = path.read_bytes()
    if isinstance(source, (bytes, bytearray, memoryview)):
        with in_words(name), Image.open(io.BytesIO(source)) as image:
            return converted(image, name, draft=True)
    return picture_array(source, name)


@contextmanager
def in_words(name):
    """In this `with` block, what Pillow raises becomes a ValueError that says what is wrong with the picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
            yield
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not an image that can be read here: use a PNG, JPEG, GIF or WebP file.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more pixels than the limit of 100 million: reduce it first.") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{name} is damaged or cut short ({error}): save or fetch it again.") from error


def converted(image, name, draft=False):
    """A Pillow image as an array (H, W, 3) uint8 of at most `WORKING_SIDE`, and the sentences about it.

    With `draft` a JPEG is decoded small, not whole, which changes the image itself.
    """
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"{name} has {width}×{height} pixels, over the limit of 100 million: reduce it first.")
    notes = []
    # A phone's MPO holds the photograph and smaller copies of it, which nobody means.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        notes.append(FIRST_PAGE if image.format == "TIFF" else FIRST_FRAME)
    if draft:
        image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
    image = ImageOps.exif_transpose(image)  # a copy, also where there is nothing to turn
    if image.mode.startswith(("I", "F")):  # more than 8 bits: Pillow would clip at 255
        values, deep = picture_array(np.asarray(image), name)
        image = Image.fromarray(values)
        notes += deep
    if max(image.size) > WORKING_SIDE:
        image.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=2.0)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        notes.append("Its transparent parts were laid on white.")
    return np.asarray(image.convert("RGB")), notes


def picture_array(values, name="picture"):
    """An array (H, W), (H, W, 1) or (H, W, 3) as a picture (H, W, 3) uint8, and a list of sentences.

    What white is follows from the numbers: 1 for booleans, and for floats none of which is over 1; 65,535 for whole
    numbers of 16 bits or more, where one is over 255; 255 for all others.

    Raises:
        ValueError: another shape, or numbers that are negative, too large or not finite.
    """
    values = np.asarray(values)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3) or not values.size:
        raise ValueError(f"{name} has shape {values.shape}: a picture is (height, width, 1 or 3).")
    if values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are no finite numbers: a picture has numbers from 0 to 255.")
    white, notes = white_of(values)
    if values.min() < 0 or values.max() > white:
        raise ValueError(
            f"{name} has values from {values.min():g} to {values.max():g}: give raw pixels, 0 to 255, and what the "
            "network needs besides as `prepare`."
        )
    if white != 255:
        values = values.astype("float64") * (255 / white)
    return np.broadcast_to(np.round(values).astype(np.uint8), (*values.shape[:2], 3)), notes


def white_of(values):
    """The number that means white in an array, and a list of sentences that say so where it is not 255."""
    kind = values.dtype.kind
    most = values.max()
    if kind == "b":
        return 1, []
    if kind == "f" and 0 < most <= 1:
        return 1, [SHARES]
    if kind in "ui" and values.dtype.itemsize > 1 and 255 < most <= DEEPEST:
        return DEEPEST, [DEEP]
    return 255, [DARK] if values.dtype == np.uint16 else []


def fit_picture(picture, height, width):
    """A picture cut at its centre to the shape that a network reads, and resized to it.

    Args:
        picture: (H, W, 3) uint8.
        height: in pixels; None, where the network takes any.
        width: likewise.

    Returns:
        (height, width, 3) uint8, and a list of sentences that say what was done.
    """
    rows, columns = picture.shape[:2]
    height = height or rows
    width = width or columns
    if (rows, columns) == (height, width):
        return picture, []
    scale = min(rows / height, columns / width)
    cut_height = max(1, round(scale * height))
    cut_width = max(1, round(scale * width))
    top = (rows - cut_height) // 2
    left = (columns - cut_width) // 2
    cut = picture[top : top + cut_height, left : left + cut_width]
    part = "" if cut.shape == picture.shape else f"its central {cut_width}×{cut_height} of "
    resized = np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BICUBIC))
    return resized, [f"The network reads {width}×{height} pixels: {part}{columns}×{rows} were resized."]
