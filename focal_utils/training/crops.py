"""From pictures of any size to batches of crops: what a segmenter is to say of them, tiles, and their augmentation."""

import numpy as np
from scipy import ndimage

from focal_utils.machine import accelerators
from focal_utils.training.augment import relight, tint, turn_over
from focal_utils.training.batches import rows_of_steps, tf

CHANNELS = 3  # of the picture; what is to be said of it comes behind


def targets(labels):
    """What a segmenter is to say of each pixel: (H, W, 2) uint8, 0…255, from a label map (H, W).

    First, whether it is in an object. Second, how deep: its distance from what is not the same object, over the largest
    in that object, so that small and large ones have one middle each and touching ones fall to 0 between them. It is
    the "distance transform" of Naylor et al. 2019 (doi 10.1109/TMI.2018.2865709), made relative to each object.
    """
    depth = np.zeros(labels.shape, "float32")
    for number, box in enumerate(ndimage.find_objects(labels.astype("int32")), start=1):
        if box is None:
            continue
        wider = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = labels[wider] == number
        if inside.all():
            depth[wider] = 1.0
            continue
        distance = ndimage.distance_transform_edt(inside)
        depth[wider][inside] = distance[inside] / distance.max()
    return np.stack([255 * (labels > 0), np.rint(255 * depth)], axis=-1).astype("uint8")


def tile_starts(length, side):
    """Where tiles of `side` pixels begin so that they cover `length`, spread evenly: a list of whole numbers."""
    count = -(-length // side)
    return np.linspace(0, max(0, length - side), count).round().astype(int).tolist()


def tiles(pictures, labels, side=256):
    """Pictures and their `targets`, cut into tiles: (N, side, side, 5) uint8 and (N,) the picture each is from.

    Tiles cover each picture, and overlap where its sides are no multiples of a tile's. A picture that is smaller is
    mirrored at its borders.

    Args:
        pictures: a list of uint8 (H, W, 3). labels: a list of label maps (H, W).
        side: of a tile in pixels.
    """
    cut = []
    origins = []
    for row, (picture, numbers) in enumerate(zip(pictures, labels, strict=True)):
        both = np.concatenate([picture, targets(numbers)], axis=-1)
        lacking = [max(0, side - length) for length in both.shape[:2]]
        if any(lacking):
            both = np.pad(both, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="symmetric")
        for top in tile_starts(both.shape[0], side):
            for left in tile_starts(both.shape[1], side):
                cut.append(both[top : top + side, left : left + side])
                origins.append(row)
    return np.stack(cut), np.array(origins)


def crop(tiles, draws, side, zoom=0.33):
    """A square of each tile, anywhere in it, seen from nearer or farther: (B, side, side, any) float32.

    Args:
        tiles: (B, H, W, any) float32. draws: (4, B) in [−1, 1]: size, width over height, right, down.
        side: of the crops in pixels.
        zoom: the square's side is `side` times e^−zoom to e^zoom, as far as the tile reaches.
    """
    height = tf.cast(tf.shape(tiles)[1], tf.float32)
    size, shape, right, down = tf.unstack(draws)
    wide = tf.minimum(side * tf.exp(zoom * size + 0.1 * shape), height)  # (B,) in pixels of the tile
    tall = tf.minimum(side * tf.exp(zoom * size - 0.1 * shape), height)
    left = (height - wide) * (right + 1) / 2
    top = (height - tall) * (down + 1) / 2
    boxes = tf.stack([top, left, top + tall - 1, left + wide - 1], axis=1) / (height - 1)  # corners, 0…1
    return tf.image.crop_and_resize(tiles, boxes, tf.range(tf.shape(tiles)[0]), (side, side))


def augment_pictures(tiles, seed, side=192, gamma=0.4, light=0.2, colour=0.15, grain=0.15, inverted=0.15):
    """Crops of a batch of tiles, as another microscope would have shown them: no side is up, and light may be dark.

    Cropped, seen from nearer or farther, turned over in 8 ways; the picture alone also lit and stained otherwise, with
    grain, and sometimes inverted, since nuclei are bright under one microscope and dark under another.

    Args:
        tiles: (B, H, H, 3 + any), 0…255, any dtype: a picture, and what is to be said of it.
        seed: two integers; the same seed gives the same batch.
        side: of the crops in pixels.
        gamma: brightness is raised to powers of e^−gamma to e^gamma.
        light: strength of `relight`. colour: strength of `tint`, for pictures in colour.
        grain: largest standard deviation of the noise, over the picture's own; half of the pictures get some.
        inverted: share of the pictures whose light is turned to dark.

    Returns:
        (B, side, side, 3 + any) float32, 0…255.
    """
    seed = tf.cast(seed, tf.int32)
    draws = tf.random.stateless_uniform((16, tf.shape(tiles)[0]), seed, -1.0, 1.0)
    crops = turn_over(crop(tf.cast(tiles, tf.float32), draws[:4], side), draws[4:7])
    pictures = crops[..., :CHANNELS]
    spread = tf.reduce_max(pictures, axis=-1) - tf.reduce_min(pictures, axis=-1)
    coloured = tf.cast(tf.reduce_max(spread, axis=(1, 2)) > 1, tf.float32)  # (B,)
    pictures = tint(pictures, draws[7:10] * coloured, colour)
    exponent = tf.exp(gamma * draws[10])[:, None, None, None]
    pictures = 255 * tf.pow(tf.clip_by_value(pictures / 255, 0.0, 1.0), exponent)
    pictures = relight(pictures, draws[11:14], light)
    noise = tf.random.stateless_normal(tf.shape(pictures)[:-1], seed + 1)[..., None]
    sigma = grain * tf.math.reduce_std(pictures, axis=(1, 2, 3), keepdims=True)
    pictures += tf.nn.relu(tf.reshape(draws[14], (-1, 1, 1, 1))) * sigma * noise
    dark = (draws[15] < 2 * inverted - 1)[:, None, None, None]
    pictures = tf.clip_by_value(tf.where(dark, 255 - pictures, pictures), 0.0, 255.0)
    return tf.concat([pictures, crops[..., CHANNELS:]], axis=-1)


def picture_and_target(tiles):
    """Tiles (B, H, W, 3 + any), 0…255, as what a network reads, 0…255, and what it is to say, 0…1."""
    return tiles[..., :CHANNELS], tiles[..., CHANNELS:] / 255


def crop_batches(tiles, rows, batch_size, augment, seed=0, start=0):
    """An endless tf.data set of (pictures, targets) batches; as `training_batches`, from any step on.

    Args:
        tiles: (N, H, H, 5) uint8, see `tiles`.
        rows: the numbers of the tiles that make up an epoch, some repeated, see `rebalanced`.
        batch_size: crops in a batch.
        augment: a function (tiles, seed) → crops, like `augment_pictures`.
        seed: fixes the order and the augmentation. start: the step with which it begins.
    """
    held = tf.constant(tiles)
    chosen = tf.constant(rows, tf.int32)

    def load(places, draw):
        return picture_and_target(augment(tf.gather(held, tf.gather(chosen, places)), draw))

    calls = tf.data.AUTOTUNE if accelerators() else 1  # a CPU that also trains has no idle cores
    return rows_of_steps(len(rows), batch_size, seed, start).map(load, num_parallel_calls=calls).prefetch(2)


def tile_batches(tiles, batch_size):
    """A tf.data set of (pictures, targets) batches of whole tiles, once each and in their order."""

    def load(batch):
        return picture_and_target(tf.cast(batch, tf.float32))

    return tf.data.Dataset.from_tensor_slices(tiles).batch(batch_size).map(load)
