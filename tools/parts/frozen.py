"""What the scripts share that freeze what other implementations compute."""

from pathlib import Path

import torch

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
