"""Focal modulation in Keras 3: layers, models, data and the tools of the notebook series.

Layers and networks are there at once, so that Keras knows them when it loads a file. All else, the explorer, figures,
exercises, is imported when it is first asked for.
"""

import sys
from importlib import import_module

if sys.argv[:1] != ["-m"]:  # `python -m focal_utils` answers --help at once, and imports them when it has work to do
    from focal_utils import machine  # isort: skip  (first: it imports Keras, without TensorFlow's log)
    from focal_utils import layers, models

# The public names, and the subject that each lives in.
PUBLIC = {
    "data": (
        "GTSRB_CLASSES",
        "ImageSet",
        "MIRRORED",
        "PictureSet",
        "RENDERED_CLASSES",
        "TEST_COUNTS",
        "TRAIN_COUNTS",
        "corrupt",
        "load_blood_cells",
        "load_cifar10",
        "load_folder",
        "load_gtsrb",
        "load_medmnist",
        "load_nuclei",
        "load_photos",
        "render_sign",
        "render_signs",
        "sign_at",
        "silhouette",
    ),
    "errors": (
        "DamagedData",
        "DataNotFound",
        "check_choice",
    ),
    "exercises": (
        "check",
        "dial",
        "guess",
        "quiz",
    ),
    "explorer": (
        "GateExplorer",
        "telling_cells",
        "telling_signs",
    ),
    "figures": ("show",),
    "files": (
        "cache_folder",
        "data_folder",
        "load_results",
    ),
    "layers": (
        "DepthwiseConvolution",
        "DropPath",
        "Factors",
        "FocalBlock",
        "FocalModulation",
        "FocalParts",
        "GatedAggregation",
        "GatedConvolution",
        "HierarchicalContext",
        "LayerScale",
        "Mlp",
        "NoMixing",
        "PatchEmbed",
        "Pooling",
        "ProductOfProjections",
        "SelfAttention",
        "WindowedAttention",
        "aggregate",
        "contextualize",
        "gelu",
        "layer_norm",
        "serializable",
    ),
    "machine": (
        "check_environment",
        "jit_here",
    ),
    "measuring": (
        "Measurement",
        "measure",
    ),
    "models": (
        "VARIANTS",
        "FocalNet",
        "count_macs",
        "count_parameters",
        "decode_predictions",
        "feature_maps",
        "focalnet",
        "freeze",
        "layer_costs",
        "preprocess_input",
        "segmenter",
    ),
    "tracing": (
        "GateFilm",
        "impulse_response",
        "impulse_width",
        "map_geometry",
        "trace",
    ),
    "training": (
        "OPTIMIZERS",
        "accuracy",
        "augment",
        "average_precision",
        "dice",
        "find_nuclei",
        "finetune",
        "iou",
        "layer_rates",
        "layerwise",
        "predict",
        "train",
        "train_segmenter",
    ),
    "weights": (
        "FAMILIES",
        "LoadReport",
        "export_model",
        "imagenet_classes",
        "load_checkpoint",
        "load_pretrained",
        "load_trained",
        "load_weights",
        "peer_name",
        "peer_weights",
    ),
}
# Subjects that are public as a whole. Notebook 07 calls tracing "probing": it asks what a trace means.
SUBJECTS = {
    "article": "article",
    "figures": "figures",
    "layers": "layers",
    "models": "models",
    "probing": "tracing",
    "statistics": "statistics",
    "tracing": "tracing",
    "training": "training",
}
WHERE = {name: subject for subject, names in PUBLIC.items() for name in names}

__all__ = sorted([*WHERE, *SUBJECTS])


def __getattr__(name):
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in WHERE and name not in SUBJECTS:
        raise AttributeError(f"focal_utils has no {name!r}; its public names are in focal_utils.__all__.")
    try:
        subject = import_module(f"focal_utils.{SUBJECTS.get(name) or WHERE[name]}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"fu.{name} needs the package {error.name!r}, which is not installed: pip install {error.name}, or install "
            "focal_utils with all that the notebooks use, pip install '.[course]' in its folder.",
            name=error.name,
        ) from error
    value = subject if name in SUBJECTS else getattr(subject, name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
