"""`guess`, which keeps an answer folded until its reader has committed to one of their own, and keeps the score."""

import html
import json
import os
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from focal_utils.errors import check_choice
from focal_utils.files import reading, whole_file, without_tilde

VIEW = "application/vnd.jupyter.widget-view+json"
NEAR = Fraction(1, 5)  # of the answer: a number that is off by no more counts as near
MOST_BUTTONS = 12  # of one question
LINE = 320  # pixels: the line with answer and guess

WAITING = "Made your guess? Open the answer"
PEN = "Without the boxes, on paper for instance: write it down before you open the answer below."


class Guess:
    """The questions of one Predict, the reader's answers to them, and the right ones once `reveal` has them.

    Nothing is set beforehand: a box is empty, no button is pressed. Each guess counts once, the first one.
    """

    def __init__(self, name, questions):
        self.name = name
        self.questions = questions
        self.guessed = {}
        self.answers = {}
        self.verdict = None  # the widget that holds answer and guess, once there are widgets

    def reveal(self, **answers):
        """A `with` block that prints and shows the answers to these questions: folded, unless they have been guessed.

        Args:
            answers: for each question that is answered here, a number or the name of the choice; none where a figure,
                say, gives away what was answered before.

        Raises:
            ValueError: no such question, or an answer that is none of its choices.
        """
        for question, answer in answers.items():
            check_choice("question", question, tuple(self.questions))
            if is_choice(self.questions[question]):
                check_choice(question, written(answer), tuple(map(written, self.questions[question])))
        return self._folding(answers)

    @contextmanager
    def _folding(self, answers):
        from IPython.utils.capture import capture_output

        if all(question in self.guessed for question in answers or self.questions):
            yield
            self._learn(answers)
            return
        try:
            with capture_output(stderr=False) as held:
                yield
        except BaseException:
            held.show()  # what came before the error belongs above it
            raise
        self._learn(answers)
        shown(folded(held))

    def _learn(self, answers):
        self.answers.update(answers)
        self._judge()

    def commit(self, **guesses):
        """Say the guesses: what the button below the boxes does. What was guessed before stays as it was.

        Raises:
            ValueError: no such question, none of its choices, or no number where one is asked for.
        """
        read = {}
        for question, said in guesses.items():
            check_choice("question", question, tuple(self.questions))
            read[question] = as_guess(question, self.questions[question], said)
        self.guessed = {**read, **self.guessed}
        self._judge()

    def _judge(self):
        """Where guess and answer are both known, show them side by side and keep the score."""
        told = [question for question in self.questions if question in self.answers and question in self.guessed]
        if told:
            keep({f"{self.name} · {question}": self.near(question) for question in told})
        if self.verdict is not None and self.guessed:
            lines = [self._line(question) for question in told] or ["Noted. Now run the next cell."]
            self.verdict.value = "".join(f"<div>{line}</div>" for line in lines) + (score() if told else "")

    def _line(self, question):
        kind = self.questions[question]
        answer = self.answers[question]
        guessed = self.guessed[question]
        unit = "" if is_choice(kind) else f" {kind}".rstrip()
        mark = "✓" if self.near(question) else "·"
        text = f"{mark} {spoken(question)}: the answer {written(answer)}{unit}, your guess {written(guessed)}{unit}"
        line = "" if isinstance(answer, str) else number_line(float(answer), float(guessed))
        return html.escape(text) + line

    def near(self, question):
        """Whether a guess is the right choice, or off by at most a fifth of the right number."""
        answer = self.answers[question]
        guessed = self.guessed[question]
        if is_choice(self.questions[question]):
            return written(answer) == written(guessed)
        return abs(float(guessed) - float(answer)) <= NEAR * abs(float(answer))

    def show(self):
        """Show the boxes where there are widgets, and what is asked everywhere."""
        asked = ", ".join(f"{spoken(question)} ({told(kind)})" for question, kind in self.questions.items())
        page = f'<div class="guess">Your guess: {html.escape(asked)}<br><small>{PEN}</small></div>'
        shown({"text/plain": f"Your guess: {asked}", "text/html": page, **self._widget()})

    def _widget(self):
        """The boxes as what a notebook shows where it has widgets; nothing where ipywidgets is not installed."""
        try:
            import ipywidgets
        except ModuleNotFoundError:
            return {}
        boxes = {question: box(ipywidgets, question, kind) for question, kind in self.questions.items()}
        return self._asking(ipywidgets, boxes.values(), boxes, "This is my guess")

    def _asking(self, ipywidgets, rows, boxes, words):
        """Rows of widgets with a button below them, on which `words` stand, that commits to what is in the boxes."""
        button = ipywidgets.Button(description=words, layout={"width": "max-content"})
        self.verdict = ipywidgets.HTML()

        def said(_):
            try:
                self.commit(**{question: asking.value for question, asking in boxes.items()})
            except ValueError as error:
                self.verdict.value = html.escape(str(error))

        button.on_click(said)
        whole = ipywidgets.VBox([*rows, button, self.verdict])
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": whole.model_id}}


