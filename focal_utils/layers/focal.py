"""Focal modulation and its three steps: contextualize, aggregate, modulate.

Everything here is channels last, (B, H, W, C) in and (B, H, W, C) out, and follows Yang et al. 2022, *Focal
Modulation Networks* (arXiv 2203.11926), section 3. `blocks.py` stacks these layers into a network.
"""

from typing import NamedTuple

import keras
from keras import ops

from focal_utils.errors import check_at_least, check_choice, check_map
from focal_utils.layers.basics import dense, gelu, layer_norm, serializable


def contextualize(z, convs, hierarchical=True, global_context=True):
    """Contexts from near to far, zˡ = GELU(DWConv(zˡ⁻¹)), then the global one (Yang et al. 2022, eq. 4).

    Args:
        z: (B, H, W, C). convs: one convolution for each focal level, (B, H, W, C) → (B, H, W, C).
        hierarchical: level ℓ reads level ℓ−1, or else every level reads z.
        global_context: whether the average over all pixels is appended.

    Returns:
        A list: one (B, H, W, C) for each of `convs`, then (B, 1, 1, C).
    """
    contexts, source = [], z
    for conv in convs:
        contexts.append(gelu(conv(source)))  # (B, H, W, C)
        if hierarchical:
            source = contexts[-1]
    if global_context:
        last = contexts[-1] if contexts else z
        contexts.append(gelu(ops.mean(last, axis=(1, 2), keepdims=True)))  # (B, 1, 1, C)
    return contexts


def aggregate(contexts, gates):
    """The sum over levels, each weighed by its gate at each pixel, Σ_ℓ g_ℓ ⊙ zˡ (Yang et al. 2022, eq. 6).

    Args:
        contexts: a list of maps (B, H, W, C) or (B, 1, 1, C).
        gates: (B, H, W, number of contexts), one number per pixel and level, shared by all channels.

    Returns:
        (B, H, W, C).
    """
    return sum(gates[..., level : level + 1] * context for level, context in enumerate(contexts))


@serializable
class HierarchicalContext(keras.layers.Layer):
    """Step 1, contexts from near to far: zˡ = GELU(DWConv(zˡ⁻¹)), then the global average (Yang et al. 2022, eq. 4).

    Maps z of shape (B, H, W, C) to a list: L maps (B, H, W, C), then the global context (B, 1, 1, C).

    Args:
        dim: channels C.
        focal_level: number of focal levels L; 0 leaves the global context alone.
        focal_window: kernel size of the first level, in pixels.
        focal_factor: pixels by which the kernel grows from one level to the next.
        context: "hierarchical", where level ℓ reads level ℓ−1 (the paper), "parallel", where every level reads z, or
            "top", hierarchical, of which only level L is given, without those below and without the global one.
        global_context: whether the global average is appended.

    Raises:
        ValueError: an unknown `context`, a size that is not a positive whole number, no context at all, or an input
            that is not (B, H, W, dim).
    """

    def __init__(
        self, dim, focal_level=2, focal_window=3, focal_factor=2, context="hierarchical", global_context=True, **kwargs
    ):
        super().__init__(**kwargs)
        check_choice("context", context, ("hierarchical", "parallel", "top"))
        check_at_least(
            dim=(dim, 1), focal_level=(focal_level, 0), focal_window=(focal_window, 1), focal_factor=(focal_factor, 0)
        )
        if focal_level == 0 and (context == "top" or not global_context):
            switch = 'context="top"' if context == "top" else "global_context=False"
            raise ValueError(f"focal_level=0 with {switch} leaves no context to modulate with.")
        self.dim, self.focal_level, self.focal_window, self.focal_factor = dim, focal_level, focal_window, focal_factor
        self.context, self.global_context = context, global_context
        self.kernel_sizes = [focal_window + focal_factor * level for level in range(focal_level)]
        self.convs = [
            keras.layers.DepthwiseConv2D(
                size,
                padding="same",
                use_bias=False,
                depthwise_initializer=keras.initializers.RandomUniform(-1 / size, 1 / size),
                dtype=self.dtype_policy,
                name=f"level_{level}",
            )
            for level, size in enumerate(self.kernel_sizes, start=1)
        ]

    @property
    def number(self):
        """How many contexts come out, each of which needs a gate."""
        return 1 if self.context == "top" else self.focal_level + bool(self.global_context)

    @property
    def receptive_field(self):
        """Width in pixels of what the last focal level sees, before the global one: r = 1 + Σ (kˡ − 1)."""
        reach = [size - 1 for size in self.kernel_sizes] or [0]
        return 1 + (max(reach) if self.context == "parallel" else sum(reach))

    def build(self, input_shape):
        check_map("HierarchicalContext", input_shape, self.dim)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: self.dim})
        for conv in self.convs:
            conv.build(input_shape)

    def call(self, z):
        if self.context == "top":
            return contextualize(z, self.convs, global_context=False)[-1:]
        return contextualize(z, self.convs, self.context == "hierarchical", self.global_context)

    def get_config(self):
        names = ("dim", "focal_level", "focal_window", "focal_factor", "context", "global_context")
        return super().get_config() | {name: getattr(self, name) for name in names}


