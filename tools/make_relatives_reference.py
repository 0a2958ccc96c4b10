"""Write tests/reference/relatives/*.npz: what timm's blocks of the relatives of focal modulation compute.

    python tools/make_relatives_reference.py

needs torch and timm (CPU), which the project itself does not. Each case is a whole block of timm's: ConvNeXt's,
MambaOut's, StarNet's, and PoolFormer's with pooling and with no mixing. Weights are random, as are the means and
variances of StarNet's batch norms. Each file holds `input` and `output` (float32, channels last), timm's weights under
timm's names (`weights/<name>`), and `case`, a JSON string with focal_utils' arguments.
"""

from functools import partial

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

import timm
import torch
from timm.layers import LayerNorm, LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from timm.models.mambaout import GatedConvBlock
from timm.models.metaformer import MetaFormerBlock, Pooling
from timm.models.starnet import Block

from parts.frozen import FOLDER, randomise, write_case

VERSIONS = f"torch {torch.__version__.split('+')[0]}, timm {timm.__version__}"
EPSILON = 1e-5  # ours in every LayerNorm; timm's networks set another here and there


def convnext(dim, kernel_size=7, mlp_ratio=4.0, layer_scale=None):
    norm = partial(LayerNorm, eps=EPSILON)
    return ConvNeXtBlock(dim, None, kernel_size, mlp_ratio=mlp_ratio, ls_init_value=layer_scale, norm_layer=norm)


def gated_convolution(dim, kernel_size=7, expansion=1.0, layer_scale=None):
    norm = partial(LayerNorm, eps=EPSILON)
    return GatedConvBlock(dim, expansion, kernel_size, ls_init_value=layer_scale, norm_layer=norm)


def product(dim, expansion, activation):
    act = {"relu6": torch.nn.ReLU6, "none": torch.nn.Identity}[activation]
    return Block(dim, expansion, act_layer=act)


def metaformer(mixer, dim, layer_scale=None):
    return MetaFormerBlock(
        dim,
        token_mixer=mixer,
        mlp_act=torch.nn.GELU,
        mlp_bias=True,
        norm_layer=partial(LayerNorm2d, eps=EPSILON),
        layer_scale_init_value=layer_scale,
    )


def pooling(dim, pool_size=3, layer_scale=None):
    return metaformer(partial(Pooling, pool_size), dim, layer_scale)


def identity(dim, layer_scale=None):
    return metaformer(torch.nn.Identity, dim, layer_scale)


MAKERS = {
    "convnext": convnext,
    "gated_convolution": gated_convolution,
    "product": product,
    "pooling": pooling,
    "identity": identity,
}

# A case's name, its mixer, our arguments, and (height, width) of the map.
CASES = (
    ("convnext", "convnext", {"dim": 8}, (9, 8)),
    ("convnext_5_scale", "convnext", {"dim": 12, "kernel_size": 5, "mlp_ratio": 2.0, "layer_scale": 0.1}, (4, 11)),
    ("gated_convolution", "gated_convolution", {"dim": 8}, (9, 8)),
    ("gated_convolution_wide", "gated_convolution", {"dim": 9, "expansion": 8 / 3, "kernel_size": 5}, (6, 7)),
    ("gated_convolution_scale", "gated_convolution", {"dim": 8, "expansion": 2.0, "layer_scale": 0.1}, (5, 3)),
    ("product", "product", {"dim": 8, "expansion": 3, "activation": "relu6"}, (9, 8)),
    ("product_bare", "product", {"dim": 8, "expansion": 1, "activation": "none"}, (5, 6)),
    ("pooling", "pooling", {"dim": 8}, (9, 8)),
    ("pooling_5_scale", "pooling", {"dim": 8, "pool_size": 5, "layer_scale": 0.1}, (4, 6)),
    ("identity", "identity", {"dim": 8}, (6, 5)),
    ("identity_scale", "identity", {"dim": 8, "layer_scale": 0.1}, (5, 5)),
)

CHANNELS_LAST = ("gated_convolution",)  # timm's block takes maps as we do


def randomised(module, seed):
    """`randomise`, and the running means and variances of batch norms too."""
    generator = torch.Generator().manual_seed(seed + 2000)
    for name, value in module.named_buffers():
        noise = torch.rand(value.shape, generator=generator)
        if name.endswith("running_mean"):
            value.copy_(noise - 0.5)
        elif name.endswith("running_var"):
            value.copy_(noise + 0.5)
    return randomise(module, seed)


def write(name, mixer, arguments, size, seed):
    """Run one case and write its file."""
    module = randomised(MAKERS[mixer](**arguments), seed)
    x = torch.randn((2, *size, arguments["dim"]), generator=torch.Generator().manual_seed(seed + 1000))
    with torch.no_grad():
        output = module(x) if mixer in CHANNELS_LAST else module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    case = {"mixer": mixer, "arguments": arguments, "seed": seed, "versions": VERSIONS}
    weights = {key: value for key, value in module.state_dict().items() if "num_batches" not in key}
    write_case(f"relatives/{name}", case, weights, input=x, output=output)


def main():
    parser(__doc__).parse_args()
    torch.set_num_threads(1)
    (FOLDER / "relatives").mkdir(parents=True, exist_ok=True)
    for seed, (name, mixer, arguments, size) in enumerate(CASES):
        write(name, mixer, arguments, size, seed)


if __name__ == "__main__":
    main()
