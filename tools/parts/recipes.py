"""How the shipped networks are trained: one recipe for each, read by train.py and evaluate.py."""

import dataclasses
from collections.abc import Callable

import numpy as np

import focal_utils as fu
from focal_utils.data import MIRRORED, ImageSet
from focal_utils.training import (
    add_mirrored,
    augment_cells,
    augment_signs_strongly,
    augment_small_photographs,
    augment_ultrasound,
    rebalanced,
)
from parts.files import ROOT
from parts.networks import resnet18


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Data, network and training of one shipped network."""

    load: Callable[[], ImageSet]
    network: dict  # arguments of FocalNet, besides input_shape, classes and name
    augment: Callable
    epochs: int
    batch_size: int
    training: dict  # arguments of compile_model and make_optimizer
    views: Callable  # images → the list of images over which test-time averaging takes the mean
    keep: str = "best"  # the epoch with the best validation accuracy, or "last", the last epoch
    enrich: Callable[[ImageSet], ImageSet] = lambda data: data  # before training, training images only
    seeds: tuple = (0,)  # of the runs of which the best on validation ships
    choose: str = "validation_accuracy"  # what "best" means there: a fact of the run


def enrich_signs(data):
    """The data with mirror images added where they are signs, and rare classes repeated; validation as it was."""
    images, labels = add_mirrored(data.x_train, data.y_train, MIRRORED)
    rows = rebalanced(labels)
    return data.exchange("train", images[rows], labels[rows])


def moved(images):
    """The images, and each moved by a pixel to the four sides; (N, H, W, C) each."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    return [padded[:, y : y + height, x : x + width] for y, x in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))]


def turned(images):
    """The 8 ways to turn and mirror square images; (N, H, H, C) each."""
    turns = [np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)]
    return turns + [turn[:, :, ::-1] for turn in turns]


def mirrored(images):
    """The images and their mirror images; (N, H, W, C) each."""
    return [images, images[:, :, ::-1]]


STEM = {"patch_size": 2, "use_conv_embed": True}
SIGN_NETWORK = STEM | {"embed_dim": 32, "depths": (1, 3, 2), "focal_levels": (3, 2, 1)}
RECIPES = {
    "gtsrb": Recipe(
        load=fu.load_gtsrb,
        network=SIGN_NETWORK | {"preprocessing": "per_image", "drop_path_rate": 0.1},
        augment=augment_signs_strongly,
        epochs=24,
        batch_size=128,
        training={"learning_rate": 3e-3, "label_smoothing": 0.1, "ema": 0.995},
        views=moved,
        keep="last",  # some 130 validation tracks do not tell epochs apart
        enrich=enrich_signs,
        seeds=(0, 1, 2),
        choose="augmented_validation_accuracy",  # too few are misread as they are: about one track
    ),
    "bloodcells": Recipe(
        load=fu.load_blood_cells,
        network={"patch_size": 1, "use_conv_embed": True}  # cells differ in grains of a pixel or two
        | {"embed_dim": 32, "depths": (2, 3, 2), "focal_levels": (2, 2, 1)}
        | {"preprocessing": "imagenet", "drop_path_rate": 0.05},
        augment=augment_cells,
        epochs=24,
        batch_size=64,
        training={"optimizer": "muon", "learning_rate": 6e-3, "label_smoothing": 0.05, "ema": 0.995},
        views=turned,
        seeds=(0, 1, 2),
    ),
    "breastmnist": Recipe(
        load=lambda: fu.load_medmnist("breastmnist"),
        network=STEM | {"embed_dim": 24, "depths": (1, 2, 1), "focal_levels": 2, "preprocessing": "per_image"},
        augment=augment_ultrasound,
        epochs=150,
        batch_size=32,
        training={"learning_rate": 3e-3, "label_smoothing": 0.1, "ema": 0.99},
        views=mirrored,
        keep="last",  # 78 validation images do not tell epochs apart
        seeds=(0, 1, 2, 3, 4),
    ),
    "cifar10": Recipe(
        load=fu.load_cifar10,
        network={"patch_size": 1, "use_conv_embed": True}  # of 32×32 photographs every pixel counts
        | {"embed_dim": 32, "depths": (2, 3, 2), "focal_levels": (3, 2, 1)}
        | {"preprocessing": "imagenet", "drop_path_rate": 0.05},
        augment=augment_small_photographs,
        epochs=20,  # as many as keras.io's example of focal modulation
        batch_size=128,
        training={"optimizer": "muon", "learning_rate": 6e-3, "label_smoothing": 0.05, "ema": 0.995},
        views=mirrored,
        keep="last",
        seeds=(0, 1, 2),
    ),
}


def focalnet(name, data):
    """The recipe's own network."""
    return fu.FocalNet(data.image_shape, data.num_classes, name=name, **RECIPES[name].network)


def four_stages(name, data):
    """The recipe's network, its patches two pixels wide, behind one more stage: of half the width, on every pixel.

    Raises:
        ValueError: the recipe's network reads every pixel already.
    """
    network = RECIPES[name].network
    if network["patch_size"] != 2:
        raise ValueError(
            f"The network of {name} has patches of {network['patch_size']} pixels, not 2: leave it as it is."
        )
    levels = np.broadcast_to(network["focal_levels"], len(network["depths"])).tolist()
    finer = {
        **network,
        "patch_size": 1,
        "embed_dim": network["embed_dim"] // 2,
        "depths": (1, *network["depths"]),
        "focal_levels": (2, *levels),
    }
    return fu.FocalNet(data.image_shape, data.num_classes, name=name, **finer)


NETWORKS = {
    "focalnet": focalnet,
    "four-stages": four_stages,
    "resnet18": lambda name, data: resnet18(data.image_shape, data.num_classes),
}


def run_folder(name, network, seed):
    """Where a run keeps its log, backup and weights."""
    return ROOT / "data" / "cache" / "runs" / f"{name}_{network}" / f"seed_{seed}"
