"""The exercise of notebook 10: a convolution's kernel from PyTorch's order to Keras'."""

import numpy as np

from focal_utils.exercises.checking import NotYet, call, exercise, need_array


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
