"""How an exercise is registered and an answer judged; the exercises themselves are beside, a file for each notebook.

A judge is a function of the answer. It hands copies of its inputs to it (`call`, `number`), compares what comes back
(`same`, `close`), and raises `NotYet` with what kind of mistake it sees (`compare` does so for a list of them), or
returns a sentence on what comes next. Whatever else an answer does, raise, exit, run for ever, `verdict` says in words.
"""

import copy
import ctypes
import functools
import math
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager
from numbers import Integral

import keras
import numpy as np
from keras import ops

EXERCISES = {}

NODE = re.compile(r"\{\{function_node .*?\}\}\s*")  # how TensorFlow begins a message; it helps nobody
SECONDS = 60  # that an answer may take, all calls of it together; none needs a tenth of that
# By how much a map may be off, over its largest value or 1: single precision leaves some 1e-6, a wrong term 1e-2.
TOLERANCE = 1e-4


class NotYet(Exception):  # noqa: N818, it is no error
    """An answer that is not right yet; the message says what kind of mistake it holds and what to think about."""


class TimeIsUp(BaseException):
    """An answer has run too long. No `except Exception` in it stops this."""


def exercise(name):
    """Register a function that judges one exercise: it raises `NotYet`, or returns a sentence on what comes next."""

    def register(judge):
        EXERCISES[name] = judge
        return judge

    return register


# ---- what an answer gives


def call(answer, *inputs, untouched=None):
    """What the learner's function gives for `inputs`, in NumPy arrays; whatever goes wrong in it becomes a `NotYet`.

    Args:
        answer: a function, layer or other thing that can be called.
        inputs: it gets copies of them, so that it may do with them what it likes.
        untouched: what the inputs are called, where they are not to be changed all the same.

    Returns:
        An array, or a list of arrays where it gives a list or tuple of them. Numbers in lists are an array, too.
    """
    if not callable(answer):
        raise NotYet(
            f"A function is needed here, but this is a {type(answer).__name__}. Give its name, without brackets."
        )
    given = copied(inputs)
    result = run(answer, *given)
    if untouched and not unchanged(given, inputs):
        raise NotYet(f"{untouched} have changed too. Leave them as they are, and return a copy.")
    return as_arrays(answer, result)


