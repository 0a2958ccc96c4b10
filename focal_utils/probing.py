"""Do gate maps mean anything? Gates changed on purpose, levels compared, energy weighed against a box, with intervals.

Edits are for `tracing.run`. A place to edit is a dict, block name → numbers of its gates from 0, the global one last.
"""

import keras
import numpy as np
from keras import ops

from focal_utils.figures import level_names
from focal_utils.geometry import map_geometry
from focal_utils.signs import render_sign
from focal_utils.tracing import editing, intercepted, modulations, run


def gate_names(model):
    """The names of each focal block's L + 1 gates, "level 1" … "global": a dict, block name → list, in order."""
    config = {name: layer.config for layer, name in modulations(model).items()}
    return {
        name: level_names(c["focal_level"], c["focal_level"] + bool(c["global_context"])) for name, c in config.items()
    }


def everywhere(model):
    """Every gate of every block, as a place to edit."""
    return {name: list(range(len(names))) for name, names in gate_names(model).items()}


def check_where(model, where):
    """Raise ValueError unless `where` names blocks of the model and gates that they have."""
    there = everywhere(model)
    for name, gates in where.items():
        if name not in there:
            raise ValueError(f"There is no focal block {name!r}. There are: {', '.join(there)}.")
        if wrong := [gate for gate in gates if gate not in there[name]]:
            raise ValueError(f"{name} has gates 0 to {there[name][-1]}, but {wrong[0]!r} was asked for.")


def _replacing(model, where, values):
    """An edit that puts `values(name, gates)`, spread to (B, H, W, L + 1), in the place of the gates at `where`."""
    check_where(model, where)

    def edit(name, gates):
        if name not in where:
            return None
        chosen = np.isin(np.arange(gates.shape[-1]), list(where[name]))  # (L + 1,)
        return ops.where(chosen, ops.cast(values(name, gates), gates.dtype), gates)

    return edit


def switch_off(model, where):
    """An edit that sets the gates at `where` to 0. Like the other edits, ValueError for an unknown block or gate."""
    return _replacing(model, where, lambda name, gates: ops.zeros_like(gates))


def freeze(model, where, means):
    """An edit that sets the gates at `where` to fixed numbers: they no longer depend on picture or pixel.

    `means` maps block name → (L + 1,), as `gate_means` returns it; those of another model raise ValueError.
    """
    edit = _replacing(model, where, lambda name, gates: means[name])
    for name in where:
        if np.shape(means.get(name)) != (count := len(gate_names(model)[name]),):
            raise ValueError(f"{name} needs {count} means, but got shape {np.shape(means.get(name))}.")
    return edit


def shuffle(model, where, seed=0):
    """An edit that deals the gates at `where` out to other pixels of their picture; a pixel's gates stay together."""
    rng = np.random.default_rng(seed)

    def dealt(name, gates):
        batch, height, width, count = gates.shape
        order = rng.random((batch, height * width, 1)).argsort(axis=1)
        flat = ops.reshape(gates, (batch, height * width, count))
        return ops.reshape(ops.take_along_axis(flat, ops.convert_to_tensor(order, "int32"), axis=1), gates.shape)

    return _replacing(model, where, dealt)


def batched(images, batch_size=256):
    """`images` in pieces of at most `batch_size`, in order."""
    return (images[i : i + batch_size] for i in range(0, len(images), batch_size))


def edited_logits(model, images, edit=None, batch_size=256):
    """Logits (N, classes) of the model with edited gates, nothing else kept; `edit` as for `tracing.run`."""
    with intercepted(model, editing(model, edit)):
        logits = [ops.convert_to_numpy(model(batch, training=False)) for batch in batched(images, batch_size)]
    return np.concatenate(logits)


def gate_means(model, images, batch_size=256):
    """Each gate's mean over images and pixels: a dict, block name → (L + 1,) float32."""
    total = {}
    for batch in batched(images, batch_size):
        for trace in run(model, batch)[1]:
            total[trace.name] = total.get(trace.name, 0) + trace.gates.mean(axis=(1, 2), dtype="float64").sum(axis=0)
    return {name: (summed / len(images)).astype("float32") for name, summed in total.items()}


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
        for trace in run(model, batch)[1]:
            weights = covered(there, geometry[trace.name], trace.gates.shape[1:3])
            found.setdefault(trace.name, []).append(mean_winner(amounts(trace), weights))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def overlap(geometry, count, low, high):
    """Share of each of `count` map pixels along one side that lies in [low, high), picture coordinates: (…, count).

    `geometry` is (stride, first): map pixel j covers [first + stride·j, first + stride·(j + 1)), picture pixel i
    covers [i, i + 1).
    """
    stride, first = geometry
    left = first + stride * np.arange(count)
    low, high = np.asarray(low)[..., None], np.asarray(high)[..., None]
    return np.clip(np.minimum(high, left + stride) - np.maximum(low, left), 0, None) / stride


def inside_box(boxes, geometry, shape):
    """Share of each map pixel that lies in its picture's box: (B, h, w), from 0 to 1.

    `boxes` are (B, 4), edges x1, y1, x2, y2 in picture pixels; `shape` is the map's, (h, w). A box without area
    raises ValueError.
    """
    x1, y1, x2, y2 = np.asarray(boxes, float).T
    if np.any(x2 <= x1) or np.any(y2 <= y1):
        raise ValueError("A box needs x1 < x2 and y1 < y2, in this order: x1, y1, x2, y2.")
    height, width = shape
    return overlap(geometry, height, y1, y2)[:, :, None] * overlap(geometry, width, x1, x2)[:, None, :]


def covered(masks, geometry, shape):
    """Share of each map pixel that lies on the masks, (B, H, W) bool in picture pixels: (B, h, w), from 0 to 1."""
    down, across = (
        overlap(geometry, count, np.arange(side), np.arange(side) + 1)
        for count, side in zip(shape, np.shape(masks)[1:], strict=True)
    )  # (H, h), (W, w)
    return np.einsum("bij,iy,jx->byx", np.asarray(masks, float), down, across)


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
        for trace in run(model, batch)[1]:
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


def silhouette(label, side=32, scale=0.8, seed=0):
    """The pixels that `render_sign` with these arguments changes when the sign shrinks to a dot: (side, side) bool."""
    there, gone = (render_sign(label, side, size, seed).astype(int) for size in (scale, 0.01))
    change = np.abs(there - gone).max(axis=-1)
    near = np.abs(np.arange(side) + 0.5 - side / 2) < side * (scale / 2 + 0.05)  # a sign is shifted by 0.04 at most
    return (change > change.max() / 4) & near & near[:, None]


def sign_at(label, centre, side=32, scale=0.4, seed=0):
    """A rendered sign anywhere in the picture: the picture (side, side, 3) uint8 and its `silhouette`.

    The picture is a window cut from one twice as wide, with the sign about its middle.

    Args:
        label: a GTSRB class id out of `RENDERED_CLASSES`. centre: (x, y), shares of the side; others raise ValueError.
        side: of the picture, in pixels. scale: the sign's diameter as a share of the side. seed: of pose and light.
    """
    if not all(0 <= place <= 1 for place in centre):
        raise ValueError(f"centre={centre!r}: two shares of the side, from 0 to 1, are needed.")
    left, top = (round(side * (1 - place)) for place in centre)
    window, drawn = (slice(top, top + side), slice(left, left + side)), (label, 2 * side, scale / 2, seed)
    return render_sign(*drawn)[window], silhouette(*drawn)[window]
