"""The exercises of notebooks 08 to 11: the folded solutions are right, each wrong answer gets its own message."""

import inspect
import math
from types import SimpleNamespace

import keras
import nbformat
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.exercises import verdict
from focal_utils.training import FineTuned
from parts.files import ROOT
from tests.package.exercise_pages import mistakes_told_apart, solution

PAGES = {
    "8.1 break-even": "08_focal_vs_self_attention.ipynb",
    "8.2 a place for the class token": "08_focal_vs_self_attention.ipynb",
    "9.1 seeds": "09_ablations.ipynb",
    "10.1 layout": "10_pretrained_and_transfer.ipynb",
    "11.1 ring": "11_scaling_up.ipynb",
    "11.2 a plan": "11_scaling_up.ipynb",
}


IMPORTED = {"np": np, "keras": keras, "ops": ops, "fu": fu}  # by the notebooks


@pytest.mark.parametrize("exercise", PAGES)
def test_the_folded_solution_is_right(exercise):
    solved, said = verdict(exercise, solution(PAGES[exercise], exercise, **IMPORTED))
    assert solved and "Next: " in said, said


class Mixer(keras.Layer):
    """An answer to 8.2, in which one thing may be wrong."""

    def __init__(self, dim, hears=True, focal=True, used=True, in_order=True, first_half=False, itself=True):
        super().__init__()
        self.dim = dim
        self.hears = hears
        self.focal = fu.FocalModulation(dim) if focal else keras.layers.Dense(dim)
        self.used = used
        self.in_order = in_order
        self.first_half = first_half
        self.itself = itself
        self.order = np.random.default_rng(0).permutation(144)

    def call(self, query, value):
        token = query[:, :1]
        patches = query[:, 1:]
        x = patches if self.in_order else ops.take(patches, self.order, axis=1)
        y = ops.reshape(self.focal(ops.reshape(x, (-1, 12, 12, self.dim))), (-1, 144, self.dim))
        y = y if self.in_order else ops.take(y, np.argsort(self.order), axis=1)
        y = y if self.used else patches
        heard = ops.mean(patches[:, :100] if self.first_half else patches, axis=1, keepdims=True)
        mixed = (token if self.itself else 0 * token) + (heard if self.hears else 0 * heard)
        return ops.concatenate([mixed, y], axis=1)


def mixer(**wrong):
    return lambda dim: Mixer(dim, **wrong)


def test_a_mixer_with_nothing_wrong_is_solved():
    assert verdict("8.2 a place for the class token", mixer())[0]


def ablation(**other):
    return {"change": {"focal_factor": 4}, "before": [0.91, 0.92, 0.90], "after": [0.93, 0.95, 0.92], **other}


def test_an_ablation_gets_the_verdict_of_the_page():
    solved, said = verdict("9.2 an ablation", ablation())
    assert solved and "focal_factor=4: +2.3 ± 1.4 points, hint" in said, said
    assert "not shown" in verdict("9.2 an ablation", ablation(after=[90, 93, 91]))[1]  # per cent are taken, too


OWN = "10.2 your own folder"


class OfKinds:
    """A model as far as 10.2 looks at it: it has names for its classes."""

    def __init__(self, names):
        self.class_names = names


def tuned(names=("cup", "spoon"), **accuracies):
    return FineTuned(OfKinds(list(names)), [], 0, accuracies)


def test_a_folder_of_ones_own_is_taken_with_its_interval():
    solved, said = verdict(OWN, tuned(val=(10, 10), test=(19, 20)))
    assert solved and "19 of 20, so between 76% and 99%" in said, said


@pytest.fixture
def two_kinds(tmp_path, monkeypatch):
    """A folder `my_pictures` here, with 40 pictures of two kinds that differ in their colour."""
    rng = np.random.default_rng(0)
    for kind, colour in (("cup", (200, 60, 40)), ("spoon", (40, 80, 200))):
        (tmp_path / "my_pictures" / kind).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(colour + rng.normal(0, 40, (32, 32, 3)), 0, 255)
            keras.utils.save_img(tmp_path / "my_pictures" / kind / f"{number}.png", pixels, scale=False)
    monkeypatch.chdir(tmp_path)


