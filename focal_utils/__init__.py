"""Focal modulation in Keras 3: layers, models, data and the tools of the notebook series."""

from focal_utils import article, augment, figures, statistics, training
from focal_utils.attention import SelfAttention, WindowedAttention
from focal_utils.backbone import decode_predictions, feature_maps, freeze, preprocess_input
from focal_utils.blocks import DropPath, FocalBlock, LayerScale, Mlp, PatchEmbed
from focal_utils.checkpoints import load_trained
from focal_utils.costs import count_macs, count_parameters, layer_costs
from focal_utils.datasets import load_blood_cells, load_gtsrb, load_medmnist, load_photos
from focal_utils.downloads import DamagedData, DataNotFound
from focal_utils.environment import check_environment
from focal_utils.exercises import check
from focal_utils.explorer import GateExplorer
from focal_utils.exporting import export_model
from focal_utils.figures import show
from focal_utils.gtsrb import GTSRB_CLASSES
from focal_utils.imagesets import ImageSet
from focal_utils.layers import FocalModulation, FocalParts, GatedAggregation, HierarchicalContext, gelu
from focal_utils.measuring import Measurement, measure
from focal_utils.models import VARIANTS, FocalNet, focalnet
from focal_utils.paths import data_folder
from focal_utils.peers import LoadReport, load_checkpoint, peer_weights
from focal_utils.signs import render_sign, render_signs
from focal_utils.tracing import impulse_response, impulse_width, trace
from focal_utils.training import accuracy, predict, train
from focal_utils.weights import load_weights
