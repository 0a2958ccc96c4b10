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
from tests.backend_outputs import NETWORKS

SCRIPT = Path(__file__).with_name("backend_outputs.py")
REQUIRED = os.environ.get("REQUIRED_BACKENDS", "").split()  # `make test-backends` asks for all three
INSTALLED = installed_backends()

# The largest difference, relative to the largest logit of the backend that saved: in its own precision for float64,
# for all others in float32, so that for mixed precision this is also what is lost to the short numbers.
LIMITS = {"whole": 1e-5, "float32": 1e-5, "float64": 1e-12, "mixed_float16": 1e-2, "mixed_bfloat16": 5e-2}

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
    if precision == "float64" and "torch" in (saver, loader):
        pytest.skip("on PyTorch, Keras 3.15 takes products of float64 in float32")
    outputs = request.getfixturevalue("outputs")
    for name in NETWORKS:
        expected = outputs[saver][f"{saver}/{name}/{'float64' if precision == 'float64' else 'float32'}"]
        difference = np.abs(outputs[loader][f"{saver}/{name}/{precision}"] - expected).max() / np.abs(expected).max()
        print(f"{name}: {difference:.1e}")
        assert difference <= LIMITS[precision], name
        assert difference > 0 or not precision.startswith("mixed"), f"{name}: not in {precision}"
