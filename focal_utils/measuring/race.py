"""What a layer or a network costs when it runs: parameters, multiply–accumulates, time and peak memory.

Each case runs in a process of its own, so that one that does not fit takes nothing else down; the processes take turns,
so that whatever slows the machine down slows down all of them.
"""

import importlib.util
import json
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import psutil

from focal_utils.files import whole_file
from focal_utils.machine import jit_here, machine_facts
from focal_utils.measuring.memory import peak_memory
from focal_utils.measuring.processes import DidNotFit, Worker, serve
from focal_utils.models.costs import count_macs, count_parameters

TURN = 0.3  # seconds: a turn is as many steps as take about as long

# What a step needs would be hidden by oneDNN's pool in TensorFlow, which grows by doubling and gives nothing back, and
# by the arenas that glibc keeps for each thread, whose ends it does not give back.
SYSTEM_MEMORY = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1", "MALLOC_ARENA_MAX": "1"}

BACKENDS = ("tensorflow", "jax", "torch")  # by Keras' names, which are those of their modules


class Measurement(NamedTuple):
    """What one case takes. Times are of one step: a whole batch, forward or, in training, backward too."""

    name: str
    input_shape: list  # of one image or map, without the batch
    batch: int
    training: bool
    backend: str
    parameters: int
    macs: int  # for one image, forward
    seconds: float | None  # median over the rounds; None where it did not fit
    rounds: list  # seconds of a step in each round
    peak_bytes: int | None  # what the step takes at its peak, weights and libraries not counted
    process_bytes: int | None  # the whole process then; on a GPU, all that is in use there
    note: str  # "did not fit in 8.0 GB" or the like, or ""


def measure(
    cases,
    input_shape=None,
    batch=1,
    training=False,
    rounds=5,
    memory_limit=None,
    patience=120,
    backend=None,
    save=None,
):
    """Measure layers or models beside each other: a list of `Measurement`, in the order of `cases`.

    Args:
        cases: a dict, name → layer or model, or a single one. They are built anew, with random weights, elsewhere.
        input_shape: (height, width, channels) of one image or map; a model knows its own.
        batch: images in a step.
        training: whether a step is a whole training step (squared error, SGD) instead of a forward pass.
        rounds: turns of each case, of about 0.3 s or one step, after two steps to warm up; 0 only says whether it fits.
        memory_limit: bytes a process may take; 90 % of what is free by default. What takes more is ended.
        patience: seconds that an answer may take: the first step, or a turn.
        backend: "tensorflow", "jax" or "torch"; this process's own by default.
        save: path of a JSON file to which rows are added. Cases that it has are not measured again, so that an
            interrupted series goes on.

    Raises:
        ValueError: a backend that is not installed, or no input shape.
        TypeError: something else than layers and models.
        RuntimeError: a case fails for another reason than its size; what its process said is in the message.
    """
    if not isinstance(cases, dict):
        cases = {cases.name: cases} if isinstance(cases, keras.layers.Layer) else {"": cases}
    for name, case in cases.items():
        if not isinstance(case, keras.layers.Layer):
            raise TypeError(f"{name or 'The case'} is a {type(case).__name__}: give a layer or a model.")
    backend = backend or keras.backend.backend()
    if backend not in installed_backends():
        raise ValueError(f"backend={backend!r} is not installed here: choose one of {', '.join(installed_backends())}.")
    kept = saved_rows(save)
    asked = {
        name: {
            "name": name,
            "input_shape": list(input_shape or known_shape(name, case)),
            "batch": batch,
            "training": bool(training),
            "backend": backend,
        }
        for name, case in cases.items()
    }
    found = {name: row for name, request in asked.items() for row in kept if row.items() >= request.items()}
    missing = {name: request for name, request in asked.items() if name not in found}
    limit = memory_limit or int(0.9 * psutil.virtual_memory().available)
    for row in race({name: (cases[name], request) for name, request in missing.items()}, rounds, limit, patience):
        found[row["name"]] = row
        kept.append(row)
    if save and missing:
        write_rows(save, kept)
    return [Measurement(**found[name]) for name in cases]