def test_the_page_has_the_code_for_a_folder_of_ones_own(two_kinds):
    """Both lines run; the training itself, half a minute, is that of tests/package/test_finetuning.py."""

    def finetune(pictures, **options):
        inspect.signature(fu.finetune).bind(pictures, **options)
        return tuned(pictures.class_names, test=(len(pictures.x_test), len(pictures.x_test)))

    page = SimpleNamespace(load_folder=fu.load_folder, finetune=finetune)
    solved, said = verdict(OWN, solution("10_pretrained_and_transfer.ipynb", OWN, fu=page))
    assert solved, said


def plan(**other):
    return {"devices": 16, "at_once": 32, "accumulate": 2, "recompute": False, "bits": 32, **other}


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"at_once": 8, "accumulate": 8},
        {"recompute": True, "bits": 16},
        {"devices": 32, "at_once": 16, "bits": 16},
        {"devices": 32, "at_once": 32, "accumulate": 1, "bits": 16},
    ],
)
def test_more_than_one_plan_is_right(other):
    solved, said = verdict("11.2 a plan", plan(**other))
    assert solved and " GB on each device, " in said, said


def test_a_plan_is_judged_by_the_hours_of_the_page():
    """The page's own `hours`, for 16 devices, beside what the judge says."""
    cells = nbformat.read(ROOT / "notebooks" / PAGES["11.2 a plan"], as_version=4).cells
    space = {"fu": fu, "np": np, "runs": fu.load_results("speedups")["runs"]}
    for cell in cells:
        if cell.source.startswith(("paper = [run for", "images = 1_281_167")):
            exec(cell.source, space)
    assert f"{space['hours'](16, 3e9):.1f} hours" in verdict("11.2 a plan", plan())[1]


def mixing(kernels):
    return sum(size**2 for size in kernels)


