"""The contact sheet: all maps of one picture on one figure, for paper and for pages without a kernel."""

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from focal_utils.figures import AMOUNT, SIGNED, picture
from focal_utils.tracing.probing import contributions


def contact_sheet(image, traces, blocks):
    """The picture, the gates of all levels, the level that contributes most and the modulator's norm; a `Figure`.

    Args:
        image: (H, W, 3), 0…255. traces: of it alone, from `tracing.run`. blocks: from `payload.describe_blocks`.
    """
    names = max((block["levels"] for block in blocks), key=len)  # of the block with most levels: all there are
    figure = Figure(figsize=(1.45 * (len(names) + 3), 1.6 * len(blocks) + 0.3), layout="constrained")
    axes = figure.subplots(len(blocks), len(names) + 3, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], facecolor="0.9")
    for row, trace, block in zip(axes, traces, blocks, strict=True):
        picture(row[0], image)
        row[0].set_ylabel(block["name"].replace("_", "\n"), fontsize=8)
        gates = trace.gates[0]
        column = [names.index(name) for name in block["levels"]]  # the global level stands last, whatever L is
        limit = float(np.abs(gates).max()) or 1.0
        for level, place in enumerate(column):
            drawn = over(row[1 + place], gates[..., level], image, block, cmap=SIGNED, vmin=-limit, vmax=limit)
        for place in set(range(len(names))) - set(column):
            row[1 + place].axis("off")
        figure.colorbar(drawn, ax=row[len(names)], shrink=0.8).ax.tick_params(labelsize=6)
        winner = np.array(column)[contributions(trace)[0].argmax(axis=-1)]
        norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, 256)
        drawn = over(row[-2], winner, image, block, cmap=AMOUNT, norm=norm)
        bar = figure.colorbar(drawn, ax=row[-2], ticks=range(len(names)), shrink=0.8)
        bar.ax.set_yticklabels([name.removeprefix("level ") for name in names], fontsize=6)
        drawn = over(row[-1], np.linalg.norm(trace.modulator[0], axis=-1), image, block, cmap=AMOUNT, vmin=0)
        figure.colorbar(drawn, ax=row[-1], shrink=0.8).ax.tick_params(labelsize=6)
    figure.supxlabel("gates have no unit; those of a block share one scale, centred on zero", fontsize=8)
    titles = ["picture", *(f"gate\n{name}" for name in names), "level that\ncontributes most", "modulator\nL2 norm"]
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=8)
    return figure


def over(ax, values, image, block, **colours):
    """Draw a map (h, w) on `ax` where it lies on the picture (H, W, 3), whose frame the axes keep."""
    first, stride = block["first"], block["stride"]
    left, top = first, first
    right, bottom = first + stride * values.shape[1], first + stride * values.shape[0]
    drawn = ax.imshow(values, extent=(left, right, bottom, top), interpolation="nearest", **colours)
    ax.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    return drawn
