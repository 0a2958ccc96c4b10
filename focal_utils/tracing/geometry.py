"""Where a map of the network lies on the picture: the geometry of strides, paddings and receptive fields."""

from typing import NamedTuple

import numpy as np

from focal_utils.layers.blocks import FocalBlock, PatchEmbed
from focal_utils.layers.focal import level_names
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
    stride = 1
    centre = 0.0
    found = {}
    for layer in layers_in_order(model):
        if isinstance(layer, PatchEmbed):
            kernel = layer.proj.kernel_size[0]
            before = layer.pad.padding[0][0]
            centre += stride * ((kernel - 1) / 2 - before)
            stride *= layer.proj.strides[0]
        elif isinstance(layer, FocalBlock):
            found[layer.name] = MapGeometry(stride, centre + 0.5 - stride / 2)
    return found


def context_names(contextualize):
    """The names of what a `HierarchicalContext` gives, and so of its gates: "level 1" … "global"; a list.

    Where it gives its last level alone (context="top"), that is "last level".
    """
    if contextualize.context == "top":
        return ["last level"]
    return level_names(len(contextualize.kernel_sizes), contextualize.context_count)


def level_widths(contextualize):
    """Width in map pixels of what each focal level of a `HierarchicalContext` sees, the global one left out: a list."""
    return contextualize.level_widths


def overlap(geometry, count, low, high):
    """Share of each of `count` map pixels along one side that lies in [low, high), picture coordinates: (…, count).

    Grown in notebook 07.

    `geometry` is (stride, first): map pixel j covers [first + stride·j, first + stride·(j + 1)), picture pixel i
    covers [i, i + 1).
    """
    stride, first = geometry
    left = first + stride * np.arange(count)
    low = np.asarray(low)[..., None]
    high = np.asarray(high)[..., None]
    return np.clip(np.minimum(high, left + stride) - np.maximum(low, left), 0, None) / stride


def check_boxes(boxes):
    """Raise unless boxes are four numbers each and have an area."""
    boxes = np.asarray(boxes, float)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"Boxes of shape {boxes.shape}: (B, 4) is needed, x1, y1, x2, y2 for each picture.")
    x1, y1, x2, y2 = boxes.T
    if not (np.all(x2 > x1) and np.all(y2 > y1)):
        raise ValueError("A box needs x1 < x2 and y1 < y2, in this order: x1, y1, x2, y2.")


def inside_box(boxes, geometry, shape):
    """Share of each map pixel that lies in its picture's box: (B, h, w), from 0 to 1.

    Grown in notebook 07.

    Args:
        boxes: (B, 4), edges x1, y1, x2, y2 in picture pixels.
        geometry: a `MapGeometry`.
        shape: the map's, (h, w).

    Raises:
        ValueError: a box without area, or of other than four numbers.
    """
    check_boxes(boxes)
    x1, y1, x2, y2 = np.asarray(boxes, float).T
    height, width = shape
    return overlap(geometry, height, y1, y2)[:, :, None] * overlap(geometry, width, x1, x2)[:, None, :]


def covered(masks, geometry, shape):
    """Share of each map pixel that lies on the masks: (B, h, w), from 0 to 1.

    Args:
        masks: (B, H, W) bool, in picture pixels.
        geometry: a `MapGeometry`.
        shape: the map's, (h, w).

    Raises:
        ValueError: masks of another rank.
    """
    masks = np.asarray(masks, float)
    if masks.ndim != 3:
        raise ValueError(f"Masks of shape {masks.shape}: (B, H, W) is needed, one for each picture.")
    height, width = shape
    rows = np.arange(masks.shape[1])
    columns = np.arange(masks.shape[2])
    down = overlap(geometry, height, rows, rows + 1)  # (H, h)
    across = overlap(geometry, width, columns, columns + 1)  # (W, w)
    return np.einsum("bij,iy,jx->byx", masks, down, across)
