"""Augmentation: what another camera on another day might have seen, and which changes keep a thing what it is.

Every function takes and gives a batch (B, H, W, channels) of float32 from 0 to 255, and draws from [−1, 1], one column
for each image, so that the same draws give the same batch.

Keras' random layers are not used: their draws come from a state that counts calls, so that the batch of a step would
not follow from its number, and a run could not go on from any step; and each of them would read the image anew, where
`warp` turns, shears, scales and shifts it in one reading, which blurs it once.
"""

import math

import numpy as np

from focal_utils.training.batches import tf


def draw(seed, count, *rows):
    """Random numbers for `count` images, in [−1, 1]: an array (rows, count) for each number in `rows`.

    Args:
        seed: two integers; the same seed gives the same numbers.
    """
    numbers = tf.random.stateless_uniform((sum(rows), count), tf.cast(seed, tf.int32), -1.0, 1.0)
    return tf.split(numbers, rows)


def warp(images, draws):
    """Turn images by up to 12°, shear, scale by up to 15 % and shift by up to 10 %, each image in its own way.

    Grown in notebook 06.

    Args:
        images: (B, H, W, channels) float32.
        draws: (6, B) in [−1, 1]: angle, shear, width, height, shift in x, in y.

    Returns:
        (B, H, W, channels); what comes in from outside is the nearest border pixel.
    """
    height, width = tf.unstack(tf.shape(images)[1:3])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=readings(draws, height, width),
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def readings(draws, height, width):
    """Where `warp` reads each output pixel: rows (B, 8) of a matrix that maps its place to one in the image.

    Grown in notebook 06.

    The place (x, y) is read at (x_x·x + x_y·y + x_0, y_x·x + y_y·y + y_0). The last two, for perspective, are 0.
    """
    angle, shear, wide, tall, right, down = tf.unstack(draws)
    angle = angle * math.radians(12)
    shear = shear * 0.1
    wide = 1 + 0.15 * wide
    tall = 1 + 0.15 * tall
    cos = tf.cos(angle)
    sin = tf.sin(angle)
    x_x = wide * cos
    x_y = wide * (shear * cos - sin)
    y_x = tall * sin
    y_y = tall * (shear * sin + cos)
    middle_x = tf.cast(width - 1, tf.float32) / 2
    middle_y = tf.cast(height - 1, tf.float32) / 2
    x_0 = middle_x - x_x * middle_x - x_y * middle_y + 0.2 * right * middle_x
    y_0 = middle_y - y_x * middle_x - y_y * middle_y + 0.2 * down * middle_y
    none = tf.zeros_like(angle)
    return tf.stack([x_x, x_y, x_0, y_x, y_y, y_0, none, none], axis=1)


def relight(images, draws, strength=0.3):
    """Blur half of the images a little, and change contrast and light by factors, each image in its own way.

    Grown in notebook 06.

    Args:
        images: (B, H, W, channels) float32.
        draws: (3, B) in [−1, 1]: contrast, light, blur.
        strength: the factors lie between e^−strength and e^strength; 0.3: by up to a third.

    Returns:
        (B, H, W, channels), 0…255.
    """
    contrast, light, blur = tf.unstack(tf.reshape(draws, (3, -1, 1, 1, 1)))
    images += tf.nn.relu(blur) * (tf.nn.avg_pool2d(images, 3, 1, "SAME") - images)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * tf.exp(strength * contrast) + mean * tf.exp(strength * light)
    return tf.clip_by_value(images, 0.0, 255.0)


def tint(images, draws, strength=0.3):
    """Change each colour by a factor between e^−strength and e^strength: an evening, a faded sign, another camera.

    Args:
        images: (B, H, W, channels) float32.
        draws: (channels, B) in [−1, 1].
    """
    return images * tf.exp(strength * tf.transpose(draws))[:, None, None, :]


def soften(images, draws):
    """Blur images over 5×5 pixels, where the draw is positive, or sharpen them, where it is negative.

    Args:
        images: (B, H, W, channels) float32.
        draws: (B,) or (1, B) in [−1, 1].
    """
    blurred = tf.nn.avg_pool2d(tf.nn.avg_pool2d(images, 3, 1, "SAME"), 3, 1, "SAME")
    return images + tf.reshape(draws, (-1, 1, 1, 1)) * (blurred - images)


