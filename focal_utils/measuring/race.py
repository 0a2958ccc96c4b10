"""What a layer or a network costs when it runs: parameters, multiply–accumulates, time and peak memory.

Each case runs in a process of its own, so that one that does not fit takes nothing else down; the processes take turns,
so that whatever slows the machine down slows down all of them.
"""

import importlib.util
import json
import statistics
import sys
import time
from collections import deque
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import psutil

from focal_utils.errors import check_at_least, check_number, damaged
from focal_utils.files import whole_file
from focal_utils.machine import jit_here, machine_facts
from focal_utils.measuring.memory import peak_memory
from focal_utils.measuring.processes import DidNotFit, Worker, serve
from focal_utils.models.costs import count_macs, count_parameters
from focal_utils.tracing.traces import layers_in_order

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
        cases: a dict, name → layer or model, or a single one. They are built anew, with random weights, elsewhere; so a
            class of your own must lie in a file that can be imported, not in the notebook itself.
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
        ValueError: a backend that is not installed, no input shape, no cases, or a class that elsewhere is not known.
        TypeError: something else than layers and models.
        DamagedData: `save` is there, but is no file of rows.
        RuntimeError: a case fails for another reason than its size; what its process said is in the message.

    Example:
        >>> cases = {"focal": fu.FocalModulation(96), "attention": fu.SelfAttention(96)}
        >>> focal, attention = fu.measure(cases, (56, 56, 96))
        >>> focal.macs, attention.macs
        (126744576, 2003828736)
    """
    cases = named(cases)
    check_at_least(batch=(batch, 1), rounds=(rounds, 0))
    for name, value in (("memory_limit", memory_limit), ("patience", patience)):
        if value is not None:
            check_number(name, value, above=0)
    backend = backend or keras.backend.backend()
    if backend not in installed_backends():
        raise ValueError(f"backend={backend!r} is not installed here: choose one of {', '.join(installed_backends())}.")
    kept = saved_rows(save)
    requests = {
        name: {
            "name": name,
            "input_shape": whole_shape(name, case, input_shape),
            "batch": int(batch),
            "training": bool(training),
            "backend": backend,
        }
        for name, case in cases.items()
    }
    found = {name: row for name, request in requests.items() for row in kept if row.items() >= request.items()}
    missing = {name: (cases[name], request) for name, request in requests.items() if name not in found}
    limit = memory_limit or int(0.9 * psutil.virtual_memory().available)
    for row in race(missing, rounds, limit, patience):
        found[row["name"]] = row
        kept.append(row)
    if save and missing:
        write_rows(save, kept)
    return [Measurement(**found[name]) for name in cases]


def named(cases):
    """The cases of `measure` as a dict, name → layer, each of which another process can build; errors as there."""
    if not isinstance(cases, dict):
        cases = {getattr(cases, "name", ""): cases}
    if not cases:
        raise ValueError("There are no cases: give a layer, a model, or a dict of them.")
    for name, case in cases.items():
        if not isinstance(case, keras.layers.Layer):
            raise TypeError(f"{name or 'The case'} is a {type(case).__name__}: give a layer or a model.")
        own_classes(name, case)
    return {str(name): case for name, case in cases.items()}


def own_classes(name, case):
    """The layers' classes that are neither Keras' nor the package's: a list of [module, name], for `imported`.

    Raises:
        ValueError: another process cannot import one.
    """
    classes = {type(layer) for layer in (case, *layers_in_order(case))}
    own = [each for each in classes if each.__module__.split(".")[0] not in ("keras", "focal_utils")]
    for each in own:
        if each.__module__ == "__main__" or "<locals>" in each.__qualname__:
            raise ValueError(
                f"{name or 'The case'}: the class {each.__name__} stands in the notebook or script that is running, or "
                "in a function, where the process that measures cannot find it. Put it into a file of its own, and "
                "import it from there."
            )
    return sorted([each.__module__, each.__qualname__] for each in own)


def imported(classes):
    """The classes that `own_classes` lists, as a dict, name → class, for Keras."""
    return {name.rpartition(".")[2]: attrgetter(name)(importlib.import_module(module)) for module, name in classes}


def installed_backends():
    """Which of Keras' backends are installed here, by Keras' names."""
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def whole_shape(name, case, shape=None):
    """The shape of one input of a case as a list of whole numbers: the given one, or that of a model.

    Raises:
        ValueError: it is not known, or is none.
    """
    if shape is None and isinstance(case, keras.Model):
        known = getattr(case, "input_shape", None)
        if known is None and case.built:  # a subclassed model: of what it was called with
            known = (case.get_build_config() or {}).get("input_shape")
        shape = known[1:] if known else None
    if shape is None or None in tuple(shape):
        raise ValueError(
            f"{name or 'The case'} does not say its input shape: give input_shape=(height, width, channels)."
        )
    check_at_least(**{f"input_shape[{axis}]": (side, 1) for axis, side in enumerate(shape)})
    return [int(side) for side in shape]


def saved_rows(path):
    """The rows of a JSON file of `measure`; none where there is no file. DamagedData where it holds something else."""
    if not path or not Path(path).exists():
        return []
    try:
        rows = json.loads(Path(path).read_text("utf-8"))["rows"]
        return [Measurement(**row)._asdict() for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def write_rows(path, rows):
    """Put rows, machine, versions and date into a JSON file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(machine_facts() | {"rows": rows}, indent=1) + "\n", encoding="utf-8")


