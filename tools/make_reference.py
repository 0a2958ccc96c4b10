"""Write tests/reference/*.npz: what timm's and transformers' FocalNet compute with random weights.

    python tools/make_reference.py

needs torch, timm and transformers (CPU), which the project itself does not. Each file holds one case: the peer's
tensors under the peer's own names (`weights/<name>`), `input` and `output` (float32, channels last), for networks the
last map as `features`, and `case`, a JSON string that says which peer, what was built, and with which arguments, in the
peer's words and in focal_utils'.
"""

from functools import partial

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before anything slow is imported: --help and wrong arguments are answered at once

import timm
import torch
import transformers
from timm.layers import LayerNorm2d
from timm.models import focalnet as timm_focalnet
from transformers.models.focalnet import modeling_focalnet as hf_focalnet

from parts.frozen import FOLDER, randomise, write_case

VERSIONS = f"torch {torch.__version__.split('+')[0]}, timm {timm.__version__}, transformers {transformers.__version__}"

# Names of focal_utils' arguments: those of timm's module, block and network, and those of transformers' configuration.
TIMM_MODULE = {"use_postln_in_modulation": "use_post_norm"}
TIMM_BLOCK = {
    "use_postln": "use_post_norm",
    "use_postln_in_modulation": "use_post_norm_in_modulation",
    "layer_scale": "layerscale_value",
}
TIMM_NETWORK = TIMM_BLOCK | {"use_conv_embed": "use_overlap_down", "classes": "num_classes"}
HF = {
    "use_postln": "use_post_layernorm",
    "use_postln_in_modulation": "use_post_layernorm_in_modulation",
    "layer_scale": "layerscale_value",
    "classes": "num_labels",
    "focal_level": "focal_levels",
    "focal_window": "focal_windows",
}

# What is built: focal_utils' arguments and the (height, width) of the input.
MODULES = {
    "l0": ({"dim": 8, "focal_level": 0}, (5, 4)),
    "l1_w3": ({"dim": 8, "focal_level": 1}, (6, 7)),
    "l2_w3": ({"dim": 12, "focal_level": 2}, (7, 7)),
    "l3_w5_norm": ({"dim": 8, "focal_level": 3, "focal_window": 5, "use_postln_in_modulation": True}, (9, 6)),
    "l4_w3_normalize": ({"dim": 8, "focal_level": 4, "normalize_modulator": True}, (4, 11)),
    "l2_w5_all": (
        {"dim": 8, "focal_level": 2, "focal_window": 5, "use_postln_in_modulation": True, "normalize_modulator": True},
        (3, 5),
    ),
}
BLOCKS = {
    "pre": ({"dim": 8, "focal_level": 2}, (6, 5)),
    "pre_scale": ({"dim": 8, "focal_level": 3, "layer_scale": 1e-4, "mlp_ratio": 2.0}, (5, 7)),
    "post": ({"dim": 8, "focal_level": 2, "focal_window": 5, "use_postln": True}, (6, 6)),
    "post_scale_norm": (
        {
            "dim": 12,
            "focal_level": 3,
            "use_postln": True,
            "layer_scale": 1e-4,
            "use_postln_in_modulation": True,
            "normalize_modulator": True,
        },
        (7, 4),
    ),
}
SMALL = {"embed_dim": 8, "classes": 7}
THREE = {"depths": [1, 1, 1], "focal_levels": [2, 2, 2], "focal_windows": [3, 3, 3]}
LARGE = {"use_conv_embed": True, "use_postln": True, "layer_scale": 1e-4}
NETWORKS = {
    "tiny": (SMALL | THREE | {"depths": [1, 2, 1]}, (32, 32)),
    "mixed_levels": (SMALL | THREE | {"focal_levels": [1, 3, 4], "focal_windows": [5, 3, 3]}, (24, 40)),
    "odd": (SMALL | THREE | {"embed_dim": 4}, (45, 31)),
    "large": (SMALL | THREE | LARGE | {"focal_levels": [3, 3, 3], "focal_windows": [5, 5, 5]}, (32, 48)),
    "large_odd_33": (SMALL | THREE | LARGE | {"embed_dim": 4}, (33, 37)),
    "large_odd_34": (SMALL | THREE | LARGE | {"embed_dim": 4}, (34, 50)),
    "large_odd_35": (SMALL | THREE | LARGE | {"embed_dim": 4}, (35, 29)),
    "huge": (
        SMALL
        | LARGE
        | {"depths": [1, 1], "focal_levels": [4, 4], "focal_windows": [3, 3]}
        | {"use_postln_in_modulation": True, "normalize_modulator": True},
        (28, 20),
    ),
    "four_stages": (
        SMALL | {"embed_dim": 4, "depths": [1, 1, 2, 1], "focal_levels": [3] * 4, "focal_windows": [3] * 4},
        (64, 64),
    ),
    "isotropic": (
        SMALL | {"patch_size": 16, "depths": [2], "focal_levels": [3], "focal_windows": [3]},
        (64, 50),
    ),
}


