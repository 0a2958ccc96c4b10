"""What the scripts share that freeze what other implementations compute."""

import json
from pathlib import Path

import numpy as np
import torch

from focal_utils.files import whole_file

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "reference"


def randomise(module, seed):
    """Random values for every parameter, norms, biases and γ included, so that no part can hide behind a 0 or a 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_((0 if name.endswith("bias") else 1) + 0.3 * noise)
    return module.eval()


def write_case(name, case, weights, **arrays):
    """Write one case to tests/reference/NAME.npz, and say so.

    Args:
        name: of the file, with the folder below tests/reference.
        case: what is said of it, a dict for JSON.
        weights: the other implementation's, a dict of tensors by its own names.
        arrays: tensors, "input" and "output" among them.
    """
    named = {f"weights/{key}": value.numpy() for key, value in weights.items()}
    arrays = {key: value.numpy() for key, value in arrays.items()}
    with whole_file(FOLDER / f"{name}.npz") as file:
        np.savez_compressed(file, case=np.array(json.dumps(case)), **arrays, **named)
    output = arrays["output"]
    print(f"{name}: {len(weights)} tensors, output {output.shape}, |output| ≤ {abs(output).max():.3f}")
