"""What all tests share."""

import gc

import keras
import pytest


@pytest.fixture(autouse=True, scope="module")
def objects_of_other_tests_are_left_alone():
    """What lives when a file's tests begin is left out of later searches for garbage.

    TensorFlow alone makes 350,000 objects, and each traced function more that stay. Keras searches all of them for
    every layer that it quantizes, which takes most of the time of an export with int8.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def untraced(monkeypatch):
    """Steps are taken as they are, not traced first, which takes seconds: for tests of what is around the steps."""
    monkeypatch.setattr(keras.Model, "run_eagerly", property(lambda model: True, lambda model, value: None))


@pytest.fixture(autouse=True)
def tensors_are_arrays(monkeypatch):
    """Tests read tensors as NumPy arrays; PyTorch refuses that for tensors that record a gradient, unless detached."""
    if keras.backend.backend() == "torch":
        import torch

        read = torch.Tensor.__array__
        monkeypatch.setattr(torch.Tensor, "__array__", lambda self, dtype=None, copy=None: read(self.detach(), dtype))


DOUBLE = pytest.param(
    "float64",
    marks=pytest.mark.skipif(
        keras.backend.backend() == "jax", reason="JAX has float64 only when asked; tests/package/test_backends.py asks"
    ),
)
