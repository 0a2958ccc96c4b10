"""The exercises of notebook 05: shapes of the stages, the weights of a block, a variant of one's own."""

from collections.abc import Mapping

import numpy as np

from focal_utils.exercises.checking import NotYet, call, close, exercise, number, whole_numbers
from focal_utils.layers.blocks import FocalBlock
from focal_utils.layers.focal import FocalModulation
from focal_utils.models.focalnet import FocalNet

# Of exercise 5.3.
MAX_WEIGHTS = 1_000_000
MIN_BLOCKS = 8
MIN_STAGES = 3
SIDE = 64


@exercise("5.1 shapes")
def judge_shapes(answer):
    def stage_shapes(height, width, dim, patch, stages):
        return [(height // (patch * 2**s), width // (patch * 2**s), dim * 2**s) for s in range(stages)]

    for case in ((64, 96, 16, 4, 3), (69, 94, 10, 4, 3), (32, 32, 24, 2, 2)):
        asked = "my_shapes({}, {}, {}, {}, {})".format(*case)
        want = np.array(stage_shapes(*case))
        got = call(answer, *case)
        if isinstance(got, list):  # of arrays or tensors, one for each stage
            alike = len({item.shape for item in got}) == 1
            got = np.array(got) if alike else np.array([])
        if got.ndim != 2 or got.shape[1] != 3:
            raise NotYet(f"{asked} is no list of triples. One (height, width, channels) for each stage is needed.")
        if len(got) != len(want):
            say_wrong_number_of_stages(asked, got, want)
        if np.array_equal(got, want):
            continue
        if np.array_equal(got[:, [2, 0, 1]], want) or np.array_equal(got[:, [1, 2, 0]], want):
            raise NotYet("The right numbers in another order. Channels come last here: (height, width, channels).")
        if np.array_equal(got[:, [1, 0, 2]], want):
            raise NotYet("Height and width have changed places: (height, width, channels).")
        say_wrong_channels(got[:, 2], want[:, 2], case)
        say_wrong_sides(asked, got, want, case)
    return "Next: what does a picture lose whose sides do not divide? Try `pad_to_stride=True` on it."


def say_wrong_number_of_stages(asked, got, want):
    if len(got) == len(want) + 1:
        raise NotYet(
            f"{asked} has {len(got)} shapes for {len(want)} stages. The picture itself is no stage, and nothing is "
            "downsampled after the last one."
        )
    raise NotYet(f"{asked} has {len(got)} shapes, {len(want)} stages were asked for.")


def say_wrong_channels(got, want, case):
    dim = case[2]
    stages = case[4]
    if np.array_equal(got, np.full(stages, dim)):
        raise NotYet("Your channels stay the same. What does an embedding do to them each time it halves the sides?")
    if np.array_equal(got, dim * np.arange(1, stages + 1)):
        raise NotYet("Your channels grow by the same amount each time. They double: C, 2C, 4C, 8C.")
    if np.array_equal(got, 2 * want):
        raise NotYet("Your channels double one stage too early: the stem gives embed_dim, and so stage 0 has it too.")
    if not np.array_equal(got, want):
        raise NotYet(f"The channels are {got.tolist()}; starting at {dim} and doubling gives others.")


def say_wrong_sides(asked, got, want, case):
    height, width, _, patch, stages = case
    reduction = patch * 2.0 ** np.arange(stages)[:, None]
    exact = np.array([height, width]) / reduction
    got = got[:, :2]
    if np.array_equal(got, np.array([height, width]) // (reduction / patch)):
        raise NotYet("Stage 0 has the size of the picture here. What does the stem do, with its stride of patch_size?")
    if np.array_equal(got, np.array([height, width]) // (2 * reduction)):
        raise NotYet("Every side is halved once too often: between the stem and stage 0 there is no downsampling.")
    if np.array_equal(got, np.array([height, width]) // (patch ** np.arange(1, stages + 1)[:, None])):
        raise NotYet("You divide by patch_size at every stage. Only the stem does; each later embedding halves.")
    if np.array_equal(got, np.tile(want[:1, :2], (stages, 1))):
        raise NotYet("Your sides stay the same from stage to stage. What is between two stages?")
    if np.allclose(got, exact) and not np.array_equal(got, np.floor(got)):
        raise NotYet(f"{asked} has fractions of pixels. Whole division, `//`, rounds them away.")
    if np.array_equal(got, np.ceil(exact)):
        raise NotYet("You round up, as pad_to_stride=True does; here the rest that fills no patch is left out.")
    if np.array_equal(got, np.round(exact)):
        raise NotYet("You round to the nearest number. A patch that is not full is left out, so round down: `//`.")
    raise NotYet(f"{asked}: the sides are {got.tolist()}, expected {want[:, :2].tolist()}. Follow them stage by stage.")


@exercise("5.2 block parameters")
def judge_block_parameters(answer):
    for channels, levels, window in ((96, 2, 3), (24, 3, 3), (16, 3, 5)):
        several = call(answer, channels, levels, window)
        if isinstance(several, list) or several.size != 1:
            raise NotYet("A single number is needed, the sum over all parts of the block.")
        got = number(lambda *_, parts=several: parts.reshape(()))
        want = block_parameters(channels, levels, window)
        if close(got, want):
            continue
        for amount, diagnosis in misses(channels, levels, window):
            if close(got - want, amount):
                raise NotYet(diagnosis)
        raise NotYet(
            f"my_block_parameters({channels}, {levels}, {window}) is {got:,.0f}, {abs(got - want):,.0f} too "
            f"{'many' if got > want else 'few'}. Print each part by itself, and compare with "
            f"`fu.FocalBlock({channels}, focal_level={levels}, focal_window={window})`: its `weights` have shapes."
        )
    return "Next: which term is the largest? Then you know why published networks get wide last."


def block_parameters(channels, levels, window):
    """Number of weights of a real `FocalBlock`."""
    block = FocalBlock(channels, focal_level=levels, focal_window=window)
    block.build((None, 8, 8, channels))
    return block.count_params()


def misses(channels, levels, window):
    """Pairs (by how much a count is off, what kind of mistake does that), for a block's weights."""
    kernels = [window + 2 * level for level in range(levels)]
    squares = sum(k * k for k in kernels)
    area = channels * squares
    biases = (2 * channels + levels + 1) + 2 * channels + 5 * channels
    mlp = 8 * channels**2 + 5 * channels
    return (
        (channels * levels, "Your depthwise convolutions have biases. The article's have; the paper's have none."),
        (-(channels + 1), "I count L gates in `f`. The global average is a level too: L + 1 gates."),
        (-4 * channels, "The two LayerNorms are missing: a scale and a shift for each channel, in both."),
        (-2 * channels, "There is one LayerNorm too few, or each has only a scale: two of them, with scale and shift."),
        (-mlp, "The MLP is missing."),
        (-5 * channels, "The biases of the MLP are missing: 4C for its first layer, C for its second."),
        (-biases, "All dense layers are without biases. `f`, `h`, `proj` and both layers of the MLP have them."),
        (
            -(channels**2 + channels),
            "C² + C too few: one C → C projection is missing. `f` makes query and context, then come `h` and `proj`.",
        ),
        (-2 * (channels**2 + channels), "Both `h` and `proj` are missing: two dense layers C → C."),
        (-(4 * channels**2 + 2 * channels), "Your MLP is 2C wide; the paper's is 4C."),
        (area * (channels - 1), "Your convolutions mix channels, k²·C² weights. Depthwise: k² for each channel."),
        (squares - area, "Your depthwise kernels are shared by all channels. Each channel has its own: C·k²."),
        (-area, "The depthwise convolutions are missing."),
        (
            channels * (levels * window**2) - area,
            "All your kernels are as wide as the first. They grow by 2 from level to level: window, window + 2, …",
        ),
        (
            channels * sum((3 + 2 * level) ** 2 for level in range(levels)) - area,
            "Your kernels are always 3, 5, 7, …: where does `window` enter?",
        ),
    )


def about_weights(channels, depths):
    """Roughly how many weights a network has, 12·C² a block, each stage twice as wide; 0 where that makes no sense."""
    if whole_numbers([channels]) is None or min(depths) < 1:
        return 0
    return sum(12 * (channels * 2.0**stage) ** 2 * depth for stage, depth in enumerate(depths))


@exercise("5.3 own variant")
def judge_own_variant(answer):
    if not isinstance(answer, Mapping):
        raise NotYet(f"A dictionary of arguments for fu.FocalNet is needed, but this is a {type(answer).__name__}.")
    arguments = {"input_shape": (SIDE, SIDE, 3), "classes": 43} | dict(answer)
    if whole_numbers(arguments["input_shape"]) != (SIDE, SIDE, 3) or arguments["classes"] != 43:
        raise NotYet(f"Leave input_shape=({SIDE}, {SIDE}, 3) and classes=43 as the exercise sets them.")
    depths = whole_numbers(arguments.get("depths", (2, 2, 6, 2)))
    if depths is None or len(depths) < MIN_STAGES:
        depths = arguments.get("depths")
        raise NotYet(f"depths={depths!r}: at least {MIN_STAGES} stages are needed, so a tuple of as many numbers.")
    if sum(depths) < MIN_BLOCKS:
        raise NotYet(f"depths={depths!r} are {sum(depths)} blocks, at least {MIN_BLOCKS} are needed.")
    about = about_weights(arguments.get("embed_dim", 96), depths)
    if about > 20 * MAX_WEIGHTS:  # it is not even built
        raise NotYet(f"It would have about {about:.0e} weights; at most {MAX_WEIGHTS:,} are allowed. Narrower, please.")
    try:
        model = FocalNet(**arguments | {"depths": depths})
    except Exception as error:
        raise NotYet(f"fu.FocalNet refuses it: {str(error).splitlines()[0]}") from error
    blocks = [layer for layer in model.layers if isinstance(layer, FocalBlock)]
    if not isinstance(blocks[-1].modulation, FocalModulation):
        raise NotYet("Its blocks mix with attention. It should be a network of focal modulation, so leave `mixer` out.")
    sees = blocks[-1].modulation.contextualize.receptive_field
    side = blocks[-1].output.shape[1]
    if model.count_params() > MAX_WEIGHTS:
        raise NotYet(
            f"It has {model.count_params():,} weights, at most {MAX_WEIGHTS:,} are allowed. Where do they sit? "
            "Eq. (5.5): halve C, and a quarter is left."
        )
    if sees < side:
        raise NotYet(
            f"The last map is {side}×{side}, but its widest focal level sees {sees} pixels. More levels there, a wider "
            "window, or a smaller last map?"
        )
    facts = f"{model.count_params():,} weights, {sum(depths)} blocks, a last map of {side}×{side}"
    return f"{facts}. Next: notebook 06 trains one like it."
