"""Weights in and out: those that ship, files of one's own, published checkpoints, and models taken elsewhere."""

from focal_utils.weights.checkpoints import LoadReport, load_checkpoint, peer_weights
from focal_utils.weights.classes import imagenet_classes
from focal_utils.weights.exports import FORMATS, check_packages, compress, export_model
from focal_utils.weights.names import FAMILIES, peer_name
from focal_utils.weights.published import load_pretrained
from focal_utils.weights.saved import load_weights
from focal_utils.weights.shipped import SHIPPED, load_trained
