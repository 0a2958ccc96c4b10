"""What the explorer sends to the page: everything of one picture, small enough to hover over without asking again."""

import base64
import io

import numpy as np
from keras import ops
from PIL import Image

from focal_utils.layers.focal import level_names
from focal_utils.tracing.geometry import MapGeometry, level_widths, map_geometry
from focal_utils.tracing.traces import modulations, run

TOP = 5  # classes shown
MODES = ("on", "mean", "off")


def pack(values):
    """Floats as 16-bit whole numbers times one scale, in base64: {shape, scale, data}; error at most max / 65,000."""
    values = np.asarray(values, dtype="float32")
    scale = float(np.abs(values).max()) / 32767 or 1.0
    whole = np.round(values / scale).astype("<i2")
    return {"shape": values.shape, "scale": scale, "data": base64.b64encode(whole.tobytes()).decode()}


def png(picture):
    """A picture (H, W, 3) uint8 as a data address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def describe_blocks(model, traces, height, width):
    """For each traced block its name, its levels' names and widths, and how its map lies on the picture.

    A block whose map is not of the size that the geometry expects (a strided layer of another kind stands before it) is
    spread evenly over the picture.

    Args:
        model: the traced model. traces: its `BlockTrace`s. height, width: of the picture in pixels.
    """
    geometry, layers = map_geometry(model), {name: layer for layer, name in modulations(model).items()}
    blocks = []
    for block in traces:
        rows, columns, levels = block.gates.shape[1:]
        place = geometry.get(block.name)
        if place is None or abs(height / place.stride - rows) > 1 or abs(width / place.stride - columns) > 1:
            place = MapGeometry(width / columns, 0.0)
        widths = level_widths(layers[block.name].contextualize)
        blocks.append(
            {
                "name": block.name,
                "levels": level_names(len(widths), levels),
                "widths": widths,  # in map pixels; the global level has none
                "stride": place.stride,
                "first": place.first,
                "channels": block.modulator.shape[-1],
            }
        )
    return blocks


def maps(block, number=0):
    """What can be shown of image `number` of a `BlockTrace`: gates, norms of contexts and of the modulator, packed."""
    rows, columns = block.gates.shape[1:3]
    contexts = [
        np.broadcast_to(np.linalg.norm(context[number], axis=-1), (rows, columns)) for context in block.contexts
    ]
    return {
        "gates": pack(block.gates[number]),  # (H, W, L + 1)
        "contexts": pack(np.stack(contexts, axis=-1)),  # (H, W, L + 1)
        "modulator": pack(np.linalg.norm(block.modulator[number], axis=-1)[..., None]),  # (H, W, 1)
    }


def top_classes(logits):
    """The most probable classes of one image from its logits (classes,): [[class, probability], …]."""
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    return [[int(c), round(float(probabilities[c]), 4)] for c in np.argsort(-probabilities, kind="stable")[:TOP]]


def switch_edit(switches):
    """The edit of gates (see `tracing.run`) that switches levels off or freezes them.

    Args:
        switches: {block name: one mode for each level}: "on", "off" (the gate is 0), or "mean" (at every pixel the gate
            is its mean over the picture).
    """

    def edit(name, gates):
        modes = switches.get(name)
        if not modes or set(modes) == {"on"}:
            return None
        kept = ops.cast([mode == "on" for mode in modes], gates.dtype)
        frozen = ops.cast([mode == "mean" for mode in modes], gates.dtype)
        return gates * kept + ops.mean(gates, axis=(1, 2), keepdims=True) * frozen

    return edit


def examine(model, images, switches=None):
    """Run `model` on images as it takes them, under switches: predictions, one list for each image, and the traces."""
    output, traces = run(model, images, switch_edit(switches) if switches else None)
    predictions = [top_classes(logits) for logits in output] if output.ndim == 2 else [[] for _ in output]
    return predictions, traces


def single_switches(model, images, blocks):
    """What each image is taken for when one level of one block is off or frozen, all others on.

    Args:
        model: with focal modulation. images: (N, H, W, channels) as it takes them. blocks: from `describe_blocks`.

    Returns:
        A list for each image: {"block/level/mode": [[class, probability], …]}.
    """
    answers = [{} for _ in images]
    for block in blocks:
        for level in range(len(block["levels"])):
            for mode in MODES[1:]:
                modes = [mode if other == level else "on" for other in range(len(block["levels"]))]
                predictions, _ = examine(model, images, {block["name"]: modes})
                for answer, prediction in zip(answers, predictions, strict=True):
                    answer[f"{block['name']}/{level}/{mode}"] = prediction
    return answers
