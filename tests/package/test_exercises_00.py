"""The exercise of notebook 00: its solution is right, each wrong picture gets its own message."""

import numpy as np
from keras import ops

import focal_utils as fu
from focal_utils.exercises import verdict
from tests.package.exercise_pages import mistakes_told_apart, solution

FOOL = "0.1 fool it"
SIGN = fu.render_sign(label=1, size=32, scale=0.8, seed=6)


def test_the_solution_on_the_page_is_accepted():
    model = fu.load_trained("gtsrb")
    found = solution("00_start_here.ipynb", FOOL, np=np, fu=fu, ops=ops, sign=SIGN, model=model)
    solved, said = verdict(FOOL, found)
    assert solved, said


def with_one_pixel():
    sign = SIGN.copy()
    sign[0, 0] = 0
    return sign


WRONG = {
    FOOL: {
        "put your answer": None,
        "not a function": lambda: SIGN,
        "is wanted, and yours has": SIGN[:16],
        "a picture has 0…255": SIGN - 300.0,
        "Nothing has changed": SIGN,
        "go from 0 to 1; the sign has 0…255": SIGN / 255.0,
        "1 pixel is changed, and it still reads": with_one_pixel(),
        "at most 30 may be": fu.render_sign(label=14, size=32, scale=0.8, seed=6),
    }
}
test_a_wrong_answer_gets_its_own_message, test_no_two_wrong_answers_get_the_same_message = mistakes_told_apart(WRONG)