def roughen(images, draws, seed, grain=0.15):
    """Add noise, as a camera does in the dark, to images whose draw is positive.

    Args:
        images: (B, H, W, channels) float32.
        draws: (B,) or (1, B) in [−1, 1].
        seed: two integers; the same seed gives the same noise.
        grain: standard deviation of the noise at a draw of 1, over the image's own.
    """
    noise = tf.random.stateless_normal(tf.shape(images), seed)
    sigma = grain * tf.math.reduce_std(images, axis=(1, 2, 3), keepdims=True)
    return images + tf.nn.relu(tf.reshape(draws, (-1, 1, 1, 1))) * sigma * noise


def cover(images, draws, largest=0.5):
    """Cover half of the images with one grey rectangle: a twig, a sticker, a pole (DeVries & Taylor 2017, *Cutout*).

    Args:
        images: (B, H, W, channels) float32.
        draws: (6, B) in [−1, 1]: whether, x, y, width, height, grey.
        largest: side of the largest rectangle over the image's.
    """
    whether, x, y, wide, tall, grey = tf.unstack(draws[:, :, None])  # (B, 1) each
    columns = tf.linspace(-1.0, 1.0, tf.shape(images)[2])  # (W,)
    rows = tf.linspace(-1.0, 1.0, tf.shape(images)[1])  # (H,)
    inside_x = tf.abs(columns - x) < largest * (wide + 1) / 2  # (B, W)
    inside_y = tf.abs(rows - y) < largest * (tall + 1) / 2  # (B, H)
    inside = inside_x[:, None, :] & inside_y[:, :, None] & (whether > 0)[:, None]  # (B, H, W)
    return tf.where(inside[..., None], 127.5 * (1 + grey)[:, None, None], images)


def augment_signs(images, seed, light=0.3):
    """A batch of signs as another camera would have seen them: turned, shifted, scaled, lit, blurred, never mirrored.

    A mirrored "keep right" is "keep left", so there are no flips; rotation stays within 12°.

    Args:
        images: (B, H, W, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        light: strength of `relight`.

    Returns:
        (B, H, W, channels) float32, 0…255.
    """
    pose, lighting = draw(seed, tf.shape(images)[0], 6, 3)
    return relight(warp(tf.cast(images, tf.float32), pose), lighting, light)


def augment_signs_strongly(images, seed, geometry=1.5, light=0.6, grain=0.15):
    """`augment_signs` for a long training: 1.5 times as far in geometry, and tinted, sharpened, grainy and covered too.

    Args:
        images: (B, H, W, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        geometry: factor on the draws of `warp`: 1.5 turns by up to 18° and shifts by up to 15 %.
        light: strength of `relight`.
        grain: largest standard deviation of the noise, over the image's own.

    Returns:
        (B, H, W, channels) float32, 0…255.
    """
    images = tf.cast(images, tf.float32)
    pose, blur, noise, lighting, patch, colours = draw(seed, tf.shape(images)[0], 6, 1, 1, 3, 6, images.shape[-1])
    images = warp(images, geometry * pose)
    images = soften(tint(images, colours), blur)
    images = roughen(images, noise, tf.cast(seed, tf.int32) + 1, grain)
    return cover(relight(images, lighting, light), patch)


def add_mirrored(images, labels, mirrored):
    """The images, and behind them the mirror images of those classes that a mirror turns into a known sign.

    Grown in notebook 06.

    Args:
        images: (N, H, W, channels).
        labels: (N,).
        mirrored: a dict, class → the class that its mirror image shows; `focal_utils.gtsrb.MIRRORED`.

    Returns:
        Images (N + M, H, W, channels) and labels (N + M,).
    """
    known = np.isin(labels, list(mirrored))
    others = np.array([mirrored[label] for label in labels[known].tolist()], labels.dtype)
    return np.concatenate([images, images[known, :, ::-1]]), np.concatenate([labels, others])


def rebalanced(labels, power=0.5):
    """Image numbers, those of rare classes repeated: an image of a class of n images stands there (N/n)^power times.

    Grown in notebook 06.

    Args:
        labels: (images,).
        power: 0 leaves all as it is, 1 makes all about as frequent as the largest, of N images.

    Returns:
        A whole-number array, at least as long as `labels`.
    """
    counts = np.bincount(labels)
    repeats = np.round((counts.max() / counts[labels]) ** power).astype(int)
    return np.repeat(np.arange(len(labels)), repeats)


