"""Draw README.md's picture: four rendered signs, what the shipped network reads, and the gates of its first block.

    python tools/make_picture.py

Writes data/results/signs_and_gates.png.
"""

import argparse

from parts.files import ROOT


def parser():
    return argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import numpy as np

import focal_utils as fu


def main():
    signs = np.stack([fu.render_sign(label, 32, 0.8, seed=6) for label in (1, 13, 17, 38)])  # (4, 32, 32, 3)
    model = fu.load_trained("gtsrb")
    names = [fu.GTSRB_CLASSES[label] for label in fu.predict(model, signs).argmax(-1)]
    figure = fu.figures.gate_maps(signs, fu.trace(model, signs)[0].gates)
    for ax, name in zip(figure.axes[::5], names, strict=False):
        ax.set_xlabel(name, fontsize=8)
    figure.savefig(ROOT / "data" / "results" / "signs_and_gates.png", dpi=80, facecolor="white")


if __name__ == "__main__":
    main()
