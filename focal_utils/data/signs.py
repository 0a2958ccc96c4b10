"""Rendered traffic signs: the data set that needs neither a file nor a network.

The sign faces are drawn once (`faces.py`) and then put before a background in a random pose, light and blur,
a few hundred images at a time.
"""

from functools import lru_cache
from numbers import Integral, Real

import numpy as np

from focal_utils.data.faces import FACES, draw_face
from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.data.imageset import ImageSet, as_labels
from focal_utils.data.resizing import check_size

RENDERED_CLASSES = tuple(sorted(FACES))

CHUNK = 256  # images that are rendered together; each chunk has random numbers of its own

LEVELS = (256, 128, 64, 32, 16)  # sides in pixels that each face is kept in

TYPICAL_SCALE = (0.66, 0.94)

MOST_BYTES = 8 * 10**9  # that one call renders

# Pairs of colours that stand behind signs: sky, overcast sky, foliage, wall, dusk.
BACKDROPS = np.array(
    [
        [(196, 216, 240), (232, 236, 240)],
        [(150, 160, 172), (206, 210, 214)],
        [(38, 52, 26), (96, 110, 62)],
        [(96, 84, 74), (164, 150, 136)],
        [(26, 28, 34), (66, 68, 76)],
    ],
    np.float32,
)


def render_signs(n, seed=0, size=32, classes=None, scale=None):
    """Render an image set of traffic signs, varied in scale, pose, light, blur and background.

    The labels are GTSRB class ids and `class_names` are all 43 of GTSRB, so that a model trained on one set can
    be evaluated on the other. Every class of `classes` is equally frequent, to within one image per 256.

    Args:
        n: number of images, at least 3: a tenth each for validation and test, the rest for training. They must fit
            into 8 GB.
        seed: the same seed gives the same images; with a larger `n` each part only grows at its end.
        size: height and width in pixels.
        classes: GTSRB class ids to draw, by default all of `RENDERED_CLASSES`.
        scale: the sign's diameter as a share of the image's side, a number or a pair (least, greatest); by default
            as in GTSRB, between 0.66 and 0.94.

    Returns:
        An `ImageSet` with `source="rendered"`.

    Raises:
        ValueError: an argument is out of range, or a class cannot be rendered.
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 3:
        raise ValueError(f"n is {n!r}, expected at least 3: one image each for training, validation and test.")
    check_size(size)
    if int(n) * int(size) ** 2 * 3 > MOST_BYTES:
        raise ValueError(f"n is {n!r}: so many images of {size}×{size} pixels would take more than 8 GB.")
    held_out = max(1, n // 10)
    counts = {"train": n - 2 * held_out, "val": held_out, "test": held_out}
    parts = {}
    for number, (part, count) in enumerate(counts.items()):
        parts[f"x_{part}"], parts[f"y_{part}"] = render_many(count, (seed, number), size, classes, scale)
    return ImageSet("rendered traffic signs", "rendered", GTSRB_CLASSES, **parts)


def render_sign(label, size=32, scale=0.8, seed=0, varied=True):
    """Render one sign.

    With the same seed, pose, light and background stay the same while `scale` or `size` changes.

    Args:
        label: a GTSRB class id out of `RENDERED_CLASSES`.
        size: height and width in pixels.
        scale: the sign's diameter as a share of the image's side.
        seed: the same seed gives the same image.
        varied: false for a frontal, sharp sign in even light before plain grey.

    Returns:
        uint8 array of shape (size, size, 3).
    """
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise ValueError(f"label is {label!r}, expected the number of a class, one of {RENDERED_CLASSES}.")
    rng = np.random.default_rng((seed, 3))
    labels = np.full(1, checked_classes([label])[0])
    check_size(size)
    return render(rng, labels, size, scale_range(scale), varied)[0]


def render_many(n, seed, size, classes, scale):
    classes = checked_classes(classes)
    check_size(size)
    scale = scale_range(scale)
    images = np.empty((n, size, size, 3), np.uint8)
    labels = np.empty(n, np.int64)
    for start in range(0, n, CHUNK):
        rng = np.random.default_rng((*seed, start))
        chosen = classes[rng.permutation(CHUNK) % len(classes)]
        stop = min(start + CHUNK, n)
        labels[start:stop] = chosen[: stop - start]
        images[start:stop] = render(rng, chosen, size, scale)[: stop - start]
    return images, labels


def checked_classes(classes):
    classes = RENDERED_CLASSES if classes is None else as_labels(classes, name="classes")
    unknown = sorted(set(classes) - set(RENDERED_CLASSES))
    if not len(classes) or unknown:
        shown = [int(label) for label in unknown] or classes
        raise ValueError(f"Classes {shown} cannot be rendered; these can: {RENDERED_CLASSES}.")
    return np.asarray(classes, np.int64)


def scale_range(scale):
    try:
        low, high = TYPICAL_SCALE if scale is None else np.broadcast_to(scale, 2).astype(float)
    except (TypeError, ValueError):
        low = high = np.nan  # no numbers: refused below
    if not 0 < low <= high <= 2 or isinstance(scale, str):
        raise ValueError(f"scale is {scale!r}, expected a number or a pair (least, greatest) above 0 and up to 2.")
    return float(low), float(high)


@lru_cache(maxsize=1)
def packed_faces():
    """All faces at all levels of detail, one after the other, and where each begins.

    Returns:
        (texels,) uint32, each the four bytes of one RGBA pixel; and the places (class, level) of their first texels.
    """
    faces = [face.view(np.uint32).ravel() for label in RENDERED_CLASSES for face in draw_face(label, *LEVELS)]
    first = np.zeros((len(GTSRB_CLASSES), len(LEVELS)), np.int64)
    starts = np.cumsum([0, *map(len, faces[:-1])])
    first[list(RENDERED_CLASSES)] = starts.reshape(-1, len(LEVELS))
    return np.concatenate(faces), first


def render(rng, labels, size, scale, varied=True):
    """The images (count, size, size, 3) of `labels`; without `varied` frontal, sharp and before plain grey.

    All random numbers are drawn either way, and in this order: with the same seed a sign has the same pose, light and
    background whatever is varied.
    """
    count = len(labels)
    behind = backgrounds(rng, count, size)
    light = light_of(rng, count, size)
    inverse, diameter = pose_of(rng, count, size, scale, varied)
    coarseness = np.exp2(rng.uniform(0, 1.2, count))  # photographs hold less detail than they have pixels
    fading = rng.uniform(0, 0.3, (count, 1, 1, 1)).astype(np.float32)
    sigma = rng.gamma(1.5, 0.011, (count, 2)) * size
    grain = grain_of(rng, count, size)
    backlight = np.exp(rng.normal(0.1, 0.7, (count, 1, 1, 1))).astype(np.float32)
    if not varied:
        colour, alpha = sample_faces(labels, inverse, size, 1.5 * diameter)
        return np.rint(128 * (1 - alpha) + colour).astype(np.uint8)
    colour, alpha = sample_faces(labels, inverse, size, coarseness * diameter)
    colour += fading * (105 * alpha - colour)
    images = colour + (1 - alpha) * backlight * behind
    images = blurred(images * light, sigma)
    return np.rint(np.clip(images + grain, 0, 255)).astype(np.uint8)


def grain_of(rng, count, size):
    """Noise of a camera's sensor, (count, size, size, 3): mostly of brightness, a little of colour."""
    noise = rng.standard_normal((count, size, size, 4), np.float32)
    strength = rng.gamma(1.5, 1.2, (count, 1, 1, 1)).astype(np.float32)
    return (noise[..., :1] + 0.4 * noise[..., 1:]) * strength


