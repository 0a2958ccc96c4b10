"""The exercises of notebook 04: a block by hand, a path that is dropped by chance, a stack without a norm."""

import keras
import numpy as np
from keras import ops

from focal_utils.exercises.checking import NotYet, call, compare, exercise, need_shape, same
from focal_utils.layers import FocalModulation


def affine(rng, channels, activation):
    """A layer for tests: x·K + b on the channels, then an activation."""
    kernel = (rng.normal(size=(channels, channels)) / channels**0.5).astype("float32")
    bias = rng.normal(size=channels).astype("float32")
    return lambda x, **_: activation(ops.matmul(x, kernel) + bias)


def scaled_norm(rng, channels):
    """A LayerNorm for tests, with a scale and an offset of its own."""
    scale, offset = rng.normal(1, 0.3, (2, channels)).astype("float32")

    def norm(x):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        return centred / ops.sqrt(ops.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * scale + offset

    return norm


@exercise("4.1 block")
def judge_block(answer):
    rng = np.random.default_rng(41)
    x = ops.convert_to_tensor(rng.normal(2, 3, size=(2, 3, 4, 6)).astype("float32"))
    n1 = scaled_norm(rng, 6)
    n2 = scaled_norm(rng, 6)
    mod = affine(rng, 6, ops.tanh)
    mlp = affine(rng, 6, ops.relu)
    y = call(answer, x, n1, mod, n2, mlp)
    need_shape(y, x.shape, "A block gives back a map like its input.")
    half = x + mod(n1(x))
    mistakes = [
        (mlp(n2(mod(n1(x)))), "There is no sum in it: this is a plain stack. Where does x itself go on?"),
        (half, "The first branch is right. And the MLP?"),
        (x + mlp(n2(x)), "The MLP is right. And the modulation, before it?"),
        (mlp(n2(half)), "The first sum is right. The second branch needs one too: what is it added to?"),
        (x + mlp(n2(mod(n1(x)))), "One long branch and one sum. Each of the two branches is added to what it read."),
        (half + mlp(n2(mod(n1(x)))), "The MLP reads the first branch alone. It should read the sum."),
        (mod(n1(x)) + mlp(n2(mod(n1(x)))), "The first branch has lost its sum; the second has one."),
        (half + mlp(n2(x)), "Both branches read the same x, side by side. Should the MLP not see the other's work?"),
        (x + mlp(n2(half)), "The MLP's branch is added to the block's input. What has the modulation become?"),
        (half + mlp(half), "The MLP reads its input without a norm. Which one is left over?"),
        (x + mod(x) + mlp(n2(x + mod(x))), "The modulation reads x without a norm, and it needs one most."),
        (x + mod(x) + mlp(x + mod(x)), "No norm anywhere. Remember how the modulation answers to twice the input."),
        (half + mlp(n1(half)), "norm1 is used twice. Every branch has its own."),
        (post_norm(x, n1, mod, n2, mlp), "Your norms stand after the branches, as in large variants. Here: before."),
        (n2(n1(x + mod(x)) + mlp(n1(x + mod(x)))), "Your norms stand on the main path, after the sums."),
        (on_main_path(x, n1, mod, n2, mlp), "x itself goes through the norm before the sum. Should it?"),
        (swapped(x, n1, mod, n2, mlp), "The MLP comes first here. First look around, then think."),
    ]
    otherwise = "The shape is right, the values are not. Two lines: x = x + branch(norm(x)), one for each."
    compare(y, half + mlp(n2(half)), mistakes, otherwise)
    return "Two lines, and thirty of these can be stacked."


def post_norm(x, n1, mod, n2, mlp):
    x = x + n1(mod(x))
    return x + n2(mlp(x))


def on_main_path(x, n1, mod, n2, mlp):
    x = n1(x)
    x = n2(x + mod(x))
    return x + mlp(x)


def swapped(x, n1, mod, n2, mlp):
    x = x + mlp(n2(x))
    return x + mod(n1(x))


@exercise("4.2 drop path")
def judge_drop_path(answer):
    rng = np.random.default_rng(42)
    x = rng.normal(size=(6, 2, 3, 6)).astype("float32")
    chance = np.array([0.05, 0.5, 0.15, 0.9, 0.29, 0.7], "float32")
    rate = 0.3
    y = call(answer, x, rate, chance)  # NumPy arrays: both ways of writing it, NumPy's and keras.ops', take them
    need_shape(y, x.shape, "Dropped samples stay in the batch, as zeros.")
    kept = (chance >= rate)[:, None, None, None].astype("float32")
    columns = (chance >= rate)[None, None, None, :].astype("float32")
    mistakes = [
        (x, "Nothing is dropped."),
        (x / (1 - rate), "Everything is scaled and nothing dropped."),
        (x * kept, "The right samples are dropped, but the mean has shrunk. What makes up for it?"),
        (x * (1 - kept), "You keep what should be dropped, and the mean has shrunk. Is u < 0 ever true?"),
        (x * (1 - kept) / rate, "You keep what should be dropped, and make up for that. At rate 0, what is kept?"),
        (x * (1 - kept) / (1 - rate), "You keep what should be dropped. The scale is right. At rate 0, what is kept?"),
        (x * kept / rate, "Scaled by 1/rate. A sample is kept with which probability?"),
        (x * kept * (1 - rate), "Scaled by 1 − rate, so the mean falls twice. Multiply or divide?"),
        (x * columns / (1 - rate), "You drop channels: u lies along the last axis. It has one number per sample."),
        (x * columns, "You drop channels, and the mean has shrunk. u has one number per sample."),
        (x * kept * len(chance) / kept.sum(), "You divide by the share kept this time, not by its probability."),
        (x + x * kept / (1 - rate), "x is added. The sum is the block's business; here only the branch goes through."),
    ]
    otherwise = "Neither all kept nor all dropped samples are right. A kept one is x/(1 − rate), a dropped one 0."
    compare(y, x * kept / (1 - rate), mistakes, otherwise)
    whole = call(answer, x, 0.0, np.zeros(6, "float32"))
    if not same(whole, x):
        raise NotYet("Right for rate 0.3. But at rate 0, u = 0 must be kept: is it u > rate, or u ≥ rate?")
    return "Each sample trains a shorter network, and the mean is that of the long one."


@exercise("4.3 drop rates")
def judge_drop_rates(answer):
    def rates(rate, depth):
        got = np.ravel(call(answer, rate, depth)).astype(float)
        if len(got) != depth:
            raise NotYet(f"{len(got)} rates for {depth} blocks: one for each.")
        return got

    got = rates(0.3, 7)
    right = np.linspace(0, 0.3, 7)
    mistakes = [
        (np.full(7, 0.3), "The same rate for every block. The first blocks are the ones that all others stand on."),
        (right[::-1], "The first block is dropped most. Which one do all others build on?"),
        (0.3 * np.arange(7) / 7, "The last block gets less than the full rate: from 0 to 6 there are 6 steps, not 7."),
        (0.3 * np.arange(1, 8) / 7, "The first block is dropped too. It starts at 0."),
        (0.3 * np.arange(7), "It grows by `rate` at every block, past 1. `rate` is that of the last."),
        (1 - right, "These are the probabilities of being kept."),
    ]
    otherwise = f"For rate 0.3 and 7 blocks you say {np.round(got, 3)}. Equal steps from 0 to 0.3 are wanted."
    compare(got, right, mistakes, otherwise)
    try:
        single = rates(0.3, 1)
    except NotYet as reason:
        raise NotYet(f"Right for 7 blocks, but not for a network of 1: {reason}") from None
    if not same(single, np.zeros(1)):
        raise NotYet("Right for 7 blocks. A network of 1 block has only a first one: its rate is 0.")
    for rate, depth in ((0.1, 7), (0.5, 4)):
        if not same(rates(rate, depth), np.linspace(0, rate, depth)):
            raise NotYet(
                f"Right for rate 0.3, but not for rate {rate} and {depth} blocks: the last one has the rate asked for."
            )
    return "For these 7 blocks that is also what `FocalNet(drop_path_rate=…)` hands to its blocks."


# ---- the open task

DEPTH = 32
CHANNELS = 16
MOST = 100  # that the largest value may reach, where the input's is about 3
LEAST_SHARE = 0.01  # of the answer in what comes out, so that it is no identity
NORMED = 1.2  # times as large at most: so little follows a tenfold size only where a norm has taken it out
ONE = 10  # by how much a small change may grow or shrink on its way through


def loud_modulations(depth=DEPTH):
    """Focal modulations that speak as loud as they hear, as on the page."""
    keras.utils.set_random_seed(44)
    made = []
    for _ in range(depth):
        layer = FocalModulation(CHANNELS)
        layer.build((None, 8, 8, CHANNELS))
        for weight in layer.weights:
            if len(weight.shape) == 2:
                weight.assign(keras.random.normal(weight.shape, stddev=weight.shape[0] ** -0.5))
        made.append(layer)
    return made


def through(answer, branches, x):
    """What a stack of the learner's blocks makes of x; `NotYet` where it is no map, or no number any more."""
    for number, branch in enumerate(branches, 1):
        after = call(answer, x, branch)
        need_shape(after, x.shape, "A block gives back a map like its input.")
        x = after.astype("float32")
        if not np.isfinite(x).all() or np.abs(x).max() > 1e6:
            raise NotYet(
                f"The signal leaves all measure in block {number}. It answers with a cube: what holds it back?"
            )
    return x


def size_is_lost_before(block, branch, x):
    """Whether what a block hands to its branch is as large for x as for ten times x, as behind a norm."""
    heard = {}
    for times in (1, 10):
        sizes = heard[times] = []

        def listens(value, sizes=sizes):
            sizes.append(np.linalg.norm(ops.convert_to_numpy(value)))
            return branch(value)

        call(block, times * x, listens)
    return any(large < NORMED * small for small, large in zip(heard[1], heard[10], strict=False))


def size_is_lost_behind(block, branch, x):
    """Whether a block adds the same where its branch answers ten times as loud, as behind a norm."""
    quiet = call(block, x, branch)
    loud = call(block, x, lambda value: 10 * branch(value))
    return np.linalg.norm(loud - quiet) < (NORMED - 1) * np.linalg.norm(quiet - x)


@exercise("4.4 without a norm")
def judge_without_norm(answer):
    if not callable(answer):
        raise NotYet("A function is needed here, my_calm_block(x, branch).")
    branches = loud_modulations()
    x = np.random.default_rng(44).normal(size=(1, 8, 8, CHANNELS)).astype("float32")
    y = through(answer, branches, x)
    if np.abs(y).max() > MOST:
        raise NotYet(f"After {DEPTH} blocks the largest value is {np.abs(y).max():.0f}; at most {MOST} may be left.")
    if np.abs(y).max() < 1e-3:
        raise NotYet(f"After {DEPTH} blocks nothing is left of the signal. What carries x itself on?")
    if np.allclose(y.var(axis=-1), 1, atol=1e-2):
        raise NotYet("Each pixel comes out with variance 1: there is a norm in it. Do without.")
    if size_is_lost_before(answer, branches[0], x):
        raise NotYet(
            "What the branch reads is as large for a large x as for a small one: a norm before it. Do without."
        )
    if size_is_lost_behind(answer, branches[0], x):
        raise NotYet("What a loud branch adds is what a quiet one adds: there is a norm behind it. Do without.")
    share = float(np.linalg.norm(y - x) / np.linalg.norm(x))
    if share < LEAST_SHARE:
        raise NotYet(f"What comes out is the input, but for {share:.2%}. So are {DEPTH} layers that do nothing.")
    nudge = 1e-3 * np.random.default_rng(45).normal(size=x.shape).astype("float32")
    growth = float(np.linalg.norm(through(answer, branches, x + nudge) - y) / np.linalg.norm(nudge))
    if not 1 / ONE <= growth <= ONE:
        raise NotYet(
            f"A small change of the input becomes {growth:.2g} times as large on its way through, and so would a "
            f"gradient on its way back. Between 1/{ONE} and {ONE} is wanted."
        )
    return (
        f"{DEPTH} blocks add {share:.0%} to the signal, and a change grows {growth:.1f} times. Next: what would "
        "training make of the factor?"
    )
