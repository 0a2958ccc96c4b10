"""What the segmenter is compared with: other networks of its size by one recipe, and a classical method."""

import functools

import keras
import numpy as np
from keras import layers
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

import focal_utils as fu
from focal_utils.layers import gelu, layer_norm
from focal_utils.models import preprocess
from focal_utils.training import (
    OutlineLoss,
    augment_pictures,
    crop_batches,
    make_optimizer,
    pixel_logits,
    rebalanced,
    tiles,
    without_small,
)
from parts.segmenters import MIXERS, SEGMENTERS, mixed_segmenter

TILE = 256  # pixels; training pictures are cut into these, and crops are taken of them


def residual(x, channels, name):
    """Two 3×3 convolutions and what goes in (He et al. 2016), with this project's norm and GELU; the shape stays."""
    y = x
    for number in (1, 2):
        y = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}_conv{number}")(y)
        y = layer_norm(name=f"{name}_norm{number}")(y)
        y = gelu(y) if number == 1 else y
    return gelu(x + y)


def convolutional(input_shape):
    """A plain convolutional encoder, ResNet's blocks on the strides of the recipe's network, with the same decoder."""
    images = keras.Input(input_shape, name="images")
    x = preprocess("per_image", 3)(images)
    maps = []
    for stage, depth in enumerate((1, 2, 1)):
        channels = 46 * 2**stage
        size = (2, 2, "valid") if stage else (7, 4, "same")
        x = layers.Conv2D(channels, *size, name=f"down{stage}")(x)
        x = layer_norm(name=f"down{stage}_norm")(x)
        for block in range(depth):
            x = residual(x, channels, f"stage{stage}_block{block}")
        maps.append(x)
    return fu.segmenter(keras.Model(images, maps), classes=2, **SEGMENTERS["nuclei"].decoder)


def unet(input_shape, width=13, depth=5, most=192):
    """A U-Net (Ronneberger et al. 2015) with batch normalization and padded convolutions, for sides of 16 pixels each.

    Args:
        input_shape: with sides that are multiples of 2^(depth − 1), or None. width: channels at full size, doubled
            where sides halve. depth: how many sizes there are. most: channels of the smallest.
    """

    def twice(x, channels):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        return x

    images = keras.Input(input_shape, name="images")
    x = preprocess("per_image", 3)(images)
    beside = []
    for level in range(depth - 1):
        x = twice(x, width * 2**level)
        beside.append(x)
        x = layers.MaxPooling2D()(x)
    x = twice(x, min(most, width * 2 ** (depth - 1)))
    for level in reversed(range(depth - 1)):
        x = layers.Conv2DTranspose(width * 2**level, 2, 2)(x)
        x = twice(layers.Concatenate()([beside[level], x]), width * 2**level)
    return keras.Model(images, layers.Conv2D(2, 1, name="head")(x), name="unet")


def mixed(mixer, input_shape):
    """The recipe's network with one of `MIXERS`; global attention, which learns positions too, with narrower MLPs."""
    narrower = {"mlp_ratio": 2.6} if mixer == "global attention" else {}
    return mixed_segmenter("nuclei", mixer, input_shape, **narrower)


# Name → a function from the shape of a picture to a network that gives logits (H, W, 2).
NETWORKS = {name: functools.partial(mixed, name) for name in MIXERS} | {"convolutions": convolutional, "U-Net": unet}

FIXED = ("windows", "global attention")  # are built for pictures of one size


class AnySize:
    """A trained network of `NETWORKS` for pictures of any size, called as `score` calls a model.

    Windows are built anew for each size, with the same weights: of at least 8 of a window's pixels on the coarsest map,
    128 of the picture. Global attention, whose learned positions are those of a crop, reads pictures in tiles of that
    size, half of which overlap. The U-Net's sides are filled up to multiples of 16 by mirroring.
    """

    def __init__(self, name, network, side):
        self.name = name
        self.network = network
        self.side = side
        self.built = {}

    def __call__(self, pictures, training=False):
        if self.name == "global attention" and pictures.shape[1:3] != (self.side, self.side):
            return pixel_logits(self, pictures[0], tile=self.side, overlap=self.side // 2)[None]
        height, width = pictures.shape[1:3]
        if self.name == "U-Net":
            lacking = ((0, 0), (0, -height % 16), (0, -width % 16), (0, 0))
            return self.network(np.pad(pictures, lacking, mode="symmetric"), training=False)[:, :height, :width]
        if self.name in FIXED:
            return self.of_size(pictures.shape[1:])(pictures, training=False)
        return self.network(pictures, training=False)

    def of_size(self, shape):
        """The network for pictures of a shape, with the trained weights."""
        if shape not in self.built:
            network = NETWORKS[self.name](shape)
            network.set_weights(self.network.get_weights())
            self.built[shape] = network
        return self.built[shape]


@functools.lru_cache(maxsize=1)
def training_tiles(data):
    """The training pictures in tiles, and the rows that make up an epoch; see `train_segmenter`."""
    cut, origins = tiles(data.x_train, data.y_train, TILE)
    return cut, rebalanced(origins, 0.5)


def train_briefly(name, data, steps, batch_size, side, learning_rate, seed):
    """One of `NETWORKS` after a short course of AdamW, warm-up and cosine, without a look at validation pictures.

    Args:
        steps, batch_size: of the course. side: of the crops in pixels.
        learning_rate: the highest. seed: of the weights, the order and the augmentation.
    """
    keras.utils.set_random_seed(seed)
    network = NETWORKS[name]((side, side, 3) if name in FIXED else (None, None, 3))
    network.compile(make_optimizer(network, steps, "adamw", learning_rate), OutlineLoss(), jit_compile=False)
    cut, rows = training_tiles(data)
    crops = functools.partial(augment_pictures, side=side)
    network.fit(crop_batches(cut, rows, batch_size, crops, seed), epochs=1, steps_per_epoch=steps, verbose=0)
    return AnySize(name, network, side)


class OtsuAndWatershed:
    """Nuclei without any training: what Otsu's threshold tells from the ground, split where it is narrow.

    Otsu 1979, doi 10.1109/TSMC.1979.4310076, on the smoothed brightness; of the two kinds of pixels the rarer are
    nuclei. Holes are filled; the distance to the ground is climbed from its peaks down (watershed), as in
    scikit-image's own example of touching objects.

    Args:
        apart: pixels by which two peaks are apart at least.
    """

    def __init__(self, apart):
        self.apart = apart

    def find(self, picture):
        """The label map (H, W) of a picture (H, W, 3)."""
        brightness = filters.gaussian(picture.mean(axis=-1), 1)
        if brightness.min() == brightness.max():
            return np.zeros(brightness.shape, "uint16")
        inside = brightness > filters.threshold_otsu(brightness)
        inside = ndimage.binary_fill_holes(~inside if inside.mean() > 0.5 else inside)
        distance = ndimage.distance_transform_edt(inside)
        peaks = feature.peak_local_max(distance, min_distance=self.apart, labels=measure.label(inside))
        markers = np.zeros(inside.shape, int)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        return without_small(segmentation.watershed(-distance, markers, mask=inside))
