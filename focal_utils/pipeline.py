"""The input pipeline: which images make up which batch. It is tf.data, whatever the backend that trains."""

import itertools

import numpy as np

from focal_utils.environment import accelerators


def batches(images, labels, classes, batch_size=128, augment=None, seed=0, start=0):
    """An endless tf.data set of (images, one-hot labels) batches: each epoch in another order, augmented anew.

    The batch of a step follows from the seed and the number of the step alone, so that a run can go on from any step.
    What does not fill a batch at the end of an epoch's order is left out.

    Args:
        images: (N, H, W, channels), 0…255. labels: (N,) class numbers below `classes`.
        augment: a function like `augment_signs`, or None.
        seed: fixes the order and the augmentation.
        start: the step with which it begins.
    """
    import tensorflow as tf

    x, y = tf.constant(images), tf.constant(labels, tf.int32)
    steps = len(images) // batch_size

    def rows_and_draws():
        """For each step, the rows of its images and the two numbers that its augmentation draws from."""
        for epoch in itertools.count(start // steps):
            order = np.random.default_rng((seed, epoch)).permutation(len(images))
            for step in range(start % steps if epoch == start // steps else 0, steps):
                draw = np.random.default_rng((seed, epoch, step)).integers(2**62, size=2)
                yield order[step * batch_size : (step + 1) * batch_size], draw

    def load(rows, draw):
        batch = tf.gather(x, rows)
        batch = tf.cast(batch, tf.float32) if augment is None else augment(batch, draw)
        return batch, tf.one_hot(tf.gather(y, rows), classes)

    signature = (tf.TensorSpec((batch_size,), tf.int64), tf.TensorSpec((2,), tf.int64))
    stream = tf.data.Dataset.from_generator(rows_and_draws, output_signature=signature)
    calls = tf.data.AUTOTUNE if accelerators() else 1  # a CPU that also trains has no idle cores
    return stream.map(load, num_parallel_calls=calls).prefetch(2)


def in_order(images, labels, classes, batch_size=256, whole=False):
    """A tf.data set of (images, one-hot labels) batches, once each and in their order; `whole`: no smaller last one."""
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((images, tf.one_hot(labels, classes)))
    return pairs.batch(batch_size, drop_remainder=whole)
