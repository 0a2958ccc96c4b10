"""`check`, which tells a learner what kind of mistake an answer holds. One file for each notebook's exercises."""

from focal_utils.exercises.checking import EXERCISES, NotYet, call, check, exercise, verdict

__all__ = ["EXERCISES", "NotYet", "call", "check", "exercise", "verdict"]
