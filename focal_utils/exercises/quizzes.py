"""`quiz`: three questions at the end of a page; what is wrong in them is what the checks of that page have met."""

import html
from typing import NamedTuple

from focal_utils.errors import check_choice
from focal_utils.exercises.guessing import Guess, shown

WAITING = "Answered all three? Open the answers"
PEN = "Without the buttons, on paper for instance: write your letters down before you open the answers."
LETTERS = "abc"


class Question(NamedTuple):
    """A question with three choices, and what to say to somebody who takes one of them."""

    asked: str
    replies: dict  # choice → what is right or wrong about it, in the order in which they are shown
    right: str  # one of the choices


QUIZZES = {
    "00": (
        Question(
            "Self-attention works on a map of 32 × 32 pixels. How many weights does it make?",
            {
                "1,024": "So many does one pixel make, one for each it compares itself with. All of them do.",
                "4,096": "So many gates has focal modulation, four for each pixel. Attention compares pairs.",
                "1,048,576": "One for each pair of pixels: 1,024 times 1,024.",
            },
            "1,048,576",
        ),
        Question(
            "What does a softmax make of the scores?",
            {
                "positive shares that add up to 1": "So a pixel that listens more to one listens less to the others.",
                "the same scores, negative ones at 0": "That is a ReLU. After a softmax nothing is 0, only small.",
                "numbers with mean 0 and variance 1": "That is a norm. Shares have no negative ones among them.",
            },
            "positive shares that add up to 1",
        ),
        Question(
            "A gate of focal modulation is −0.8. What does it do with its level?",
            {
                "nothing, a gate is never negative": "After a softmax or a sigmoid it could not be. This one is free.",
                "it takes the level away from the others": "The context is multiplied by −0.8 and added.",
                "it closes the level nearly": "Only a gate near 0 does. −0.8 is as far from 0 as 0.8.",
            },
            "it takes the level away from the others",
        ),
    ),
    "01": (
        Question(
            "Kernels of 5 and 7, the second reads the first. How wide does it see?",
            {
                "7 pixels": "That is the largest kernel: what levels side by side would see.",
                "11 pixels": "1 + 4 + 6: each kernel adds its size less one.",
                "12 pixels": "You add the sizes. A kernel of 5 reaches two pixels to each side: it adds 4, not 5.",
            },
            "11 pixels",
        ),
        Question(
            "Three convolutions in a row with no GELU between them. What are they together?",
            {
                "one convolution, a wider one": "Linear maps in a row are one linear map.",
                "a mean over the whole map": "Their reach grows, and still has an end.",
                "three levels, as with a GELU": "They see as far, and bend nothing: one wide kernel could do the same.",
            },
            "one convolution, a wider one",
        ),
        Question(
            "Three convolutions make local contexts. How many does a pixel get?",
            {
                "1, the last and widest": "All levels are wanted, the near ones too: a gate chooses among them.",
                "3, from near to far": "One for each convolution.",
                "4, the input among them": "The input is no level: level 1 reads it.",
            },
            "3, from near to far",
        ),
    ),
    "02": (
        Question(
            "A layer has 3 focal levels and the global one. How many gates has a pixel?",
            {
                "3": "The global average is a level too: L + 1.",
                "4 for each channel": "All channels of a pixel share its gates.",
                "4": "One for each of the three levels, and one for the global one.",
            },
            "4",
        ),
        Question(
            "The gates of a pixel are −0.5, 0.2 and 1.4. May they be?",
            {
                "yes": "The paper's gates are linear: all may open, all may close, and one may be taken away.",
                "no, they must add up to 1": "After a softmax they would, as in the article. The paper has none.",
                "no, −0.5 is no gate": "A ReLU or a sigmoid would forbid it. Here the level is subtracted.",
            },
            "yes",
        ),
        Question(
            "In the paper's layer, what are the gates of a pixel made from?",
            {
                "from its first context": "That is the article's way. The paper's come from x itself.",
                "from that pixel of x": "A dense layer, which treats each pixel by itself.",
                "from all pixels, one set for a picture": "Then no pixel could choose for itself.",
            },
            "from that pixel of x",
        ),
    ),
    "03": (
        Question(
            "At some pixel, the modulator is 0 in channel 5. What comes out of q ⊙ m there?",
            {
                "the query as it is": "That is the sum, q + 0. A product has no such mercy.",
                "the mean of the neighbours": "The query is never blurred; only the context is.",
                "0: the channel is silent": "Whatever the query says, context silences it here.",
            },
            "0: the channel is silent",
        ),
        Question(
            "How many matrices of C × C weights has focal modulation?",
            {
                "3": "So counts the paper's text. Its code has `proj` as well.",
                "4": "q and z⁰, both made by f, then h and proj; as many as attention.",
                "4, and one for each level": "The kernels are depthwise: k² weights for each channel, not C².",
            },
            "4",
        ),
        Question(
            "A map gets twice as wide and twice as high. By how much does attention's comparing grow?",
            {
                "4 times": "So do the pixels, and with them the cost of focal modulation. Attention compares pairs.",
                "16 times": "Four times the pixels are sixteen times the pairs.",
                "8 times": "That is its width times its pixels. It goes with the square of the pixels.",
            },
            "16 times",
        ),
    ),
    "04": (
        Question(
            "Over which numbers does a LayerNorm take mean and variance?",
            {
                "the channels of one pixel": "Each pixel of each picture by itself.",
                "the pixels of one channel": "That would be a norm of each map. A pixel would know of all others.",
                "the pictures of a batch": "That is BatchNormalization, which every device would have to share.",
            },
            "the channels of one pixel",
        ),
        Question(
            "Why does a gradient reach the first of 32 residual blocks?",
            {
                "the norm makes it larger": "Norms alone made it explode. What keeps the way back open is the sum.",
                "every block is trained by itself": "All are trained at once, by one loss at the end.",
                "each block adds to x, and x is passed on": "The derivative of x + F(x) has a 1 in it.",
            },
            "each block adds to x, and x is passed on",
        ),
        Question(
            "The drop rate is 0.2, and this sample keeps its branch. What becomes of the branch in training?",
            {
                "it is left as it is": "Then its mean over many draws would be too small by a fifth.",
                "it is divided by 0.8": "So its mean over many draws is the branch itself.",
                "it is multiplied by 0.8": "Then the mean falls twice, by the drop and by the factor.",
            },
            "it is divided by 0.8",
        ),
    ),
    "05": (
        Question(
            "A picture of 64 × 64, a patch size of 4, four stages. How large is the last map?",
            {
                "1 × 1": "Halved once too often: stage 0 comes straight after the stem.",
                "2 × 2": "64 / 4 = 16 for stage 0, then 8, 4 and 2.",
                "8 × 8": "The stem is forgotten, with its stride of 4.",
            },
            "2 × 2",
        ),
        Question(
            "From one stage to the next C doubles. By how much do a block's weights grow?",
            {
                "about 4 times": "Nearly all of them stand in matrices of C × C and C × 4C.",
                "2 times": "So do kernels, biases and norms, which are the smallest part.",
                "8 times": "A matrix has two sides, and both double.",
            },
            "about 4 times",
        ),
        Question(
            "And by how much does the work of that block grow, for the same picture?",
            {
                "about 4 times": "Each weight works at every pixel, and there are a quarter of them.",
                "it falls to a quarter": "So does the number of pixels. But each meets four times the weights.",
                "hardly at all": "Four times the weights at a quarter of the pixels.",
            },
            "hardly at all",
        ),
    ),
}


