"""Pictures near a decision: small, dark or half covered, so that a single switch can change what the network reads.

They were found by looking through 2,160 rendered signs (sixteen classes, seeds 0 to 11, three sizes, four treatments)
for those that the shipped network reads rightly without being sure. `tests/package/test_telling.py` counts for how many
of them some single switch changes the answer.
"""

import numpy as np
from PIL import Image

from focal_utils.data import render_sign
from focal_utils.files import data_folder

DARK = 0.25  # of the light that is left
HEDGE = (60, 80, 40)
WALL = (90, 90, 95)
# Name: class, seed, diameter as a share of the side, what was done to it.
SIGNS = {
    "100, behind a hedge": (7, 1, 0.8, "hedge"),
    "80 or 60?": (5, 0, 0.55, None),
    "stop, behind a hedge": (14, 9, 0.55, "hedge"),
    "50, behind a wall": (2, 2, 0.8, "wall"),
    "60 at dusk": (3, 4, 0.55, None),
    "30, behind a hedge": (1, 0, 0.8, "hedge"),
    "priority, small": (11, 0, 0.55, None),
    "stop, far away": (14, 9, 0.4, None),
    "danger, far away": (18, 11, 0.4, None),
    "120 at dusk": (8, 7, 0.8, None),
    "priority, at night": (11, 0, 0.55, "night"),
    "stop, plain to see": (14, 1, 0.8, None),
}


def treated(sign, treatment):
    """A sign (H, W, 3) uint8 at "night", its lower half behind a "hedge", its left behind a "wall", or as it is."""
    sign = sign.copy()
    height, width = sign.shape[:2]
    if treatment == "hedge":
        sign[round(0.56 * height) :] = HEDGE
    elif treatment == "wall":
        sign[:, : round(0.4 * width)] = WALL
    elif treatment == "night":
        sign = np.round(DARK * sign).astype("uint8")
    return sign


def telling_signs(size=32):
    """Eleven rendered signs near a decision, and one that is plain to see: name → picture (size, size, 3) uint8.

    Example:
        >>> fu.GateExplorer(fu.load_trained("gtsrb"), fu.telling_signs())
    """
    return {
        name: treated(render_sign(label, size, scale, seed), treatment)
        for name, (label, seed, scale, treatment) in SIGNS.items()
    }


# The cells of data/photos/blood_cells.png, from left to right: test images of the blood-cell set.
CELLS = (
    "a basophil",
    "an erythroblast",
    "a lymphocyte",
    "a neutrophil",
    "an immature granulocyte",
    "a monocyte",
    "platelets",
    "an eosinophil",
)


def telling_cells():
    """Seven photographed blood cells near a decision, and one that is plain to see: name → picture (28, 28, 3) uint8.

    Example:
        >>> fu.GateExplorer(fu.load_trained("bloodcells"), fu.telling_cells(), class_names)
    """
    with Image.open(data_folder() / "photos" / "blood_cells.png") as row:
        pictures = np.split(np.asarray(row.convert("RGB")), len(CELLS), axis=1)
    return dict(zip(CELLS, pictures, strict=True))
