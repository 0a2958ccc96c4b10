"""Where a map lies on the picture, checked against what the embeddings really read."""

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.tracing import level_widths, map_geometry

SMALL = {"classes": 3, "embed_dim": 4, "depths": (1, 1, 1), "focal_levels": 1}


@pytest.mark.parametrize(
    ("patch", "overlap", "expected"),
    [
        (2, False, [(2, 0.0), (4, 0.0), (8, 0.0)]),
        (4, False, [(4, 0.0), (8, 0.0), (16, 0.0)]),
        (2, True, [(2, -0.5), (4, -1.5), (8, -3.5)]),
        (4, True, [(4, -0.5), (8, -2.5), (16, -6.5)]),
    ],
)
def test_strides_and_edges(patch, overlap, expected):
    model = fu.FocalNet((64, 64, 3), patch_size=patch, use_conv_embed=overlap, **SMALL)
    assert [tuple(place) for place in map_geometry(model).values()] == expected


@pytest.mark.parametrize("overlap", [False, True])
def test_the_middle_of_a_map_pixel_is_the_middle_of_what_it_reads(overlap):
    stem = fu.PatchEmbed(4, 4, overlap)
    down = fu.PatchEmbed(4, 2, overlap)
    for layer, channels in ((stem, 1), (down, 4)):
        layer.build((1, 64, 64, channels))
        layer.proj.kernel.assign(np.ones(layer.proj.kernel.shape))
    reads = []
    for column in range(64):  # which picture columns reach map column 3?
        picture = np.zeros((1, 64, 64, 1), "float32")
        picture[:, :, column] = 1
        sums = down.proj(down.pad(stem.proj(stem.pad(picture))))  # the convolutions alone: a norm would hide the sum
        reads += [column] * int(round(float(ops.convert_to_numpy(sums)[0, 3, 3, 0])))
    x = y = keras.Input((64, 64, 1))
    y = fu.FocalBlock(4, focal_level=1, name="block")(down(stem(y)))
    stride, first = map_geometry(keras.Model(x, y))["block"]
    assert stride == 8
    assert np.mean(reads) + 0.5 == pytest.approx(first + stride * 3.5)


def test_level_widths():
    assert level_widths(fu.HierarchicalContext(4, focal_level=3)) == [3, 7, 13]
    assert level_widths(fu.HierarchicalContext(4, focal_level=3, context="parallel")) == [3, 5, 7]
    assert level_widths(fu.HierarchicalContext(4, focal_level=0)) == []
