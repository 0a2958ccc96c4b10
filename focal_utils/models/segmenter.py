"""A network that says something of every pixel: a light decoder on the feature maps of a backbone."""

import keras
from keras import ops

from focal_utils.errors import check_at_least
from focal_utils.layers.basics import dense, gelu, layer_norm, serializable
from focal_utils.models.backbone import feature_maps


@serializable
class Merge(keras.layers.Layer):
    """One step up of a decoder: a coarse map, enlarged, and what is finer beside it, mixed by a 3×3 convolution.

    Maps coarse (B, h, w, any) and fine (B, H, W, any) to (B, H, W, width), y = GELU(LN(conv(up(coarse) + fine))). The
    sum is that of feature pyramids (Lin et al. 2017, section 3), the learned enlargement that of the U-Net
    (Ronneberger et al. 2015, section 2).

    Args:
        width: channels of the result.
        stride: how many times as large the fine map is.

    Raises:
        ValueError: a size that is not a positive whole number.
    """

    def __init__(self, width, stride=2, **kwargs):
        super().__init__(**kwargs)
        check_at_least(width=(width, 1), stride=(stride, 1))
        policy = {"dtype": self.dtype_policy}
        self.up = keras.layers.Conv2DTranspose(width, stride, stride, name="up", **policy)
        self.norm_fine = layer_norm(name="norm_fine", **policy)
        self.lateral = dense(width, name="lateral", **policy)
        self.conv = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name="conv", **policy)
        self.norm = layer_norm(name="norm", **policy)
        self.width = width
        self.stride = stride

    def build(self, coarse_shape, fine_shape):
        mixed = self.compute_output_shape(coarse_shape, fine_shape)
        self.up.build(coarse_shape)
        self.norm_fine.build(fine_shape)
        self.lateral.build(fine_shape)
        self.conv.build(mixed)
        self.norm.build(mixed)

    def call(self, coarse, fine):
        above = fitted(self.up(coarse), fine, self.stride)  # (B, H, W, width)
        beside = self.lateral(self.norm_fine(fine))  # (B, H, W, width)
        return gelu(self.norm(self.conv(above + beside)))

    def compute_output_shape(self, coarse_shape, fine_shape):
        return (*fine_shape[:-1], self.width)

    def get_config(self):
        return super().get_config() | {"width": self.width, "stride": self.stride}


@serializable
class PixelHead(keras.layers.Layer):
    """Logits for every pixel of a picture: (B, h, w, any), (B, H, W, any) → (B, H, W, n).

    Each vector of the map says what its stride×stride pixels are, by weights of their own: at stride 2 a quarter of the
    work that a last convolution at full size would be. The picture only tells how large the answer is.

    Args:
        classes: n.
        stride: how many times as large the picture is as the map.

    Raises:
        ValueError: a size that is not a positive whole number.
    """

    def __init__(self, classes, stride=2, **kwargs):
        super().__init__(**kwargs)
        check_at_least(classes=(classes, 1), stride=(stride, 1))
        self.up = keras.layers.Conv2DTranspose(classes, stride, stride, name="up", dtype=self.dtype_policy)
        self.classes = classes
        self.stride = stride

    def build(self, x_shape, picture_shape):
        self.up.build(x_shape)

    def call(self, x, picture):
        return fitted(self.up(x), picture, self.stride)

    def compute_output_shape(self, x_shape, picture_shape):
        return (*picture_shape[:-1], self.classes)

    def get_config(self):
        return super().get_config() | {"classes": self.classes, "stride": self.stride}


def fitted(x, reference, stride):
    """A map as large as `reference` (B, H, W, any): what is too much is cut, what is missing is its border once more.

    Where a side was no multiple of the stride, the enlarged map is larger or smaller, by as much as the stride.
    """
    for axis in (1, 2):
        side = ops.shape(reference)[axis]
        known = x.shape[axis] is not None and reference.shape[axis] is not None
        if not known or x.shape[axis] < side:
            border = x[:, -1:] if axis == 1 else x[:, :, -1:]
            x = ops.concatenate([x] + [border] * stride, axis=axis)
        if not known or x.shape[axis] > side:
            x = x[:, :side] if axis == 1 else x[:, :, :side]
    return x


