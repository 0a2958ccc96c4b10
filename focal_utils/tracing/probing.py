"""Do gate maps mean anything? Levels compared, energy weighed against a box, gradients."""

import keras
import numpy as np
from keras import ops

from focal_utils.tracing.edits import batched
from focal_utils.tracing.geometry import covered, map_geometry
from focal_utils.tracing.traces import run_traced


def contributions(trace):
    """How much each level contributes at each pixel of a `BlockTrace`, |g_ℓ| · ‖zˡ‖₂: (B, H, W, L + 1)."""
    sizes = [np.linalg.norm(context, axis=-1) for context in trace.contexts]  # (B, H, W) or (B, 1, 1)
    sizes = [np.broadcast_to(size, trace.gates.shape[:-1]) for size in sizes]
    return np.abs(trace.gates) * np.stack(sizes, axis=-1)


def mean_winner(amounts, weights):
    """Number of the level with the largest of `amounts` (B, H, W, L + 1), from 1, averaged over pixels: (B,).

    `weights` (B, H, W) says how much each pixel counts.
    """
    winner = 1 + amounts.argmax(axis=-1)  # (B, H, W)
    return (weights * winner).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))


def winners(model, images, masks, amounts=contributions, batch_size=256):
    """`mean_winner` of each focal block over the pixels that each mask covers: a dict, block name → (N,).

    `masks` are (N, H, W) bool, in picture pixels; `amounts` is a function `BlockTrace` → (B, h, w, L + 1).
    """
    if len(images) != len(masks):
        raise ValueError(f"One mask is needed for each image, but got {len(masks)} masks for {len(images)} images.")
    found, geometry = {}, map_geometry(model)
    for batch, there in zip(batched(images, batch_size), batched(masks, batch_size), strict=True):
        for trace in run_traced(model, batch)[1]:
            weights = covered(there, geometry[trace.name], trace.gates.shape[1:3])
            found.setdefault(trace.name, []).append(mean_winner(amounts(trace), weights))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def share_inside(energy, inside):
    """Share of each map's energy (B, h, w) that lies `inside` a box, and what a flat map would have there: 2 × (B,).

    Negative energy, none at all, or another shape than that of `inside` (from `inside_box`) raises ValueError.
    """
    energy = np.asarray(energy, float)
    if energy.shape != np.shape(inside):
        raise ValueError(f"energy {energy.shape} and inside {np.shape(inside)} must have the same shape.")
    total = energy.sum(axis=(1, 2))
    if energy.min() < 0 or total.min() <= 0:
        raise ValueError("Energy must not be negative, and every map must have some.")
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

    `labels` are (B,) class numbers of the model; anything else raises ValueError.
    """
    images, labels = np.asarray(images, "float32"), np.asarray(labels)
    classes = model.output_shape[-1]
    if labels.shape != images.shape[:1] or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"One label from 0 to {classes - 1} is needed for each of {len(images)} images.")
    chosen = np.eye(classes, dtype="float32")[labels]  # (B, classes)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(images)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            total = tf.reduce_sum(model(x, training=False) * chosen)
        return tape.gradient(total, x).numpy()
    if backend == "torch":
        import torch

        x = ops.convert_to_tensor(images).detach().requires_grad_()
        total = ops.sum(model(x, training=False) * ops.convert_to_tensor(chosen))
        return ops.convert_to_numpy(torch.autograd.grad(total, x)[0])
    import jax

    return np.asarray(jax.grad(lambda x: ops.sum(model(x, training=False) * chosen))(ops.convert_to_tensor(images)))
