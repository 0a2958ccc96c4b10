"""What all tests share."""

import keras
import pytest


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
