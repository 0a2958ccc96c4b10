"""The figures of the series: functions that return a matplotlib `Figure`, and `show`, which gives it alternative text.

Colours: viridis for amounts, a diverging map centred on zero for signed values; nothing is said by colour alone.
"""

import base64
import html
import io
import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from focal_utils.layers.focal import level_names

SIGNED = "RdBu_r"
AMOUNT = "viridis"
MARKERS = "osD^vP"  # one for each series, so that colour alone says nothing


def show(figure, alt, dpi=90):
    """Display a figure in a notebook, with alternative text that reaches JupyterLab, Colab and every export.

    Args:
        figure: a matplotlib `Figure`.
        alt: one sentence that says what the figure shows, for those who cannot see it.
        dpi: dots per inch of the PNG.

    Raises:
        ValueError: no alternative text.
    """
    from IPython.display import display

    if not alt or not alt.strip():
        raise ValueError("alt is empty: say in one sentence what the figure shows.")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    data = base64.b64encode(buffer.getvalue()).decode()
    image = f'<img alt="{html.escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
    display({"text/html": image, "text/plain": alt}, raw=True)


def grid(rows, columns, cell=(1.6, 1.6), **kwargs):
    """A `Figure` of rows × columns axes without ticks, each `cell` inches, and the axes as an array (rows, columns)."""
    figure = Figure(figsize=(columns * cell[0], rows * cell[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure, axes


def show_images(images, titles=None, columns=8, cell=1.3):
    """A contact sheet of images (N, H, W, 1 or 3), 0…255 or 0…1, with a title over each; a `Figure`."""
    images = np.asarray(images)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    title_height = 0.25 if titles is not None else 0
    figure, axes = grid(rows, columns, (cell, cell + title_height))
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        picture(ax, image)
        if titles is not None:
            ax.set_title(titles[i], fontsize=8)
    return figure


def picture(ax, image, title=None):
    """Draw one image (H, W, 1 or 3), 0…255 or 0…1, on `ax`."""
    image = np.asarray(image)
    if image.dtype == np.uint8 or image.max() > 1:
        image = image / 255
    ax.imshow(np.clip(image.squeeze(), 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    if title is not None:
        ax.set_title(title, fontsize=9)


def heat(ax, values, title=None, limit=None, signed=False):
    """Draw a map (H, W) on `ax`, signed values around zero or amounts from zero; returns it, for a colour bar."""
    limit = limit or float(np.abs(values).max()) or 1.0
    drawn = ax.imshow(
        values, cmap=SIGNED if signed else AMOUNT, vmin=-limit if signed else 0, vmax=limit, interpolation="nearest"
    )
    if title is not None:
        ax.set_title(title, fontsize=9)
    return drawn


def gate_maps(images, gates, names=None):
    """Images beside their gates, one column for each level, all on one scale centred on zero; a `Figure`.

    Args:
        images: (N, H, W, 1 or 3). gates: (N, h, w, L + 1). names: of the levels.
    """
    gates = np.asarray(gates)
    total = gates.shape[-1]
    names = names or level_names(total - 1, total)
    figure, axes = grid(len(images), 1 + total, (1.7, 1.7))
    limit = float(np.abs(gates).max())
    for row, image, gate in zip(axes, images, gates, strict=True):
        picture(row[0], image)
        for level in range(total):
            drawn = heat(row[1 + level], gate[..., level], limit=limit, signed=True)
    for ax, name in zip(axes[0], ["image", *names], strict=True):
        ax.set_title(name, fontsize=9)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="gate (no unit)")
    return figure


def receptive_fields(responses, titles, squares=(), decades=6):
    """Impulse responses side by side on one logarithmic scale, with squares of given widths drawn in; a `Figure`.

    Args:
        responses: maps (size, size), largest difference at each pixel. titles: one for each.
        squares: for each map, the widths in pixels to draw around its centre.
        decades: powers of ten that the scale spans, down from the largest value.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    top = max(float(r.max()) for r in responses)
    figure, axes = grid(1, len(responses), (3.2, 3.2))
    for i, (ax, response, title) in enumerate(zip(axes[0], responses, titles, strict=True)):
        shown = np.where(response > 0, response, np.nan)
        drawn = ax.imshow(shown, cmap=AMOUNT, norm=LogNorm(top * 10.0**-decades, top), interpolation="nearest")
        ax.set_title(title, fontsize=9)
        ax.set_facecolor("0.85")
        centre = (len(response) - 1) / 2
        for width in squares[i] if squares else ():
            corner = centre - width / 2
            ax.add_patch(Rectangle((corner, corner), width, width, fill=False, color="white", lw=2.5))
            ax.add_patch(Rectangle((corner, corner), width, width, fill=False, color="black", lw=1, ls="--"))
            ax.annotate(
                f"{width} px",
                (corner + width, corner),
                fontsize=7,
                color="black",
                va="bottom",
                ha="right",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
    figure.colorbar(drawn, ax=axes, shrink=0.85, label="largest change of the output")
    return figure


def training_curves(histories, metric="accuracy", title=None):
    """A metric of training and of validation over epochs; `histories` maps a name to a dict of lists; a `Figure`."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    for i, (name, history) in enumerate(histories.items()):
        epochs = np.arange(1, len(history[metric]) + 1)
        ax.plot(epochs, history[metric], f"C{i}--", lw=1, label=f"{name}, training")
        if f"val_{metric}" in history:
            ax.plot(epochs, history[f"val_{metric}"], f"C{i}-o", ms=3, label=f"{name}, validation")
    ax.set(xlabel="epoch", ylabel=metric, title=title or "")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure


def scaling(series, xlabel, ylabel, guides=()):
    """Amounts against sizes on logarithmic axes; `series` maps a name to (sizes, amounts); a `Figure`.

    `guides` are powers, each drawn as a grey line of that slope through the first series' first point.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for i, (name, (sizes, amounts)) in enumerate(series.items()):
        ax.plot(sizes, amounts, f"C{i}-" + MARKERS[i % len(MARKERS)], ms=5, label=name)
    first, amount = (values[0] for values in next(iter(series.values())))
    everything = np.concatenate([np.asarray(amounts, float) for _, amounts in series.values()])
    top = everything.max()
    for power in guides:
        ends = np.array([first, max(max(sizes) for sizes, _ in series.values())], float)
        ax.plot(ends, amount * (ends / first) ** power, "0.7", lw=1, ls="--", zorder=0, label=f"slope {power}")
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, ylim=(None, top * 3))
    if top < 100 * everything.min():  # powers of ten alone would leave one or two ticks
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    return figure


def seed_curves(panels, xlabel, ylabel):
    """Mean over seeds as a line and all seeds as a band, a panel each; `panels`: title → name → (x, (seeds, x)).

    A `Figure`.
    """
    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    for ax, (title, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for i, (name, (x, values)) in enumerate(series.items()):
            values = np.asarray(values)
            ax.plot(x, values.mean(axis=0), f"C{i}-" + MARKERS[i % len(MARKERS)], ms=4, label=name)
            ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=f"C{i}", alpha=0.15, lw=0)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return figure


def interval_rows(rows, xlabel, reference=None):
    """One line for each name with its values as dots and mean ± half as a bar; `rows`: name → (values, mean, half).

    The mean of the row called `reference` is drawn through all lines. A `Figure`.
    """
    figure = Figure(figsize=(6.4, 0.6 + 0.36 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (values, mean, half) in enumerate(rows.values()):
        ax.errorbar(mean, y, xerr=half, fmt="ko", ms=4, capsize=3, lw=1)
        ax.plot(values, np.full(len(values), y + 0.22), "C0|", ms=7)
    if reference:
        ax.axvline(rows[reference][1], color="0.6", lw=1, ls="--")
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=xlabel, ylim=(len(rows) - 0.4, -0.6))
    ax.grid(alpha=0.3, axis="x")
    return figure


def confusion_figure(counts, log=True):
    """A confusion matrix as a picture, counts on a logarithmic scale so that rare mistakes are seen; a `Figure`."""
    from matplotlib.colors import LogNorm

    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    ax = figure.subplots()
    shown = np.where(counts > 0, counts, np.nan)
    drawn = ax.imshow(
        shown, cmap=AMOUNT, norm=LogNorm(1, max(2, counts.max())) if log else None, interpolation="nearest"
    )
    ticks = range(0, len(counts), 1 if len(counts) <= 12 else 5)
    ax.set(xlabel="predicted class", ylabel="true class", xticks=ticks, yticks=ticks, facecolor="0.92")
    figure.colorbar(drawn, ax=ax, label="images")
    return figure