@serializable
class GatedAggregation(keras.layers.Layer):
    """Step 2, each pixel weighs the levels: z_out = Σ_ℓ g_ℓ ⊙ zˡ (Yang et al. 2022, eq. 6).

    Maps a list of contexts, each (B, H, W, C) or (B, 1, 1, C), and gates (B, H, W, number of contexts) to (B, H, W, C).
    A gate is one number per pixel and level, shared by all channels.

    Args:
        gating: "linear", gates as they come (the paper); "softmax", gates made positive with sum 1; "none", gates of 1.
        normalize_modulator: whether the sum is divided by the number of contexts.

    Raises:
        ValueError: an unknown `gating`, or a number of gates that is not the number of contexts.
    """

    def __init__(self, gating="linear", normalize_modulator=False, **kwargs):
        super().__init__(**kwargs)
        check_choice("gating", gating, ("linear", "softmax", "none"))
        self.gating, self.normalize_modulator = gating, normalize_modulator

    def build(self, contexts_shape, gates_shape):
        if gates_shape[-1] != len(contexts_shape):
            raise ValueError(
                f"GatedAggregation got {gates_shape[-1]} gates for {len(contexts_shape)} contexts. One gate for each "
                "context is needed; the global average is a context too: L + 1."
            )

    def gates(self, logits):
        """The gates as they are used, from what `f` says: (B, H, W, L + 1) in, the same shape out."""
        if self.gating == "none":
            return ops.ones_like(logits)
        return ops.softmax(logits, axis=-1) if self.gating == "softmax" else logits

    def call(self, contexts, gates):
        total = aggregate(contexts, gates)
        return total / len(contexts) if self.normalize_modulator else total

    def compute_output_shape(self, contexts_shape, gates_shape):
        return (*gates_shape[:-1], contexts_shape[0][-1])

    def get_config(self):
        return super().get_config() | {"gating": self.gating, "normalize_modulator": self.normalize_modulator}


class FocalParts(NamedTuple):
    """What focal modulation computes on the way, for an input of shape (B, H, W, C) and L focal levels."""

    query: object  # (B, H, W, C)
    contexts: list  # L maps (B, H, W, C), then the global one (B, 1, 1, C)
    gates: object  # (B, H, W, L + 1)
    modulator: object  # (B, H, W, C)


@serializable
class FocalModulation(keras.layers.Layer):
    """Focal modulation, y = proj(q ⊙ h(Σ_ℓ g_ℓ ⊙ zˡ)): each pixel's query, scaled by a context gathered for it.

    Maps (B, H, W, C) to (B, H, W, C), for any H and W (Yang et al. 2022, eqs. 3 to 7 and algorithm 1).

    Args:
        dim: channels C.
        focal_level: number of focal levels L.
        focal_window: kernel size of the first level, in pixels.
        focal_factor: pixels by which the kernel grows from one level to the next.
        use_postln_in_modulation: whether a LayerNorm stands before the output projection.
        normalize_modulator: whether the sum over levels is divided by L + 1.
        dropout: rate of dropout on the output.
        context: "hierarchical" (the paper), "parallel" or "top"; see `HierarchicalContext`.
        gating: "linear" (the paper), "softmax" or "none"; see `GatedAggregation`.
        global_context: whether the global average is a level too.
        modulate: "multiply", q ⊙ m (the paper), or "add", q + m.

    Raises:
        ValueError: an unknown option, a size out of range, or an input that is not (B, H, W, dim).
    """

    def __init__(
        self,
        dim,
        focal_level=2,
        focal_window=3,
        focal_factor=2,
        use_postln_in_modulation=False,
        normalize_modulator=False,
        dropout=0.0,
        context="hierarchical",
        gating="linear",
        global_context=True,
        modulate="multiply",
        **kwargs,
    ):
        config = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        super().__init__(**kwargs)
        check_choice("modulate", modulate, ("multiply", "add"))
        policy = {"dtype": self.dtype_policy}
        self.contextualize = HierarchicalContext(
            dim, focal_level, focal_window, focal_factor, context, global_context, name="contextualize", **policy
        )
        self.aggregate = GatedAggregation(gating, normalize_modulator, name="aggregate", **policy)
        self.f = dense(2 * dim + self.contextualize.number, name="f", **policy)
        self.h = dense(dim, name="h", **policy)
        self.norm = layer_norm(name="norm", **policy) if use_postln_in_modulation else keras.layers.Identity(**policy)
        self.proj = dense(dim, name="proj", **policy)
        self.dropout = keras.layers.Dropout(dropout, **policy)
        self.modulate = ops.multiply if modulate == "multiply" else ops.add
        self.splits = [dim, 2 * dim]
        self.config = config

    def build(self, input_shape):
        dim = self.config["dim"]
        check_map("FocalModulation", input_shape, dim)
        self.input_spec = keras.InputSpec(ndim=4, axes={-1: dim})
        self.contextualize.build(input_shape)
        for layer in (self.f, self.h, self.norm, self.proj):
            layer.build(input_shape)

    def parts(self, x):
        """Query, contexts, gates and modulator for x of shape (B, H, W, C), as `FocalParts`."""
        query, z, logits = ops.split(self.f(x), self.splits, axis=-1)
        contexts = self.contextualize(z)
        gates = self.aggregate.gates(logits)
        modulator = self.h(self.aggregate(contexts, gates))
        return FocalParts(query, contexts, gates, modulator)

    def call(self, x, training=None):
        parts = self.parts(x)
        y = self.proj(self.norm(self.modulate(parts.query, parts.modulator)))
        return self.dropout(y, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | self.config


def level_names(levels, total):
    """Names for gates and contexts: "level 1" … and, where there is one more than focal levels, "global"."""
    return [f"level {level + 1}" if level < levels else "global" for level in range(total)]