WRONG = {
    "8.1 break-even": {
        "put your answer": None,
        "A function is needed": 18.5,
        "is there a `return`": lambda kernels: None,
        "One number is wanted": lambda kernels: np.array([18.5]),
        "do not round": lambda kernels: math.ceil((len(kernels) + 1 + mixing(kernels)) / 2),
        "Twice too many": lambda kernels: len(kernels) + 1 + mixing(kernels),
        "the side of the map": lambda kernels: np.sqrt((len(kernels) + 1 + mixing(kernels)) / 2),
        "The gates are missing": lambda kernels: mixing(kernels) / 2,
        "has k² weights": lambda kernels: (len(kernels) + 1 + sum(kernels)) / 2,
        "at another T than 7": lambda kernels: 7,
    },
    "8.2 a place for the class token": {
        "put your answer": None,
        "give its name alone": keras.layers.Dense(16),
        "stopped with TypeError": lambda: None,
        "gives a int": lambda dim: dim,
        "As many tokens come out": lambda dim: fu.FocalModulation(dim) and keras.layers.Lambda(lambda x: x[:, 1:]),
        "no fu.FocalModulation in it": mixer(focal=False),
        "hears nothing": mixer(hears=False),
        "moves only itself": mixer(used=False),
        "above and below": mixer(in_order=False),
        "not of the last one": mixer(first_half=True),
        "forgets what it was": mixer(itself=False),
    },
    "9.1 seeds": {
        "put your answer": None,
        "is there a `return`": lambda spread, effect: None,
        "One number is wanted": lambda spread, effect: [1, 2],
        "round up": lambda spread, effect: (1.96 * spread / effect) ** 2,
        "square it": lambda spread, effect: 1.96 * spread / effect,
        "The 1.96 is missing": lambda spread, effect: math.ceil((spread / effect) ** 2),
        "Upside down": lambda spread, effect: math.ceil((1.96 * effect / spread) ** 2),
        "it takes 11, not 1000": lambda spread, effect: 1000,
    },
    "9.2 an ablation": {
        "put your answer": None,
        "A dictionary with": [0.9, 0.9, 0.9],
        "“after” is missing": {"change": {}, "before": [0.9]},
        "which one did it": ablation(change={"focal_factor": 4, "gating": "softmax"}),
        "has an argument 'gates'": ablation(change={"gates": "softmax"}),
        "is what they do anyway": ablation(change={"gating": "linear"}),
        "should be a list of accuracies": ablation(before="0.9"),
        "“after” has 2 numbers": ablation(after=[0.9, 0.91]),
        "are shares or per cent": ablation(before=[910, 920, 930]),
        "as many of both": ablation(after=[0.9, 0.91, 0.92, 0.93]),
        "was one run copied": ablation(after=[0.9, 0.9, 0.9]),
    },
    "10.1 layout": {
        "put your answer": None,
        "is there a `return`": lambda value: None,
        "Nothing has moved": lambda value: value,
        "(3, 3, 4, 5) is needed": lambda value: value[:, :, 0],
        "inputs before the outputs": lambda value: value.transpose(2, 3, 0, 1),
        "mirrored picture": lambda value: value.T,
        "do not reshape": lambda value: value.reshape(3, 3, 4, 5),
        "in the order 2, 3, 1, 0": lambda value: value.transpose(1, 0, 2, 3),
    },
    OWN: {
        "put your answer": None,
        "What `fu.finetune` gives": OfKinds(["cup"]),
        "signs that the page has drawn": tuned(fu.GTSRB_CLASSES[:3], test=(20, 20)),
        "No picture was kept": tuned(val=(10, 10)),
        "too few to say anything": tuned(test=(5, 5)),
        "lucky in its choice": tuned(val=(10, 10), test=(12, 20)),
        "another start": tuned(val=(6, 10), test=(12, 20)),
    },
    "11.1 ring": {
        "put your answer": None,
        "is there a `return`": lambda size, devices: None,
        "One number is wanted": lambda size, devices: [size],
        "nobody to send to": lambda size, devices: 2 * (devices - 1) * size / devices if devices > 1 else size,
        "The second hands it on": lambda size, devices: (devices - 1) * size / devices,
        "not all of its gradients": lambda size, devices: 2 * (devices - 1) * size,
        "Count the steps": lambda size, devices: 2 * size,
        "each sends 1200 bytes; yours says 5": lambda size, devices: 5,
        "turn into bits": lambda size, devices: 16 * (devices - 1) * size / devices,
    },
    "11.2 a plan": {
        "put your answer": None,
        "A dictionary with": [16, 32, 2],
        "“bits” is missing": {"devices": 16, "at_once": 32, "accumulate": 2, "recompute": False},
        "A plan has no 'link'": plan(link=3e9),
        "is True or False": plan(recompute="no"),
        "a whole number of at least 1": plan(accumulate=0),
        "in 32 or in 16 bits": plan(bits=8),
        "There are 64 devices": plan(devices=128, at_once=8, accumulate=1),
        "They share the batch": plan(at_once=64, accumulate=16),
        "gather 16 such steps": plan(devices=32, at_once=32, accumulate=16),
        "another one is another training": plan(accumulate=1),
        "Fewer at once": plan(devices=1, at_once=1024, accumulate=1),
        "one more forward pass": plan(devices=8, at_once=16, accumulate=8, recompute=True),
        "too few to be done in 48 hours": plan(devices=8, at_once=32, accumulate=4),
        "computed twice": plan(devices=32, at_once=32, accumulate=1, recompute=True, bits=16),
        "Send fewer bytes": plan(devices=32, at_once=16),
        "Fewer devices wait less": plan(devices=64, at_once=16, accumulate=1, bits=16),
    },
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
