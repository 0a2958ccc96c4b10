"""Gates changed on purpose: switched off, frozen, shuffled, and what the network answers then.

Edits are for `run_traced`. A place to edit is a dict, block name → numbers of its gates from 0, the global one last.
"""

import numpy as np
from keras import ops

from focal_utils.layers.focal import level_names
from focal_utils.tracing.traces import editing, intercepted, modulations, run_traced
from focal_utils.training.evaluate import predict


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


def freeze_gates(model, where, means):
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