def pose_of(rng, count, size, scale, varied):
    """Homographies from pixels to sign coordinates, (count, 3, 3), and the signs' diameters in pixels, (count,)."""
    turn, tilt, roll = (rng.standard_normal((count, 3)) * np.radians((16, 10, 5)) * varied).clip(-0.75, 0.75).T
    diameter = rng.uniform(*scale, count) * size
    shift = rng.uniform(-0.04, 0.04, (count, 2)) * size * varied
    cos_turn, cos_tilt, cos_roll = np.cos([turn, tilt, roll])
    sin_turn, sin_tilt, sin_roll = np.sin([turn, tilt, roll])
    across = [  # the sign's x axis in space, after turning it about the three axes
        cos_turn * cos_roll,
        cos_tilt * sin_roll + sin_tilt * sin_turn * cos_roll,
        sin_tilt * sin_roll - cos_tilt * sin_turn * cos_roll,
    ]
    down = [  # its y axis
        -cos_turn * sin_roll,
        cos_tilt * cos_roll - sin_tilt * sin_turn * sin_roll,
        sin_tilt * cos_roll + cos_tilt * sin_turn * sin_roll,
    ]
    radius = diameter / 2
    x, y = (size / 2 + shift).T
    distance = 4  # of the camera, in radii
    columns = [
        (radius * axis[0] + x * axis[2] / distance, radius * axis[1] + y * axis[2] / distance, axis[2] / distance)
        for axis in (across, down)
    ]
    centre = (x, y, np.ones(count))
    forward = np.stack([np.stack(column, -1) for column in (*columns, centre)], -1)
    # The cross products of a matrix's columns are the rows of its inverse, up to a factor (the determinant), and a
    # homography with a factor is the same homography.
    rows = [np.cross(forward[:, :, (i + 1) % 3], forward[:, :, (i + 2) % 3]) for i in range(3)]
    return np.stack(rows, 1), diameter


