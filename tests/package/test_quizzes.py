"""`quiz`: three questions a page, of which no answer is seen before it is given, and a word on every wrong one."""

import html
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import focal_utils as fu
from focal_utils.exercises import guesses_file
from focal_utils.exercises.quizzes import QUIZZES, Quiz


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FOCAL_GUESSES", str(tmp_path / "guesses.json"))


@pytest.fixture
def shell():
    """IPython as a notebook has it; what is displayed is captured by the tests."""
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


WIDGET = "application/vnd.jupyter.widget-view+json"
ALL = [pytest.param(question, id=f"{page}, {question.asked}") for page in QUIZZES for question in QUIZZES[page]]


@pytest.mark.parametrize("question", ALL)
def test_a_question_has_three_choices_and_a_word_on_each(question):
    assert len(question.replies) == 3 and question.right in question.replies
    assert len(set(question.replies.values())) == 3
    assert question.asked.endswith("?") and all(reply.endswith(".") for reply in question.replies.values())


@pytest.mark.parametrize("page", QUIZZES)
def test_a_page_has_three_questions_whose_answers_stand_at_different_places(page):
    places = [list(question.replies).index(question.right) for question in QUIZZES[page]]
    assert len(places) == 3 and len(set(places)) > 1


@pytest.mark.parametrize("page", QUIZZES)
def test_nothing_but_the_fold_tells_an_answer(page, shell):
    with capture_output() as held:
        fu.quiz(page)
    bundle = held.outputs[0].data
    before, _, fold = html.unescape(bundle["text/html"]).partition("<details")
    assert "<b>" not in before and " open" not in fold.partition(">")[0] and WIDGET in bundle
    for question in QUIZZES[page]:
        for reply in question.replies.values():
            assert reply not in before and reply not in bundle["text/plain"]
        assert fold.count(f") {question.right}.</b>") == 1


def test_the_answers_are_judged_with_a_word_on_each_and_counted_once(shell):
    made = Quiz("03", QUIZZES["03"])
    made._widget()
    first, second, third = QUIZZES["03"]
    wrong = next(choice for choice in second.replies if choice != second.right)
    made.commit(**{"question 1": first.right, "question 2": wrong, "question 3": third.right})
    said = html.unescape(made.verdict.value)
    assert f"✓ question 1: {first.right}" in said and f"· question 2: not {wrong}" in said
    assert f"The answer is: {second.right}" in said
    made.commit(**{"question 2": second.right})
    known = json.loads(guesses_file().read_text())
    assert known == {"03 quiz · question 1": True, "03 quiz · question 2": False, "03 quiz · question 3": True}


def test_every_question_is_to_be_answered():
    made = Quiz("03", QUIZZES["03"])
    with pytest.raises(ValueError, match="question 2: choose one first"):
        made.commit(**{"question 1": QUIZZES["03"][0].right, "question 2": None})


def test_a_page_without_a_quiz_is_refused():
    with pytest.raises(ValueError, match="page"):
        fu.quiz("99")