def turn_over(images, draws):
    """Mirror and transpose images, each in one of the 8 ways that keep a square a square: no side is up.

    Args:
        images: (B, H, H, channels).
        draws: (3, B) in [−1, 1]: left and right, top and bottom, rows and columns.
    """
    across, over, turned = tf.unstack((draws > 0)[:, :, None, None, None])  # (B, 1, 1, 1) each
    images = tf.where(across, images[:, :, ::-1], images)
    images = tf.where(over, images[:, ::-1], images)
    return tf.where(turned, tf.transpose(images, (0, 2, 1, 3)), images)


def augment_cells(images, seed, light=0.2, colour=0.1):
    """A batch of cells as another smear would have shown them: turned over, moved, scaled, lit and stained otherwise.

    Args:
        images: (B, H, H, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        light: strength of `relight`.
        colour: strength of `tint`.

    Returns:
        (B, H, H, channels) float32, 0…255.
    """
    pose, sides, lighting, colours = draw(seed, tf.shape(images)[0], 6, 3, 3, images.shape[-1])
    images = turn_over(warp(tf.cast(images, tf.float32), pose), sides)
    return relight(tint(images, colours, colour), lighting, light)


def augment_small_photographs(images, seed, shift=4):
    """A batch of photographs of things as another photographer would have taken them: mirrored, moved by whole pixels.

    Left and right are exchanged, as a cat that looks the other way is a cat; nothing is read between pixels, as small
    images lose most by that.

    Args:
        images: (B, H, W, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        shift: how far images are moved at most, in pixels.

    Returns:
        (B, H, W, channels) float32, 0…255; what comes in from outside is the nearest border pixel.
    """
    side, place = draw(seed, tf.shape(images)[0], 1, 2)
    images = tf.cast(images, tf.float32)
    images = tf.where((side[0] > 0)[:, None, None, None], images[:, :, ::-1], images)
    sides = tf.cast(tf.shape(images)[2:0:-1], tf.float32)  # width, height
    moves = tf.round(shift * place) / (0.1 * (sides[:, None] - 1))  # in draws of `warp`, of which 1 is a tenth
    return warp(images, tf.concat([tf.zeros((4, tf.shape(images)[0])), moves], axis=0))


def augment_ultrasound(images, seed, geometry=0.7, light=0.2):
    """A batch of ultrasound images as another probe would have made them: mirrored, moved, scaled, lit a little.

    Left and right are exchanged, top and bottom are not: sound comes from above. It is mild: a few hundred images
    make few steps, too few to learn from images that are changed much.

    Args:
        images: (B, H, W, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        geometry: factor on the draws of `warp`: 0.7 turns by up to 8° and shifts by up to 7 %.
        light: strength of `relight`.

    Returns:
        (B, H, W, channels) float32, 0…255.
    """
    pose, sides, lighting = draw(seed, tf.shape(images)[0], 6, 1, 3)
    images = warp(tf.cast(images, tf.float32), geometry * pose)
    images = tf.where(tf.reshape(sides > 0, (-1, 1, 1, 1)), images[:, :, ::-1], images)
    return relight(images, lighting, light)


def augment_photographs(images, seed, geometry=1.0, light=0.3, colour=0.1, mirror=True):
    """A batch of photographs as another moment would give them: mirrored, turned, moved, lit, covered in part.

    Left and right are exchanged in half of them, which an animal or a landscape allows, and text or a hand does not:
    `functools.partial(augment_photographs, mirror=False)` is for these. Top and bottom stay.

    Args:
        images: (B, H, W, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        geometry: factor on the draws of `warp`: 1 turns by up to 12°, scales by up to 15 % and shifts by up to 10 %.
        light: strength of `relight`.
        colour: strength of `tint`.
        mirror: whether left and right may be exchanged.

    Returns:
        (B, H, W, channels) float32, 0…255.
    """
    images = tf.cast(images, tf.float32)
    pose, sides, lighting, patch, colours = draw(seed, tf.shape(images)[0], 6, 1, 3, 6, images.shape[-1])
    images = warp(images, geometry * pose)
    if mirror:
        images = tf.where(tf.reshape(sides > 0, (-1, 1, 1, 1)), images[:, :, ::-1], images)
    return cover(relight(tint(images, colours, colour), lighting, light), patch, largest=0.4)
