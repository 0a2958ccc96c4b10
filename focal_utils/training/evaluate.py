"""What a trained network says of images, and how often it is right."""

import keras
import numpy as np

from focal_utils.errors import check_at_least


def predict(model, images, batch_size=256):
    """What a model says of images, as NumPy arrays: logits (N, classes) of a classifier.

    Args:
        model: a `keras.Model`; one of several outputs gives its list or dict of arrays.
        images: (N, H, W, channels), as the model takes them.
        batch_size: images at a time.

    Raises:
        ValueError: no images, or no batch size.
    """
    check_at_least(batch_size=(batch_size, 1))
    if len(images) == 0:
        raise ValueError(f"predict got no images, shape {np.shape(images)}: give at least one.")
    batches = [
        keras.tree.map_structure(keras.ops.convert_to_numpy, model(images[i : i + batch_size], training=False))
        for i in range(0, len(images), batch_size)
    ]
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)


def accuracy(model, images, labels):
    """Share of images whose largest logit is their label's: a float in [0, 1]."""
    return float(np.mean(predict(model, images).argmax(-1) == labels))


def nearest_neighbour(images, labels, queries):
    """For each of `queries`, the label of the most similar of `images`: the simplest of classifiers, nothing learned.

    Images are compared as 16×16 brightnesses with mean 0 and length 1.

    Args:
        images: (N, 32, 32, 3). labels: (N,). queries: (M, 32, 32, 3).

    Returns:
        (M,) labels.
    """

    def vectors(pictures):
        grey = pictures.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4, 5), dtype="float32").reshape(-1, 256)
        grey -= grey.mean(axis=1, keepdims=True)
        return grey / (np.linalg.norm(grey, axis=1, keepdims=True) + 1e-6)

    known, asked = vectors(images), vectors(queries)
    parts = [asked[i : i + 500] @ known.T for i in range(0, len(asked), 500)]  # (≤ 500, N) each
    return labels[np.concatenate([part.argmax(axis=1) for part in parts])]


def confusion_matrix(labels, predictions, classes):
    """Counts (classes, classes): row the true class, column the predicted one."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (np.asarray(labels), np.asarray(predictions)), 1)
    return counts
