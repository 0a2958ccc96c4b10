"""Whatever a learner's function gives back, every exercise answers with a sentence, and none calls it solved."""

import numpy as np
import pytest

from focal_utils import exercises
from focal_utils.exercises.checking import EXERCISES

with pytest.raises(ValueError, match="There is no exercise"):  # asking for one imports them all
    exercises.verdict("none of them", 0)

ODD = {
    "a list": [1, 2],
    "lists in a list": [[1, 2], [3, 4]],
    "nothing in a tuple": (),
    "text": "text",
    "text in a list": ["text", "text"],
    "a dict": {},
    "a number": 1.25,
    "an empty array": np.zeros((0,)),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", EXERCISES)
def test_an_odd_answer_gets_a_sentence(name, odd):
    for answer in (lambda *args, **kwargs: ODD[odd], ODD[odd]):
        solved, said = exercises.verdict(name, answer)
        assert not solved and said.startswith("not "), said