def installed_backends():
    """Which of Keras' backends are installed here, by Keras' names."""
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def known_shape(name, case):
    """The input shape of a model, without the batch; ValueError where it is not known."""
    shape = getattr(case, "input_shape", (None, None))[1:] if isinstance(case, keras.Model) else (None,)
    if None in shape:
        which = name or "The case"
        raise ValueError(f"{which} does not say its input shape: give input_shape=(height, width, channels).")
    return shape


def saved_rows(path):
    """The rows of a JSON file of `measure`; none where there is no file."""
    return json.loads(Path(path).read_text())["rows"] if path and Path(path).exists() else []


def write_rows(path, rows):
    """Put rows, machine, versions and date into a JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(machine_facts() | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def race(cases, rounds, memory_limit, patience):
    """Measure cases, name → (layer, request), by turns: a list of rows."""
    command = [sys.executable, "-m", "focal_utils.measuring.race"]
    workers, rows, turns = {}, {}, {}
    try:
        for name, (_, request) in cases.items():  # all start together: importing takes longest
            variables = SYSTEM_MEMORY | {"KERAS_BACKEND": request["backend"]}
            workers[name] = Worker(name, command, variables, memory_limit, patience)
        for name, (case, request) in cases.items():
            costs = {"parameters": count_parameters(case, tuple(request["input_shape"]))}
            costs |= {"macs": count_macs(case, tuple(request["input_shape"]))}
            rows[name] = request | costs | {"seconds": None, "rounds": [], "peak_bytes": None, "process_bytes": None}
            rows[name]["note"] = ""
            with may_end(workers, name, rows[name]):
                step = workers[name].ask(request | {"case": keras.saving.serialize_keras_object(case)})
                turns[name] = max(1, round(TURN / step))
        for number in range(rounds):
            order = list(workers)
            for name in order[number % len(order) :] + order[: number % len(order)] if order else []:
                with may_end(workers, name, rows[name]):
                    rows[name]["rounds"].append(workers[name].ask(turns[name]) / turns[name])
        for name in list(workers) if rounds else []:
            with may_end(workers, name, rows[name]):
                repeats = 3 if statistics.median(rows[name]["rounds"]) < 1 else 1
                peaks = sorted(workers[name].ask("memory") for _ in range(repeats))
                rows[name]["peak_bytes"], rows[name]["process_bytes"] = peaks[repeats // 2]
                rows[name]["seconds"] = statistics.median(rows[name]["rounds"])
    finally:
        for worker in workers.values():
            worker.stop()
    return list(rows.values())


@contextmanager
def may_end(workers, name, row):
    """In this `with` block a worker may be ended by its limits: its row then says so, and it is left out."""
    try:
        yield
    except DidNotFit as error:
        workers.pop(name).stop()
        row.update(note=str(error), rounds=[])


def make_step(case, input_shape, batch, training):
    """One step of a layer or model as a function without arguments, twice run: `(step, seconds of the second run)`."""
    layer = keras.saving.deserialize_keras_object(case)
    images = keras.Input(tuple(input_shape))
    model = layer if isinstance(layer, keras.Model) else keras.Model(images, layer(images))
    model.compile("sgd", "mse", jit_compile=jit_here())
    x = np.random.default_rng(0).normal(size=(batch, *input_shape)).astype("float32")
    if training:
        target = np.zeros((batch, *model.output_shape[1:]), "float32")

        def step():
            model.train_on_batch(x, target)
    else:

        def step():
            model.predict_on_batch(x)

    step()
    start = time.perf_counter()
    step()
    return step, time.perf_counter() - start


def answer():
    """The worker's side: a function for `serve` that takes a case, then numbers of steps, then "memory"."""
    step = None

    def handle(request):
        nonlocal step
        if isinstance(request, dict):
            step, seconds = make_step(*(request[key] for key in ("case", "input_shape", "batch", "training")))
            return seconds
        if request == "memory":
            return peak_memory(step)
        start = time.perf_counter()
        for _ in range(request):
            step()
        return time.perf_counter() - start

    return handle


if __name__ == "__main__":
    serve(answer())
