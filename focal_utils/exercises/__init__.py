"""`check`, which tells a learner what kind of mistake an answer holds. One file for each notebook's exercises."""

from focal_utils.exercises.checking import NotYet, call, check, exercise, verdict

__all__ = ["NotYet", "call", "check", "exercise", "verdict"]