def strides(maps):
    """How many times as large each map of a model is as the next, and the images as the first: a list, coarsest first.

    Args:
        maps: a model from images to a list of maps, finest first.
    """
    height = maps.input_shape[1] or 256
    width = maps.input_shape[2] or 256
    shapes = maps.compute_output_shape((1, height, width, maps.input_shape[-1]))
    sides = [height, *(shape[1] for shape in shapes)]
    return [round(fine / coarse) for fine, coarse in zip(sides, sides[1:], strict=False)][::-1]


def checked_detail_stride(detail_stride, first):
    """The stride of a decoder's last map, given that of the backbone's first; see `segmenter`."""
    if detail_stride is None:
        return 2 if first % 2 == 0 else 1
    check_at_least(detail_stride=(detail_stride, 1))
    if first % detail_stride:
        raise ValueError(
            f"detail_stride is {detail_stride}, but the picture is {first} times as large as the backbone's first map: "
            f"choose a divisor of {first}."
        )
    return detail_stride


def segmenter(backbone, classes, width=64, detail=16, detail_stride=None, name="segmenter"):
    """A model from images (B, H, W, channels) to logits (B, H, W, classes), one decision for each pixel.

    The decoder goes from the coarsest map of the backbone to the finest, adding at each step what is finer (`Merge`),
    at last details of the picture itself, as a rule at half its size; from there `PixelHead` tells its pixels apart. H
    and W may be of any size, odd ones too, where the backbone was built with `input_shape=(None, None, channels)`. The
    model is made of the backbone's own layers: training it trains them, and `fu.trace`, `model.save` and
    `fu.export_model` treat it as they treat a `FocalNet`.

        backbone = fu.FocalNet((None, None, 3), include_top=False, embed_dim=32, depths=(1, 2, 2), patch_size=2)
        model = fu.segmenter(backbone, classes=2)
        model(pictures).shape    # (B, H, W, 2)

    Args:
        backbone: a `FocalNet`, with or without its top, with any mixer; or any model from images to several maps,
            finest first.
        classes: numbers that come out for each pixel.
        width: most channels of the decoder's maps; a map has no more than the backbone's beside it.
        detail: channels of the last step, which reads the picture.
        detail_stride: how many times as large the picture is as the map of the last step. With 1 every pixel has a
            vector of its own there, which takes more time and memory; None is 2, or 1 where the stride of the
            backbone's first map is odd.
        name: of the model.

    Raises:
        ValueError: a backbone that is neither, a size that is not a positive whole number, or a `detail_stride` that
            does not divide the stride of the backbone's first map.
    """
    check_at_least(classes=(classes, 1), width=(width, 1), detail=(detail, 1))
    maps = backbone if len(backbone.outputs) > 1 else feature_maps(backbone)
    images = maps.inputs[0]
    full = images.dtype  # what comes in and what goes out is in full precision, also in mixed precision
    policy = {"dtype": next((layer.dtype_policy for layer in maps.layers if layer.weights), None)}
    preprocessing = [layer for layer in maps.layers if layer.name == "preprocessing"]
    picture = preprocessing[0].output if preprocessing else images
    to_finer = strides(maps)
    detail_stride = checked_detail_stride(detail_stride, to_finer[-1])
    x = layer_norm(name="norm_coarsest", **policy)(maps.outputs[-1])
    for stage in reversed(range(len(maps.outputs) - 1)):
        fine = maps.outputs[stage]
        x = Merge(min(width, fine.shape[-1]), to_finer.pop(0), name=f"merge{stage}", **policy)(x, fine)
    details = keras.layers.Conv2D(detail, 5, detail_stride, padding="same", activation=gelu, name="details", **policy)
    x = Merge(detail, to_finer.pop(0) // detail_stride, name="merge_details", **policy)(x, details(picture))
    logits = PixelHead(classes, detail_stride, name="head", dtype=full)(x, picture)
    return keras.Model(images, logits, name=name)
