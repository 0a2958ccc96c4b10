"""The layers: focal modulation and its three steps, its relatives, and the block that stands around them."""

from focal_utils.layers.attention import SelfAttention, WindowedAttention, relative_positions
from focal_utils.layers.basics import (
    EPSILON,
    Configured,
    PixelDense,
    dense,
    gelu,
    layer_norm,
    parts_of,
    quantized_parts,
    serializable,
    trainable_parts,
)
from focal_utils.layers.blocks import MIXERS, DropPath, FocalBlock, LayerScale, Mlp, PatchEmbed
from focal_utils.layers.focal import (
    FocalModulation,
    FocalParts,
    GatedAggregation,
    HierarchicalContext,
    aggregate,
    contextualize,
    level_names,
)
from focal_utils.layers.relatives import (
    DepthwiseConvolution,
    Factors,
    GatedConvolution,
    NoMixing,
    Pooling,
    ProductOfProjections,
)
