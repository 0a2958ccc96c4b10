"""Pictures as people have them, made into what a network reads: files, uploads and arrays of any size and kind."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 100_000_000  # a file that says it has more is not opened
WORKING_SIDE = 1024  # larger pictures are reduced to this side at once; no network here reads more


def read_picture(source, name="picture"):
    """A picture as an array, and what had to be done to it.

    Transparency is laid on white, of an animation the first frame is taken, and a camera's rotation mark is obeyed.

    Args:
        source: the bytes of an image file, the path of one, or an array (H, W), (H, W, 1) or (H, W, 3), 0…255.
        name: what to call it in messages.

    Returns:
        (H, W, 3) uint8, and a list of sentences.

    Raises:
        ValueError: not an image, a damaged one, one of more than 100 million pixels, or an array of another shape.
        FileNotFoundError: no such file.
    """
    if isinstance(source, np.ndarray):
        return picture_array(source, name), []
    if isinstance(source, (str, Path)):
        name, source = Path(source).name, Path(source).read_bytes()
    notes = []
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(source)) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"{name} has {width}×{height} pixels, over the limit of 100 million: reduce it first.")
            if getattr(image, "is_animated", False):
                notes.append("It is animated: this is its first frame.")
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))  # a JPEG is decoded small, not whole
            image = ImageOps.exif_transpose(image)
            if max(image.size) > WORKING_SIDE:
                image.thumbnail((WORKING_SIDE, WORKING_SIDE), reducing_gap=2.0)
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                notes.append("Its transparent parts were laid on white.")
            return np.asarray(deeper(image).convert("RGB")), notes
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not an image that can be read here: use a PNG, JPEG, GIF or WebP file.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more pixels than the limit of 100 million: reduce it first.") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{name} is damaged or cut short ({error}): save or fetch it again.") from error


def deeper(image):
    """A grey picture of 16 bits brought to 8, others as they are (Pillow would clip at 255)."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=float)
    return Image.fromarray((255 * values / max(values.max(), 1)).astype(np.uint8))


def picture_array(values, name="picture"):
    """An array (H, W), (H, W, 1) or (H, W, 3), 0…255, as (H, W, 3) uint8; ValueError for anything else."""
    values = np.asarray(values)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3) or not values.size:
        raise ValueError(f"{name} has shape {values.shape}: a picture is (height, width, 1 or 3).")
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are no finite numbers: a picture has numbers from 0 to 255.")
    if values.min() < 0 or values.max() > 255:
        raise ValueError(
            f"{name} has values from {values.min():g} to {values.max():g}: give raw pixels, 0 to 255, and what the "
            "network needs besides as `prepare`."
        )
    return np.broadcast_to(np.round(values).astype(np.uint8), (*values.shape[:2], 3))


def fit_picture(picture, height, width):
    """A picture cut at its centre to the shape that a network reads, and resized to it.

    Args:
        picture: (H, W, 3) uint8. height, width: in pixels; None, where the network takes any.

    Returns:
        (height, width, 3) uint8, and a list of sentences that say what was done.
    """
    rows, columns = picture.shape[:2]
    height, width = height or rows, width or columns
    if (rows, columns) == (height, width):
        return picture, []
    scale = min(rows / height, columns / width)
    cut_height, cut_width = round(scale * height), round(scale * width)
    top, left = (rows - cut_height) // 2, (columns - cut_width) // 2
    cut = picture[top : top + cut_height, left : left + cut_width]
    part = "" if cut.shape == picture.shape else f"its central {cut_width}×{cut_height} of "
    resized = np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BICUBIC))
    return resized, [f"The network reads {width}×{height} pixels: {part}{columns}×{rows} were resized."]
