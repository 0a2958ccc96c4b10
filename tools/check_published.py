"""Do the published ImageNet weights say here what they say elsewhere? For a machine with internet; fetches 1.4 GB.

    python tools/check_published.py [variant …]

Fetches the weights of six variants and one photograph (COCO, val2017, 39769: two cats), and compares the first three
logits with those that the transformers library states for its own copies of the weights. Exit status 1 if one differs.
"""

import sys

from parts import arguments

PHOTO = "http://images.cocodataset.org/val2017/000000039769.jpg"
TOLERANCE = 1e-4
KNOWN = {
    "tiny_srf": (0.2166, -0.4368, 0.2191),
    "tiny_lrf": (1.1669, 0.0125, -0.1695),
    "small_srf": (0.4917, -0.0430, 0.1341),
    "small_lrf": (-0.2588, -0.5342, -0.2331),
    "base_srf": (-0.1655, -0.4090, -0.1730),
    "base_lrf": (0.5306, -0.0483, -0.3928),
}


def parser():
    options = arguments.parser(__doc__)
    options.add_argument("variants", nargs="*", help=f"of {', '.join(KNOWN)}; without any, all")
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np
from PIL import Image

import focal_utils as fu
from focal_utils.files import cache_folder, fetch


def prepared(photo, short=256, side=224):
    """A photograph as transformers prepares it: short side to 256, the middle; (1, 224, 224, 3), normalised."""
    scale = short / min(photo.size)
    width, height = (int(length * scale) for length in photo.size)
    photo = photo.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.asarray(photo.crop((left, top, left + side, top + side)), "float32")
    return fu.preprocess_input(pixels[None])


def main():
    options = parser()
    chosen = options.parse_args().variants or list(KNOWN)
    if unknown := [variant for variant in chosen if variant not in KNOWN]:
        options.error(f"no logits are known of {', '.join(unknown)}; they are of {', '.join(KNOWN)}")
    path = cache_folder() / "coco_39769.jpg"
    if not path.exists():
        fetch(PHOTO, path)
    with Image.open(path) as photo:
        images = prepared(photo)
    wrong = 0
    for variant in chosen:
        logits = fu.predict(fu.focalnet(variant, weights="imagenet"), images)[0, :3]
        difference = np.abs(logits - KNOWN[variant]).max()
        wrong += not difference <= TOLERANCE
        print(f"{variant:10s} {np.round(logits, 4)}, off by {difference:.1e}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
