"""The same weights say the same on TensorFlow, JAX and PyTorch, whichever of them saved the weights."""

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import keras
import numpy as np
import pytest

from focal_utils.measuring import BACKENDS, installed_backends
from tests.package.backend_outputs import NETWORKS

SCRIPT = Path(__file__).with_name("backend_outputs.py")
REQUIRED = os.environ.get("REQUIRED_BACKENDS", "").split()  # `make test-backends` asks for all three
INSTALLED = installed_backends()

# The largest difference from what the backend that saved says in float32, relative to its largest logit: for mixed
# precision also what is lost to the short numbers. For float64 no less than for float32: on JAX and PyTorch, Keras 3.15
# takes means of doubles in float32 (`keras.backend.result_type`); those of TensorFlow are exact (test_models.py).
LIMITS = {"whole": 1e-5, "float32": 1e-5, "float64": 1e-5, "mixed_float16": 5e-3, "mixed_bfloat16": 5e-2}

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts every backend, once: from TensorFlow's tests"
)


def run(backend, *arguments):
    """The script on a backend, in a process of its own."""
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{backend}: {done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Loader → {"saver/network/precision": logits (3, 7)}, for all backends that are installed."""
    folder = tmp_path_factory.mktemp("backends")
    for backend in INSTALLED:
        run(backend, "save", folder)
    for backend in INSTALLED:
        run(backend, "load", folder, *INSTALLED)
    return {backend: dict(np.load(folder / f"{backend}.npz", allow_pickle=False)) for backend in INSTALLED}


@pytest.mark.parametrize("backend", REQUIRED)
def test_what_is_required_is_installed(backend):
    assert backend in INSTALLED


@pytest.mark.slow
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize(("saver", "loader"), permutations(BACKENDS, 2))
def test_what_one_backend_saves_says_the_same_on_another(saver, loader, precision, request):
    for backend in (saver, loader):
        if backend not in INSTALLED:
            pytest.skip(f"{backend} is not installed")
    outputs = request.getfixturevalue("outputs")
    for name in NETWORKS:
        found = outputs[loader][f"{saver}/{name}/{precision}"]
        expected = outputs[saver][f"{saver}/{name}/float32"]
        assert found.dtype == ("float64" if precision == "float64" else "float32")
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        print(f"{name}: {difference:.1e}")
        assert difference <= LIMITS[precision], name
        assert difference > 0 or not precision.startswith("mixed"), f"{name}: not in {precision}"
