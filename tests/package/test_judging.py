"""How answers are judged: on copies, in words, within a time limit; right ones pass, wrong ones do not."""

import functools
import itertools
import math
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.exercises import EXERCISES, checking, verdict

# Right answers


def adding_up_in_place(contexts, gates):
    total = contexts[0]
    total *= gates[..., :1]
    for level, context in enumerate(contexts[1:], start=1):
        total += context * gates[..., level : level + 1]
    contexts.clear()
    return total


def ratio_in_place(energy, inside):
    chance = inside.mean(axis=(1, 2))
    inside *= energy
    share = inside.sum(axis=(1, 2)) / energy.sum(axis=(1, 2))
    energy[...] = 0
    return share / chance


class Modulate:
    """Something that can be called, and has no name."""

    def __call__(self, query, context, h, proj):
        return proj(query * h(context))


def field(growth, levels, window=3, factor=2):
    return growth + sum(window + factor * level - 1 for level in range(levels))


def rounding_up(spread, effect, up=math.ceil):
    return np.int64(up((1.96 * spread / effect) ** 2))


RIGHT = [
    ("11.1 ring", lambda size, devices: 2 * size * (1 - 1 / devices)),
    ("11.1 ring", lambda size, devices: size / devices * (devices - 1) * 2),
    ("11.1 ring", lambda size, devices: ops.convert_to_tensor(2.0 * size * (devices - 1) / devices, "float64")),
    ("8.1 break-even", lambda kernels: sum(k * k / 2 for k in kernels) + (len(kernels) + 1) / 2),
    ("3.2 parameters", lambda c, ks: np.int64((c + 1) * (4 * c + len(ks) + 1) + sum(c * k**2 for k in ks))),
    ("5.2 block parameters", lambda *sizes: np.float64(checked_count(*sizes))),
    ("2.2 aggregate", adding_up_in_place),
    ("2.2 aggregate", fu.GatedAggregation()),
    ("7.2 ratio", ratio_in_place),
    ("7.2 ratio", lambda energy, inside: list(map(float, plain_ratio(energy, inside)))),
    ("7.2 ratio", lambda energy, inside: tuple(plain_ratio(energy, inside))),
    ("7.2 ratio", lambda energy, inside: ops.convert_to_tensor(plain_ratio(energy, inside))),
    ("1.1 contexts", lambda z, convs: tuple(fu.contextualize(z, convs, global_context=False))),
    ("1.2 receptive field", functools.partial(field, 1)),
    ("9.1 seeds", functools.partial(rounding_up, up=math.ceil)),
    ("3.1 modulate", Modulate()),
    ("3.1 modulate", functools.partial(Modulate())),
    ("1.3 reach", (np.int64(4), np.int32(9), np.int8(0))),
    ("1.3 reach", np.array([4, 9, 0])),
    ("6.2 mirrored", np.array([[19, 20], [33, 34], [36, 37], [38, 39]])),
    ("6.2 mirrored", [[np.int64(19), 20], (33, 34), (36, 37), (38, 39)]),
    ("4.3 drop rates", lambda rate, depth: tuple(np.linspace(0, rate, depth))),
    ("10.1 layout", lambda value: value.transpose(2, 3, 1, 0).tolist()),
    ("5.1 shapes", lambda h, w, c, p, n: ops.convert_to_tensor([(h // p >> s, w // p >> s, c << s) for s in range(n)])),
    (
        "5.3 own variant",
        {"embed_dim": np.int64(32), "depths": np.array([2, 4, 2]), "focal_levels": [3, 2, 2], "patch_size": 4},
    ),
]


def plain_ratio(energy, inside):
    return (energy * inside).sum(axis=(1, 2)) / energy.sum(axis=(1, 2)) / inside.mean(axis=(1, 2))


def checked_count(channels, levels, window=3):
    block = fu.FocalBlock(channels, focal_level=levels, focal_window=window)
    block.build((None, 8, 8, channels))
    return block.count_params()


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_pass_however_they_are_written(name, answer):
    solved, said = verdict(name, answer)
    assert solved, said


# Wrong answers that look right to a judge who does not look closely


def swapping(pairs):
    """7.1, but only so many pairs of pixels change places, others in each picture."""

    def answer(gates, rng):
        pixels = gates.reshape(len(gates), -1, gates.shape[-1]).copy()
        for picture in pixels:
            chosen = rng.permutation(len(picture))[: 2 * pairs].reshape(2, pairs)
            picture[chosen] = picture[chosen[::-1]]
        return pixels.reshape(gates.shape)

    return answer


def always_alike(gates, rng):
    pixels = gates.reshape(len(gates), -1, gates.shape[-1])
    return np.stack([np.random.default_rng(i).permutation(p) for i, p in enumerate(pixels)]).reshape(gates.shape)


def half_of_the_classes(labels, tracks, share):
    return np.isin(tracks, np.concatenate([np.unique(tracks[labels == label])[:3] for label in range(5)]))


WRONG = [
    ("4.3 drop rates", lambda rate, depth: np.linspace(0, 0.3, depth), "not for rate 0.1"),
    ("4.3 drop rates", lambda rate, depth: [0.05 * i for i in range(depth)], "not for rate 0.1"),
    ("4.3 drop rates", lambda rate, depth: np.arange(depth) * rate / 6, "not for rate 0.5 and 4 blocks"),
    ("2.1 gates", lambda x, levels: x[..., : levels + 1], "has no say"),
    ("2.1 gates", lambda x, levels: ops.cumsum(x, axis=-1)[..., 2 : levels + 3], "has no say"),
    ("2.1 gates", lambda x, levels: keras.layers.Dense(levels + 1)(x[..., 1:]), "Channel 0 of x has no say"),
    ("6.2 mirrored", [(33.7, 34), (19, 20), (36, 37), (38, 39)], "whole numbers"),
    ("6.2 mirrored", np.array([[19, 20], [33, 34], [36, 37], [38, 39.5]]), "whole numbers"),
    ("6.2 mirrored", [("33", "34"), (19, 20), (36, 37), (38, 39)], "whole numbers"),
    ("7.1 shuffle", swapping(1), "stayed where they were"),
    ("7.1 shuffle", swapping(7), "stayed where they were"),
    ("7.1 shuffle", always_alike, "Draw the order from `rng`"),
    ("6.1 split by track", half_of_the_classes, "for share=0.5"),
    ("2.2 aggregate", lambda c, g: sum(g[..., i : i + 1] * c[i] for i in (0, 1)) + g[..., -1:] * c[-1], "not for 4"),
    ("1.3 reach", (True, 31, 0), "Three whole numbers"),
    ("1.3 reach", np.array([4.0, 9.0, 0.0]), "Three whole numbers"),
    ("11.1 ring", lambda size, devices: 2 * size * (1 - 1 / devices) + 1e-3, "yours says"),
    ("5.3 own variant", {"embed_dim": 100_000, "depths": (4, 4, 4)}, "about"),
    ("5.3 own variant", {"embed_dim": 32, "depths": (10**9, 4, 4)}, "about"),
    ("5.3 own variant", {"mixer": "attention", "embed_dim": 16, "depths": (2, 4, 2)}, "attention"),
    ("5.3 own variant", {"input_shape": 64}, "Leave input_shape"),
    ("9.1 seeds", lambda spread, effect: math.nan, "a finite number is wanted"),
    ("9.1 seeds", lambda spread, effect: 11 + 0j, "a finite number is wanted"),
]


@pytest.mark.parametrize(("name", "answer", "part"), WRONG)
def test_wrong_answers_do_not_pass(name, answer, part):
    solved, said = verdict(name, answer)
    assert not solved and part in said, said


# Whatever an answer does


def leaves(*_):
    sys.exit()


def leaves_by_a_name(*_):
    raise SystemExit(1)


def stops(*_):
    raise GeneratorExit


def digs(*_):
    return digs()


def never_ends(*_):
    while True:
        pass


def sleeps(*_):
    time.sleep(60)


def will_not_stop(*_):
    while True:
        with suppress(Exception):
            time.sleep(0.01)


@pytest.mark.parametrize("name", sorted(EXERCISES))
@pytest.mark.parametrize(
    "answer",
    [
        leaves,
        leaves_by_a_name,
        stops,
        digs,
        keras.layers.Dense(3),
        functools.partial(leaves),
        (leaves,),
        str,
        lambda *_: itertools.count(),
        lambda *_: [[1], [1, 2]],
        lambda *_: object(),
        lambda *_: {"a": 1},
        lambda *_: np.array(["a"], object),
        lambda *given: given,
    ],
    ids=lambda answer: checking.name_of(answer),
)
def test_every_answer_gets_a_sentence(name, answer):
    solved, said = verdict(name, answer)
    assert not solved and said.startswith("not ") and len(said) > 20, said


def test_exit_is_named():
    assert "leaves Python by `exit`" in verdict("1.2 receptive field", leaves)[1]
    assert "digs stopped with RecursionError" in verdict("1.2 receptive field", functools.partial(digs))[1]


SESSION = """
import focal_utils as fu
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
done = []
type(shell).ask_exit = lambda self: done.append("left")
from IPython.core.autocall import ExitAutocall
shell.user_ns.update(fu=fu, exit=ExitAutocall(shell), done=done)
for line in ('fu.check("1.2 receptive field", lambda *_: exit())', "print(done)", "exit()", "print(done)"):
    shell.run_cell(line)
"""


def test_exit_of_a_notebook_ends_no_kernel_while_an_answer_is_judged():
    done = subprocess.run([sys.executable, "-c", SESSION], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said, during, after = done.stdout.splitlines()
    assert "leaves Python by `exit`" in said
    assert (during, after) == ("[]", "['left']")


def test_an_interrupt_is_the_learner_s():
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict("1.2 receptive field", interrupted)


@pytest.mark.parametrize("answer", [never_ends, sleeps, will_not_stop])
def test_an_endless_answer_is_stopped(monkeypatch, answer):
    monkeypatch.setattr(checking, "SECONDS", 0.5)
    before = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    solved, said = verdict("1.2 receptive field", answer)
    assert not solved and f"{answer.__name__} was stopped after 0.5 seconds" in said
    assert time.monotonic() - start < 20
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_elsewhere_than_in_the_main_thread_too(monkeypatch):
    monkeypatch.setattr(checking, "SECONDS", 0.5)
    found = []
    for answer in (never_ends, will_not_stop, lambda levels, window=3, factor=2: field(1, levels, window, factor)):
        thread = threading.Thread(target=lambda one=answer: found.append(verdict("1.2 receptive field", one)))
        thread.start()
        thread.join(60)
    assert [solved for solved, _ in found] == [False, False, True] and "was stopped" in found[1][1]


def test_an_alarm_clock_of_someone_else_goes_on():
    signal.setitimer(signal.ITIMER_REAL, 100, 0)
    try:
        verdict("1.3 reach", (4, 9, 0))
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_judge_s_own_error_becomes_a_sentence():
    class Odd:
        def __iter__(self):
            raise RuntimeError("no way")

    solved, said = verdict("6.2 mirrored", Odd())
    assert not solved and "cannot be judged" in said and "no way" in said


def test_same_is_measured_by_the_largest_value():
    large = np.array([1000.0, 0.0])
    assert checking.same(large + 0.05, large) and not checking.same(large + 0.2, large)
    assert not checking.same(np.array([0.0, 2e-4]), np.zeros(2)) and checking.same(np.zeros(2) + 5e-5, np.zeros(2))
    assert not checking.same(np.zeros((2, 1)), np.zeros(2)) and not checking.same(np.full(2, np.nan), np.zeros(2))
