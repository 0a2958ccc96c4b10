"""What the page shows of a picture: its maps, small enough to hover over without asking again, and its classes."""

import base64
import io

import numpy as np
from keras import ops, tree
from PIL import Image, features

from focal_utils.explorer.predictions import all_classes, top_classes
from focal_utils.tracing.geometry import MapGeometry, context_names, level_widths, map_geometry
from focal_utils.tracing.traces import modulations, run_traced
from focal_utils.training import separate

MODES = ("on", "mean", "off")
NOT_FINITE = "The network computes numbers that are not finite (NaN) here, shown as 0: are its weights damaged?"


def pack(values):
    """Floats as 16-bit whole numbers times one scale, in base64: {shape, scale, data}; error at most max / 65,000.

    What is not finite becomes 0: `finite` says whether there is any.
    """
    values = np.nan_to_num(np.asarray(values, dtype="float32"), nan=0.0, posinf=0.0, neginf=0.0)
    scale = float(np.abs(values).max()) / 32767 or 1.0
    whole = np.round(values / scale).astype("<i2")
    return {"shape": list(values.shape), "scale": scale, "data": base64.b64encode(whole.tobytes()).decode()}


def exact_address(picture):
    """A picture (H, W, 3) uint8 as the shortest data address that holds every pixel as it is."""
    kinds = [data_address(picture)]
    if features.check("webp"):
        kinds.append(data_address(picture, "WEBP", lossless=True))
    return min(kinds, key=len)


