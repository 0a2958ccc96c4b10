"""A network as one file that the explorer's page reads: what it is in words, and its weights in half precision.

The file holds eight letters, the length of a header (4 bytes), the header as JSON, and the weights one after the other.
`page/weightsfile.js` reads it, and `page/network.js` runs it: a network of 671,420 weights is 1.4 MB, and its gates can
be changed on the way. ONNX Runtime Web and LiteRT.js, which are there for it, were measured (tools/compare_runtimes.py,
data/results/runtimes.json): they bring twelve and nine times the bytes, and longer waits for a first answer. LiteRT.js
then computes a picture in about half the time, ONNX Runtime Web in about the same; ours is under 900 lines, with the
decoder of a segmenter, and after a switch it computes only what lies behind the gate that was switched.
`tests/browser/test_page.py` measures how long a switch takes, `tests/browser/test_objects.py` what a segmenter's page
weighs and how soon it answers.
"""

import json

import keras
import numpy as np

from focal_utils.errors import check_choice
from focal_utils.figures import level_names
from focal_utils.layers.blocks import FocalBlock
from focal_utils.models.backbone import stages
from focal_utils.models.focalnet import FocalNet
from focal_utils.models.segmenter import Merge, PixelHead
from focal_utils.tracing.geometry import level_widths, map_geometry
from focal_utils.tracing.traces import modulations
from focal_utils.training.objects import PROMINENCE, SMALLEST, SMOOTH

MAGIC = b"FOCALNET"
PRECISIONS = ("float32", "float16", "int8")
DIGITS = 7  # of a scale in the header
OBJECT_NAMES = ("object", "objects")
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
    """Whether the explorer's page can run `model` itself.

    A `FocalNet` of focal modulation that gives logits for pictures of one size, or a `fu.segmenter` of two numbers for
    each pixel with the stages of such a network: in an object or not, and how deep.
    """
    if says_objects(model):
        return all(block.get_config()["mixer"] == "focal" for block in focal_blocks(model)) and is_whole(model)
    if not isinstance(model, FocalNet):
        return False
    config = model.get_config()
    logits = config["include_top"] and config["classifier_activation"] is None
    return config["mixer"] == "focal" and logits and None not in model.input_shape[1:]


def says_objects(model):
    """Whether a model is a `fu.segmenter` that says of each pixel whether it lies in an object, and how deep."""
    layers = getattr(model, "layers", None) or [None]
    return isinstance(layers[-1], PixelHead) and layers[-1].classes == 2 and bool(focal_blocks(model))


def focal_blocks(model):
    """The `FocalBlock`s among the layers of a model, a list."""
    return [layer for layer in model.layers if isinstance(layer, FocalBlock)]


def is_whole(model):
    """Whether a segmenter's layers are those that the page knows, by the names that `FocalNet` and `segmenter` give."""
    known = {"stem", "norm_coarsest", "details", "merge_details", "head"}
    for stage, layers in enumerate(stages(model)):
        known.update(f"stage{stage}_block{number}" for number in range(len(layers) - 1))
        if stage:
            known.update({f"stage{stage}_downsample", f"merge{stage - 1}"})
    return known == {layer.name for layer in model.layers if layer.weights}


def architecture(model):
    """What the page needs to know of a network's shape, by the names of `FocalNet`'s arguments: a dict."""
    if isinstance(model, FocalNet):
        config = model.get_config()
    else:
        stem = model.get_layer("stem").get_config()
        own = {
            "input_shape": list(model.input_shape[1:]),
            "include_top": False,
            "patch_size": stem["stride"],
            "use_conv_embed": stem["overlap"],
            "pad_to_stride": stem["pad_to_stride"],
        }
        config = focal_blocks(model)[0].get_config() | own
    return {key: config.get(key, default) for key, default in ARCHITECTURE.items()}


def object_names(model, names=None):
    """What one of a segmenter's objects is called, and several: `names`, those of the model, or "object", "objects".

    Raises:
        ValueError: names that are not two texts.
    """
    names = names or getattr(model, "object_names", None) or OBJECT_NAMES
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"class_names={names!r}: of a segmenter give what one of its objects is called, and several, as in "
            "('cell', 'cells')."
        )
    return list(names)


def decoder(model, names=None):
    """How a segmenter's decoder climbs, and how objects are told apart and called; None for another network."""
    if not says_objects(model):
        return None
    strides = {layer.name: layer.stride for layer in model.layers if isinstance(layer, (Merge, PixelHead))}
    rules = {"prominence": PROMINENCE, "smallest": SMALLEST, "smooth": SMOOTH}  # of `separate`
    return {"strides": strides, "objects": object_names(model, names)} | rules


def network_bytes(model, class_names=None, precision="float16"):
    """A network as the bytes of a file for the explorer's page.

    Args:
        model: a `FocalNet` of focal modulation with a classifier, for pictures of one size, or a `fu.segmenter` of two
            numbers for each pixel, as `fu.train_segmenter` trains it.
        class_names: names of the classes; None: "class 0", "class 1", … Of a segmenter what one of its objects is
            called, and several; None: its `object_names`, if it has any.
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
            "include_top=True, classifier_activation=None and pictures of one size, or a segmenter of two numbers for "
            "each pixel on such a network's stages. fu.GateExplorer shows any other model, with a kernel."
        )
    shape = architecture(model)
    decoding = decoder(model, class_names)
    names = [] if decoding else list(class_names or (f"class {number}" for number in range(shape["classes"])))
    if not decoding and len(names) != shape["classes"]:
        raise ValueError(f"class_names has {len(names)} entries for {shape['classes']} classes: give one for each.")
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
        "architecture": shape,
        "decoder": decoding,
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
        entry["scale"] = [float(f"{value:.{DIGITS}g}") for value in scale.ravel()]
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
    """For each focal block of a network its name and stage, its levels and their widths, and how its map lies."""
    geometry = map_geometry(model)
    numbers = [stage for stage, layers in enumerate(stages(model)) for _ in layers[1:]]
    blocks = []
    for stage, (layer, name) in zip(numbers, modulations(model).items(), strict=True):
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
    layers = {layer.name: layer for layer in model.layers}
    layer = layers.get("preprocessing")
    if layer is None:
        return None
    if isinstance(layer, keras.layers.LayerNormalization):
        return {"kind": "per_image", "epsilon": layer.epsilon}
    channels = model.input_shape[-1]
    scale = np.broadcast_to(np.asarray(layer.scale, dtype=float), channels)
    offset = np.broadcast_to(np.asarray(layer.offset, dtype=float), channels)
    return {"kind": "rescaling", "scale": scale.tolist(), "offset": offset.tolist()}
