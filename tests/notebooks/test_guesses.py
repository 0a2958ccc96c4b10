"""No notebook shows an answer before the reader has guessed: not in an output, not in a text, not as a preset."""

import ast
import html
import re

import nbformat
import pytest

from check_notebooks import syntax_tree
from focal_utils.exercises import QUIZZES
from parts.files import notebooks

FOLD = re.compile(r"<details\b(?P<open>[^>]*)>\s*<summary>(?P<summary>.*?)</summary>.*?</details>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
PRINTED = re.compile(r"</summary>\s*<pre>(.*?)</pre>", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])(?<!e-)\d+(?:\.\d+)?(?![\w.]|,\d)")


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def calls(cell, function):
    """The calls in a code cell whose function is written so, `fu.guess` or, for any object, `.reveal`."""
    if cell.cell_type != "code":
        return []
    nodes = (node for node in ast.walk(syntax_tree(cell.source)) if isinstance(node, ast.Call))
    return [node for node in nodes if ast.unparse(node.func).endswith(function)]


def asked(cells):
    """The guesses of a notebook: (position, name of the variable, the call)."""
    found = []
    for position, cell in enumerate(cells):
        for node in ast.walk(syntax_tree(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("fu.guess("):
                found.append((position, ast.unparse(node.targets[0]), node.value))
    return found


def revealed(cells, name):
    """Where a guess is revealed: (position, the questions that are answered there)."""
    found = []
    for position, cell in enumerate(cells):
        for call in calls(cell, ".reveal"):
            if ast.unparse(call.func) == f"{name}.reveal":
                found.append((position, [keyword.arg for keyword in call.keywords]))
    return found


def seen(cell):
    """What a reader sees of a cell's outputs: no plain text where there is HTML, nothing that is folded."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        page = data.get("text/html")
        if page is None:
            texts.append(output.get("text", "") + data.get("text/plain", ""))
        else:
            alts = " ".join(re.findall(r'alt="([^"]*)"', FOLD.sub("", page)))
            texts.append(html.unescape(TAG.sub("", FOLD.sub("", page))) + alts)
    return "\n".join(texts)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_predict_asks_for_a_guess_and_reveals_it_later(path):
    cells = cells_of(path)
    guesses = asked(cells)
    for position, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "**Predict.**" in cell.source:
            assert calls(cells[position + 1], "fu.guess"), f"cell {position}: no fu.guess(…) follows the question"
    for position, name, call in guesses:
        assert "**Predict.**" in cells[position - 1].source, f"cell {position}: a guess without a question before it"
        questions = {keyword.arg for keyword in call.keywords}
        found = revealed(cells, name)
        assert all(place > position for place, _ in found)
        assert {question for _, answered in found for question in answered} == questions, f"{name} in cell {position}"
    names = [name for _, name, _ in guesses]
    titles = [ast.literal_eval(call.args[0]) for _, _, call in guesses]
    assert len(set(names)) == len(names) and len(set(titles)) == len(titles)
    assert all(title.startswith(f"{path.stem[:2]}.") for title in titles)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_answer_is_folded_in_what_is_stored(path):
    cells = cells_of(path)
    for _, name, _ in asked(cells):
        for position, _ in revealed(cells, name):
            pages = [output.get("data", {}).get("text/html", "") for output in cells[position].outputs]
            folds = [FOLD.search(page) for page in pages if 'class="answer"' in page]
            assert folds and all(folds), f"cell {position} reveals {name}, and nothing in its output is folded"
            assert not any("open" in fold["open"].split() for fold in folds), f"cell {position} is stored unfolded"


def answers_told(cells, position):
    """The numbers in the last line that a reveal printed, which sums the answer up; what it printed comes first."""
    folded = [
        output["data"]["text/html"]
        for output in cells[position].outputs
        if 'class="answer"' in output.get("data", {}).get("text/html", "")
    ]
    lines = [line for page in folded for line in printed_in(page).strip().splitlines()]
    return set(NUMBER.findall(lines[-1])) if lines else set()


def printed_in(page):
    """What was printed into a fold, its first `<pre>`; figures and tables stand behind it."""
    found = PRINTED.search(page)
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_nothing_beside_the_fold_gives_the_answer_away(path):
    """From the question to the text behind the answer: no guess is written into the code, no output has the answer."""
    cells = cells_of(path)
    for start, name, call in asked(cells):
        question = set(NUMBER.findall(cells[start - 1].source + seen(cells[start]) + ast.unparse(call)))
        for end, answered in revealed(cells, name):
            if not answered:
                continue
            secret = answers_told(cells, end) - question - {"0", "1", "2", "3"}  # too small to be told from a count
            behind = cells[end + 1] if cells[end + 1].cell_type == "markdown" else None
            texts = {f"output of cell {i}": seen(cells[i]) for i in range(start, end + 1)}
            for i in range(start, end):
                if cells[i].cell_type != "code":
                    texts[f"text of cell {i}"] = cells[i].source
            if behind is not None:
                texts["the text behind the answer"] = FOLD.sub("", behind.source).partition("\n#")[0]
            for where, text in texts.items():
                told = secret & set(NUMBER.findall(text))
                assert not told, f"{name}: {where} (answer in cell {end}) has {sorted(told)}"


QUIZZED = [path for path in notebooks() if path.stem[:2] in QUIZZES]


@pytest.mark.parametrize("path", QUIZZED, ids=lambda path: path.stem)
def test_the_three_questions_are_asked_and_none_is_answered(path):
    """A cell with nothing but the page's own quiz, whose output tells an answer only behind the fold."""
    (quiz,) = [cell for cell in cells_of(path) if calls(cell, "fu.quiz")]
    page = path.stem[:2]
    assert quiz.source == f'fu.quiz("{page}")'
    assert any(FOLD.search(output.get("data", {}).get("text/html", "")) for output in quiz.outputs)
    text = seen(quiz)
    plain = "".join(output.get("data", {}).get("text/plain", "") for output in quiz.outputs)
    for question in QUIZZES[page]:
        assert question.asked in text and all(choice in text for choice in question.replies)
        assert not any(reply in text + plain for reply in question.replies.values())


def test_the_five_first_pages_and_the_start_have_a_quiz():
    assert [path.stem[:2] for path in QUIZZED] == ["00", "01", "02", "03", "04", "05"] == list(QUIZZES)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_no_guess_is_put_into_the_readers_mouth(path):
    for position, cell in enumerate(cells_of(path)):
        if cell.cell_type == "code":
            assert not re.search(r"you guessed|your guess|^guess\w* ?=", cell.source, re.MULTILINE), f"cell {position}"


def shown_as(page):
    return {"outputs": [{"output_type": "display_data", "data": {"text/plain": "it is 13"} | page}]}


def test_what_is_folded_is_not_seen_and_what_is_not_is():
    folded = '<details class="answer"><summary>Open</summary><pre>13</pre></details>'
    assert "13" not in seen(shown_as({"text/html": folded}))
    assert "13" in seen(shown_as({"text/html": folded + '<img alt="13 pixels wide" src="">'}))
    assert "13" in seen(shown_as({"text/html": f"<p>13</p>{folded}"}))
    assert "13" in seen(shown_as({}))
