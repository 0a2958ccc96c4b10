"""Augmentation that keeps signs signs: what another camera on another day might have seen. It runs inside tf.data.

Every function takes and gives a batch (B, H, W, channels) of float32 from 0 to 255, and draws from [−1, 1], one column
for each image, so that the same draws give the same batch.
"""

import math

import numpy as np


def warp(images, draws):
    """Turn signs by up to 12°, shear, scale by up to 15 % and shift by up to 10 %, each image in its own way.

    Args:
        images: (B, H, W, channels) float32. draws: (6, B) in [−1, 1]: angle, shear, width, height, shift in x, in y.

    Returns:
        (B, H, W, channels); what comes in from outside is the nearest border pixel.
    """
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(images)[1:3])
    angle, shear, wide, tall, right, down = tf.unstack(draws)
    angle, shear, wide, tall = angle * math.radians(12), shear * 0.1, 1 + 0.15 * wide, 1 + 0.15 * tall
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = wide * cos, wide * (shear * cos - sin)  # the matrix that says where each output pixel is read
    c, d = tall * sin, tall * (shear * sin + cos)
    cx, cy = tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2
    dx, dy = 0.2 * right * cx, 0.2 * down * cy
    rows = [a, b, cx - a * cx - b * cy + dx, c, d, cy - c * cx - d * cy + dy, tf.zeros_like(a), tf.zeros_like(a)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),  # (B, 8)
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def relight(images, draws, strength=0.3):
    """Blur half of the images a little, and change contrast and light by factors, each image in its own way.

    Args:
        images: (B, H, W, channels) float32. draws: (3, B) in [−1, 1]: contrast, light, blur.
        strength: the factors lie between e^−strength and e^strength; 0.3: by up to a third.

    Returns:
        (B, H, W, channels), 0…255.
    """
    import tensorflow as tf

    contrast, light, blur = tf.unstack(tf.reshape(draws, (3, -1, 1, 1, 1)))
    images += tf.nn.relu(blur) * (tf.nn.avg_pool2d(images, 3, 1, "SAME") - images)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * tf.exp(strength * contrast) + mean * tf.exp(strength * light)
    return tf.clip_by_value(images, 0.0, 255.0)


def tint(images, draws, strength=0.3):
    """Change each colour by a factor between e^−strength and e^strength: an evening, a faded sign, another camera.

    Args:
        images: (B, H, W, channels) float32. draws: (channels, B) in [−1, 1].
    """
    import tensorflow as tf

    return images * tf.exp(strength * tf.transpose(draws))[:, None, None, :]


def soften(images, draws):
    """Blur images over 5×5 pixels, where the draw is positive, or sharpen them, where it is negative.

    Args:
        images: (B, H, W, channels) float32. draws: (B,) in [−1, 1].
    """
    import tensorflow as tf

    blurred = tf.nn.avg_pool2d(tf.nn.avg_pool2d(images, 3, 1, "SAME"), 3, 1, "SAME")
    return images + tf.reshape(draws, (-1, 1, 1, 1)) * (blurred - images)


def cover(images, draws, largest=0.5):
    """Cover half of the images with one grey rectangle: a twig, a sticker, a pole (DeVries & Taylor 2017, *Cutout*).

    Args:
        images: (B, H, W, channels) float32. draws: (6, B) in [−1, 1]: whether, x, y, width, height, grey.
        largest: side of the largest rectangle over the image's.
    """
    import tensorflow as tf

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
    import tensorflow as tf

    draws = tf.random.stateless_uniform((9, tf.shape(images)[0]), tf.cast(seed, tf.int32), -1.0, 1.0)
    return relight(warp(tf.cast(images, tf.float32), draws[:6]), draws[6:], light)


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
    import tensorflow as tf

    images, seed = tf.cast(images, tf.float32), tf.cast(seed, tf.int32)
    count, channels = tf.shape(images)[0], images.shape[-1]
    draws = tf.random.stateless_uniform((17 + channels, count), seed, -1.0, 1.0)
    images = warp(images, geometry * draws[:6])
    images = soften(tint(images, draws[17:]), draws[6])
    noise = tf.random.stateless_normal(tf.shape(images), seed + 1)
    sigma = grain * tf.math.reduce_std(images, axis=(1, 2, 3), keepdims=True)
    images += tf.nn.relu(tf.reshape(draws[7], (-1, 1, 1, 1))) * sigma * noise
    return cover(relight(images, draws[8:11], light), draws[11:17])


def add_mirrored(images, labels, mirrored):
    """The images, and behind them the mirror images of those classes that a mirror turns into a known sign.

    Args:
        images: (N, H, W, channels). labels: (N,).
        mirrored: a dict, class → the class that its mirror image shows; `focal_utils.gtsrb.MIRRORED`.

    Returns:
        Images (N + M, H, W, channels) and labels (N + M,).
    """
    known = np.isin(labels, list(mirrored))
    others = np.array([mirrored[label] for label in labels[known].tolist()], labels.dtype)
    return np.concatenate([images, images[known, :, ::-1]]), np.concatenate([labels, others])


def rebalanced(labels, power=0.5):
    """Image numbers, those of rare classes repeated: an image of a class of n images stands there (N/n)^power times.

    Args:
        labels: (images,). power: 0 leaves all as it is, 1 makes all about as frequent as the largest, of N images.

    Returns:
        A whole-number array, at least as long as `labels`.
    """
    counts = np.bincount(labels)
    repeats = np.round((counts.max() / counts[labels]) ** power).astype(int)
    return np.repeat(np.arange(len(labels)), repeats)


def turn_over(images, draws):
    """Mirror and transpose images, each in one of the 8 ways that keep a square a square: no side is up.

    Args:
        images: (B, H, H, channels). draws: (3, B) in [−1, 1]: left and right, top and bottom, rows and columns.
    """
    import tensorflow as tf

    across, over, turned = tf.unstack((draws > 0)[:, :, None, None, None])  # (B, 1, 1, 1) each
    images = tf.where(across, images[:, :, ::-1], images)
    images = tf.where(over, images[:, ::-1], images)
    return tf.where(turned, tf.transpose(images, (0, 2, 1, 3)), images)


def augment_cells(images, seed, light=0.2, colour=0.1):
    """A batch of cells as another smear would have shown them: turned over, moved, scaled, lit and stained otherwise.

    Args:
        images: (B, H, H, channels), 0…255, any dtype.
        seed: two integers; the same seed gives the same batch.
        light: strength of `relight`. colour: strength of `tint`.

    Returns:
        (B, H, H, channels) float32, 0…255.
    """
    import tensorflow as tf

    channels = images.shape[-1]
    draws = tf.random.stateless_uniform((12 + channels, tf.shape(images)[0]), tf.cast(seed, tf.int32), -1.0, 1.0)
    images = turn_over(warp(tf.cast(images, tf.float32), draws[:6]), draws[6:9])
    return relight(tint(images, draws[12:], colour), draws[9:12], light)


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
    import tensorflow as tf

    draws = tf.random.stateless_uniform((10, tf.shape(images)[0]), tf.cast(seed, tf.int32), -1.0, 1.0)
    images = warp(tf.cast(images, tf.float32), geometry * draws[:6])
    images = tf.where((draws[6] > 0)[:, None, None, None], images[:, :, ::-1], images)
    return relight(images, draws[7:10], light)
