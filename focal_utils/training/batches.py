"""The input pipeline: which images make up which batch. It is tf.data, whatever the backend that trains."""

from importlib import import_module

from focal_utils.machine import accelerators

ENDLESS = 2**62  # epochs; no run gets there


class LazyTensorFlow:
    """TensorFlow, imported when it is first used: under JAX or PyTorch it is needed for batches only.

    Raises:
        ModuleNotFoundError: it is not installed; the message says what to install, and what trains without it.
    """

    def __getattr__(self, name):
        try:
            module = import_module("tensorflow")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "Batches are made and augmented by tf.data, whatever the backend that trains: pip install "
                "tensorflow-cpu (on a Mac: tensorflow). Without it, compile by fu.training.compile_model, and feed "
                "model.fit your own batches of images and one-hot labels.",
                name="tensorflow",
            ) from error
        return getattr(module, name)


tf = LazyTensorFlow()


def training_batches(images, labels, classes, batch_size=128, augment=None, seed=0, start=0):
    """An endless tf.data set of (images, one-hot labels) batches: each epoch in another order, augmented anew.

    The batch of a step follows from the seed and the number of the step alone, so that a run can go on from any step.
    What does not fill a batch at the end of an epoch's order is left out; it is other images in each epoch. No Python
    runs in the pipeline: a generator's thread would slow down all that NumPy does in the same process by half.

    Args:
        images: (N, H, W, channels), 0…255.
        labels: (N,) class numbers below `classes`.
        batch_size: images in a batch.
        augment: a function like `augment_signs`, or None.
        seed: fixes the order and the augmentation; a whole number.
        start: the step with which it begins.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
    """
    x = tf.constant(images)
    y = tf.constant(labels, tf.int32)

    def load(rows, draw):
        batch = tf.gather(x, rows)
        batch = tf.cast(batch, tf.float32) if augment is None else augment(batch, draw)
        return batch, tf.one_hot(tf.gather(y, rows), classes)

    calls = tf.data.AUTOTUNE if accelerators() else 1  # a CPU that also trains has no idle cores
    return rows_of_steps(len(images), batch_size, seed, start).map(load, num_parallel_calls=calls).prefetch(2)


def rows_of_steps(count, batch_size, seed=0, start=0):
    """A tf.data set, for each step from `start` on, of its images' rows and of two numbers for their augmentation.

    Args:
        count: how many images there are; each epoch takes them in another order.
        batch_size: images of a step.
        seed: a whole number.
        start: number of the first step.

    Returns:
        Pairs of rows (batch_size,) and numbers (2,), without end.
    """
    steps = count // batch_size

    def of_an_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch])
        first = tf.where(epoch == start // steps, tf.constant(start % steps, tf.int64), 0)

        def of_a_step(step):
            rows = tf.reshape(order[step * batch_size : (step + 1) * batch_size], (batch_size,))
            return rows, tf.stack([tf.cast(seed, tf.int64), epoch * steps + step])

        return tf.data.Dataset.range(first, steps).map(of_a_step)

    return tf.data.Dataset.range(start // steps, ENDLESS).flat_map(of_an_epoch)


def validation_batches(images, labels, classes, batch_size=256, whole=False):
    """A tf.data set of (images, one-hot labels) batches, once each and in their order; `whole`: no smaller last one."""
    pairs = tf.data.Dataset.from_tensor_slices((images, tf.one_hot(labels, classes)))
    return pairs.batch(batch_size, drop_remainder=whole).map(lambda x, y: (tf.cast(x, tf.float32), y))
