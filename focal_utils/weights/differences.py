"""Where a checkpoint and a model differ, and why: read off from names and shapes on both sides, never guessed."""

import re
from typing import NamedTuple

from focal_utils.weights.names import FAMILIES, TOP, keras_shape

BLOCK = re.compile(r"(?:layers|stages)\.(\d+)\.(?:blocks|layers)\.(\d+)\.")

LEVEL = re.compile(BLOCK.pattern + r"modulation\.focal_layers\.(\d+)\.0\.weight")

PAD = '; load_checkpoint(…, kernels="pad") puts zeros around smaller ones, which gives the same network'

SHOWN = 3  # differences of each kind that a message names


class Facts(NamedTuple):
    """What names and shapes tell of a network; None where they do not."""

    attention: bool
    channels: int | None
    embed_dim: int | None
    stem_kernel: int | None
    depths: tuple
    kernels: tuple  # of each stage's first block: the kernel of each level
    mlp_ratio: float | None
    layer_scale: bool
    post_norm: bool
    modulation_norm: bool
    classes: int | None


def facts_of(shapes, family):
    """The `Facts` of a network, from the Keras shapes of its tensors (None where unknown) by a family's names."""

    def any_has(*parts):
        return any(part in name for name in shapes for part in parts)

    def shape_of(part, rank):
        shape = shapes.get(f"{part}.weight")
        return shape if shape is not None and len(shape) == rank else (None,) * rank

    column = FAMILIES.index(family)
    stem_kernel, _, channels, embed_dim = shape_of(TOP["stem/proj"][column], 4)
    _, classes = shape_of(TOP["head"][column], 2)
    depths = {}
    kernels = {}
    mlp_ratio = None
    for name, shape in shapes.items():
        if match := BLOCK.search(name):
            stage = int(match[1])
            depths[stage] = max(depths.get(stage, 0), int(match[2]) + 1)
        if match := LEVEL.search(name):
            kernels.setdefault(int(match[1]), {})[int(match[3])] = shape[0] if shape else None
        if mlp_ratio is None and name.endswith("mlp.fc1.weight") and len(shape or ()) == 2:
            mlp_ratio = shape[1] / shape[0]
    return Facts(
        attention=any_has(".attn.", ".attention.self."),
        channels=channels,
        embed_dim=embed_dim,
        stem_kernel=stem_kernel,
        depths=in_order(depths),
        kernels=tuple(in_order(kernels[stage]) for stage in sorted(kernels)),
        mlp_ratio=mlp_ratio,
        layer_scale=any_has("gamma_1", "ls1.gamma"),
        post_norm=any_has("norm1_post."),
        modulation_norm=any_has("modulation.ln.", "modulation.norm.", "modulation.layernorm."),
        classes=classes,
    )


def in_order(numbered):
    """The values of a dict, number → value, as a tuple in the order of the numbers."""
    return tuple(numbered[number] for number in sorted(numbered))


def can_pad(there, here):
    """Whether no kernel of a checkpoint is larger than the model's."""
    pairs = zip(sum(there.kernels, ()), sum(here.kernels, ()), strict=True)
    return all(None not in pair and pair[0] <= pair[1] for pair in pairs)


def causes(there, here):
    """Why a checkpoint and a model differ: a list of sentences, empty where their `Facts` do not tell."""
    if there.attention:
        return ["it is of another network: it holds self-attention, where a FocalNet has modulation"]
    found = []

    def differ(fact):
        both = (getattr(there, fact), getattr(here, fact))
        return None not in both and both[0] != both[1]

    if differ("embed_dim"):
        found.append(f"another width, so another variant: {there.embed_dim} channels there, {here.embed_dim} here")
    if differ("depths"):
        found.append(f"another depth, so another variant: {there.depths} blocks there, {here.depths} here")
    levels = [tuple(map(len, facts.kernels)) for facts in (there, here)]
    if levels[0] != levels[1] and not differ("depths"):
        found.append(
            f"another number of focal levels, {levels[0]} there, {levels[1]} here: srf has 2, lrf and fl3 have 3, "
            "fl4 has 4"
        )
    elif levels[0] == levels[1] and there.kernels != here.kernels:
        found.append(
            f"other kernels, {there.kernels} there, {here.kernels} here: focal_window is 5 in large_fl3 and "
            "xlarge_fl3, 3 elsewhere in image classification" + (PAD if can_pad(there, here) else "")
        )
    if differ("stem_kernel") and (there.stem_kernel % 2 or here.stem_kernel % 2):
        found.append("patch embeddings that overlap on one side only: use_conv_embed belongs to the large variants")
    elif differ("stem_kernel"):
        found.append(f"another patch_size: {there.stem_kernel} there, {here.stem_kernel} here")
    if differ("channels"):
        found.append(
            f"images of another number of channels: {there.channels} there, {here.channels} here; "
            'load_checkpoint(…, stem="mean") or "repeat" fits the stem to them'
        )
    if differ("mlp_ratio"):
        found.append(f"another mlp_ratio: {there.mlp_ratio:g} there, {here.mlp_ratio:g} here")
    if differ("layer_scale"):
        found.append("LayerScale on one side only: layer_scale=1e-4 belongs to the large, xlarge and huge variants")
    if differ("post_norm"):
        found.append("norms after the branches on one side only: use_postln=True belongs to the large variants")
    if differ("modulation_norm"):
        found.append(
            "a norm inside the modulation on one side only: use_postln_in_modulation=True belongs to the huge ones"
        )
    if differ("classes"):
        found.append(
            f"another number of classes, {there.classes} there, {here.classes} here; load_checkpoint(…, head=False) "
            "keeps the model's own"
        )
    elif here.classes is not None and there.classes is None:
        found.append("a checkpoint without a classifier; load_checkpoint(…, head=False) keeps the model's own")
    return found


def refuse_unless_same(name, source, family, shapes, rows):
    """Raise ValueError unless a checkpoint's tensors are those of a model, each of the right shape.

    Args:
        name: of the model. source: what messages call the checkpoint.
        shapes: the checkpoint's, by a family's names. rows: the model's, a list of `Row`.
    """
    places = {row.theirs: row for row in rows}
    missing = [theirs for theirs in places if theirs not in shapes]
    extra = [theirs for theirs in shapes if theirs not in places]
    there = {
        theirs: keras_shape(shape, places[theirs].variable.shape)
        for theirs, shape in shapes.items()
        if theirs in places
    }
    here = {row.theirs: tuple(row.variable.shape) for row in rows}
    wrong = [theirs for theirs in there if there[theirs] != here[theirs]]
    if not (missing or extra or wrong):
        return
    lines = [f"Nothing was loaded: {source} ({family} names) does not fit {name}."]
    for theirs in wrong[:SHOWN]:
        lines.append(
            f"  {theirs} has shape {there[theirs]} in the checkpoint, {here[theirs]} in the model "
            f"({places[theirs].ours})"
        )
    lines += [f"  {theirs} is missing in the checkpoint" for theirs in missing[:SHOWN]]
    lines += [f"  {theirs} has no place in the model" for theirs in extra[:SHOWN]]
    more = sum(max(0, len(names) - SHOWN) for names in (wrong, missing, extra))
    if more:
        lines.append(f"  … and {more} more")
    why = causes(facts_of(dict.fromkeys(extra) | there, family), facts_of(here, family))
    if why:
        lines.append(f"Likely cause: {'; and '.join(why)}.")
    raise ValueError("\n".join(lines))
