"""The figures of the series: functions that return a matplotlib `Figure`, and `show`, which gives it alternative text.

Colours: viridis for amounts, a diverging map centred on zero for signed values; nothing is said by colour alone.
"""

import base64
import html
import io
import math
import re
import unicodedata

import numpy as np
from keras import ops
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from focal_utils.errors import check_choice
from focal_utils.layers.focal import level_names

# Of the first, second, … level and of the global one, the same in the explorer (explorer/page/colours.js); those who do
# not see red from green tell them apart, too.
LEVEL_COLOURS = ("#e07b00", "#009e73", "#c2569b", "#8c6d31", "#5d6f7e")
GLOBAL_COLOUR = "#3b78d8"
SIGNED = "RdBu_r"
AMOUNT = "viridis"
MARKERS = "osD^vP"  # one for each series, so that colour alone says nothing
LARGEST = 120_000  # bytes of a PNG: a notebook of ten figures stays below a megabyte
WEBP_QUALITY = 90  # of 100
CAPTION = "font-size:90%;opacity:0.8;max-width:60em"
LINES = ("-", "--", ":", "-.")  # of several series of one kind of mixer

# How a mixer is drawn: words that its names hold, its colour, its marker. The first row that fits counts.
MIXERS = (
    (("ViT of equal operations",), "#b0569a", "v"),
    (("fused",), "#6b7280", "P"),
    (("window", "Swin"), "#c4570b", "s"),
    (("focal", "Focal"), "#1f5fa8", "o"),
    (("attention", "ViT"), "#8a2f62", "D"),
    (("gated convolution",), "#a87b00", "P"),
    (("convolution", "depthwise", "large kernel"), "#2f7d4f", "^"),
)


def level_colour(name):
    """The colour of a level by its name, "level 1" … or "global" (see `level_names`), "#rrggbb"."""
    if name == "global":
        return GLOBAL_COLOUR
    number = int(name.removeprefix("level ")) - 1
    return LEVEL_COLOURS[number % len(LEVEL_COLOURS)]


def show(figure, alt, dpi=90):
    """Display a figure in a notebook, above a caption that all see: its alternative text, which every export keeps.

    Args:
        figure: a matplotlib `Figure`.
        alt: one sentence that says what the figure shows, for those who cannot see it, and for all others below it.
        dpi: dots per inch of the page. The PNG has twice as many, for screens that can show them, unless it would
            become larger than `LARGEST`. Where it is larger even without, as photographs are, a WebP takes its place.

    Raises:
        ValueError: no alternative text.
    """
    from IPython.display import display

    if not alt or not alt.strip():
        raise ValueError("alt is empty: say in one sentence what the figure shows.")
    display({"text/html": page_of(figure, alt, dpi), "text/plain": alt}, raw=True)


def page_of(figure, alt, dpi=90):
    """A figure and its caption as HTML, see `show`."""
    once = png(figure, dpi)
    twice = png(figure, 2 * dpi)
    kind, data = small_enough(once, twice)
    said = html.escape(alt)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = f'<img alt="{said}" width="{png_width(once)}" style="max-width:100%" src="{source}">'
    return f'<figure style="margin:0">{image}<figcaption style="{CAPTION}">{said}</figcaption></figure>'


def small_enough(once, twice):
    """Of a figure as two PNGs, the second with twice as many dots, the one to show: its kind and its bytes."""
    if len(twice) <= LARGEST:
        return "png", twice
    if len(once) <= LARGEST:
        return "png", once
    return "webp", as_webp(twice)


def png(figure, dpi):
    """A figure as the bytes of a PNG on white, packed an eighth smaller than by matplotlib, every pixel the same."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    packed = io.BytesIO()
    with Image.open(drawn) as image:
        image.convert("RGB").save(packed, format="png", optimize=True)
    return packed.getvalue()


def as_webp(data):
    """A PNG's bytes as those of a WebP, a third as large where it holds photographs; the eye sees no difference."""
    packed = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(packed, format="webp", quality=WEBP_QUALITY)
    return packed.getvalue()


def png_width(data):
    """The width in pixels that stands in the header of a PNG."""
    return int.from_bytes(data[16:20], "big")