def run(answer, *inputs):
    """What the learner's function gives for `inputs`, as it is; whatever goes wrong in it becomes a `NotYet`."""
    try:
        return answer(*inputs)
    except (NotYet, TimeIsUp, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise NotYet(f"{name_of(answer)} leaves Python by `exit`: let it return its result instead.") from error
    except BaseException as error:
        said = NODE.sub("", str(error)).split("\n")[0]
        raise NotYet(f"{name_of(answer)} stopped with {type(error).__name__}: {said}") from error


def layer_of(answer, dim, wanted):
    """The Keras layer that the learner's function makes for `dim` channels, with fixed weights; a `NotYet` for others.

    Args:
        answer: a function or class of one number.
        dim: channels.
        wanted: what a layer is wanted for, to end the sentence with.
    """
    if not callable(answer) or isinstance(answer, keras.Layer):
        raise NotYet(f"A class or function is wanted that makes the layer, `my_mixer({dim})`: give its name alone.")
    keras.utils.set_random_seed(0)
    layer = run(answer, dim)
    if layer is None:
        raise NotYet(f"{name_of(answer)} returned None: is there a `return`?")
    if not isinstance(layer, keras.Layer):
        raise NotYet(f"my_mixer({dim}) gives a {type(layer).__name__}; a Keras layer is wanted{wanted}.")
    return layer


def number(answer, *inputs):
    """The learner's number for `inputs`, or a `NotYet` that says what came instead."""
    result = call(answer, *inputs)
    if isinstance(result, list) or result.ndim:
        raise NotYet(f"One number is wanted here, but {name_of(answer)} returned {result!r}.")
    if result.dtype.kind == "c" or not np.isfinite(result):
        raise NotYet(f"{name_of(answer)} returned {result}: a finite number is wanted.")
    return float(result)


def name_of(answer):
    """What a function is called, a partial one, a layer or another thing that can be called."""
    if isinstance(answer, functools.partial):
        return name_of(answer.func)
    return getattr(answer, "__name__", None) or getattr(answer, "name", None) or type(answer).__name__


def copied(inputs):
    """Inputs, arrays and tensors in lists or not, that can be changed without changing these."""
    return keras.tree.map_structure(lambda item: ops.copy(item) if is_tensor(item) else duplicate(item), inputs)


def is_tensor(item):
    return keras.ops.is_tensor(item)


def duplicate(item):
    """An array or random generator anew; what is neither, layers and numbers for instance, as it is."""
    return copy.deepcopy(item) if isinstance(item, (np.ndarray, np.random.Generator)) else item


def unchanged(given, inputs):
    """Whether the arrays among `given` still are those of `inputs`."""
    pairs = zip(keras.tree.flatten(given), keras.tree.flatten(inputs), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs if isinstance(one, np.ndarray))


def as_arrays(answer, result):
    """What an answer returned, in NumPy arrays; `NotYet` where it is nothing, or no numbers."""
    if result is None or result is Ellipsis:
        raise NotYet(f"{name_of(answer)} returned None: is there a `return`?")
    if isinstance(result, (list, tuple)) and not only_numbers(result):
        return [as_array(answer, item) for item in result]
    return as_array(answer, result)


def array_of(answer):
    """A value that was handed in, an array, tensor, list or number, as an array; a text as one without axes."""
    if isinstance(answer, (str, bytes)):
        return np.zeros(())
    return as_array(lambda: None, answer)


def only_numbers(result):
    """Whether lists and tuples hold numbers and nothing else, at any depth."""
    if isinstance(result, (list, tuple)):
        return all(only_numbers(item) for item in result)
    return isinstance(result, (bool, int, float, complex, np.generic))


def as_array(answer, item):
    """An array, tensor or number as a NumPy array; `NotYet` where it is none."""
    try:
        array = np.asarray(ops.convert_to_numpy(item) if is_tensor(item) else item)
    except Exception as error:
        raise NotYet(f"{name_of(answer)} returned what is no array: its rows differ in length, or the like.") from error
    if array.dtype.kind not in "buifc" and array.dtype.name != "bfloat16":
        raise NotYet(f"{name_of(answer)} returned {array!r}: numbers are wanted.")
    return array


def whole_numbers(items):
    """Items, a list or array, as a tuple of `int`; None where they are none, or not whole."""
    try:
        items = list(items)
    except TypeError:
        return None
    whole = all(isinstance(item, Integral) and not isinstance(item, (bool, np.bool_)) for item in items)
    return tuple(int(item) for item in items) if whole else None


# ---- whether it is right


def same(result, other, tolerance=TOLERANCE):
    """Whether two arrays have one shape, and differ nowhere by more than `tolerance` of the largest value (or of 1)."""
    other = ops.convert_to_numpy(other)
    if np.shape(result) != other.shape:
        return False
    scale = max(1.0, float(np.abs(other).max(initial=0.0)))
    return bool(np.all(np.abs(result - other) <= tolerance * scale))


def close(one, other):
    """Whether two numbers are equal, but for the rounding of double precision."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def same_numbers(numbers, others):
    """Whether two lists of numbers are `close`, one by one."""
    return all(close(one, other) for one, other in zip(numbers, others, strict=True))


def need_shape(result, shape, remark):
    """Raise `NotYet`, with a remark, where a result is not one array of this shape, that of the input."""
    shape = tuple(shape)
    if isinstance(result, list) or result.shape != shape:
        got = f"a list of {len(result)}" if isinstance(result, list) else f"shape {result.shape}"
        raise NotYet(f"I get {got} for an input of shape {shape}. {remark}")


def need_array(result, remark):
    """Raise `NotYet`, with a remark, where a list of arrays came instead of one."""
    if isinstance(result, list):
        raise NotYet(f"A list of {len(result)} came back; {remark}")


def compare(result, right, mistakes, otherwise, equal=same):
    """Raise `NotYet` where a result is not right, with the message of the mistake that gives the same.

    Args:
        result: of the learner.
        right: what is wanted.
        mistakes: pairs (what a mistake gives, message), tried in this order.
        otherwise: the message where no mistake fits.
        equal: a function of two results.
    """
    if equal(result, right):
        return
    for wrong, message in mistakes:
        if equal(result, wrong):
            raise NotYet(message)
    raise NotYet(otherwise)


# ---- the verdict


def verdict(name, answer):
    """Whether `answer` solves the exercise `name`, and the sentence that says so: (bool, str).

    Raises:
        ValueError: an unknown exercise, with the known ones named.
    """
    if name not in tuple(EXERCISES):
        raise ValueError(f"There is no exercise {name!r}. There are: {', '.join(sorted(EXERCISES))}.")
    if answer is None or answer is Ellipsis:
        return False, "not solved yet: put your answer in place of the dots."
    try:
        with time_limit(SECONDS), notebook_stays_open():
            return True, f"solved. {EXERCISES[name](answer)}"
    except NotYet as reason:
        started = "returned None" not in str(reason)
        return False, f"not yet. {reason}" if started else f"not solved yet: {reason}"
    except TimeIsUp:
        return False, f"not yet. {name_of(answer)} was stopped after {SECONDS} seconds: does a loop never end?"
    except Exception as error:
        said = f"{type(error).__name__}: {error}".split("\n")[0]
        return False, f"not yet. This answer cannot be judged, it is not of the kind that is asked for ({said})."


def check(name, answer):
    """Judge an answer to an exercise and print what kind of mistake it holds, or that it is solved.

    Args:
        name: of the exercise, "1.2 receptive field" for instance.
        answer: the function, tuple or whatever the exercise asks for. It gets copies of what it is tried with, and a
            minute.

    Raises:
        ValueError: an unknown exercise.

    Example:
        >>> fu.check("1.2 receptive field", lambda levels, window=3, factor=2: levels * window)
        1.2 receptive field   not yet. For levels=3, window=3, factor=2 you say 9, but an impulse reaches 13 pixels: …
    """
    print(f"{name}   {verdict(name, answer)[1]}")


@contextmanager
def time_limit(seconds):
    """In this `with` block, `TimeIsUp` is raised after so many seconds, wherever it then is.

    A signal does so in the main thread, where Jupyter runs cells, on Linux and macOS; elsewhere another thread asks
    Python to raise it in this one. Both wait for what is computed outside Python to come back.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with alarm(seconds):
            yield
        return
    done = threading.Event()
    watched = threading.get_ident()

    def watch():
        if not done.wait(seconds):
            raise_in(watched)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def alarm(seconds):
    """`time_limit` by a signal. It comes again each second, should the answer catch the first."""

    def ring(*_):
        raise TimeIsUp

    handler = signal.signal(signal.SIGALRM, ring)
    before, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    start = time.monotonic()
    try:
        yield
    finally:
        left = max(before - (time.monotonic() - start), 0.001) if before else 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left, interval)  # someone else's alarm clock goes on


@contextmanager
def notebook_stays_open():
    """In this `with` block, IPython's own `exit` and `quit` raise `SystemExit`, as Python's do, and end no kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not shell:
        yield
        return

    def leave():
        raise SystemExit

    before = getattr(shell, "keepkernel_on_exit", None)
    shell.ask_exit = leave
    try:
        yield
    finally:
        del shell.ask_exit  # the method of its class is seen again
        if hasattr(shell, "keepkernel_on_exit"):
            shell.keepkernel_on_exit = before


def raise_in(thread):
    """Raise `TimeIsUp` in a thread, as soon as it runs Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeIsUp))
