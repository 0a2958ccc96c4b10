"""What run_study.py trains: which networks on which data, for how long, with which seeds."""

import dataclasses
from collections.abc import Callable

import focal_utils as fu


@dataclasses.dataclass(frozen=True)
class Course:
    """A data set and for how many epochs a network is trained on it, without augmentation."""

    load: Callable
    preprocessing: str
    epochs: int
    grid_epochs: int


@dataclasses.dataclass(frozen=True)
class Study:
    """Networks, name → arguments of `FocalNet`, all trained by one recipe on the same courses with the same seeds.

    What a study varies of the recipe is in `training`: name → arguments of `make_optimizer`.

    With several learning rates, each network's is chosen by validation accuracy after `grid_epochs` epochs.
    """

    networks: dict
    courses: tuple
    learning_rates: tuple
    seeds: tuple = (0, 1, 2)
    points: int = 10  # of a run's curve
    training: dict = dataclasses.field(default_factory=dict)


COURSES = {
    "gtsrb": Course(fu.load_gtsrb, "per_image", epochs=3, grid_epochs=1),
    "bloodcells": Course(fu.load_blood_cells, "imagenet", epochs=6, grid_epochs=1),
}

# Four of equal parameters, to 1.5 %: the width of the MLPs makes up for what the mixers differ by. Two have three
# stages, as FocalNet-T and Swin-T have four; two have one stage of 4×4 patches, as ViT and the paper's isotropic
# FocalNets. Attention has operations without parameters, so a ViT is either of equal size or of equal operations: the
# fifth, with fewer parameters, is the latter.
STAGES = {"embed_dim": 24, "depths": (5, 2, 1), "patch_size": 2}
ISOTROPIC = {"embed_dim": 64, "depths": (4,), "patch_size": 4}
COMPARISON = {
    "FocalNet": STAGES | {"focal_levels": (3, 2, 1), "mlp_ratio": 3.4},
    "Swin": STAGES | {"mixer": "window", "window": 4, "mlp_ratio": 3.9},
    "isotropic FocalNet": ISOTROPIC | {"focal_levels": 2, "mlp_ratio": 4.4},
    "ViT": ISOTROPIC | {"mixer": "attention", "mlp_ratio": 4.5},
    "ViT of equal operations": ISOTROPIC | {"mixer": "attention", "mlp_ratio": 3.7},
}

# The ablations of Yang et al. 2022, section 4, and two things that the article does otherwise: each is one argument
# away from the first.
PLAIN = {"embed_dim": 16, "depths": (1, 2, 1), "patch_size": 2, "focal_levels": 3}
ABLATIONS = {
    "the paper's": {},
    "additive modulation": {"modulate": "add"},
    "no global level": {"global_context": False},
    "top level only": {"context": "top"},
    "no gating": {"gating": "none"},
    "0 levels": {"focal_levels": 0},
    "1 level": {"focal_levels": 1},
    "2 levels": {"focal_levels": 2},
    "4 levels": {"focal_levels": 4},
    "parallel contexts (the article)": {"context": "parallel"},
    "softmax gates (the article)": {"gating": "softmax"},
}

STUDIES = {
    "comparison": Study(COMPARISON, ("gtsrb", "bloodcells"), learning_rates=(2e-3, 4e-3, 8e-3, 16e-3, 32e-3)),
    "ablations": Study(
        {name: PLAIN | change for name, change in ABLATIONS.items()}, ("bloodcells",), learning_rates=(4e-3,), points=1
    ),
    "optimizers": Study(
        {"AdamW": PLAIN, "Muon": PLAIN},
        ("gtsrb", "bloodcells"),
        learning_rates=(1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3, 128e-3),
        training={"Muon": {"optimizer": "muon"}},
    ),
}