def table(columns, rows):
    """Display a table in a notebook: in HTML as one that a screen reader can walk through, elsewhere in even columns.

    Rich draws tables with characters, which cannot be walked through, and pandas would be needed for this alone.

    Args:
        columns: names of the columns, as texts.
        rows: lists of as many texts or numbers; the first one names the row. Numbers are written as they are, so round
            them, or hand in texts.

    Raises:
        ValueError: a row of another length.

    Example:
        >>> fu.figures.table(["network", "right"], [["focal", "93.5 ± 3.6 %"], ["windows", "90.0 ± 0.9 %"]])
    """
    from IPython.display import display

    columns = [str(name) for name in columns]
    rows = [[str(cell) for cell in row] for row in rows]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"The row {row} has {len(row)} cells, and there are {len(columns)} columns.")
    display({"text/html": table_html(columns, rows), "text/plain": table_text(columns, rows)}, raw=True)


def table_html(columns, rows):
    """The table as HTML: columns of words stand on the left, columns with a number in them on the right."""
    sides = ["left" if of_words(cells) else "right" for cells in zip(*rows, strict=True)] or ["left"] * len(columns)
    sides[0] = "left"
    head = "".join(table_cell("th", name, side, "col") for name, side in zip(columns, sides, strict=True))
    lines = []
    for name, *values in rows:
        cells = table_cell("th", name, "left", "row")
        cells += "".join(table_cell("td", value, side) for value, side in zip(values, sides[1:], strict=True))
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def of_words(cells):
    """Whether no cell of a column begins with a number, with or without a sign before it."""
    return not any(re.match(r"[+\-−<>≤≥~]?\s*\d", cell) for cell in cells)


def table_cell(tag, text, side, scope=None):
    """A cell, `tag` "th" or "td", that stands on one side; `scope` says whether a heading is a row's or a column's."""
    scope = f' scope="{scope}"' if scope else ""
    return f'<{tag}{scope} style="text-align:{side}">{html.escape(text)}</{tag}>'


