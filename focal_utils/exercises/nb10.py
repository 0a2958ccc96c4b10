"""The exercises of notebook 10: a convolution's kernel from PyTorch's order to Keras', and a folder of one's own."""

import numpy as np

from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.exercises.checking import NotYet, call, exercise, need_array
from focal_utils.statistics import wilson
from focal_utils.training import FineTuned


@exercise("10.1 layout")
def judge_layout(answer):
    value = np.random.default_rng(0).normal(size=(5, 4, 3, 3)).astype("float32")
    due = value.transpose(2, 3, 1, 0)
    result = call(answer, value)
    need_array(result, "one array is wanted.")
    if np.array_equal(result, value):
        raise NotYet("Nothing has moved.")
    if result.size != value.size or result.ndim != 4:
        raise NotYet(f"From shape {value.shape}, the result has shape {result.shape}; {due.shape} is needed.")
    if np.array_equal(result, value.transpose(2, 3, 0, 1)):
        raise NotYet("Kernel first is right, but Keras has the inputs before the outputs: (k, k, in, out).")
    if np.array_equal(result, value.T):
        raise NotYet("`.T` turns all axes round, the kernel's rows and columns too: it would see a mirrored picture.")
    if result.shape != due.shape:
        raise NotYet(f"The axes should be those of PyTorch in the order 2, 3, 1, 0; yours have shape {result.shape}.")
    if not np.array_equal(result, due):
        raise NotYet("The shape is right, the numbers are not where they belong: transpose, do not reshape.")
    return "Next: why does a square kernel make a swap of rows and columns hard to see?"


# ---- the open task

LEAST_PICTURES = 10
WANTED = 0.9


@exercise("10.2 your own folder")
def judge_own_folder(answer):
    if not isinstance(answer, FineTuned):
        raise NotYet(f"What `fu.finetune` gives is wanted, all of it, and this is a {type(answer).__name__}.")
    names = answer.model.class_names or ()
    if names and set(names) <= set(GTSRB_CLASSES):
        raise NotYet("These are the signs that the page has drawn. Take photographs of your own.")
    if "test" not in answer.accuracies:
        raise NotYet("No picture was kept for the test. Put some dozens of each kind into the folder.")
    right, total = answer.accuracies["test"]
    if total < LEAST_PICTURES:
        raise NotYet(f"{right} of {total} test pictures are right: too few to say anything. At least {LEAST_PICTURES}.")
    if right / total < WANTED:
        seen, all_seen = answer.accuracies.get("val", (0, 1))
        if seen / all_seen >= WANTED:
            raise NotYet(
                f"{right} of {total} test pictures are right, and {seen} of {all_seen} that chose the epoch. It has "
                "been lucky in its choice: more pictures would tell."
            )
        raise NotYet(
            f"{right} of {total} test pictures are right, {WANTED:.0%} are wanted. More pictures of the kinds that it "
            "mixes up, or another start: `start=` takes a published network, too."
        )
    low, high = wilson(right, total)
    return f"{right} of {total}, so between {low:.0%} and {high:.0%}. Next: photograph one more, in other light."
