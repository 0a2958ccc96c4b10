"""Corruptions of pictures, each at five strengths: blur, noise, darkness, low contrast, JPEG, occlusion.

After Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common corruptions and perturbations*
(arXiv 1903.12261), with strengths that suit pictures of 32 pixels. Every function maps pictures (N, H, W, 3) uint8 and
a strength to pictures like them, the same each time.
"""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from focal_utils.errors import check_choice, check_whole


def blur(images, sigma):
    """Blurred by a Gaussian of so many pixels."""
    return as_bytes(ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma, 0)))


def noise(images, deviation):
    """With Gaussian noise of so much of 255."""
    draws = np.random.default_rng(0).normal(size=images.shape)
    return as_bytes(images + deviation * draws)


def darkness(images, left):
    """With so much of the light left."""
    return as_bytes(images * left)


def contrast(images, left):
    """With so much of the difference from each picture's mean left."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return as_bytes(mean + left * (images - mean))


def jpeg(images, quality):
    """Saved as JPEG of a quality, from 1 to 95, and read again."""
    saved = [through_jpeg(image, quality) for image in images]
    return np.stack(saved) if saved else images.copy()


def through_jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=quality)
    return np.asarray(Image.open(buffer))


def occlusion(images, side):
    """With a grey square over it, somewhere, whose side is such a share of the picture's."""
    covered = images.copy()
    height, width = images.shape[1:3]
    tall = round(side * height)
    wide = round(side * width)
    rng = np.random.default_rng(0)
    tops = rng.integers(0, height - tall + 1, len(images))
    lefts = rng.integers(0, width - wide + 1, len(images))
    for image, top, left in zip(covered, tops, lefts, strict=True):
        image[top : top + tall, left : left + wide] = 128
    return covered


def as_bytes(values):
    return np.clip(np.round(values), 0, 255).astype("uint8")


# Name → function and its five strengths, from the mildest on.
CORRUPTIONS = {
    "blur": (blur, (0.5, 1.0, 1.5, 2.0, 3.0)),
    "noise": (noise, (8, 16, 32, 48, 64)),
    "darkness": (darkness, (0.6, 0.4, 0.2, 0.1, 0.05)),
    "contrast": (contrast, (0.6, 0.4, 0.2, 0.1, 0.05)),
    "JPEG": (jpeg, (40, 25, 15, 10, 5)),
    "occlusion": (occlusion, (0.2, 0.3, 0.4, 0.5, 0.6)),
}


def corrupt(images, how, strength):
    """Pictures spoilt in one way, to see what a network makes of them; the same each time.

    Hendrycks & Dietterich 2019 (arXiv 1903.12261), with strengths that suit pictures of 32 pixels. Used in notebook 13.

    Args:
        images: (N, H, W, 3), uint8.
        how: "blur", "noise", "darkness", "contrast", "JPEG" or "occlusion".
        strength: from 1, hardly to be seen, to 5.

    Returns:
        (N, H, W, 3), uint8.

    Raises:
        ValueError: pictures of another shape or type, an unknown way, or a strength that is none of the five.

    Example:
        >>> signs = fu.render_signs(100)
        >>> dark = fu.corrupt(signs.x_test, "darkness", 4)  # a tenth of the light is left
        >>> dark.shape
        (10, 32, 32, 3)
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"Pictures (N, H, W, 3) of uint8 are needed, but got {images.shape} of {images.dtype}.")
    spoil, strengths = CORRUPTIONS[check_choice("how", how, tuple(CORRUPTIONS))]
    return spoil(images, strengths[check_whole("strength", strength, 1, len(strengths)) - 1])
