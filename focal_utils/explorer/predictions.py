"""What a network's output says of a picture: the probabilities of its classes, whatever its last layer is."""

import keras
import numpy as np

TOP = 5  # classes shown
OUTPUTS = ("logits", "probabilities")
NOT_QUITE = 1e-3  # by how much probabilities may miss 1, from rounding in half precision


def class_output(output, class_names=None):
    """Which of a model's outputs is about classes: the number, among all, of the first of shape (B, classes).

    Args:
        output: of the model, arrays in whatever structure it gives.
        class_names: where given, the output has as many columns (or one, for two names).

    Returns:
        The number, or None where all outputs are maps or lists of other things.
    """
    for number, part in enumerate(keras.tree.flatten(output)):
        fits = class_names is None or count_classes(part) == len(class_names)
        if np.ndim(part) == 2 and fits:
            return number
    return None


def count_classes(values):
    """How many classes an output (B, columns) tells apart: one column is a yes or no, two classes."""
    return max(2, np.shape(values)[-1])


def last_activation(model, number):
    """Name of the function that makes a model's output `number`: "softmax", "sigmoid", "linear", …

    None where it cannot be told: a subclassed model has no graph. Keras keeps which operation made a tensor in
    `_keras_history`, and says it in no other way for a model inside a model.
    """
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if number >= len(outputs):
        return None
    operation, _, place = outputs[number]._keras_history
    if isinstance(operation, keras.Model):
        return last_activation(operation, place)
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", None) or type(operation).__name__.lower()  # the layer Softmax has none


def means_probabilities(model, number, values):
    """Whether output `number` of a model, `values` (B, columns), holds probabilities; else it holds logits.

    It does where it comes out of a softmax or sigmoid, and where its rows, of several columns, are distributions: from
    0 to 1, with the sum 1. Logits are never all of that.
    """
    if last_activation(model, number) in ("softmax", "sigmoid"):
        return True
    inside = values.min() >= 0 and values.max() <= 1 + NOT_QUITE
    whole = np.all(abs(values.sum(axis=-1) - 1) < NOT_QUITE)
    return bool(values.shape[-1] > 1 and inside and whole)


def probabilities(values, meaning):
    """The classes' probabilities of one image, from its row of the output.

    Args:
        values: (columns,); one column says yes or no: class 1 or class 0.
        meaning: "logits", or "probabilities", which stay as they are, also where they have another sum than 1.

    Raises:
        ValueError: "probabilities" that are none.
    """
    values = np.asarray(values, "float64")
    if meaning == "probabilities":
        if values.min() < -NOT_QUITE or values.max() > 1 + NOT_QUITE:
            raise ValueError(
                f"The output goes from {values.min():.3g} to {values.max():.3g}, so it holds no probabilities: "
                "outputs='logits' is for the numbers before a softmax."
            )
        return values if len(values) > 1 else np.array([1 - values[0], values[0]])
    if len(values) == 1:
        values = np.array([0.0, values[0]])  # a sigmoid is the softmax over a logit and 0
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def all_classes(values, meaning="logits"):
    """The probabilities of all classes of one image, from its row of the output: a list.

    None at all where the output holds numbers that are not finite.
    """
    if not np.isfinite(values).all():
        return []
    return [round(float(share), 5) for share in probabilities(values, meaning)]


def top_classes(shares):
    """The most probable classes of one image, from the probabilities of all: [[class, probability], …]."""
    order = np.argsort(-np.array(shares), kind="stable")[:TOP]
    return [[int(number), round(shares[number], 4)] for number in order]
