"""Distillation: a network learns what a teacher says of each image, which is more than the image's label."""

import keras
from keras import ops


def averaged(models, views):
    """A teacher: the function that gives the class probabilities of some networks, averaged over views of each image.

    Args:
        models: a list of networks, images (B, H, W, channels) to logits (B, classes).
        views: a function, images → a list of images of the same shape: moved, turned, mirrored.

    Returns:
        A function, images (B, H, W, channels) → probabilities (B, classes), by which nothing is trained.
    """

    def teacher(images):
        seen = views(images)
        logits = ops.stack(
            [model(ops.concatenate(seen), training=False) for model in models]
        )  # (models, views·B, classes)
        answers = ops.reshape(ops.softmax(logits), (len(models) * len(seen), -1, logits.shape[-1]))
        return ops.mean(answers, axis=0)

    return teacher


class Distilled(keras.Model):
    """A network whose labels, in training, are its teacher's probabilities; in validation they are the labels.

    Teacher and student see the same images (Beyer et al. 2022, *Knowledge distillation: A good teacher is patient and
    consistent*, arXiv 2106.05237), so these can be changed at will, mixed even: no label has to go with them. Weights
    are the student's, shared with it. Compile it without label smoothing: a teacher's answers are soft already.

    Args:
        student: images to logits, a functional model. teacher: images to probabilities, as of `averaged`.
    """

    def __init__(self, student, teacher):
        super().__init__(student.input, student.output, name=student.name)
        self.teacher = teacher

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training and x is not None:
            y = ops.stop_gradient(self.teacher(x))
        return super().compute_loss(x, y, y_pred, sample_weight, training)
