"""The race: a contender's process takes its turns, its failure is told, and ratios are those of the rounds."""

import pytest

import benchmark_speed
from parts.contenders import PRODUCT, TASKS, contenders

OURS = "ours, TensorFlow"


def test_a_process_takes_turns_and_stops():
    runner = benchmark_speed.Runner("forward", PRODUCT, "tensorflow")
    runner.turn()
    runner.turn()
    runner.stop()
    assert len(runner.turns) == 2 and min(runner.turns) > 0 and runner.process.poll() is not None


def test_a_failure_is_told_with_what_the_process_said():
    with pytest.raises(RuntimeError, match="(?s)nobody failed.*KeyError: 'nobody'"):
        benchmark_speed.Runner("forward", "nobody", "tensorflow")


def test_ratios_are_taken_round_by_round():
    turns = {OURS: [1.0, 2.0, 4.0], "other": [2.0, 4.0, 4.0], PRODUCT: [0.1, 0.1, 0.1]}
    facts = benchmark_speed.summary("forward", turns, dict.fromkeys(turns, 1.0), ["absent"])
    assert facts["contenders"]["other"]["ours_over_it"] == [2.0, 1.0, 2.0]
    assert facts["contenders"][OURS]["images_per_second"] == [4.0, 2.0, 8.0]
    assert facts["not_installed"] == ["absent"] and PRODUCT not in facts["contenders"]
    assert facts["ours_over_floor"] == pytest.approx(8 / 2 / facts["floor_images_per_second"], rel=1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_stock_layers_do_as_much_as_ours(task):
    import focal_utils as fu
    from parts.networks import stock_focalnet

    size = TASKS[task].size
    classes = TASKS[task].classes
    network = TASKS[task].network
    ours = fu.FocalNet((size, size, 3), classes, **network)
    stock = stock_focalnet((size, size, 3), classes, **network)
    assert ours.count_params() == stock.count_params()
    assert {OURS, PRODUCT} <= set(contenders(task))


def test_the_versions_of_what_takes_part_are_known():
    known = {"tensorflow", "jax", "torch", "timm", "transformers"}
    assert {"tensorflow"} <= benchmark_speed.installed("forward") <= known
