"""Gates changed on purpose: switched off, frozen, shuffled, and what the network answers then.

Edits are for `run_traced`. A place to edit is a dict, block name → numbers of its gates from 0, the global one last.
"""

from numbers import Integral

import numpy as np
from keras import ops

from focal_utils.errors import check_at_least
from focal_utils.tracing.geometry import context_names
from focal_utils.tracing.traces import editing, intercepted, modulations, run_traced
from focal_utils.training.evaluate import predict


def gate_names(model):
    """The names of each focal block's L + 1 gates, "level 1" … "global": a dict, block name → list, in order."""
    return {name: context_names(layer.contextualize) for layer, name in modulations(model).items()}


def everywhere(model):
    """Every gate of every block, as a place to edit."""
    return {name: list(range(len(names))) for name, names in gate_names(model).items()}


def check_where(model, where):
    """Raise ValueError unless `where` names blocks of the model and gates that they have, TypeError if no dict."""
    there = everywhere(model)
    if not isinstance(where, dict):
        raise TypeError(f"where={where!r}: give a dict, block name → list of gates, such as everywhere(model).")
    for name, gates in where.items():
        if name not in there:
            raise ValueError(f"There is no focal block {name!r}. There are: {', '.join(there)}.")
        if isinstance(gates, (str, Integral)):
            raise ValueError(f"{name}: {gates!r} is no list of gates. One gate: [{gates}].")
        if wrong := [gate for gate in gates if gate not in there[name]]:
            raise ValueError(f"{name} has gates 0 to {there[name][-1]}, but {wrong[0]!r} was asked for.")


def replacing(model, where, values):
    """An edit that puts `values(name, gates)`, spread to (B, H, W, L + 1), in the place of the gates at `where`."""
    check_where(model, where)

    def edit(name, gates):
        if name not in where:
            return None
        chosen = np.isin(np.arange(gates.shape[-1]), list(where[name]))  # (L + 1,)
        return ops.where(chosen, ops.cast(values(name, gates), gates.dtype), gates)

    return edit


def switch_off(model, where):
    """An edit that sets the gates at `where` to 0. Like the other edits, ValueError for an unknown block or gate.

    Example:
        >>> edit = switch_off(model, {"stage0_block0": [0]})  # level 1 of the first block
        >>> logits, traces = run_traced(model, images, edit)
    """
    return replacing(model, where, lambda name, gates: ops.zeros_like(gates))


def freeze_gates(model, where, means):
    """An edit that sets the gates at `where` to fixed numbers: they no longer depend on picture or pixel.

    Args:
        model: with focal modulation.
        where: the place to edit.
        means: a dict, block name → (L + 1,), as `gate_means` returns it.

    Raises:
        ValueError: means of another model, or that are not finite.
    """
    edit = replacing(model, where, lambda name, gates: means[name])
    for name in where:
        count = len(gate_names(model)[name])
        if np.shape(means.get(name)) != (count,):
            raise ValueError(f"{name} needs {count} means, but got shape {np.shape(means.get(name))}.")
        if not np.isfinite(means[name]).all():
            raise ValueError(f"{name}: its means, {means[name]}, are not all finite.")
    return edit


def shuffle(model, where, seed=0):
    """An edit that deals the gates at `where` out to other pixels of their picture; a pixel's gates stay together."""
    rng = np.random.default_rng(seed)

    def dealt(name, gates):
        batch, height, width, count = gates.shape
        order = rng.random((batch, height * width, 1)).argsort(axis=1)
        flat = ops.reshape(gates, (batch, height * width, count))
        return ops.reshape(ops.take_along_axis(flat, ops.convert_to_tensor(order, "int32"), axis=1), gates.shape)

    return replacing(model, where, dealt)


def batched(images, batch_size=256):
    """`images` in pieces of at most `batch_size`, in order. ValueError without images, or without a size."""
    check_at_least(batch_size=(batch_size, 1))
    if len(images) == 0:
        raise ValueError("There are no images: give at least one.")
    return (images[i : i + batch_size] for i in range(0, len(images), batch_size))


def edited_logits(model, images, edit=None, batch_size=256):
    """What `predict` gives, logits (N, classes), of the model with edited gates; `edit` as for `run_traced`."""
    with intercepted(model, editing(model, edit)):
        return predict(model, images, batch_size)


def gate_means(model, images, batch_size=256):
    """Each gate's mean over images and pixels: a dict, block name → (L + 1,) float32."""
    total = {}
    for batch in batched(images, batch_size):
        for trace in run_traced(model, batch)[1]:
            total[trace.name] = total.get(trace.name, 0) + trace.gates.mean(axis=(1, 2), dtype="float64").sum(axis=0)
    return {name: (summed / len(images)).astype("float32") for name, summed in total.items()}
