"""Do gate maps mean anything? Levels compared, energy weighed against a box, gradients."""

import keras
import numpy as np
from keras import ops

from focal_utils.tracing.edits import batched
from focal_utils.tracing.geometry import covered, map_geometry
from focal_utils.tracing.traces import as_batch, run_traced


def contributions(trace):
    """How much each level contributes at each pixel of a `BlockTrace`, |g_ℓ| · ‖zˡ‖₂: (B, H, W, L + 1).

    Grown in notebook 07.
    """
    sizes = [np.linalg.norm(context, axis=-1) for context in trace.contexts]  # (B, H, W) or (B, 1, 1)
    sizes = [np.broadcast_to(size, trace.gates.shape[:-1]) for size in sizes]
    return np.abs(trace.gates) * np.stack(sizes, axis=-1)


def check_weights(amounts, weights):
    """Raise unless each pixel has one weight, and each image a pixel that counts."""
    if np.shape(weights) != amounts.shape[:-1]:
        raise ValueError(f"weights {np.shape(weights)} must have one number for each pixel of {amounts.shape}.")
    total = weights.sum(axis=(1, 2))
    if not np.all(total > 0):
        raise ValueError(f"Of image {np.flatnonzero(~(total > 0))[0]} no pixel counts: is its mask empty?")


def mean_winner(amounts, weights):
    """Number of the level with the largest of `amounts`, from 1, averaged over pixels: (B,).

    Grown in notebook 07.

    Args:
        amounts: (B, H, W, L + 1).
        weights: (B, H, W), how much each pixel counts.

    Raises:
        ValueError: weights that do not fit, or an image none of whose pixels counts.
    """
    check_weights(amounts, weights)
    winner = 1 + amounts.argmax(axis=-1)  # (B, H, W)
    return (weights * winner).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))


def winners(model, images, masks, amounts=contributions, batch_size=256):
    """`mean_winner` of each focal block over the pixels that each mask covers: a dict, block name → (N,).

    Args:
        model: with focal modulation.
        images: (N, H, W, channels), as the model takes them.
        masks: (N, H, W) bool, in picture pixels.
        amounts: a function `BlockTrace` → (B, h, w, L + 1).
        batch_size: images at a time.

    Raises:
        ValueError: not one mask for each image, or an empty one.
    """
    if len(images) != len(masks):
        raise ValueError(f"One mask is needed for each image, but got {len(masks)} masks for {len(images)} images.")
    found = {}
    geometry = map_geometry(model)
    for batch, there in zip(batched(images, batch_size), batched(masks, batch_size), strict=True):
        for trace in run_traced(model, batch)[1]:
            weights = covered(there, geometry[trace.name], trace.gates.shape[1:3])
            found.setdefault(trace.name, []).append(mean_winner(amounts(trace), weights))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def share_inside(energy, inside):
    """Share of each map's energy that lies inside a box, and what a flat map would have there: 2 × (B,).

    Args:
        energy: (B, h, w).
        inside: (B, h, w), from `inside_box`.

    Raises:
        ValueError: shapes that differ, energy that is negative or not finite, or a map without any.
    """
    energy = np.asarray(energy, float)
    if energy.shape != np.shape(inside):
        raise ValueError(f"energy {energy.shape} and inside {np.shape(inside)} must have the same shape.")
    total = energy.sum(axis=(1, 2))
    if not (np.isfinite(energy).all() and energy.min() >= 0 and total.min() > 0):
        raise ValueError("Energy must be finite and not negative, and every map must have some.")
    return (energy * inside).sum(axis=(1, 2)) / total, np.mean(inside, axis=(1, 2))


def modulator_energy(model, images, batch_size=256):
    """‖m‖² over the channels at each pixel of every block: a dict, block name → (N, h, w)."""
    found = {}
    for batch in batched(images, batch_size):
        for trace in run_traced(model, batch)[1]:
            found.setdefault(trace.name, []).append((trace.modulator**2).sum(axis=-1))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def input_gradient(model, images, labels):
    """∂ logit of the label / ∂ pixel, for each image of one batch (Simonyan et al. 2014): a NumPy array like `images`.

    Args:
        model: with one output, logits (B, classes).
        images: (B, H, W, channels), as the model takes them.
        labels: (B,) class numbers of the model.

    Raises:
        ValueError: anything else, or images that are not a batch.
    """
    images = ops.convert_to_numpy(as_batch(images)).astype("float32")
    labels = np.asarray(labels)
    output = model(images[:1], training=False)
    if keras.tree.is_nested(output) or len(output.shape) != 2:
        shapes = [tuple(part.shape) for part in keras.tree.flatten(output)]
        raise ValueError(f"One output of logits (B, classes) is needed, but model {model.name!r} gives {shapes}.")
    classes = output.shape[-1]
    whole = labels.dtype.kind in "iu" and labels.shape == images.shape[:1]
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"One label from 0 to {classes - 1} is needed for each of {len(images)} images.")
    return GRADIENTS[keras.backend.backend()](model, images, np.eye(classes, dtype="float32")[labels])


def tensorflow_gradient(model, images, chosen):
    """∂ sum(output · chosen) / ∂ images, `chosen` (B, classes)."""
    import tensorflow as tf

    x = tf.constant(images)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        total = tf.reduce_sum(model(x, training=False) * chosen)
    return tape.gradient(total, x).numpy()


def torch_gradient(model, images, chosen):
    """∂ sum(output · chosen) / ∂ images, `chosen` (B, classes)."""
    import torch

    x = ops.convert_to_tensor(images).detach().requires_grad_()
    total = ops.sum(model(x, training=False) * ops.convert_to_tensor(chosen))
    return ops.convert_to_numpy(torch.autograd.grad(total, x)[0])


def jax_gradient(model, images, chosen):
    """∂ sum(output · chosen) / ∂ images, `chosen` (B, classes)."""
    import jax

    gradient = jax.grad(lambda x: ops.sum(model(x, training=False) * chosen))
    return np.asarray(gradient(ops.convert_to_tensor(images)))


GRADIENTS = {"tensorflow": tensorflow_gradient, "torch": torch_gradient, "jax": jax_gradient}
