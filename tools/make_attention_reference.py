"""Write tests/reference/attention/*.npz: what timm's ViT and Swin, attention and whole blocks, compute.

    python tools/make_attention_reference.py

needs what make_reference.py needs. Weights are random. Each file holds `input` and `output` (float32, channels last),
timm's weights under timm's names (`weights/<name>`), and `case`, a JSON string with focal_utils' arguments.
"""

from functools import partial

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

import torch
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.vision_transformer import Attention, Block

from make_reference import VERSIONS
from parts.frozen import FOLDER, randomise, write_case

GLOBAL = {"global": ({"dim": 12, "num_heads": 3}, (5, 4))}
WINDOWED = {
    "windows": ({"dim": 12, "num_heads": 3, "window": 4, "shift": False}, (8, 12)),
    "windows_shifted": ({"dim": 12, "num_heads": 3, "window": 4, "shift": True}, (8, 12)),
    "windows_odd_shifted": ({"dim": 8, "num_heads": 2, "window": 3, "shift": True}, (9, 6)),
}
BLOCKS = {  # arguments of FocalBlock
    "block_global": ({"dim": 12, "mixer": "attention", "num_heads": 3}, (5, 4)),
    "block_windows_shifted": ({"dim": 12, "mixer": "window", "num_heads": 3, "window": 4, "shift": True}, (8, 12)),
}


def write(name, arguments, module, x, run):
    """Run one case and write its file."""
    with torch.no_grad():
        output = run(x)
    case = {"arguments": arguments, "versions": VERSIONS}
    weights = {key: value for key, value in module.state_dict().items() if "index" not in key and "mask" not in key}
    write_case(f"attention/{name}", case, weights, input=x, output=output)


def main():
    parser(__doc__).parse_args()
    torch.set_num_threads(1)
    (FOLDER / "attention").mkdir(parents=True, exist_ok=True)
    norm = partial(torch.nn.LayerNorm, eps=1e-5)
    for seed, (name, (arguments, size)) in enumerate((GLOBAL | WINDOWED | BLOCKS).items()):
        dim = arguments["dim"]
        heads = arguments["num_heads"]
        x = torch.randn((2, *size, dim), generator=torch.Generator().manual_seed(seed))
        if name in GLOBAL:
            module = randomise(Attention(dim, heads, qkv_bias=True), seed)
            write(name, arguments, module, x, lambda x, m=module: m(x.flatten(1, 2)).reshape(x.shape))
        elif name == "block_global":
            module = randomise(Block(dim, heads, qkv_bias=True, norm_layer=norm), seed)
            write(name, arguments, module, x, lambda x, m=module: m(x.flatten(1, 2)).reshape(x.shape))
        else:
            window = arguments["window"]
            shift = window // 2 if arguments["shift"] else 0
            block = SwinTransformerBlock(dim, size, heads, window_size=window, shift_size=shift, norm_layer=norm)
            whole = name in BLOCKS
            module = randomise(block if whole else block.attn, seed)
            write(name, arguments, module, x, block.eval() if whole else block.eval()._attn)


if __name__ == "__main__":
    main()
