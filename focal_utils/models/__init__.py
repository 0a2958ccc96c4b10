"""The networks: FocalNet, the variants of the paper, a network as a backbone, and what networks cost."""

from focal_utils.models.backbone import decode_predictions, feature_maps, freeze, preprocess_input, stages
from focal_utils.models.costs import LayerCost, count_macs, count_parameters, layer_costs
from focal_utils.models.focalnet import IMAGENET_MEAN, IMAGENET_STD, FocalNet, preprocess
from focal_utils.models.segmenter import Merge, PixelHead, segmenter
from focal_utils.models.variants import VARIANTS, Variant, focalnet