def race(cases, rounds, memory_limit, patience):
    """Measure cases, name → (layer, request), by turns: a list of rows."""
    command = [sys.executable, "-m", "focal_utils.measuring.race"]
    workers = {}
    rows = {}
    steps = {}  # in a turn of each
    try:
        for name, (_, request) in cases.items():  # all start together: importing takes longest
            variables = SYSTEM_MEMORY | {"KERAS_BACKEND": request["backend"]}
            workers[name] = Worker(name, command, variables, memory_limit, patience)
        for name, (case, request) in cases.items():
            rows[name] = new_row(case, request)
            with may_end(workers, name, rows[name]):
                build = {word: request[word] for word in ("input_shape", "batch", "training")}
                build["case"] = keras.saving.serialize_keras_object(case)
                build["classes"] = own_classes(name, case)
                seconds = workers[name].ask({"do": "build"} | build)
                steps[name] = max(1, round(TURN / seconds))
        order = deque(workers)
        for _ in range(rounds):
            for name in [name for name in order if name in workers]:
                with may_end(workers, name, rows[name]):
                    seconds = workers[name].ask({"do": "steps", "count": steps[name]})
                    rows[name]["rounds"].append(seconds / steps[name])
            order.rotate(-1)  # who begins is slowed down or sped up by what was before: each does so in turn
        if rounds:
            for name in list(workers):
                with may_end(workers, name, rows[name]):
                    weigh(workers[name], rows[name])
    finally:
        for worker in workers.values():
            worker.stop()
    return list(rows.values())


def new_row(case, request):
    """The row of a case before it is measured: what was asked, and what can be counted."""
    shape = tuple(request["input_shape"])
    return request | {
        "parameters": count_parameters(case, shape),
        "macs": count_macs(case, shape),
        "seconds": None,
        "rounds": [],
        "peak_bytes": None,
        "process_bytes": None,
        "note": "",
    }


def weigh(worker, row):
    """Put the peak memory of a case into its row, the median of three where a step is short, and its median time."""
    seconds = statistics.median(row["rounds"])
    repeats = 3 if seconds < 1 else 1
    peaks = sorted(worker.ask({"do": "memory"}) for _ in range(repeats))
    row["peak_bytes"], row["process_bytes"] = peaks[repeats // 2]
    row["seconds"] = seconds


@contextmanager
def may_end(workers, name, row):
    """In this `with` block a worker may be ended by its limits: its row then says so, and it is left out."""
    try:
        yield
    except DidNotFit as error:
        workers.pop(name).stop()
        row.update(note=str(error), rounds=[])


def make_step(case, input_shape, batch, training, classes=()):
    """One step of a layer or model as a function without arguments, twice run: `(step, seconds of the second run)`.

    Args:
        case: the layer or model, as `keras.saving.serialize_keras_object` gives it.
        input_shape: of one input.
        batch: how many in a step.
        training: see `measure`.
        classes: of which the case is made beside Keras' own and the package's; see `own_classes`.
    """
    layer = keras.saving.deserialize_keras_object(case, custom_objects=imported(classes))
    model = as_model(layer, input_shape)
    x = np.random.default_rng(0).normal(size=(batch, *input_shape)).astype("float32")
    if training:
        outputs = model(x[:1], training=False)
        target = keras.tree.map_structure(lambda output: np.zeros((batch, *output.shape[1:]), "float32"), outputs)
        losses = keras.tree.map_structure(lambda output: "mse", outputs)
        model.compile("sgd", losses, jit_compile=jit_here())

        def step():
            model.train_on_batch(x, target)
    else:
        model.compile("sgd", jit_compile=jit_here())

        def step():
            model.predict_on_batch(x)

    step()
    start = time.perf_counter()
    step()
    return step, time.perf_counter() - start


def as_model(layer, input_shape):
    """A model of a single layer; a model as it is."""
    if isinstance(layer, keras.Model):
        return layer
    images = keras.Input(tuple(input_shape))
    return keras.Model(images, layer(images))


class Case:
    """The worker's side: a case is built once, then its steps are timed, and its memory is looked at."""

    def answer(self, request):
        """The answer to {"do": "build" | "steps" | "memory", and what that needs}."""
        request = dict(request)
        return getattr(self, request.pop("do"))(**request)

    def build(self, **what):
        """Seconds of one step of what `make_step` takes."""
        self.step, seconds = make_step(**what)
        return seconds

    def steps(self, count):
        """Seconds of `count` steps together."""
        start = time.perf_counter()
        for _ in range(count):
            self.step()
        return time.perf_counter() - start

    def memory(self):
        """Bytes that a step takes at its peak, and bytes of the process then."""
        return peak_memory(self.step)


if __name__ == "__main__":
    serve(Case().answer)
