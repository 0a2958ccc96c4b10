"""The measured speed-ups are complete and of these ways; the loss is that of the last quarter of the steps."""

import json

import keras
import numpy as np
import pytest

import measure_speedups
from parts.files import ROOT


def test_shipped_results_are_complete_and_of_these_ways():
    facts = json.loads((ROOT / "data" / "results" / "speedups.json").read_text())
    assert facts["command"].startswith("python tools/measure_speedups.py")
    assert facts["batch"] == measure_speedups.BATCH and facts["rounds"] >= 3
    assert facts["steps"] == measure_speedups.FIRST + measure_speedups.STEPS
    wanted = {
        (turn, way) for turn in range(facts["rounds"]) for way in [*measure_speedups.WAYS, measure_speedups.PAPER]
    }
    assert {(run["round"], run["way"]) for run in facts["runs"]} == wanted and len(facts["runs"]) == len(wanted)
    assert all(run["images_per_second"] > 0 for run in facts["runs"])


def test_the_loss_is_that_of_the_last_quarter():
    class Wrong(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_true + 0 * y_pred  # the loss of a step is what the labels say

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", Wrong(), jit_compile=False)
    labels = np.arange(8, dtype="float32").repeat(2)[:, None]  # 0 in the first of 8 steps, 7 in the last
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((labels * 0, labels)).batch(2)
    facts = measure_speedups.timed_fit(model, data, batch=2, first=2, steps=6)
    assert facts["loss"] == pytest.approx(6.5) and facts["images_per_second"] > 0
