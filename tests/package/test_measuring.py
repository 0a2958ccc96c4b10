"""`measure` counts and times what it says, ends what does not fit, and goes on where it was interrupted."""

import json
import os
import sys

import keras
import numpy as np
import psutil
import pytest

import focal_utils as fu
from focal_utils.measuring import installed_backends, make_step, memory, processes, race

ECHO = "from focal_utils.measuring import serve; serve(lambda request: {body})"


def worker(body, **limits):
    return processes.Worker("echo", [sys.executable, "-c", ECHO.format(body=body)], **limits)


def test_a_worker_answers_and_is_gone_at_the_end():
    with worker("[print('noise'), request * 2][1]") as echo:
        assert echo.ask(4) == 8 and echo.ask("a") == "aa"
    assert echo.process.poll() is not None


def test_a_worker_that_takes_too_much_memory_is_ended():
    with (
        worker("len(bytearray(b'1') * request)", memory_limit=300_000_000) as echo,
        pytest.raises(processes.DidNotFit, match="did not fit in 0.3 GB"),
    ):
        assert echo.ask(1000) == 1000
        while True:
            echo.ask(3_000_000_000)


def test_a_worker_that_takes_too_long_is_ended():
    with (
        worker("__import__('time').sleep(request)", patience=6) as echo,
        pytest.raises(processes.DidNotFit, match="took longer than 6 s"),
    ):
        assert echo.ask(0) is None
        echo.ask(60)


def test_a_worker_that_fails_says_why():
    with worker("1 / request") as echo, pytest.raises(RuntimeError, match="(?s)echo failed.*ZeroDivisionError"):
        assert echo.ask(2) == 0.5
        echo.ask(0)


PEAK = """
import numpy as np, psutil
from focal_utils.measuring import memory, processes

def step():
    first = np.ones(40_000_000, "uint8")
    second = first + first
    del first, second
    np.ones(10_000_000, "uint8")

def measured(_):
    own, whole = memory.peak_memory(step)
    return own, whole, memory.watched_peak(lambda: [step() for _ in range(20)]), psutil.Process().memory_info().rss

processes.serve(measured)
"""


def test_memory_at_the_peak_is_what_arrays_take():
    """In a process of its own: `peak_memory` changes how a process takes memory, for good, which slows others down."""
    with processes.Worker("peak", [sys.executable, "-c", PEAK]) as worker:
        own, whole, watched, afterwards = worker.ask(None)
    assert own == pytest.approx(80e6, rel=0.05) and whole > afterwards - 50e6
    assert watched > afterwards + 30e6


@pytest.mark.slow
def test_layers_are_measured_beside_each_other():
    cases = {"focal": fu.FocalModulation(16), "attention": fu.SelfAttention(16, num_heads=1)}
    focal, attention = fu.measure(cases, (48, 48, 16), batch=2, rounds=3)
    assert (focal.name, attention.name) == ("focal", "attention")
    assert focal.parameters == fu.count_parameters(cases["focal"], (48, 48, 16))
    tokens = 48 * 48
    assert attention.macs == tokens * 4 * 16**2 + 2 * tokens**2 * 16
    for row in (focal, attention):
        assert row.note == "" and len(row.rounds) == 3 and row.seconds == np.median(row.rounds) > 0
        assert row.batch == 2 and row.input_shape == [48, 48, 16] and row.process_bytes > row.peak_bytes > 0
    weights = 2 * tokens**2 * 4  # bytes: two images' worth of T² numbers, which plain attention holds at once
    if keras.backend.backend() == "tensorflow":
        assert weights < attention.peak_bytes < 4 * weights and focal.peak_bytes < weights / 4


@pytest.mark.slow
def test_a_model_that_does_not_fit_leaves_the_others_alone(tmp_path):
    cases = {"large": fu.SelfAttention(8, num_heads=8), "small": fu.FocalModulation(8)}
    limit = psutil.Process().memory_info().rss + 1_500_000_000
    large, small = fu.measure(cases, (128, 128, 8), rounds=1, memory_limit=limit, save=tmp_path / "rows.json")
    assert large.note.startswith("did not fit in") and large.seconds is None and large.rounds == []
    assert small.note == "" and small.seconds > 0


