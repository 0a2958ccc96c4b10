"""The machine: its devices, its versions, and whether the compiler XLA helps on it."""

import os
import platform
import tempfile
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet  # comes with Keras

STDERR = 2  # the number of the file that C++ code writes its log to, whatever `sys.stderr` is

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports errors only, unless the user said otherwise


@contextmanager
def quiet():
    """Hold back what is written to standard error, and write it after all where the block ends in an error.

    TensorFlow logs six lines while it is imported, at any log level, before the level is read.
    """
    try:
        shown = os.dup(STDERR)
    except OSError:  # there is no standard error, in a windowed program for instance: nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except BaseException:
            os.dup2(shown, STDERR)
            held.seek(0)
            os.write(STDERR, held.read())
            raise
        finally:
            os.dup2(shown, STDERR)
            os.close(shown)


with quiet():
    import keras

TESTED = {  # package: first version, first version that is too new
    "tensorflow": ("2.20", "2.22"),
    "keras": ("3.13", "3.16"),
    "numpy": ("2.0", "2.5"),
    "matplotlib": ("3.10", "3.12"),
    "ipywidgets": ("7.7.1", "9"),
}


def accelerators(*kinds):
    """The GPUs and TPUs that the backend sees, or those of the given kinds, "gpu" or "tpu": a list of names."""
    kinds = kinds or ("gpu", "tpu")
    if keras.backend.backend() == "torch":  # for which keras.distribution has nothing
        torch = import_module("torch")
        return [f"gpu:{number}" for number in range(torch.cuda.device_count())] if "gpu" in kinds else []
    return [name for name in keras.distribution.list_devices() if name.split(":")[0] in kinds]


def is_first_process():
    """Whether this process is the first of those that train together, or the only one: the one that writes files."""
    return keras.backend.backend() != "jax" or import_module("jax").process_index() == 0


def machine_facts():
    """What a result depends on beside the code, for the head of a JSON file: date, machine, versions."""
    backend = keras.backend.backend()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {len(accelerators('gpu'))} GPUs",
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            backend: import_module(backend).__version__,
        },
    }


def check_environment():
    """Print what this machine has, and return whether the series was tested with it: a bool."""
    backend = keras.backend.backend()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {len(accelerators())} accelerators, {backend}")
    fine = backend == "tensorflow"
    for package, (first, too_new) in TESTED.items():
        installed = installed_version(package)
        tested = SpecifierSet(f">={first},<{too_new}").contains(installed, prereleases=True)
        fine = fine and tested
        verdict = "tested" if tested else f"not tested: {first} or later, below {too_new}, is"
        print(f"{package:11s} {installed:10s} {verdict}")
    return fine


def installed_version(package):
    """The version of a package, "0" where it is not installed: a str."""
    try:
        return version(package)
    except PackageNotFoundError:
        pass
    if package == keras.backend.backend():  # tensorflow-cpu is TensorFlow too
        return import_module(package).__version__
    return "0"


def jit_here():
    """`jit_compile` for this machine and backend: XLA on an accelerator, and on JAX, where nothing else compiles.

    On a CPU, TensorFlow trains 4 times slower with it.
    """
    return "auto" if keras.backend.backend() == "jax" or accelerators() else False