def table_text(columns, rows):
    """The table as text, its first column to the left and the others to the right."""
    widths = [max(map(text_width, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = []
    for first, *others in (columns, *rows):
        cells = [first + " " * (widths[0] - text_width(first))]
        cells += [" " * (width - text_width(cell)) + cell for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("   ".join(cells).rstrip())
    return "\n".join(lines)


def text_width(text):
    """Columns that a text takes; marks above a letter take none."""
    return sum(not unicodedata.combining(letter) for letter in text)


def block_title(name):
    """A block's name for people: "stage1_block2" is "stage 1, block 2"."""
    return re.sub(r"^stage(\d+)_block(\d+)$", r"stage \1, block \2", name)


def mixer_styles(names):
    """How to draw the series of these names: name → keywords for `plot`, a colour and marker for each kind of mixer.

    The same kind has the same colour in every figure. Several of one kind differ by their lines. What is no mixer gets
    matplotlib's own colours, in their order.
    """
    styles = {}
    drawn = {}
    for number, name in enumerate(names):
        kind = next((kind for kind in MIXERS if any(word in name for word in kind[0])), None)
        colour = kind[1] if kind else f"C{number}"
        marker = kind[2] if kind else MARKERS[number % len(MARKERS)]
        before = drawn.get(colour, 0)
        drawn[colour] = before + 1
        styles[name] = {"color": colour, "marker": marker, "linestyle": LINES[before % len(LINES)]}
        if before:
            styles[name]["markerfacecolor"] = "white"
    return styles


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


def outlines(ax, image, labels, title=None, colour=(1.0, 0.85, 0.0)):
    """Draw one image (H, W, 1 or 3) on `ax` with a line around each object of a label map (H, W), 0 outside.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    from skimage.segmentation import find_boundaries

    image = np.asarray(image)
    if image.dtype == np.uint8 or image.max() > 1:
        image = image / 255
    drawn = np.broadcast_to(image, (*image.shape[:2], 3)).copy()
    drawn[find_boundaries(labels, mode="inner")] = colour
    picture(ax, drawn, title)


def heat(ax, values, title=None, limit=None, signed=False):
    """Draw a map (H, W) on `ax`, signed values around zero or amounts from zero; returns it, for a colour bar."""
    limit = limit or float(np.abs(values).max()) or 1.0
    drawn = ax.imshow(
        values, cmap=SIGNED if signed else AMOUNT, vmin=-limit if signed else 0, vmax=limit, interpolation="nearest"
    )
    if title is not None:
        ax.set_title(title, fontsize=9)
    return drawn


def gate_maps(images, gates, names=None, limit=None):
    """Images beside their gates, one column for each level, all on one scale centred on zero; a `Figure`.

    Args:
        images: (N, H, W, 1 or 3). gates: (N, h, w, L + 1). names: of the levels.
        limit: the gate at which the scale ends. None: the one furthest from zero.
    """
    gates = np.asarray(gates)
    total = gates.shape[-1]
    names = names or level_names(total - 1, total)
    figure, axes = grid(len(images), 1 + total, (1.7, 1.7))
    limit = limit or float(np.abs(gates).max())
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


def training_curves(histories, metric="accuracy", title=None, label=None):
    """A metric of training and of validation over epochs; `histories` maps a name to a dict of lists; a `Figure`.

    `label` is what people call the metric, where that is not its name in the history.
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    ax = figure.subplots()
    for i, (name, history) in enumerate(histories.items()):
        epochs = np.arange(1, len(history[metric]) + 1)
        ax.plot(epochs, history[metric], f"C{i}--", lw=1, label=f"{name}, training")
        if f"val_{metric}" in history:
            ax.plot(epochs, history[f"val_{metric}"], f"C{i}-o", ms=3, label=f"{name}, validation")
    ax.set(xlabel="epoch", ylabel=label or metric, title=title or "")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure


def scaling(series, xlabel, ylabel, guides=()):
    """Amounts against sizes on logarithmic axes; `series` maps a name to (sizes, amounts); a `Figure`.

    `guides` are powers, each drawn as a grey line of that slope through the first series' first point, with its name at
    its end.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    for name, style in mixer_styles(series).items():
        ax.plot(*series[name], ms=5, label=name, **style)
    first, amount = (values[0] for values in next(iter(series.values())))
    everything = np.concatenate([np.asarray(amounts, float) for _, amounts in series.values()])
    top = everything.max()
    for power, line in zip(guides, ((0, (1, 2)), (0, (6, 3)), "-."), strict=False):
        ends = np.array([first, max(max(sizes) for sizes, _ in series.values())], float)
        heights = amount * (ends / first) ** power
        ax.plot(ends, heights, "0.55", lw=1.2, ls=line, zorder=0, label=f"slope {power}")
        end = (ends[1], min(heights[1], 2 * top))
        if heights[1] > end[1]:  # the line leaves the figure at the top
            end = (first * (end[1] / amount) ** (1 / power), end[1])
        below = {"xytext": (0, -24), "textcoords": "offset points"}  # clear of the series that rise as steeply
        ax.annotate(f"slope {power}", end, color="0.35", fontsize=8, ha="right", va="top", **below)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, ylim=(None, top * 3))
    if top < 100 * everything.min():  # powers of ten alone would leave one or two ticks
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    return figure


def seed_curves(panels, xlabel, ylabel, columns=None):
    """Mean over seeds as a line and all seeds as a band, a panel each; `panels`: title → name → (x, (seeds, x)).

    So many `columns` of panels, all in one row by default. A `Figure`.
    """
    columns = columns or len(panels)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in all_axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, series) in zip(all_axes, panels.items(), strict=False):
        for name, style in mixer_styles(series).items():
            x, values = series[name]
            values = np.asarray(values)
            ax.plot(x, values.mean(axis=0), ms=4, label=name, **style)
            ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.15, lw=0)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return figure


def interval_rows(rows, xlabel, reference=None):
    """One line for each name with its values as dots and mean ± half as a bar; `rows`: name → (values, mean, half).

    Through all lines goes a dashed one, at `reference`: a number, or the name of a row for its mean. A `Figure`.
    """
    figure = Figure(figsize=(6.4, 0.6 + 0.36 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (values, mean, half) in enumerate(rows.values()):
        ax.errorbar(mean, y, xerr=half, fmt="ko", ms=4, capsize=3, lw=1)
        ax.plot(values, np.full(len(values), y + 0.22), "C0|", ms=7)
    if reference is not None:
        ax.axvline(rows[reference][1] if reference in rows else reference, color="0.6", lw=1, ls="--")
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=xlabel, ylim=(len(rows) - 0.4, -0.6))
    ax.grid(alpha=0.3, axis="x")
    return figure


def confusion_figure(counts, names=None, log=True):
    """A confusion matrix as a picture, counts on a logarithmic scale so that rare mistakes are seen; a `Figure`.

    `names` are those of the classes, which then stand at every row and column; without them some have their number.
    """
    from matplotlib.colors import LogNorm

    figure = Figure(figsize=(6.4, 5.6) if names is None else (9.2, 8.6), layout="constrained")
    ax = figure.subplots()
    shown = np.where(counts > 0, counts, np.nan)
    drawn = ax.imshow(
        shown, cmap=AMOUNT, norm=LogNorm(1, max(2, counts.max())) if log else None, interpolation="nearest"
    )
    ticks = range(0, len(counts), 1 if names or len(counts) <= 12 else 5)
    ax.set(xlabel="predicted class", ylabel="true class", xticks=ticks, yticks=ticks, facecolor="0.92")
    if names:
        ax.set_xticklabels(names, rotation=90, fontsize=8)
        ax.set_yticklabels(names, fontsize=8)
    bar = figure.colorbar(drawn, ax=ax, label="images", shrink=0.6)
    if log:
        bar.ax.yaxis.set_major_formatter("{x:.0f}")
    return figure


# ---- the drawing of the layer


PARTS = ("projection", "contexts", "gates", "aggregation", "modulation")
COLUMN = 1.5  # from one level to the next; units of the drawing, of which SCALE are an inch
FIRST_COLUMN = 4.5
SCALE = 1.28
ROWS = {"query": 4.35, "context": 2.85, "product": 1.75, "gate": 0.75}
SIDE = 0.72  # of a drawn map
PALE = 0.16  # of a colour that is left where a part stands back
PALE_WORDS = 0.5  # likewise, of words: they can still be read
CELLS = 4  # channels a side that a map shows of one pixel
LINE = "#3a4652"
FACE = "#eef1f4"


def mixed(colour, share, other="#ffffff"):
    """`share` of a colour, "#rrggbb", and the rest of another."""
    numbers = [[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in (colour, other)]
    return "#" + "".join(f"{round(share * one + (1 - share) * two):02x}" for one, two in zip(*numbers, strict=True))


def pixel_numbers(parts, row, column, picture=0):
    """One pixel's numbers for `layer_diagram`: a dict of its vectors, as arrays.

    Args:
        parts: `FocalParts`, what `FocalModulation.parts` gives, or a `BlockTrace` of `fu.trace`: query and modulator
            (B, H, W, C), contexts, a list of (B, H, W, C) and (B, 1, 1, C), gates (B, H, W, L + 1).
        row: of the map. column: likewise. picture: which one of the batch.

    Returns:
        query, sum = Σ g·z, modulator and product = q ⊙ m, (C) each; gates (L + 1); contexts (L + 1, C).

    Example:
        >>> numbers = fu.figures.pixel_numbers(layer.parts(x), row=3, column=5)
    """
    query, modulator, gates = (
        ops.convert_to_numpy(values[picture, row, column]) for values in (parts.query, parts.modulator, parts.gates)
    )
    maps = [ops.convert_to_numpy(context[picture]) for context in parts.contexts]
    contexts = np.stack([one[0, 0] if len(one) == 1 else one[row, column] for one in maps])
    return {
        "query": query,
        "contexts": contexts,
        "gates": gates,
        "sum": gates @ contexts,
        "modulator": modulator,
        "product": query * modulator,
    }


def layer_diagram(part=None, numbers=None, levels=3, window=3):
    """Focal modulation as one drawing: X → query, contexts, gates → Σ g·z → h → m → q ⊙ m → proj → y; a `Figure`.

    Args:
        part: what stands out in colour, while the rest stands back: "projection", "contexts", "gates", "aggregation" or
            "modulation", or several of them; None: all.
        numbers: of one pixel, from `pixel_numbers`; then each map shows sixteen channels of it and the number of one.
        levels: focal levels L, of which the global one is not; with `numbers` there are as many as these have.
        window: side of the first level's kernel, in pixels; each level's is two wider than the one before.

    Raises:
        ValueError: an unknown part, or no focal level.

    Example:
        >>> fu.show(fu.figures.layer_diagram("gates"), "Focal modulation as a drawing; its gates stand out.")
    """
    shown = PARTS if part is None else (part,) if isinstance(part, str) else tuple(part)
    for name in shown:
        check_choice("part", name, PARTS)
    if numbers is not None:
        levels = len(numbers["gates"]) - 1
    if levels < 1:
        raise ValueError(f"levels is {levels}: the drawing needs one focal level or more beside the global one.")
    drawing = LayerDrawing(shown, numbers, levels, window)
    drawing.draw()
    return drawing.figure


class LayerDrawing:
    """The drawing of `layer_diagram`, from left to right; see there for the arguments."""

    def __init__(self, shown, numbers, levels, window):
        self.shown = shown
        self.numbers = numbers
        self.window = window
        self.names = level_names(levels, levels + 1)
        self.columns = [FIRST_COLUMN + COLUMN * number for number in range(levels + 1)]
        self.sum_x = self.columns[-1] + 1.15
        self.modulator_x = self.sum_x + 2.1
        self.width = self.modulator_x + 3.15
        low = -0.15 if numbers is None else -0.5
        self.height = 5.2 - low
        self.figure = Figure(figsize=(self.width / SCALE, self.height / SCALE))
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(0, self.width), ylim=(low, low + self.height))
        self.ax.axis("off")
        self.channel = 0
        if numbers is not None:
            self.channel = int(np.abs(numbers["product"][: CELLS**2]).argmax())

    def draw(self):
        self.projection()
        for level in range(len(self.names)):
            self.context(level)
            self.gate(level)
        self.aggregation()
        self.modulation()
        if self.numbers is not None:
            self.sentence()

    # what is drawn with

    def tint(self, colour, part):
        """A colour, or a breath of it where its part stands back."""
        return colour if part in self.shown else mixed(colour, PALE)

    def arrow(self, start, end, part, colour=LINE, head="-|>", width=1.3):
        style = {"arrowstyle": head, "color": self.tint(colour, part), "lw": width, "shrinkA": 0, "shrinkB": 0}
        self.ax.annotate("", end, start, arrowprops=style | {"mutation_scale": 9})

    def path(self, points, part, colour=LINE, width=1.3):
        xs, ys = zip(*points, strict=True)
        self.ax.plot(xs, ys, color=self.tint(colour, part), lw=width, solid_capstyle="round", solid_joinstyle="round")

    def words(self, place, text, part, size=8.5, **options):
        colour = LINE if part in self.shown else mixed(LINE, PALE_WORDS)
        style = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
        self.ax.text(*place, text, **style | options)

    def box(self, centre, size, part, face=FACE, edge=LINE, width=1.2, round_by=0.07):
        from matplotlib.patches import FancyBboxPatch

        corner = (centre[0] - size[0] / 2 + round_by, centre[1] - size[1] / 2 + round_by)
        inner = (size[0] - 2 * round_by, size[1] - 2 * round_by)
        style = f"round,pad={round_by},rounding_size={round_by}"
        colours = {"fc": self.tint(face, part), "ec": self.tint(edge, part)}
        self.ax.add_patch(FancyBboxPatch(corner, *inner, boxstyle=style, lw=width, zorder=3, **colours))

    def circle(self, centre, symbol, part, edge=LINE):
        from matplotlib.patches import Circle

        colours = {"fc": "white", "ec": self.tint(edge, part)}
        self.ax.add_patch(Circle(centre, 0.19, lw=1.5, zorder=4, **colours))
        self.words(centre, symbol, part, size=12, zorder=5)

    def operation(self, centre, name, part):
        """A layer with weights, as a dark box."""
        self.box(centre, (0.62, 0.5), part, face=LINE, edge=LINE)
        self.words(centre, name, part, size=9.5, color="white", zorder=5)

    def map(self, centre, part, symbol, hue=LINE, depth=3, values=None, name_below=True):
        """A tensor: a square for height and width, with more behind it for the channels, and its symbol."""
        for back in range(depth - 1, -1, -1):
            shift = 0.07 * back
            place = (centre[0] + shift, centre[1] + shift)
            self.box(place, (SIDE, SIDE), part, face=mixed(hue, 0.16), edge=hue, round_by=0.05)
        if values is not None:
            self.cells(centre, values, hue, part)
        below = centre[1] - SIDE / 2 - 0.17
        if name_below and values is None:
            self.words((centre[0], below), symbol, part, size=11)
        elif name_below:
            self.words((centre[0] - 0.06, below), symbol, part, size=11, ha="right")

    def cells(self, centre, values, hue, part):
        """Sixteen channels of one pixel, in the hue above zero and black below, a frame around the one that is told."""
        from matplotlib.patches import Rectangle

        values = np.asarray(values)[: CELLS**2]
        limit = float(np.abs(values).max()) or 1.0
        side = (SIDE - 0.12) / CELLS
        for number, value in enumerate(values):
            row, column = divmod(number, CELLS)
            x = centre[0] - SIDE / 2 + 0.06 + column * side
            y = centre[1] + SIDE / 2 - 0.06 - (row + 1) * side
            shade = mixed(hue if value > 0 else "#16181c", abs(value) / limit)
            told = number == self.channel
            self.ax.add_patch(Rectangle((x, y), side, side, fc=self.tint(shade, part), ec="white", lw=0.4, zorder=5))
            if told:
                frame = self.tint("#000000", part)
                self.ax.add_patch(Rectangle((x, y), side, side, fill=False, ec=frame, lw=1.6, zorder=6))

    def number(self, name, level=None):
        """The number that is told of a vector, as text; None where there are no numbers."""
        if self.numbers is None:
            return None
        values = np.asarray(self.numbers[name])
        if name == "gates":
            return signed_text(values[level])
        return signed_text(values[self.channel] if level is None else values[level, self.channel])

    def vector(self, name, level=None):
        if self.numbers is None:
            return None
        return self.numbers[name] if level is None else self.numbers[name][level]

    def title(self, place, name, text, **options):
        """The name of a part, and what it is for."""
        self.words(place, name, name, size=10.5, weight="bold", **options)
        self.words((place[0], place[1] - 0.24), text, name, size=9, **options)

    # the parts

    def projection(self):
        part = "projection"
        middle = (ROWS["query"] + ROWS["gate"]) / 2
        self.map((0.75, middle), part, "$X$")
        self.arrow((1.28, middle), (1.68, middle), part)
        self.box((1.98, middle), (0.56, ROWS["query"] - ROWS["gate"] + 0.7), part, face=LINE)
        self.words((1.98, middle), "$f$", part, size=12, color="white", zorder=5)
        self.words((1.98, ROWS["query"] + 0.62), "projection", part, size=10.5, weight="bold")
        self.arrow((2.26, ROWS["query"]), (2.72, ROWS["query"]), part)
        self.arrow((2.26, ROWS["context"]), (2.72, ROWS["context"]), part)
        self.path([(2.26, ROWS["gate"]), (self.columns[0] - SIDE / 2, ROWS["gate"])], part)
        self.map((3.12, ROWS["query"]), part, "$q$", values=self.vector("query"))
        self.tell((3.12, ROWS["query"]), "query", part)
        self.map((3.12, ROWS["context"]), part, "$z^0$")

    def tell(self, centre, name, part, level=None):
        """The number of a map beside its symbol."""
        text = self.number(name, level)
        if text is not None:
            self.words((centre[0], centre[1] - SIDE / 2 - 0.17), text, part, size=9, ha="left")

    def context(self, level):
        part = "contexts"
        name = self.names[level]
        hue = level_colour(name)
        centre = (self.columns[level], ROWS["context"])
        before = self.columns[level] - COLUMN if level else 3.12 + 0.02
        self.arrow((before + SIDE / 2 + 0.16, ROWS["context"]), (centre[0] - SIDE / 2 - 0.03, ROWS["context"]), part)
        between = ((before + centre[0]) / 2 + 0.08, ROWS["context"] + 0.2)
        side = self.window + 2 * level
        self.words(between, "mean" if name == "global" else f"{side}×{side}", part, size=8)
        symbol = f"$z^{{{level + 1}}}$"
        self.map(centre, part, symbol, hue, values=self.vector("contexts", level), name_below=self.numbers is not None)
        if self.numbers is None:
            self.reach(centre, level, hue)
            self.words((centre[0] - SIDE / 2 + 0.02, centre[1] - SIDE / 2 - 0.17), symbol, part, size=11)
        else:
            self.tell(centre, "contexts", part, level)
        if level == 0:
            place = (self.columns[0] - SIDE / 2, ROWS["context"] + 0.93)
            self.title(place, part, "each level reads the one before: how far a pixel can see", ha="left")

    def reach(self, centre, level, hue):
        """What one pixel of a level sees, as a square in its map: all of it for the global one."""
        from matplotlib.patches import Rectangle

        part = "contexts"
        seen = [
            1 + sum(self.window + 2 * one - 1 for one in range(number + 1)) for number in range(len(self.names) - 1)
        ]
        full = SIDE - 0.1
        side = full if self.names[level] == "global" else full * seen[level] / (seen[-1] * 1.25)
        corner = (centre[0] - side / 2, centre[1] - side / 2)
        colours = {"fc": self.tint(mixed(hue, 0.75), part), "ec": self.tint(hue, part)}
        self.ax.add_patch(Rectangle(corner, side, side, lw=1, zorder=4, **colours))
        dot = 0.07
        corner = (centre[0] - dot / 2, centre[1] - dot / 2)
        self.ax.add_patch(Rectangle(corner, dot, dot, fc=self.tint("#101214", part), lw=0, zorder=5))

    def gate(self, level):
        part = "gates"
        hue = level_colour(self.names[level])
        centre = (self.columns[level], ROWS["gate"])
        if level:
            self.path([(centre[0] - COLUMN + SIDE / 2, ROWS["gate"]), (centre[0] - SIDE / 2, ROWS["gate"])], part)
        self.map(centre, part, "", hue, depth=1)
        self.words(centre, f"$g_{{{level + 1}}}$", part, size=13, zorder=5)
        text = self.number("gates", level)
        if text is not None:
            self.words((centre[0], ROWS["gate"] - SIDE / 2 - 0.16), text, part, size=9)
        if level == len(self.names) - 1:
            place = (centre[0] + SIDE / 2 + 0.2, ROWS["gate"] + 0.12)
            self.title(place, part, "one number a level and pixel: whom to listen to", ha="left")

    def aggregation(self):
        part = "aggregation"
        count = len(self.names)
        for level, name in enumerate(self.names):
            hue = level_colour(name)
            lane = ROWS["product"] + 0.075 * ((count - 1) / 2 - level)
            self.path([(self.columns[level], lane), (self.sum_x, lane)], part, hue, width=3.2)
            top = (self.columns[level], ROWS["context"] - SIDE / 2 - 0.04)
            bottom = (self.columns[level], ROWS["gate"] + SIDE / 2 + 0.03)
            centre = (self.columns[level], ROWS["product"])
            if self.numbers is not None:
                top = (top[0], top[1] - 0.26)
            self.arrow(top, (centre[0], centre[1] + 0.2), part, hue)
            self.arrow(bottom, (centre[0], centre[1] - 0.2), part, hue)
            self.circle(centre, "×", part, hue)
        self.circle((self.sum_x, ROWS["product"]), "$\\Sigma$", part)
        self.words((self.sum_x, ROWS["product"] - 0.42), "aggregation", part, size=10.5, weight="bold")
        text = self.number("sum")
        if text is not None:
            self.words((self.sum_x + 0.02, ROWS["product"] + 0.36), text, part, size=9)

    def modulation(self):
        part = "modulation"
        x = self.modulator_x
        row = ROWS["product"]
        h_x = self.sum_x + 1.0
        self.arrow((self.sum_x + 0.2, row), (h_x - 0.32, row), part)
        self.operation((h_x, row), "$h$", part)
        self.arrow((h_x + 0.32, row), (x - SIDE / 2 - 0.02, row), part)
        self.map((x, row), part, "$m$", values=self.vector("modulator"))
        self.tell((x, row), "modulator", part)
        top = (x, ROWS["query"])
        self.arrow((x, row + SIDE / 2 + 0.16), (x, top[1] - 0.2), part)
        self.arrow((3.12 + SIDE / 2 + 0.17, top[1]), (x - 0.2, top[1]), part)
        self.circle(top, "$\\odot$", part)
        text = self.number("product")
        if text is not None:
            self.words((x + 0.43, top[1] - 0.16), text, part, size=9)  # at the arrow from ⊙ to proj
        self.arrow((x + 0.2, top[1]), (x + 0.62, top[1]), part)
        self.operation((x + 0.98, top[1]), "proj", part)
        self.arrow((x + 1.29, top[1]), (x + 1.72, top[1]), part)
        self.map((x + 2.12, top[1]), part, "$y$")
        self.title((x - 0.3, ROWS["query"] + 0.62), part, "context acts on the pixel: $q\\odot m$", ha="center")

    def sentence(self):
        """The sum of the channel that is told, term by term, below the drawing."""
        terms = [
            f"$g_{{{level + 1}}}z^{{{level + 1}}}$: {self.number('gates', level)} × {self.number('contexts', level)}"
            for level in range(len(self.names))
        ]
        told = f"the framed channel:   {'   +   '.join(terms)}   =   {self.number('sum')}"
        self.words((self.columns[0] - SIDE / 2, -0.22), told, "aggregation", size=9, ha="left")


def signed_text(value):
    """A number with two digits behind the point and a true minus."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