def test_what_is_saved_is_not_measured_again(tmp_path, monkeypatch):
    path = tmp_path / "rows.json"
    layer = fu.FocalModulation(8)
    first = fu.measure({"a": layer}, (8, 8, 8), rounds=1, save=path)
    report = json.loads(path.read_text())
    assert {"date", "machine", "versions", "rows"} <= set(report) and len(report["rows"]) == 1
    monkeypatch.setattr(processes.subprocess, "Popen", None)  # no process can be started now
    assert fu.measure({"a": layer}, (8, 8, 8), rounds=1, save=path) == first
    with pytest.raises(TypeError):
        fu.measure({"a": layer, "b": layer}, (8, 8, 8), rounds=1, save=path)
    assert json.loads(path.read_text()) == report


def test_a_training_step_trains(monkeypatch):
    taken = []
    monkeypatch.setattr(keras.Model, "train_on_batch", lambda self, x, y: taken.append((x.shape, y.shape)))
    case = keras.saving.serialize_keras_object(fu.FocalModulation(4))
    step, seconds = make_step(case, (6, 5, 4), batch=3, training=True)
    step()
    assert taken == [((3, 6, 5, 4), (3, 6, 5, 4))] * 3 and seconds >= 0


def test_errors_say_what_to_do():
    with pytest.raises(TypeError, match="The case is a str: give a layer or a model"):
        fu.measure("tiny_srf")
    with pytest.raises(ValueError, match="give input_shape="):
        fu.measure(fu.FocalModulation(8))
    with pytest.raises(ValueError, match=f"backend='numpy' is not installed here.*{installed_backends()[0]}"):
        fu.measure(fu.FocalModulation(8), (8, 8, 8), backend="numpy")


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_a_devices_own_counter_is_read_where_there_is_one(backend, monkeypatch):
    module = pytest.importorskip(backend)
    monkeypatch.setattr(memory, "accelerators", lambda kind: ["gpu:0"])
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    if backend == "tensorflow":
        counter = module.config.experimental
        monkeypatch.setattr(counter, "reset_memory_stats", lambda device: None)
        monkeypatch.setattr(counter, "get_memory_info", lambda device: {"current": 100, "peak": 350})
    else:
        monkeypatch.setattr(module.cuda, "reset_peak_memory_stats", lambda: None)
        monkeypatch.setattr(module.cuda, "memory_allocated", lambda: 100)
        monkeypatch.setattr(module.cuda, "max_memory_allocated", lambda: 350)
    assert memory.peak_memory(lambda: None) == (250, 350)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["-c", "raise ModuleNotFoundError('nobody knows it')"], "nobody knows it"),
        (["-m", "no_such_module"], "No module named"),
        (["-c", "import os; os._exit(3)"], "failed"),
    ],
)
def test_a_worker_that_dies_at_its_start_says_why(command, said):
    with (
        pytest.raises(RuntimeError, match=f"(?s)it failed.*{said}|it {said}"),
        processes.Worker("it", [sys.executable, *command]) as dead,
    ):
        dead.process.wait()
        dead.ask({"much": "x" * 100_000})


