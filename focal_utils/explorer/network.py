"""A FocalNet as one file that the explorer's page reads: what it is in words, and its weights in half precision.

The file holds eight letters, the length of a header (4 bytes), the header as JSON, and the weights one after the other.
`page/weightsfile.js` reads it, and `page/network.js` runs it: a network of 671,420 weights is 1.4 MB, and its gates can
be changed on the way. ONNX Runtime Web and LiteRT.js, which are there for it, were measured (tools/compare_runtimes.py,
data/results/runtimes.json): they bring twelve and nine times the bytes, and longer waits for a first answer. LiteRT.js
then computes a picture in about half the time, ONNX Runtime Web in about the same; ours is under 700 lines, and after a
switch it computes only what lies behind the gate that was switched. `tests/browser/test_page.py` measures how long a
switch takes.
"""

import json

import numpy as np

from focal_utils.errors import check_choice
from focal_utils.figures import level_names
from focal_utils.models.focalnet import FocalNet
from focal_utils.tracing.geometry import level_widths, map_geometry
from focal_utils.tracing.traces import modulations

MAGIC = b"FOCALNET"
PRECISIONS = ("float32", "float16", "int8")
ALIGNED = 4  # bytes: where a weight begins
# What of a FocalNet's configuration the page needs, and what it is where the configuration does not say.
ARCHITECTURE = {
    "input_shape": None,
    "classes": None,
    "include_top": True,
    "patch_size": 4,
    "use_conv_embed": False,
    "pad_to_stride": False,
    "use_postln": False,
    "use_postln_in_modulation": False,
    "normalize_modulator": False,
    "context": "hierarchical",
    "gating": "linear",
    "global_context": True,
    "modulate": "multiply",
}


def runs_in_page(model):
    """Whether the explorer's page can run `model` itself: a `FocalNet` of focal modulation that gives logits."""
    if not isinstance(model, FocalNet):
        return False
    config = model.get_config()
    logits = config["include_top"] and config["classifier_activation"] is None
    return config["mixer"] == "focal" and logits and None not in model.input_shape[1:]


def network_bytes(model, class_names=None, precision="float16"):
    """A `FocalNet` as the bytes of a file for the explorer's page.

    Args:
        model: a `FocalNet` of focal modulation with a classifier, for pictures of one size.
        class_names: names of the classes; None: "class 0", "class 1", …
        precision: of the matrices and kernels: "float32"; "float16", the values rounded to three decimal digits; or
            "int8", whole numbers times one scale for each output channel. Vectors (biases, norms) stay float32.

    Raises:
        ValueError: another kind of model, class names that are too few or too many, or an unknown precision.

    Example:
        >>> Path("signs.focal").write_bytes(network_bytes(fu.load_trained("gtsrb"), fu.GTSRB_CLASSES))
    """
    check_choice("precision", precision, PRECISIONS)
    if not runs_in_page(model):
        raise ValueError(
            f"{type(model).__name__} {model.name!r} cannot run in a page: that takes a FocalNet with mixer='focal', "
            "include_top=True, classifier_activation=None and pictures of one size. fu.GateExplorer shows any other "
            "model, with a kernel."
        )
    config = model.get_config()
    names = list(class_names or (f"class {number}" for number in range(config["classes"])))
    if len(names) != config["classes"]:
        raise ValueError(f"class_names has {len(names)} entries for {config['classes']} classes: give one for each.")
    entries = []
    blobs = []
    place = 0
    for variable in model.weights:
        values = np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable, dtype="float32")
        entry, blob = stored(values, precision if values.ndim > 1 else "float32")
        entries.append({"path": variable.path, "at": place} | entry)
        blobs.append(blob)
        place += len(blob)
    header = {
        "name": model.name,
        "architecture": {key: config.get(key, default) for key, default in ARCHITECTURE.items()},
        "preprocessing": describe_preprocessing(model),
        "blocks": describe_network(model),
        "classes": names,
        "weights": entries,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % ALIGNED)
    return MAGIC + np.uint32(len(text)).astype("<u4").tobytes() + text + b"".join(blobs)


def stored(values, precision):
    """An array as it is stored: its entry in the header, and its bytes, filled up to a multiple of four."""
    entry = {"shape": list(values.shape), "dtype": precision}
    if precision == "int8":
        axis = values.ndim - 1 if values.shape[-1] > 1 else values.ndim - 2  # a depthwise kernel is (size, size, C, 1)
        others = tuple(other for other in range(values.ndim) if other != axis)
        scale = np.abs(values).max(axis=others, keepdims=True) / 127
        scale = np.where(scale > 0, scale, 1).astype("float32")
        entry["axis"] = axis
        entry["scale"] = [float(value) for value in scale.ravel()]
        data = np.round(values / scale).astype("int8").tobytes()
    else:
        data = values.astype(np.dtype(precision).newbyteorder("<")).tobytes()
    return entry, data + b"\0" * (-len(data) % ALIGNED)


def read_network(data):
    """Header and weights (path → float32 array) in the bytes that `network_bytes` made: what the page computes with.

    Raises:
        ValueError: other bytes.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("These bytes are no network for the explorer's page: `network_bytes` makes them.")
    start = len(MAGIC) + 4
    length = int(np.frombuffer(data, "<u4", 1, len(MAGIC))[0])
    header = json.loads(data[start : start + length])
    weights = {}
    for entry in header["weights"]:
        kind = np.dtype(entry["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, kind, count, start + length + entry["at"]).reshape(entry["shape"])
        if "scale" in entry:
            sides = [1] * values.ndim
            sides[entry["axis"]] = -1
            values = values * np.reshape(np.array(entry["scale"], "float32"), sides)
        weights[entry["path"]] = values.astype("float32")
    return header, weights


def describe_network(model):
    """For each focal block of a `FocalNet` its name and stage, its levels and their widths, and how its map lies."""
    geometry = map_geometry(model)
    config = model.get_config()
    stages = [stage for stage, depth in enumerate(config["depths"]) for _ in range(depth)]
    blocks = []
    for stage, (layer, name) in zip(stages, modulations(model).items(), strict=True):
        widths = level_widths(layer.contextualize)
        blocks.append(
            {
                "name": name,
                "stage": stage,
                "levels": level_names(len(widths), layer.contextualize.context_count),
                "widths": widths,
                "stride": geometry[name].stride,
                "first": geometry[name].first,
                "channels": layer.contextualize.dim,
            }
        )
    return blocks


def describe_preprocessing(model):
    """What the network's first layer does to raw pixels, in numbers; None where there is no such layer."""
    kind = model.get_config()["preprocessing"]
    if kind is None:
        return None
    layer = model.get_layer("preprocessing")
    if kind == "per_image":
        return {"kind": "per_image", "epsilon": layer.epsilon}
    channels = model.input_shape[-1]
    scale = np.broadcast_to(np.asarray(layer.scale, dtype=float), channels)
    offset = np.broadcast_to(np.asarray(layer.offset, dtype=float), channels)
    return {"kind": "rescaling", "scale": scale.tolist(), "offset": offset.tolist()}
