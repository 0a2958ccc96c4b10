"""Where a map of the network lies on the picture: the geometry of strides, paddings and receptive fields."""

from typing import NamedTuple

import numpy as np

from focal_utils.layers.blocks import FocalBlock, PatchEmbed
from focal_utils.tracing.traces import layers_in_order


class MapGeometry(NamedTuple):
    """How a focal block's map lies on the picture, in picture pixels; the picture's first pixel covers [0, 1).

    Map pixel j covers [first + stride·j, first + stride·(j + 1)).
    """

    stride: int
    first: float


def map_geometry(model):
    """Stride and first edge of every focal block's map: a dict, block name → `MapGeometry`.

    A patch embedding of kernel k, stride s and padding p centres its output pixel j on input pixel s·j + (k − 1)/2 − p.
    So patches that do not overlap tile the picture from its edge, and overlapping ones (k = 3, s = 2, p = 1) are
    centred on every second pixel, half a pixel further left. The embeddings of all stages add up.

    Args:
        model: a model whose only strided layers are `PatchEmbed`s, such as a `FocalNet`.
    """
    stride, centre, found = 1, 0.0, {}
    for layer in layers_in_order(model):
        if isinstance(layer, PatchEmbed):
            kernel, step = layer.proj.kernel_size[0], layer.proj.strides[0]
            before = layer.pad.padding[0][0]
            centre += stride * ((kernel - 1) / 2 - before)
            stride *= step
        elif isinstance(layer, FocalBlock):
            found[layer.name] = MapGeometry(stride, centre + 0.5 - stride / 2)
    return found


def level_widths(contextualize):
    """Width in map pixels of what each focal level of a `HierarchicalContext` sees, the global one left out: a list."""
    widths, reach = [], 0
    for size in contextualize.kernel_sizes:
        reach = reach + size - 1 if contextualize.context == "hierarchical" else size - 1
        widths.append(1 + reach)
    return widths


def overlap(geometry, count, low, high):
    """Share of each of `count` map pixels along one side that lies in [low, high), picture coordinates: (…, count).

    `geometry` is (stride, first): map pixel j covers [first + stride·j, first + stride·(j + 1)), picture pixel i
    covers [i, i + 1).
    """
    stride, first = geometry
    left = first + stride * np.arange(count)
    low, high = np.asarray(low)[..., None], np.asarray(high)[..., None]
    return np.clip(np.minimum(high, left + stride) - np.maximum(low, left), 0, None) / stride


def inside_box(boxes, geometry, shape):
    """Share of each map pixel that lies in its picture's box: (B, h, w), from 0 to 1.

    `boxes` are (B, 4), edges x1, y1, x2, y2 in picture pixels; `shape` is the map's, (h, w). A box without area
    raises ValueError.
    """
    x1, y1, x2, y2 = np.asarray(boxes, float).T
    if np.any(x2 <= x1) or np.any(y2 <= y1):
        raise ValueError("A box needs x1 < x2 and y1 < y2, in this order: x1, y1, x2, y2.")
    height, width = shape
    return overlap(geometry, height, y1, y2)[:, :, None] * overlap(geometry, width, x1, x2)[:, None, :]


def covered(masks, geometry, shape):
    """Share of each map pixel that lies on the masks, (B, H, W) bool in picture pixels: (B, h, w), from 0 to 1."""
    down, across = (
        overlap(geometry, count, np.arange(side), np.arange(side) + 1)
        for count, side in zip(shape, np.shape(masks)[1:], strict=True)
    )  # (H, h), (W, w)
    return np.einsum("bij,iy,jx->byx", np.asarray(masks, float), down, across)