def guess(name, **questions):
    """Ask for a guess before a result is seen: boxes where the page has widgets, an answer to unfold everywhere.

    In a cell further down, what gives the answer away stands in a `with` block of `Guess.reveal`. Its output is folded
    where no guess has been made before, and the reader unfolds it. A page that is run from top to bottom goes on
    without a guess. The score is kept in the file `exercises.guesses_file()`, of the reader's own.

    Args:
        name: of the Predict, "01.1 how wide" for instance; the score goes by it.
        questions: for each, what is asked for: a unit as text ("pixels", "%", "") where it is a number, or the
            choices, a list of texts or a range.

    Returns:
        The `Guess`.

    Raises:
        ValueError: no question, or too few or too many choices.

    Example:
        >>> width = fu.guess("01.1 how wide", parallel="pixels", stacked="pixels")
        >>> with width.reveal(parallel=7):
        ...     print("the article's three levels see 7 pixels")
    """
    if not questions:
        raise ValueError(f"guess({name!r}) asks nothing: name a question and its unit, width='pixels' for instance.")
    for question, kind in questions.items():
        if is_choice(kind) and not 2 <= len(kind) <= MOST_BUTTONS:
            raise ValueError(f"{question} has {len(kind)} choices: between 2 and {MOST_BUTTONS} can be shown.")
    asked = Guess(name, questions)
    asked.show()
    return asked


# ---- questions and answers


def is_choice(kind):
    return not isinstance(kind, str)


def told(kind):
    """What is asked for, in words: the unit, or the choices."""
    if not is_choice(kind):
        return kind or "a number"
    return f"{kind[0]} to {kind[-1]}" if isinstance(kind, range) else " or ".join(map(str, kind))


def spoken(question):
    return question.replace("_", " ")


def written(value):
    """A number or choice as text: at most three digits of a fraction."""
    if isinstance(value, str):
        return value
    if float(value) == round(float(value)):
        return f"{value:.0f}"
    return f"{float(value):.3g}"


def as_guess(question, kind, said):
    """What a reader said, as a choice or a number; `1/100`, `1e-9`, `5 %` and `7 pixels` are numbers."""
    if is_choice(kind):
        if said is None:
            raise ValueError(f"{spoken(question)}: choose one first.")
        check_choice(question, written(said), tuple(map(written, kind)))
        return said
    if not isinstance(said, str):
        return float(said)
    text = said.strip().removesuffix(kind).rstrip(" %").replace(",", "").replace("−", "-")
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{spoken(question)}: a number is wanted, 12 or 0.5 or 1e-3 for instance.") from None


def box(ipywidgets, question, kind):
    """The widget that asks one question: a box that is empty, or buttons of which none is pressed."""
    style = {"description_width": "initial"}
    if is_choice(kind):
        options = list(map(written, kind))
        return ipywidgets.ToggleButtons(options=options, value=None, description=spoken(question), style=style)
    return ipywidgets.Text(placeholder=kind or "a number", description=spoken(question), style=style)


# ---- what is shown


def shown(bundle):
    """Display a dict from MIME type to text; outside of a notebook, print its plain text."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(bundle["text/plain"])
    else:
        display(bundle, raw=True)


def folded(held):
    """Captured output as one folded output; its plain text, which tests compare, is shown by nothing that knows HTML.

    Args:
        held: what `IPython.utils.capture.capture_output` gives.
    """
    plain = [held.stdout.rstrip("\n")] if held.stdout else []
    pages = [f"<pre>{html.escape(plain[0])}</pre>"] if plain else []
    for output in held.outputs:
        text = output.data.get("text/plain", "")
        plain.append(text)
        pages.append(output.data.get("text/html") or f"<pre>{html.escape(text)}</pre>")
    page = f'<details class="answer"><summary>{WAITING}</summary>\n{"".join(pages)}\n</details>'
    return {"text/plain": "\n".join(plain), "text/html": page}


def number_line(answer, guessed):
    """Answer and guess as marks on one line, an SVG in the page's own colour; orders of magnitude where they differ."""
    low, high = sorted((answer, guessed))
    positions = {"answer": scaled(answer, low, high), "your guess": scaled(guessed, low, high)}
    marks = "".join(
        f'<circle cx="{20 + share * (LINE - 40):.0f}" cy="14" r="5" fill="{fill}" stroke="currentColor"/>'
        f'<text x="{20 + share * (LINE - 40):.0f}" y="{y}" font-size="10" text-anchor="middle" fill="currentColor">'
        f"{name}</text>"
        for (name, share), fill, y in zip(positions.items(), ("currentColor", "none"), (34, 46), strict=True)
    )
    return (
        f'<svg width="{LINE}" height="50" role="img" aria-label="answer and guess on one line">'
        f'<line x1="10" x2="{LINE - 10}" y1="14" y2="14" stroke="currentColor"/>{marks}</svg>'
    )


def scaled(value, low, high):
    """Where a number lies between the lower and the higher one, from 0.15 to 0.85; in the middle where they agree."""
    return 0.5 if low == high else 0.15 + 0.7 * (value - low) / (high - low)


# ---- the score


def guesses_file():
    """The reader's own file with the score, a `Path`: `guesses.json` in the folder for settings, never in a checkout.

    The environment variable `FOCAL_GUESSES` names another.
    """
    name = os.environ.get("FOCAL_GUESSES")
    if name:
        return without_tilde(name)
    settings = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or "~/.config"
    return without_tilde(settings) / "focal_utils" / "guesses.json"


def kept():
    """The score so far: a dict from question to whether the first guess was near; empty where there is none."""
    path = guesses_file()
    if not path.is_file():
        return {}
    try:
        with reading(path):
            known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a file that cannot be read keeps no score
        return {}
    return known if isinstance(known, dict) else {}


def keep(judged):
    """Add to the score; first guesses stay. Where the file cannot be written, none is kept: a guess is no error."""
    path = guesses_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as own:
            Path(own).write_text(json.dumps({**judged, **kept()}, indent=1, ensure_ascii=False), encoding="utf-8")
    except (OSError, RuntimeError):
        return


def score():
    """The score in a sentence of HTML; empty where none is kept."""
    known = kept()
    if not known:
        return ""
    return f"<small>So far {sum(map(bool, known.values()))} of your {len(known)} guesses were near.</small>"
