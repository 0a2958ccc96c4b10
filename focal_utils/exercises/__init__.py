"""`check` says what kind of mistake an answer holds, `guess` and `quiz` fold answers, `dial` puts hands on a figure.

One file for each notebook's exercises.
"""

from focal_utils.exercises.checking import EXERCISES, NotYet, call, check, exercise, verdict
from focal_utils.exercises.dials import dial
from focal_utils.exercises.guessing import guess, guesses_file
from focal_utils.exercises.quizzes import QUIZZES, quiz

# Each registers its judges.
from focal_utils.exercises import nb00, nb01, nb02, nb03, nb04, nb05, nb06, nb07, nb08, nb09, nb10, nb11, nb12, nb13  # isort: skip

__all__ = [
    "EXERCISES",
    "QUIZZES",
    "NotYet",
    "call",
    "check",
    "dial",
    "exercise",
    "guess",
    "guesses_file",
    "quiz",
    "verdict",
]
