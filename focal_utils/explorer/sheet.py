"""The contact sheet: all maps of one picture on one figure, for paper and for pages without a kernel."""

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from focal_utils.figures import AMOUNT, SIGNED, block_title, level_colour, picture
from focal_utils.tracing.probing import contributions

SMALL = 9  # points: the numbers at the colour bars
TITLE = 10  # points


def contact_sheet(image, traces, blocks):
    """The picture, the gates of all levels, the level that contributes most and the modulator's norm; a `Figure`.

    Args:
        image: (H, W, 3), 0…255.
        traces: of it alone, from `run_traced`.
        blocks: from `shown.describe_blocks`.
    """
    names = max((block["levels"] for block in blocks), key=len)  # of the block with most levels: all there are
    figure = Figure(figsize=(1.75 * (len(names) + 3), 1.75 * len(blocks) + 0.3), layout="constrained")
    axes = figure.subplots(len(blocks), len(names) + 3, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], facecolor="0.9")
    for row, trace, block in zip(axes, traces, blocks, strict=True):
        picture(row[0], image)
        row[0].set_ylabel(block_title(block["name"]).replace(", ", "\n"), fontsize=TITLE)
        draw_gates(row[1 : 1 + len(names)], trace, image, block, names)
        draw_winner(row[-2], trace, image, block, names)
        draw_modulator(row[-1], trace, image, block)
    figure.supxlabel("gates have no unit; those of a block share one scale, centred on zero", fontsize=TITLE)
    titles = ["picture", *(f"gate\n{name}" for name in names), "level that\ncontributes most", "modulator\nL2 norm"]
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=TITLE)
    return figure


def draw_gates(axes, trace, image, block, names):
    """Each level's gate on the axes of its name, on one scale; where the block lacks a level, the axes say so."""
    gates = trace.gates[0]
    limit = float(np.abs(gates).max())
    if not 0 < limit < np.inf:
        limit = 1.0
    for ax, name in zip(axes, names, strict=True):
        if name not in block["levels"]:
            ax.axis("off")
            words = "this block has\nno " + name
            ax.text(0.5, 0.5, words, ha="center", va="center", fontsize=SMALL, color="0.45", transform=ax.transAxes)
            continue
        gate = gates[..., block["levels"].index(name)]
        drawn = over(ax, gate, image, block, cmap=SIGNED, vmin=-limit, vmax=limit)
    colour_bar(drawn, axes[-1])


def draw_winner(ax, trace, image, block, names):
    """The level that contributes most at each pixel, in its colour, among those of all `names`."""
    place = np.array([names.index(name) for name in block["levels"]])  # the global level stands last, whatever L is
    winner = place[contributions(trace)[0].argmax(axis=-1)]
    hues = ListedColormap([level_colour(name) for name in names])
    norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
    bar = colour_bar(over(ax, winner, image, block, cmap=hues, norm=norm), ax, ticks=range(len(names)))
    bar.ax.set_yticklabels([name.removeprefix("level ") for name in names], fontsize=SMALL)


def draw_modulator(ax, trace, image, block):
    """The modulator's L2 norm at each pixel."""
    norm = np.linalg.norm(trace.modulator[0], axis=-1)
    colour_bar(over(ax, norm, image, block, cmap=AMOUNT, vmin=0), ax)


def over(ax, values, image, block, **colours):
    """Draw a map (h, w) on `ax` where it lies on the picture (H, W, 3), whose frame the axes keep."""
    first = block["first"]
    right = first + block["stride"] * values.shape[1]
    bottom = first + block["stride"] * values.shape[0]
    drawn = ax.imshow(values, extent=(first, right, bottom, first), interpolation="nearest", **colours)
    ax.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    return drawn


def colour_bar(drawn, ax, **options):
    """A colour bar beside `ax`, with small numbers."""
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, **options)
    bar.ax.tick_params(labelsize=SMALL)
    return bar