class Quiz(Guess):
    """The questions of one page, answered by buttons; each answer counts once, the first one."""

    def __init__(self, page, asked):
        names = {f"question {number}": question for number, question in enumerate(asked, 1)}
        super().__init__(f"{page} quiz", {name: list(question.replies) for name, question in names.items()})
        self.asked = names
        self.answers = {name: question.right for name, question in names.items()}

    def show(self):
        """Show the questions: with buttons where there are widgets, with the answers folded on paper."""
        shown({"text/plain": self.plain(), "text/html": self.page(), **self._widget()})

    def plain(self):
        """The questions without their answers, in text."""
        return "\n".join(
            f"{name}: {question.asked} " + ", ".join(f"({letter}) {choice}" for letter, choice in lettered(question))
            for name, question in self.asked.items()
        )

    def page(self):
        """The questions in HTML, and their answers behind a fold."""
        questions = "".join(f"<li>{self._posed(question)}</li>" for question in self.asked.values())
        answers = "".join(f"<li>{told(question)}</li>" for question in self.asked.values())
        return (
            f'<div class="guess"><ol>{questions}</ol><small>{PEN}</small></div>'
            f'<details class="answer"><summary>{WAITING}</summary>\n<ol>{answers}</ol>\n</details>'
        )

    def _posed(self, question):
        choices = "<br>".join(f"({letter}) {html.escape(choice)}" for letter, choice in lettered(question))
        return f"{html.escape(question.asked)}<br>{choices}"

    def _widget(self):
        try:
            import ipywidgets
        except ModuleNotFoundError:
            return {}
        rows = []
        buttons = {}
        for name, question in self.asked.items():
            buttons[name] = ipywidgets.RadioButtons(
                options=list(question.replies), value=None, layout={"width": "max-content"}
            )
            rows += [ipywidgets.HTML(f"<b>{html.escape(question.asked)}</b>"), buttons[name]]
        return self._asking(ipywidgets, rows, buttons, "These are my answers")

    def _line(self, name):
        question = self.asked[name]
        guessed = self.guessed[name]
        line = f"✓ {name}: {guessed}. {question.replies[guessed]}"
        if guessed != question.right:
            because = f"The answer is: {question.right}. {question.replies[question.right]}"
            line = f"· {name}: not {guessed}. {question.replies[guessed]} {because}"
        return html.escape(line)


def lettered(question):
    """Pairs (letter, choice)."""
    return list(zip(LETTERS, question.replies, strict=True))


def told(question):
    """The right choice and why, then why not the others: HTML."""
    letters = {choice: letter for letter, choice in lettered(question)}
    right = f"<b>({letters[question.right]}) {html.escape(question.right)}.</b>"
    wrong = [choice for choice in question.replies if choice != question.right]
    others = "<br>".join(f"Not ({letters[choice]}): {html.escape(question.replies[choice])}" for choice in wrong)
    return f"{right} {html.escape(question.replies[question.right])}<br>{others}"


def quiz(page):
    """Ask the three questions of a page: buttons where it has widgets, answers to unfold everywhere.

    Answers that are wrong are mistakes that the checks of that page know, and each is told what is wrong with it. The
    score is kept with that of the guesses, in the file `exercises.guesses_file()`.

    Args:
        page: number of the notebook, "03" for instance.

    Raises:
        ValueError: a page that has no quiz.

    Example:
        >>> fu.quiz("03")
    """
    check_choice("page", page, tuple(QUIZZES))
    Quiz(page, QUIZZES[page]).show()
