"""`guess`: no answer is seen before one is made, nothing is set beforehand, and a page goes on without one."""

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import focal_utils as fu
from focal_utils.exercises import guesses_file
from focal_utils.exercises.guessing import VIEW, as_guess, box, number_line, scaled


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FOCAL_GUESSES", str(tmp_path / "of" / "mine" / "guesses.json"))


@pytest.fixture
def shell():
    """IPython as a notebook has it; what is displayed is captured by the tests."""
    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def asked(**questions):
    """A guess, and the bundle that it showed."""
    with capture_output() as held:
        made = fu.guess("00.0 trial", **questions)
    return made, held.outputs[0].data


def revealed(made, **answers):
    """The bundle that a reveal showed."""
    with capture_output() as held, made.reveal(**answers):
        print(f"it is {answers}")
    assert held.stdout == ""
    return held.outputs[0].data


def outside_the_fold(page):
    before, _, rest = page.partition("<details")
    inside, _, after = rest.partition("</details>")
    return before + inside.partition("</summary>")[0].partition(">")[2] + after


def test_the_answer_is_folded_until_the_guess_is_made(shell):
    made, _ = asked(width="pixels")
    page = revealed(made, width=13)
    assert "13" in page["text/plain"] and "13" not in outside_the_fold(page["text/html"])
    assert "<details" in page["text/html"] and " open>" not in page["text/html"]
    made.commit(width="7 pixels")
    with capture_output() as held, made.reveal(width=13):
        print("it is 13")
    assert held.stdout == "it is 13\n" and held.outputs == []


def test_guess_and_answer_stand_in_one_line_whichever_comes_first(shell):
    first, _ = asked(width="pixels", level=["near", "far"])
    first.commit(width="12", level="far")
    assert "Noted" in first.verdict.value and not guesses_file().exists()
    with first.reveal(width=13, level="near"):
        pass
    later, _ = asked(width="pixels", level=["near", "far"])
    revealed(later, width=13, level="near")
    assert later.verdict.value == ""
    later.commit(width="12", level="far")
    for made in (first, later):
        assert "✓ width: the answer 13 pixels, your guess 12 pixels" in made.verdict.value
        assert "· level: the answer near, your guess far" in made.verdict.value
        assert "<svg" in made.verdict.value
    assert "1 of your 2 guesses were near" in later.verdict.value


def test_the_first_guess_counts(shell):
    made, _ = asked(width="pixels")
    revealed(made, width=13)
    made.commit(width="99")
    made.commit(width="13")
    assert json.loads(guesses_file().read_text(encoding="utf-8")) == {"00.0 trial · width": False}


def test_answers_may_come_one_after_the_other(shell):
    made, _ = asked(parallel="pixels", stacked="pixels")
    made.commit(parallel="7", stacked="9")
    with made.reveal(parallel=7):
        pass
    assert "stacked" not in made.verdict.value
    with made.reveal(stacked=13):
        pass
    assert "· stacked: the answer 13 pixels, your guess 9 pixels" in made.verdict.value


def test_a_page_goes_on_without_a_guess_and_keeps_no_score(shell):
    made, _ = asked(width="pixels")
    revealed(made, width=13)
    assert not guesses_file().exists()


@pytest.mark.parametrize("kind", ["pixels", ["a", "b"], range(7)])
def test_nothing_is_set_beforehand(kind):
    import ipywidgets

    assert not box(ipywidgets, "width", kind).value


def test_without_widgets_the_question_is_told(shell, monkeypatch):
    _, bundle = asked(level=["near", "far"], of_six=range(7))
    assert bundle["text/plain"] == "Your guess: level (near or far), of six (0 to 6)" and VIEW in bundle
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    _, bundle = asked(level=["near", "far"], of_six=range(7))
    assert VIEW not in bundle and "near or far" in bundle["text/html"]


@pytest.mark.parametrize(
    ("said", "number"), [("7", 7), ("7 pixels", 7), ("1/100", 0.01), ("1e-9", 1e-9), ("−3", -3), ("1,024", 1024)]
)
def test_numbers_may_be_written_in_many_ways(said, number):
    assert as_guess("width", "pixels", said) == number


@pytest.mark.parametrize("said", ["", "many", "1/0"])
def test_what_is_no_number_is_said(said):
    with pytest.raises(ValueError, match="a number is wanted"):
        as_guess("width", "pixels", said)


def test_wrong_questions_and_answers_are_said(shell):
    with pytest.raises(ValueError, match="asks nothing"):
        fu.guess("00.0 trial")
    with pytest.raises(ValueError, match="has 1 choices"):
        fu.guess("00.0 trial", level=["near"])
    made, _ = asked(level=["near", "far"])
    with pytest.raises(ValueError, match="question='levl'"):
        made.reveal(levl="near")
    with pytest.raises(ValueError, match="level='middle'"):
        made.reveal(level="middle")
    with pytest.raises(ValueError, match="choose one first"):
        made.commit(level=None)


def test_an_error_in_the_answer_is_an_error_of_the_cell(shell):
    made, _ = asked(width="pixels")
    with pytest.raises(ZeroDivisionError), made.reveal(width=13):
        print(1 / 0)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_damaged_score_is_begun_anew(shell, content):
    guesses_file().parent.mkdir(parents=True)
    guesses_file().write_text(content)
    made, _ = asked(width="pixels")
    revealed(made, width=13)
    made.commit(width="13")
    assert json.loads(guesses_file().read_text(encoding="utf-8")) == {"00.0 trial · width": True}


def test_where_nothing_can_be_written_no_score_is_kept(shell, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOCAL_GUESSES", str(tmp_path / "file" / "guesses.json"))
    made, _ = asked(width="pixels")
    revealed(made, width=13)
    made.commit(width="13")
    assert "So far" not in made.verdict.value


def test_the_score_is_in_no_checkout(monkeypatch):
    monkeypatch.delenv("FOCAL_GUESSES")
    assert fu.data_folder().parent.resolve() not in guesses_file().resolve().parents


def test_the_line_holds_both_marks():
    assert scaled(7, 7, 13) < scaled(13, 7, 13) and scaled(2, 2, 2) == 0.5
    assert number_line(7, 13).count("<circle") == 2
