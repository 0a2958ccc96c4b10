"""What a trained network says of images, and how often it is right."""

import keras
import numpy as np

from focal_utils.data import as_labels
from focal_utils.errors import check_at_least


def predict(model, images, batch_size=256):
    """What a model says of images: logits (N, classes) as a NumPy array, or as many arrays as the model has outputs.

    Args:
        model: a `keras.Model`; one of several outputs gives its list or dict of arrays.
        images: (N, H, W, channels), as the model takes them.
        batch_size: images at a time; the answer does not depend on it.

    Raises:
        ValueError: no images, no batch size, or images that are not arrays of finite numbers.

    Example:
        >>> predict(model, data.x_test).argmax(-1)  # the class of each image
    """
    check_at_least(batch_size=(batch_size, 1))
    images = as_images("predict", images)
    parts = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    batches = [model(as_floats(part), training=False) for part in parts]
    arrays = [keras.tree.map_structure(keras.ops.convert_to_numpy, batch) for batch in batches]
    return keras.tree.map_structure(lambda *pieces: np.concatenate(pieces), *arrays)


def as_images(asking, images):
    """Images (N, …) as an array or tensor of finite numbers; a list of images of one size becomes an array.

    Args:
        asking: the function that wants them, for the message.
        images: whatever it was given.

    Raises:
        ValueError: anything else, or none at all.
    """
    if not hasattr(images, "shape"):
        images = np.asarray(images)  # NumPy says in words where images of several sizes are given
    shape = tuple(images.shape)
    kind = str(images.dtype)  # "float32", "<dtype: 'float32'>" or "torch.float32"
    if not any(word in kind for word in ("float", "int", "bool")):
        raise ValueError(f"{asking} wants images as arrays of numbers (N, H, W, channels), but these hold {kind}.")
    if 0 in shape or not shape:
        raise ValueError(f"{asking} got no images, shape {shape}: give at least one, as (N, H, W, channels).")
    if "float" in kind and not keras.ops.all(keras.ops.isfinite(images)):
        raise ValueError(f"{asking} got images with numbers that are not finite (NaN or infinity).")
    return images


def as_floats(images):
    """Whole numbers as float32, as Keras' own models make them, and a subclass of `keras.Model` does not."""
    return images if "float" in str(images.dtype) else keras.ops.cast(images, "float32")


def accuracy(model, images, labels):
    """Share of images whose largest logit is their label's: a float in [0, 1].

    Args:
        model: maps images to logits (N, classes).
        images: (N, H, W, channels).
        labels: N labels, as whole numbers (N,) or (N, 1) or as one-hot rows; see `as_labels`.

    Raises:
        ValueError: labels that do not fit the images or the model's classes.
    """
    logits = predict(model, images)
    if not isinstance(logits, np.ndarray) or logits.ndim != 2:
        shapes = [value.shape for value in keras.tree.flatten(logits)]
        raise ValueError(f"{model.name} gives {shapes}, not logits (N, classes): pass the model that ends in them.")
    return float(np.mean(logits.argmax(-1) == as_labels(labels, logits.shape[-1], len(images))))


def nearest_neighbour(images, labels, queries):
    """For each of `queries`, the label of the most similar of `images`: the simplest of classifiers, nothing learned.

    Grown in notebook 06.

    Images are compared as 16×16 brightnesses with mean 0 and length 1.

    Args:
        images: (N, 32, 32, 3).
        labels: (N,), or (N, 1).
        queries: (M, 32, 32, 3).

    Returns:
        (M,) labels.

    Raises:
        ValueError: images of another size, or more labels than images, one-hot rows for instance.
    """

    def vectors(pictures):
        grey = pictures.reshape(len(pictures), 16, 2, 16, 2, 3).mean(axis=(2, 4, 5), dtype="float32").reshape(-1, 256)
        grey -= grey.mean(axis=1, keepdims=True)
        return grey / (np.linalg.norm(grey, axis=1, keepdims=True) + 1e-6)

    known = vectors(images)
    asked = vectors(queries)
    parts = [asked[i : i + 500] @ known.T for i in range(0, len(asked), 500)]  # (≤ 500, N) each
    nearest = np.concatenate([part.argmax(axis=1) for part in parts])
    return np.reshape(labels, len(images))[nearest]


def confusion_matrix(labels, predictions, classes):
    """Counts (classes, classes): row the true class, column the predicted one.

    Args:
        labels: N labels; see `as_labels`.
        predictions: N predicted classes, in the same forms.
        classes: how many classes there are.

    Raises:
        ValueError: labels or predictions that are not N whole numbers below `classes`.
    """
    labels = as_labels(labels, classes)
    predictions = as_labels(predictions, classes, len(labels), "predictions")
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predictions), 1)
    return counts
