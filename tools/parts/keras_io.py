"""The example of focal modulation on keras.io: what its page says, and its design, rebuilt from our layers.

The page is *Focal Modulation: A replacement for Self-Attention* by A. R. Gosthipaty and R. Raha, of
keras-team/keras-io, `examples/vision/md/focal_modulation_network.md`. Two versions have been read: that of February
2023, for TensorFlow 2.11, and that of January 2026, for Keras 3. None of their code stands here: where the design is
rebuilt, it is by the switches of our own layers.
"""

import keras

import focal_utils as fu
from focal_utils.layers import dense

PAGE = "https://keras.io/examples/vision/focal_modulation_network/"

# What stands on the page, by version: the arguments that its network hands to its modules, and what it prints.
SAID = {
    "2023": {
        "last_modified": "2023/02/15",
        "commit": "b041831c114d91847a307e5b41f85ae3fe119b7e",
        "image_size": 48,
        "embed_dim": 256,
        "depths": (2, 3, 2),
        "focal_level": 2,
        "focal_window": 3,
        "gating": "linear",
        "batch_size": 1024,
        "learning_rate": 1e-4,
        "epochs": 25,
        "val_accuracy": 0.6880,
    },
    # The network leaves `focal_level` and `focal_window` to the defaults of its BasicLayer, which are 1 and 1.
    "2026": {
        "last_modified": "2026/01/27",
        "commit": "1d24a33b0236ea67b7fecf8703ee7a1b27bce3b4",
        "image_size": 48,
        "embed_dim": 64,
        "depths": (2, 3, 2),
        "focal_level": 1,
        "focal_window": 1,
        "gating": "softmax",
        "batch_size": 128,
        "learning_rate": 1e-4,
        "epochs": 20,
        "val_accuracy": 0.5851,
    },
}

# In neither version a norm stands before the modulation: of the block's norms, `call` applies the one before the MLP
# alone. The version of 2026 makes another, `norm1`, and does not call it.
NORM_BEFORE_MODULATION = False

# What the page says of its pictures of gates.
CLAIM = "as the model trains, the visualizations get better"


def block(x, focal_level, focal_window, gating, norm):
    """The page's block: the modulation on x itself, then the MLP on its norm; (B, H, W, C) → (B, H, W, C)."""
    dim = x.shape[-1]
    source = fu.layer_norm()(x) if norm else x
    x = x + fu.FocalModulation(dim, focal_level, focal_window, gating=gating)(source)
    return x + fu.Mlp(dim)(fu.layer_norm()(x))


def network(
    input_shape,
    classes,
    embed_dim=64,
    depths=(2, 3, 2),
    patch_size=4,
    focal_level=1,
    focal_window=1,
    gating="softmax",
    norm=NORM_BEFORE_MODULATION,
):
    """The page's network of 2026 from our layers, from images 0…255 (B, H, W, channels) to logits (B, classes).

    It has no dropout: the page's network leaves `drop` to its default, 0. `focal_level`, `focal_window`, `gating` and
    `norm` are the switches that `SWITCHES` turns.
    """
    images = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    for stage, depth in enumerate(depths):
        x = fu.PatchEmbed(embed_dim * 2**stage, 2 if stage else patch_size)(x)
        for _ in range(depth):
            x = block(x, focal_level, focal_window, gating, norm)
    x = keras.layers.GlobalAveragePooling2D()(fu.layer_norm()(x))
    return keras.Model(images, dense(classes, keras.layers.Dense)(x))


# One thing at a time is made as the paper has it, and then all.
PAPERS = {"kernels": {"focal_level": 2, "focal_window": 3}, "gates": {"gating": "linear"}, "norm": {"norm": True}}
SWITCHES = {
    "the page's": {},
    "kernels of 3 and 5 pixels": PAPERS["kernels"],
    "linear gates": PAPERS["gates"],
    "a norm before the modulation": PAPERS["norm"],
    "all three": PAPERS["kernels"] | PAPERS["gates"] | PAPERS["norm"],
}