def renamed(arguments, names):
    return {names.get(key, key): value for key, value in arguments.items()}


def hf_config(arguments, **more):
    """transformers' configuration for a module or block (one stage) or a network."""
    arguments = {**renamed(arguments, HF), **more}
    if "dim" in arguments:
        arguments["embed_dim"] = arguments.pop("dim")
        arguments["depths"] = [1]
        arguments["focal_levels"] = [arguments.get("focal_levels", 2)]
        arguments["focal_windows"] = [arguments.get("focal_windows", 3)]
    return transformers.FocalNetConfig(use_layerscale="layerscale_value" in arguments, **arguments)


def timm_module(arguments, seed):
    words = {"focal_window": 3} | renamed(arguments, TIMM_MODULE)
    module = timm_focalnet.FocalModulation(**words, norm_layer=partial(LayerNorm2d, eps=1e-5))
    return words, randomise(module, seed), channels_first


def timm_block(arguments, seed):
    words = {"layerscale_value": None} | renamed(arguments, TIMM_BLOCK)
    block = timm_focalnet.FocalNetBlock(**words, norm_layer=partial(LayerNorm2d, eps=1e-5))
    return words, randomise(block, seed), channels_first


def timm_network(arguments, seed):
    words = renamed(arguments, TIMM_NETWORK)
    network = randomise(timm_focalnet.FocalNet(**words), seed)

    def run(network, x):
        features = network.forward_features(x.permute(0, 3, 1, 2))
        return network.forward_head(features), features.permute(0, 2, 3, 1)

    return words, network, run


def channels_first(module, x):
    return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def transformers_module(arguments, seed):
    config = hf_config(arguments)
    module = hf_focalnet.FocalNetModulation(config, 0, arguments["dim"])
    return words_of(config), randomise(module, seed), lambda module, x: module(x)


def transformers_block(arguments, seed):
    config = hf_config(arguments)
    block = hf_focalnet.FocalNetLayer(config, 0, arguments["dim"], input_resolution=None)

    def run(block, x):
        return block(x.flatten(1, 2), x.shape[1:3]).reshape(x.shape)

    return words_of(config), randomise(block, seed), run


def transformers_network(arguments, seed):
    config = hf_config(arguments)
    network = randomise(transformers.FocalNetForImageClassification(config), seed)

    def run(network, x):
        images = x.permute(0, 3, 1, 2)
        states = network.focalnet(images, output_hidden_states=True)
        height, width = states.reshaped_hidden_states[-1].shape[2:]
        return network(images).logits, states.last_hidden_state.reshape(len(x), height, width, -1)

    return words_of(config), network, run


def words_of(config):
    """The configuration's architectural entries."""
    same = ("embed_dim", "depths", "patch_size", "use_conv_embed", "use_layerscale", "normalize_modulator", "mlp_ratio")
    return {name: getattr(config, name) for name in (*HF.values(), *same)}


# What builds a case: (peer, kind) → a function (arguments, seed) → the peer's words, the module, what runs it.
MAKERS = {
    ("timm", "module"): timm_module,
    ("timm", "block"): timm_block,
    ("timm", "network"): timm_network,
    ("transformers", "module"): transformers_module,
    ("transformers", "block"): transformers_block,
    ("transformers", "network"): transformers_network,
}


def write(name, peer, kind, arguments, size, seed):
    """Run one case and write tests/reference/<name>.npz."""
    words, module, run = MAKERS[peer, kind](arguments, seed)
    channels = arguments.get("dim", 3)
    x = torch.randn((2, *size, channels), generator=torch.Generator().manual_seed(seed + 1000))
    with torch.no_grad():
        result = run(module, x)
    if kind == "network":
        arrays = dict(zip(("output", "features"), result, strict=True))
        ours = {**arguments, "input_shape": [*size, channels], "pad_to_stride": peer == "transformers"}
    else:
        arrays = {"output": result}
        ours = arguments
    case = {"peer": peer, "kind": kind, "peer_arguments": words, "arguments": ours, "seed": seed, "versions": VERSIONS}
    write_case(name, case, module.state_dict(), input=x, **arrays)


def main():
    parser(__doc__).parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    seed = 0
    for kind, cases in (("module", MODULES), ("block", BLOCKS), ("network", NETWORKS)):
        for name, (arguments, size) in cases.items():
            for peer in ("timm", "transformers"):
                if "patch_size" in arguments and peer == "timm":
                    continue  # timm's stem has patches of 4 pixels only
                write(f"{peer}_{kind}_{name}", peer, kind, arguments, size, seed)
                seed += 1


if __name__ == "__main__":
    main()
