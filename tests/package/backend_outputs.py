"""What one backend computes, for tests/package/test_backends.py. Run with KERAS_BACKEND set, in a process of its own.

    python tests/package/backend_outputs.py save FOLDER           save NETWORKS, with weights that no other backend has
    python tests/package/backend_outputs.py load FOLDER SAVER…    load what the SAVERs saved, and save what it says here

FOLDER/<saver>/<network>.keras and .weights.h5 hold a network in float32; FOLDER/<loader>.npz holds its logits, named
<saver>/<network>/<precision>, or <saver>/<network>/whole for the network that the .keras file gives.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[2]))

import focal_utils as fu  # noqa: E402

SMALL = {"input_shape": (33, 35, 3), "classes": 7, "embed_dim": 16, "depths": (1, 2), "patch_size": 2}
ATTENTION = {"mixer": "attention", "num_heads": 4}
WINDOW = {"mixer": "window", "num_heads": 4, "window": 4}
NETWORKS = {
    "plain": {},
    "post-norm": {"use_postln": True, "layer_scale": 0.5, "use_conv_embed": True},
    "large options": {"use_postln_in_modulation": True, "normalize_modulator": True, "layer_scale": 0.5},
    "levels": {"focal_levels": (3, 1), "focal_windows": (5, 3), "focal_factor": 4, "pad_to_stride": True},
    "parallel softmax": {"context": "parallel", "gating": "softmax"},
    "top none": {"context": "top", "gating": "none"},
    "local sum": {"global_context": False, "modulate": "add"},
    "raw images": {"preprocessing": "imagenet"},
    "per image": {"preprocessing": "per_image"},
    "attention": ATTENTION,
    "attention fused": ATTENTION | {"fused": True},
    "window": WINDOW,
    "window post-norm": WINDOW | {"fused": True, "use_postln": True, "layer_scale": 0.5},
    "convnext": {"mixer": "convnext"},
    "gated convolution": {"mixer": "gated_convolution", "expansion": 1.5},
    "product": {"mixer": "product", "activation": "relu6"},
    "pooling": {"mixer": "pooling"},
    "identity": {"mixer": "identity"},
}


def network(name, precision="float32"):
    """The network of this name, with fresh weights."""
    return fu.FocalNet(dtype=precision, **SMALL | NETWORKS[name])


def set_frozen(model, seed):
    """Give a model weights that are the same on every backend: kernels of unit gain, γ near 1, the rest near 0."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=weight.shape) for weight in model.weights]
    fan_in = [np.prod(value.shape[:-1]) if value.ndim > 1 else 100 for value in values]
    centre = [1.0 if "gamma" in weight.path else 0.0 for weight in model.weights]
    model.set_weights([c + value / fan**0.5 for c, value, fan in zip(centre, values, fan_in, strict=True)])


def logits(name, model, precision="float32"):
    """What a model says to the images that all backends see: (3, 7)."""
    images = np.random.default_rng(0).normal(size=(3, 33, 35, 3))
    if "preprocessing" in NETWORKS[name]:
        images = 128 + 60 * images
    images = images.astype("float64" if precision == "float64" else "float32")
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(model(images)))


def precisions():
    """All of Keras' that are tested, float64 last: JAX has to be told to have it."""
    yield from ("float32", "mixed_float16", "mixed_bfloat16")
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    yield "float64"


def save(folder):
    backend = keras.backend.backend()
    (folder / backend).mkdir()
    for number, name in enumerate(NETWORKS):
        model = network(name)
        set_frozen(model, [number, *backend.encode()])
        model.save(folder / backend / f"{name}.keras")
        model.save_weights(folder / backend / f"{name}.weights.h5")


def load(folder, savers):
    found = {}
    for saver in savers:
        for name in NETWORKS:
            model = keras.models.load_model(folder / saver / f"{name}.keras")
            found[f"{saver}/{name}/whole"] = logits(name, model)
    for precision in precisions():
        for name in NETWORKS:
            model = network(name, precision)
            for saver in savers:
                model.load_weights(folder / saver / f"{name}.weights.h5")
                found[f"{saver}/{name}/{precision}"] = logits(name, model, precision)
    np.savez(folder / f"{keras.backend.backend()}.npz", **found)


if __name__ == "__main__":
    step, folder, *savers = sys.argv[1:]
    save(Path(folder)) if step == "save" else load(Path(folder), savers)