def sample_faces(labels, inverse, size, wanted):
    """The faces as they appear in the pictures, sampled bilinearly.

    Args:
        labels: (count,) class ids.
        inverse: (count, 3, 3), from pixels to sign coordinates.
        size: of the pictures, in pixels.
        wanted: (count,) diameters in pixels of the drawn faces to sample from; the nearest level is taken.

    Returns:
        Colour (count, size, size, 3), 0…255, multiplied by alpha; and alpha (count, size, size, 1), 0…1.
    """
    texels, first = packed_faces()
    level = np.clip(np.rint(np.log2(LEVELS[0] / wanted)), 0, len(LEVELS) - 1).astype(int)
    side = np.array(LEVELS)[level][:, None, None]
    start = first[labels, level][:, None, None]
    x_there, y_there = sign_coordinates(inverse, size)
    # Where in the face a pixel falls; at most just before the last texel, which so has a neighbour to its right.
    column, row = (np.clip((place + 1) * (side / 2) - 0.5, 0, side - 1.001) for place in (x_there, y_there))
    left = column.astype(np.int64)
    top = row.astype(np.int64)
    right_share = (column - left).astype(np.float32)
    low_share = (row - top).astype(np.float32)
    corner = start + top * side + left
    colour = np.zeros((*corner.shape, 3), np.float32)
    alpha = np.zeros((*corner.shape, 1), np.float32)
    for step, share in (
        (0, (1 - low_share) * (1 - right_share)),
        (1, (1 - low_share) * right_share),
        (side, low_share * (1 - right_share)),
        (side + 1, low_share * right_share),
    ):
        texel = texels[corner + step].view(np.uint8).reshape(*corner.shape, 4)
        weight = (share * texel[..., 3] * np.float32(1 / 255))[..., None]
        alpha += weight
        colour += weight * texel[..., :3]
    inside = ((np.abs(x_there) <= 1) & (np.abs(y_there) <= 1))[..., None]  # a face's edge does not go on beside it
    return colour * inside, alpha * inside


def sign_coordinates(inverse, size):
    """Where each pixel's centre falls on the sign, from −1 to 1 over its square: x and y, (count, size, size) each."""
    y, x = np.mgrid[:size, :size] + 0.5
    u, v, w = (
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None]
        for row in np.moveaxis(inverse, 1, 0)
    )
    return u / w, v / w


def backgrounds(rng, count, size):
    """Two colours that meet at a soft edge, with texture at three scales and sometimes the sign's post."""
    kind = rng.integers(0, len(BACKDROPS), (2, count))
    mix = rng.random((2, count, 1), np.float32)
    first, second = (BACKDROPS[k, 0] * m + BACKDROPS[k, 1] * (1 - m) for k, m in zip(kind, mix, strict=True))
    edge = ramp(rng, count, size, rng.uniform(-0.8, 0.8, count), rng.uniform(2, 30, count))[..., None]
    images = first[:, None, None] * edge + second[:, None, None] * (1 - edge)
    rough = np.where(kind[0] < 2, 5, 22)[:, None, None, None] * rng.random((count, 1, 1, 1))
    for cells in (3, 7, 17):
        noise = rng.standard_normal((count, cells, cells, 3), np.float32) * np.float32(0.4)
        noise = (noise + 3 * noise.mean(-1, keepdims=True)) * (rough * 0.7).astype(np.float32)
        images += enlarged(noise, size)
    place = (np.arange(size) + 0.5) / size - rng.uniform(0.42, 0.58, count)[:, None]
    post = (np.abs(place) < rng.uniform(0.02, 0.06, count)[:, None]) & (rng.random((count, 1)) < 0.5)
    grey = rng.uniform(40, 170, (count, 1, 1, 1)).astype(np.float32)
    below = np.arange(size)[None, :, None, None] > size / 2
    return np.where(post[:, None, :, None] & below, grey, images).astype(np.float32)


