"""The exercises on a notebook's page: the solutions that are folded there, and mistakes that are told apart."""

import re

import nbformat
import pytest

from focal_utils.exercises import verdict
from parts.files import ROOT

SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)


def solution(notebook, exercise, **names):
    """What the folded solution of `exercise` in `notebook` (a file name) defines, where `names` are imported."""
    cells = nbformat.read(ROOT / "notebooks" / notebook, as_version=4).cells
    stub = next(i for i, cell in enumerate(cells) if f'fu.check("{exercise}"' in cell.source)
    space = dict(names)
    exec(SOLUTION.search(cells[stub + 1].source)[1], space)
    return space[re.search(r'fu\.check\(".*?", (\w+)\)', cells[stub].source)[1]]


def mistakes_told_apart(wrong):
    """Two tests for a module to take in: each wrong answer is refused in words of its own.

    Args:
        wrong: {exercise: {a part of the message that is due: the wrong answer}}.
    """
    cases = [
        pytest.param(exercise, answer, message, id=f"{exercise}: {message}")
        for exercise, answers in wrong.items()
        for message, answer in answers.items()
    ]

    @pytest.mark.parametrize(("exercise", "answer", "message"), cases)
    def test_a_wrong_answer_gets_its_own_message(exercise, answer, message):
        solved, said = verdict(exercise, answer)
        assert not solved
        assert message in said, said

    @pytest.mark.parametrize("exercise", list(wrong))
    def test_no_two_wrong_answers_get_the_same_message(exercise):
        messages = [verdict(exercise, answer)[1] for answer in wrong[exercise].values()]
        assert len(set(messages)) == len(messages)

    return test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message
