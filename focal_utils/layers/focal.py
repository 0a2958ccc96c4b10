"""Focal modulation and its three steps: contextualize, aggregate, modulate.

Everything here is channels last, (B, H, W, C) in and (B, H, W, C) out, and follows Yang et al. 2022, *Focal
Modulation Networks* (arXiv 2203.11926), section 3. `blocks.py` stacks these layers into a network. Only step 1 knows
that pixels lie in two dimensions: with `sequence` its convolutions and its mean go over the steps of (B, T, C), and the
rest is the same. Speech is coded by focal modulation of sequences in FocalCodec (Della Libera et al. 2025, arXiv
2502.04465).
"""

from typing import NamedTuple

import keras
from keras import ops

from focal_utils.errors import check_choice, check_flag, check_map, check_number, check_sequence, check_whole
from focal_utils.layers.basics import (
    MAX_DIM,
    MAX_KERNEL,
    MAX_LEVELS,
    Configured,
    dense,
    gelu,
    layer_norm,
    serializable,
)

CONTEXTS = ("hierarchical", "parallel", "top")

GATINGS = ("linear", "softmax", "none")

SEQUENCES = (None, "whole", "causal")

MODULATIONS = {"multiply": ops.multiply, "add": ops.add}


def contextualize(z, convs, hierarchical=True, global_context=True):
    """Contexts from near to far, zˡ = GELU(DWConv(zˡ⁻¹)), then the global one (Yang et al. 2022, eq. 4).

    Grown in notebook 01.

    Args:
        z: (B, H, W, C). convs: one convolution for each focal level, (B, H, W, C) → (B, H, W, C).
        hierarchical: level ℓ reads level ℓ−1, or else every level reads z.
        global_context: whether the average over all pixels is appended.

    Returns:
        A list: one (B, H, W, C) for each of `convs`, then (B, 1, 1, C).
    """
    contexts = []
    source = z
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

    Grown in notebook 02.

    Args:
        contexts: a list of maps (B, H, W, C) or (B, 1, 1, C).
        gates: (B, H, W, number of contexts), one number per pixel and level, shared by all channels.

    Returns:
        (B, H, W, C).
    """
    return sum(gates[..., level : level + 1] * context for level, context in enumerate(contexts))


def check_input(layer, shape, dim, sequence):
    """The `keras.InputSpec` of what a layer takes: maps (B, H, W, dim), or sequences (B, T, dim).

    Raises:
        ValueError: `shape` is something else.
    """
    if sequence is None:
        check_map(layer, shape, dim)
    else:
        check_sequence(layer, shape, dim)
    return keras.InputSpec(ndim=len(shape), axes={-1: dim})


@serializable
class PastConv(keras.layers.DepthwiseConv1D):
    """A depthwise convolution (B, T, C) → (B, T, C) of each step and the k − 1 steps before it, zeros before the first.

    Keras has causal padding for Conv1D, and none for DepthwiseConv1D.
    """

    def call(self, inputs):
        before = self.kernel_size[0] - 1
        return super().call(ops.pad(inputs, ((0, 0), (before, 0), (0, 0))))

    def compute_output_shape(self, input_shape):
        return input_shape


def running_mean(x):
    """The mean of each step of (B, T, C) and all steps before it; in float32 at least, which many steps need."""
    total = ops.cumsum(ops.cast(x, keras.backend.result_type(x.dtype, "float32")), axis=1)
    count = ops.cast(ops.arange(1, ops.shape(x)[1] + 1), total.dtype)
    return ops.cast(total / count[:, None], x.dtype)


@serializable
class HierarchicalContext(Configured, keras.layers.Layer):
    """Step 1, contexts from near to far: zˡ = GELU(DWConv(zˡ⁻¹)), then the global average (Yang et al. 2022, eq. 4).

    Maps z of shape (B, H, W, C) to a list: L maps (B, H, W, C), then the global context (B, 1, 1, C). Of sequences
    (B, T, C) it gives L sequences (B, T, C), then (B, 1, C), or, causal, the mean up to each step, (B, T, C).

    Args:
        dim: channels C.
        focal_level: number of focal levels L; 0 leaves the global context alone.
        focal_window: kernel size of the first level, in pixels.
        focal_factor: pixels by which the kernel grows from one level to the next.
        context: "hierarchical", where level ℓ reads level ℓ−1 (the paper), "parallel", where every level reads z, or
            "top", hierarchical, of which only level L is given, without those below and without the global one.
        global_context: whether the global average is appended.
        sequence: None for maps; "whole" for sequences (B, T, dim), of which each step sees both sides; "causal" for
            sequences of which no step sees a later one.

    Raises:
        ValueError: an unknown `context` or `sequence`, a size that is not a positive whole number, no context at all,
            or an input that is neither (B, H, W, dim) nor, with `sequence`, (B, T, dim).

    Example:
        >>> contexts = fu.HierarchicalContext(8, focal_level=2)(keras.ops.ones((1, 16, 16, 8)))
        >>> [tuple(context.shape) for context in contexts]
        [(1, 16, 16, 8), (1, 16, 16, 8), (1, 1, 1, 8)]
    """

    def __init__(
        self,
        dim,
        focal_level=2,
        focal_window=3,
        focal_factor=2,
        context="hierarchical",
        global_context=True,
        sequence=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config = {
            "dim": check_whole("dim", dim, 1, MAX_DIM),
            "focal_level": check_whole("focal_level", focal_level, 0, MAX_LEVELS),
            "focal_window": check_whole("focal_window", focal_window, 1, MAX_KERNEL),
            "focal_factor": check_whole("focal_factor", focal_factor, 0, MAX_KERNEL),
            "context": check_choice("context", context, CONTEXTS),
            "global_context": check_flag("global_context", global_context),
            "sequence": check_choice("sequence", sequence, SEQUENCES),
        }
        self.dim = self.config["dim"]
        self.focal_level = self.config["focal_level"]
        self.context = self.config["context"]
        self.global_context = self.config["global_context"]
        self.sequence = self.config["sequence"]
        if self.focal_level == 0 and (context == "top" or not global_context):
            switch = 'context="top"' if context == "top" else "global_context=False"
            raise ValueError(f"focal_level=0 with {switch} leaves no context to modulate with.")
        self.kernel_sizes = [int(focal_window) + int(focal_factor) * level for level in range(self.focal_level)]
        if self.kernel_sizes:
            check_whole(
                "the last level's kernel, focal_window + focal_factor·(focal_level − 1)",
                self.kernel_sizes[-1],
                1,
                MAX_KERNEL,
            )
        convolution = {None: keras.layers.DepthwiseConv2D, "whole": keras.layers.DepthwiseConv1D, "causal": PastConv}
        self.convs = [
            convolution[self.sequence](
                size,
                padding="valid" if self.sequence == "causal" else "same",
                use_bias=False,
                depthwise_initializer=keras.initializers.RandomUniform(-1 / size, 1 / size),
                name=f"level_{level}",
                **self.inherited,
            )
            for level, size in enumerate(self.kernel_sizes, start=1)
        ]

    @property
    def context_count(self):
        """How many contexts come out, each of which needs a gate."""
        return 1 if self.context == "top" else self.focal_level + self.global_context

    @property
    def level_widths(self):
        """Width in pixels of what each context sees, the global one left out: rˡ = 1 + Σ (k − 1), a list.

        The sum runs over the kernels up to level ℓ; where levels are parallel, over its own alone.
        """
        steps = [size - 1 for size in self.kernel_sizes]
        if self.context == "parallel":
            return [1 + step for step in steps]
        widths = [1 + sum(steps[: level + 1]) for level in range(len(steps))]
        return widths[-1:] if self.context == "top" else widths

    @property
    def receptive_field(self):
        """Width in pixels of what the last focal level sees, before the global one."""
        return self.level_widths[-1] if self.focal_level else 1

    def build(self, input_shape):
        self.input_spec = check_input("HierarchicalContext", input_shape, self.dim, self.sequence)
        for conv in self.convs:
            conv.build(input_shape)

    def call(self, z):
        if self.context == "top":
            return contextualize(z, self.convs, global_context=False)[-1:]
        hierarchical = self.context == "hierarchical"
        if self.sequence is None:
            return contextualize(z, self.convs, hierarchical, self.global_context)
        contexts = contextualize(z, self.convs, hierarchical, global_context=False)
        if self.global_context:
            contexts.append(gelu(self.mean(contexts[-1] if contexts else z)))
        return contexts

    def mean(self, x):
        """What stands for all steps of a sequence (B, T, C): their mean (B, 1, C), or, causal, that up to each."""
        return running_mean(x) if self.sequence == "causal" else ops.mean(x, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape):
        whole = tuple(input_shape)
        if self.context == "top":
            return [whole]
        everywhere = whole
        if self.sequence != "causal":  # one mean for all places
            everywhere = tuple(1 if 0 < axis < len(whole) - 1 else size for axis, size in enumerate(whole))
        return [whole] * self.focal_level + [everywhere] * self.global_context


@serializable
class GatedAggregation(Configured, keras.layers.Layer):
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
        self.config = {
            "gating": check_choice("gating", gating, GATINGS),
            "normalize_modulator": check_flag("normalize_modulator", normalize_modulator),
        }
        self.gating = self.config["gating"]
        self.normalize_modulator = self.config["normalize_modulator"]

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


class FocalParts(NamedTuple):
    """What focal modulation computes on the way, for an input of shape (B, H, W, C) and L focal levels."""

    query: object  # (B, H, W, C)
    contexts: list  # L maps (B, H, W, C), then the global one (B, 1, 1, C)
    gates: object  # (B, H, W, L + 1)
    modulator: object  # (B, H, W, C)


@serializable
class FocalModulation(Configured, keras.layers.Layer):
    """Focal modulation, y = proj(q ⊙ h(Σ_ℓ g_ℓ ⊙ zˡ)): each pixel's query, scaled by a context gathered for it.

    Maps (B, H, W, C) to (B, H, W, C), for any H and W (Yang et al. 2022, eqs. 3 to 7 and algorithm 1). Grown in
    notebook 03.

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
        sequence: None for maps; "whole" or "causal" for sequences (B, T, dim), see `HierarchicalContext`. On maps of
            height 1, whose kernels have but one row that counts, "whole" is the same; "causal" has a running mean as
            its global level, so that no step depends on a later one.

    Raises:
        ValueError: an unknown option, a size out of range, or an input that is neither (B, H, W, dim) nor, with
            `sequence`, (B, T, dim).

    Example:
        >>> layer = fu.FocalModulation(96, focal_level=3)
        >>> x = keras.ops.ones((2, 14, 14, 96))
        >>> tuple(layer(x).shape), tuple(layer.parts(x).gates.shape)
        ((2, 14, 14, 96), (2, 14, 14, 4))
        >>> tuple(fu.FocalModulation(96, sequence="causal")(keras.ops.ones((2, 50, 96))).shape)
        (2, 50, 96)
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
        sequence=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.contextualize = HierarchicalContext(
            dim,
            focal_level,
            focal_window,
            focal_factor,
            context,
            global_context,
            sequence,
            name="contextualize",
            **self.inherited,
        )
        self.aggregate = GatedAggregation(gating, normalize_modulator, name="aggregate", **self.inherited)
        self.config = {
            **self.contextualize.config,
            **self.aggregate.config,
            "use_postln_in_modulation": check_flag("use_postln_in_modulation", use_postln_in_modulation),
            "dropout": check_number("dropout", dropout, at_least=0, below=1),
            "modulate": check_choice("modulate", modulate, MODULATIONS),
        }
        dim = self.contextualize.dim
        self.f = dense(2 * dim + self.contextualize.context_count, name="f", **self.inherited)
        self.h = dense(dim, name="h", **self.inherited)
        norm = layer_norm if use_postln_in_modulation else keras.layers.Identity
        self.norm = norm(name="norm", **self.inherited)
        self.proj = dense(dim, name="proj", **self.inherited)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", **self.inherited)
        self.modulate = MODULATIONS[modulate]
        self.splits = [dim, 2 * dim]

    def build(self, input_shape):
        dim = self.contextualize.dim
        self.input_spec = check_input("FocalModulation", input_shape, dim, self.contextualize.sequence)
        self.contextualize.build(input_shape)
        contexts = self.contextualize.compute_output_shape(input_shape)
        self.aggregate.build(contexts, (*input_shape[:-1], len(contexts)))
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


def level_names(levels, total):
    """Names for gates and contexts: "level 1" … and, where there is one more than focal levels, "global"."""
    return [f"level {level + 1}" if level < levels else "global" for level in range(total)]