def light_of(rng, count, size):
    """Factors of light, shape (count, size, size, 3): exposure, tint, a slope, and sometimes a shadow's edge."""
    exposure = np.exp(rng.normal(-0.6, 0.6, (count, 1, 1, 1)))
    tint = np.exp(rng.normal(0, 0.06, (count, 1, 1, 3)))
    slope = ramp(rng, count, size, np.zeros(count), rng.uniform(0, 1.5, count))
    shadow = ramp(rng, count, size, rng.uniform(-0.7, 0.7, count), rng.uniform(4, 20, count))
    depth = rng.uniform(0.2, 0.6, count) * (rng.random(count) < 0.25)
    uneven = (0.5 + slope) * (1 - depth[:, None, None] * shadow)
    return (exposure * tint).astype(np.float32) * uneven.astype(np.float32)[..., None]


def ramp(rng, count, size, offset, steepness):
    """Smooth steps from 0 to 1 across the image in random directions, shape (count, size, size)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    across = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y, offset, steepness = (
        a.astype(np.float32)[:, None, None] for a in (np.cos(angle), np.sin(angle), offset, steepness)
    )
    position = (x * across + y * across[:, None] - offset) * steepness
    return 0.5 + 0.5 * position / (1 + np.abs(position))


def enlarged(noise, size):
    """Noise (count, cells, cells, 3) interpolated smoothly to (count, size, size, 3).

    The same as `np.einsum("yi,xj,nijc->nyxc", spread, spread, noise)`, in half the time.
    """
    count, cells = noise.shape[:2]
    spread = spreading(cells, size)
    down = spread @ noise.reshape(count, cells, cells * 3)  # (count, size, cells · 3)
    turned = down.reshape(count, size, cells, 3).swapaxes(1, 2)  # (count, cells, size, 3)
    across = spread @ turned.reshape(count, cells, size * 3)  # (count, size, size · 3), columns first
    return across.reshape(count, size, size, 3).swapaxes(1, 2)


@lru_cache(maxsize=16)
def spreading(cells, size):
    """Matrix (size, cells) that interpolates `cells` values smoothly over `size` pixels."""
    position = np.linspace(0, cells - 1, size)
    near = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)))
    return (near * near * (3 - 2 * near)).astype(np.float32)


def blurred(images, sigma):
    """Blur each image by its own Gaussian, `sigma` (count, 2) in pixels along height and width."""
    reach = max(1, images.shape[1] // 12)
    steps = np.arange(-reach, reach + 1)
    for axis in (1, 2):
        kernel = np.exp(-0.5 * (steps / np.maximum(sigma[:, axis - 1 : axis], 1e-3)) ** 2)
        kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
        margin = [(0, 0)] * 4
        margin[axis] = (reach, reach)
        padded = np.pad(images, margin, mode="edge")
        images = sum(
            kernel[:, i, None, None, None] * np.take(padded, range(i, i + images.shape[axis]), axis)
            for i in range(2 * reach + 1)
        )
    return images


def silhouette(label, side=32, scale=0.8, seed=0):
    """The pixels that `render_sign` with these arguments changes when the sign shrinks to a dot: (side, side) bool."""
    there, gone = (render_sign(label, side, size, seed).astype(int) for size in (scale, 0.01))
    change = np.abs(there - gone).max(axis=-1)
    near = np.abs(np.arange(side) + 0.5 - side / 2) < side * (scale / 2 + 0.05)  # a sign is shifted by 0.04 at most
    return (change > change.max() / 4) & near & near[:, None]


def sign_at(label, centre, side=32, scale=0.4, seed=0):
    """A rendered sign anywhere in the picture: the picture (side, side, 3) uint8 and its `silhouette`.

    The picture is a window cut from one twice as wide, with the sign about its middle.

    Args:
        label: a GTSRB class id out of `RENDERED_CLASSES`.
        centre: (x, y), shares of the side.
        side: of the picture, in pixels.
        scale: the sign's diameter as a share of the side.
        seed: of pose and light.

    Raises:
        ValueError: a class that cannot be rendered, or a centre outside the picture.
    """
    if np.shape(centre) != (2,) or not all(isinstance(place, Real) and 0 <= place <= 1 for place in centre):
        raise ValueError(f"centre={centre!r}: two shares of the side, from 0 to 1, are needed.")
    left, top = (round(side * (1 - place)) for place in centre)
    window = (slice(top, top + side), slice(left, left + side))
    wide = {"scale": scale / 2, "seed": seed}
    return render_sign(label, 2 * side, **wide)[window], silhouette(label, 2 * side, **wide)[window]