def data_address(picture, kind="PNG", side=None, **options):
    """A picture (H, W, 3) uint8 as a data address, in one of Pillow's formats; reduced to `side` pixels if larger."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if side is not None:
        image.thumbnail((side, side))
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def describe_blocks(model, traces, height, width):
    """For each traced block its name, its levels' names and widths, and how its map lies on the picture.

    A block whose map is not of the size that the geometry expects (a strided layer of another kind stands before it) is
    spread evenly over the picture.

    Args:
        model: the traced model.
        traces: its `BlockTrace`s.
        height: of the picture in pixels.
        width: likewise.
    """
    geometry = map_geometry(model)
    layers = {name: layer for layer, name in modulations(model).items()}
    blocks = []
    for block in traces:
        rows, columns = block.gates.shape[1:3]
        place = geometry.get(block.name)
        if place is None or abs(height / place.stride - rows) > 1 or abs(width / place.stride - columns) > 1:
            place = MapGeometry(width / columns, 0.0)
        contextualize = layers[block.name].contextualize
        blocks.append(
            {
                "name": block.name,
                "levels": context_names(contextualize),
                "widths": level_widths(contextualize),  # in map pixels; the global level has none
                "stride": place.stride,
                "first": place.first,
                "channels": block.modulator.shape[-1],
            }
        )
    return blocks


def planes(block, number=0):
    """What can be shown of image `number` of a `BlockTrace`: gates, norms of contexts and of the modulator.

    Each is (H, W, n): one plane for each of the L + 1 levels, or one for the modulator.
    """
    rows, columns = block.gates.shape[1:3]
    norms = [np.linalg.norm(context[number], axis=-1) for context in block.contexts]  # (H, W) or (1, 1)
    return {
        "gates": block.gates[number],
        "contexts": np.stack([np.broadcast_to(norm, (rows, columns)) for norm in norms], axis=-1),
        "modulator": np.linalg.norm(block.modulator[number], axis=-1)[..., None],
    }


def maps(block, number=0, factor=1):
    """`planes`, packed for the page; with a `factor`, squares of so many map pixels are averaged into one."""
    return {name: pack(averaged(plane, factor)) for name, plane in planes(block, number).items()}


def averaged(plane, factor):
    """A plane (H, W, n) whose squares of `factor` × `factor` pixels are averaged; those at its ends may be cut."""
    if factor == 1:
        return plane
    for axis in (0, 1):
        starts = np.arange(0, plane.shape[axis], factor)
        counts = np.diff([*starts, plane.shape[axis]])
        sums = np.add.reduceat(plane, starts, axis=axis)
        plane = sums / np.expand_dims(counts, [other for other in range(plane.ndim) if other != axis])
    return plane


def coarser(block, factor):
    """What `describe_blocks` says of a block, for its maps averaged by `factor`: larger map pixels."""
    return block | {"stride": block["stride"] * factor, "widths": [width / factor for width in block["widths"]]}


def finite(traces):
    """Whether all that is shown of traces is finite."""
    return all(np.isfinite(trace.gates).all() and np.isfinite(trace.modulator).all() for trace in traces)


def switch_edit(switches):
    """The edit of gates (see `run_traced`) that switches levels off or freezes them.

    Args:
        switches: {block name: one mode for each level}: "on", "off" (the gate is 0), "mean" (at every pixel the gate
            is its mean over the picture), or a number that the gate is multiplied by.
    """
    times = {"on": 1.0, "mean": 0.0, "off": 0.0}

    def edit(name, gates):
        modes = switches.get(name)
        if not modes or set(modes) == {"on"}:
            return None
        kept = ops.cast([times.get(mode, mode) for mode in modes], gates.dtype)
        frozen = ops.cast([mode == "mean" for mode in modes], gates.dtype)
        return gates * kept + ops.mean(gates, axis=(1, 2), keepdims=True) * frozen

    return edit


def examine(model, images, switches=None, number=0, meaning="logits"):
    """Run `model` on images as it takes them, under switches: what it says of each image, and the traces.

    That is a list of all probabilities, empty where no output is about classes; or of a segmenter a label map (H, W).

    Args:
        model: with focal modulation.
        images: (B, H, W, channels).
        switches: see `switch_edit`.
        number: of the output that is about classes (see `class_output`); None where none is.
        meaning: what that output holds, "logits" or "probabilities"; or "objects", of a segmenter.
    """
    output, traces = run_traced(model, images, switch_edit(switches) if switches else None)
    if meaning == "objects":
        return [separate(logits) for logits in output], traces
    if number is None:
        return [[] for _ in images], traces
    rows = tree.flatten(output)[number]
    return [all_classes(row, meaning) for row in rows], traces


def pixel_vectors(layer, block, row, column):
    """What a `FocalModulation` makes of one pixel of a traced image, step by step.

    Args:
        layer: the modulation.
        block: its `BlockTrace` of one image.
        row: of the map.
        column: likewise.

    Returns:
        A dict of lists: gates (L + 1); query, sum, modulator, product (q ⊙ m) and output, (C) each; contexts, a list of
        L + 1 lists (C).
    """
    contexts = [np.broadcast_to(context[0], block.query[0].shape)[row, column] for context in block.contexts]
    gates = block.gates[0, row, column]
    query = block.query[0, row, column]
    modulator = block.modulator[0, row, column]
    total = layer.aggregate([context[None, None, None] for context in contexts], gates[None, None, None])
    product = layer.norm(layer.modulate(query[None, None, None], modulator[None, None, None]))
    output = layer.proj(product)
    vectors = {
        "gates": gates,
        "query": query,
        "sum": flat(total),
        "modulator": modulator,
        "product": flat(product),
        "output": flat(output),
    }
    numbers = {name: rounded(vector) for name, vector in vectors.items()}
    return numbers | {"contexts": [rounded(context) for context in contexts]}


def object_runs(labels):
    """A label map (H, W) as runs of pixels in reading order: {height, width, runs: [label, how many, label, …]}."""
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat.astype("int64"))) + 1])
    counts = np.diff([*starts, flat.size])
    runs = np.stack([flat[starts], counts], axis=1).ravel()
    return {"height": labels.shape[0], "width": labels.shape[1], "runs": runs.tolist()}


def rounded(vector):
    """A vector as a list of numbers, short enough to be sent; what is not finite is 0."""
    return [round(float(value), 5) for value in np.nan_to_num(vector, nan=0.0, posinf=0.0, neginf=0.0)]


def flat(tensor):
    """A tensor as a NumPy vector."""
    return ops.convert_to_numpy(ops.cast(tensor, "float32")).ravel()


def single_switches(examined, images, blocks):
    """What each image is taken for when one level of one block is off or frozen, all others on.

    Args:
        examined: a function (images, switches) → probabilities and traces, as `examine` gives them.
        images: (N, H, W, channels) as the model takes them.
        blocks: from `describe_blocks`.

    Returns:
        A list for each image: {"block/level/mode": [[class, probability], …]}.
    """
    answers = [{} for _ in images]
    for block in blocks:
        name = block["name"]
        count = len(block["levels"])
        for level in range(count):
            for mode in MODES[1:]:
                modes = ["on"] * count
                modes[level] = mode
                found, _ = examined(images, {name: modes})
                for answer, shares in zip(answers, found, strict=True):
                    answer[f"{name}/{level}/{mode}"] = top_classes(shares)
    return answers