def test_a_process_gets_its_parent_s_path(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/somewhere", *sys.path])
    environment = processes.child_environment({"MORE": "1"})
    assert environment["PYTHONPATH"].split(os.pathsep)[:2] == [os.getcwd(), os.path.abspath("/somewhere")]
    assert environment["MORE"] == "1" and environment["PATH"] == os.environ["PATH"]


class Elsewhere(keras.Model):
    """A model that is no graph of layers, in a file that other processes can import."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = fu.PatchEmbed(8, 4)
        self.block = fu.FocalBlock(8, name="inner")
        self.head = keras.layers.Dense(3)

    def call(self, x):
        return self.head(keras.ops.mean(self.block(self.stem(x)), axis=(1, 2)))


@pytest.mark.parametrize("training", [False, True])
def test_subclassed_models_and_several_outputs_make_steps(training):
    maps = fu.feature_maps(fu.FocalNet((16, 16, 3), 2, embed_dim=4, depths=(1, 1), patch_size=2))
    named = keras.Model(maps.input, {"first": maps.output[0], "second": maps.output[1]})
    for model in (Elsewhere(), maps, named):
        case = keras.saving.serialize_keras_object(model)
        classes = race.own_classes("it", model)
        step, seconds = make_step(case, (16, 16, 3), batch=2, training=training, classes=classes)
        step()
        assert seconds > 0


def test_shapes_come_from_the_model_or_from_the_caller():
    called = Elsewhere()
    called(np.zeros((2, 16, 24, 3), "float32"))
    assert race.whole_shape("it", called) == [16, 24, 3]
    assert race.whole_shape("it", Elsewhere(), np.array([8, 8, 3])) == [8, 8, 3]
    assert race.whole_shape("it", fu.FocalNet((32, 32, 3), 2, embed_dim=4, depths=(1,))) == [32, 32, 3]
    for case in (Elsewhere(), fu.FocalNet((None, None, 3), 2, embed_dim=4, depths=(1,))):
        with pytest.raises(ValueError, match="give input_shape="):
            race.whole_shape("it", case)
    with pytest.raises(ValueError, match=r"input_shape\[0\]=0"):
        race.whole_shape("it", called, (0, 8, 3))


def test_a_class_that_stands_in_the_notebook_is_refused_in_words(monkeypatch):
    layer = fu.FocalModulation(4)
    outside = keras.Sequential([keras.Input((4, 4, 4)), layer])
    monkeypatch.setattr(fu.FocalModulation, "__module__", "__main__")
    for case in (layer, outside, {"it": outside}):
        with pytest.raises(ValueError, match="the class FocalModulation stands in the notebook"):
            fu.measure(case, (4, 4, 4))

    class Inside(keras.layers.Dense):
        pass

    with pytest.raises(ValueError, match="or in a function"):
        fu.measure(Inside(3), (4,))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch": 0}, "batch=0"),
        ({"batch": 1.5}, "batch=1.5"),
        ({"rounds": -1}, "rounds=-1"),
        ({"patience": float("nan")}, "patience=nan"),
        ({"memory_limit": 0}, "memory_limit=0"),
        ({"input_shape": (4, -4, 4)}, r"input_shape\[1\]=-4"),
        ({"input_shape": (4, None, 4)}, "give input_shape="),
        ({"cases": {}}, "no cases"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        fu.measure(**{"cases": fu.FocalModulation(4), "input_shape": (4, 4, 4)} | options)


@pytest.mark.parametrize("text", ["", "{", '{"rows": 3}', '{"rows": [{"name": "a"}]}', "[]", "\udcff"])
def test_a_file_that_holds_no_rows_is_damaged(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(fu.DamagedData, match="rows.json"):
        fu.measure(fu.FocalModulation(4), (4, 4, 4), save=path)


def test_cases_take_turns_and_each_begins_once(monkeypatch):
    asked = []

    class Fake:
        def __init__(self, name, *_):
            self.name = name

        def ask(self, request):
            asked.append((self.name, request["do"]))
            return [1, 2] if request["do"] == "memory" else 1.0

        def stop(self):
            asked.append((self.name, "stop"))

    monkeypatch.setattr(race, "Worker", Fake)
    rows = fu.measure({name: fu.FocalModulation(4) for name in "abc"}, (4, 4, 4), rounds=np.int64(3), batch=np.int64(2))
    steps = "".join(name for name, word in asked if word == "steps")
    assert steps == "abc" + "bca" + "cab" and [row.batch for row in rows] == [2, 2, 2]
    assert [row.seconds for row in rows] == [1.0] * 3 and json.dumps(rows)


def test_the_docstring_s_example_counts_right():
    cases = {"focal": fu.FocalModulation(96), "attention": fu.SelfAttention(96)}
    counted = tuple(fu.count_macs(case, (56, 56, 96)) for case in cases.values())
    assert str(counted) in fu.measure.__doc__
