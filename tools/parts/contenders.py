"""What benchmark_speed.py races: for each task, contenders that give one step as a function without arguments."""

import os
from functools import partial
from typing import NamedTuple

import numpy as np

TINY = {"embed_dim": 96, "depths": (2, 2, 6, 2), "focal_levels": (2, 2, 2, 2), "patch_size": 4}
SMALL = {"embed_dim": 32, "depths": (1, 3, 4), "focal_levels": (3, 2, 1), "patch_size": 2}  # 1.0 M parameters


class Task(NamedTuple):
    """A step that all contenders take on the same images."""

    batch: int
    size: int
    classes: int
    network: dict

    def images(self):
        """(batch, size, size, 3) float32, 0…255, the same in each process."""
        shape = (self.batch, self.size, self.size, 3)
        return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")

    def labels(self):
        """(batch,) class numbers."""
        return np.random.default_rng(1).integers(0, self.classes, self.batch)


TASKS = {"forward": Task(8, 224, 1000, TINY), "training": Task(128, 32, 43, SMALL)}


class Contender(NamedTuple):
    """`build(task)` gives the step; `modules` have to be installed; `backend` is Keras' in the contender's process.

    Peers of PyTorch's run beside Keras on PyTorch: with TensorFlow in the same process, torchvision ended it.
    """

    build: object
    modules: tuple
    backend: str


def keras_forward(task, model, jit=False):
    """One call of `predict_on_batch`; `jit`: whether XLA compiles it, "auto" is Keras' default, on a CPU no XLA."""
    model.compile(jit_compile=jit)
    return partial(model.predict_on_batch, task.images())


def keras_training(task, model, jit=False):
    """One call of `train_on_batch` with Adam, cross-entropy and accuracy."""
    from keras.losses import SparseCategoricalCrossentropy

    model.compile("adamw", SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], jit_compile=jit)
    return partial(model.train_on_batch, task.images(), task.labels())


def ours(step, task, dtype=None, jit=False):
    import focal_utils as fu

    return step(task, fu.FocalNet((task.size, task.size, 3), task.classes, dtype=dtype, **task.network), jit)


def stock(step, task, jit="auto"):
    from parts.networks import stock_focalnet

    return step(task, stock_focalnet((task.size, task.size, 3), task.classes, **task.network), jit)


def application(step, task, name):
    import keras

    shape = (task.size, task.size, 3)
    network = getattr(keras.applications, name)
    return step(task, network(input_shape=shape, classes=task.classes, weights=None, classifier_activation=None))


def torch_step(task, model, logits=lambda output: output):
    """A PyTorch step in eager mode: the forward pass alone, or a whole training step with AdamW."""
    import torch

    torch.set_num_threads(os.cpu_count())
    images = torch.from_numpy(task.images()).permute(0, 3, 1, 2).contiguous()
    if task is TASKS["forward"]:

        def forward():
            with torch.inference_mode():
                return logits(model(images))

        model.eval()
        return forward
    labels = torch.from_numpy(task.labels())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def train():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits(model(images)), labels).backward()
        optimizer.step()

    return train


def timm_focalnet(task):
    from timm.models.focalnet import FocalNet

    network = dict(task.network)
    levels = network.pop("focal_levels")
    patch = network.pop("patch_size")
    model = FocalNet(num_classes=task.classes, focal_levels=levels, focal_windows=(3,) * len(levels), **network)
    if patch != 4:  # timm's stem is of 4×4 patches, whatever is asked for
        model.stem.proj = type(model.stem.proj)(3, task.network["embed_dim"], patch, patch)
    return torch_step(task, model)


def transformers_focalnet(task):
    from transformers import FocalNetConfig, FocalNetForImageClassification

    network = task.network
    stages = len(task.network["depths"])
    config = FocalNetConfig(
        image_size=task.size,
        patch_size=network["patch_size"],
        embed_dim=network["embed_dim"],
        hidden_sizes=[network["embed_dim"] * 2**stage for stage in range(stages)],
        depths=list(network["depths"]),
        focal_levels=list(network["focal_levels"]),
        focal_windows=[3] * stages,
        drop_path_rate=0.0,
        num_labels=task.classes,
    )
    return torch_step(task, FocalNetForImageClassification(config), lambda output: output.logits)


def matrix_product(task):
    """A 2048×2048 float32 product of TensorFlow's: what these cores can do. 2·2048³ operations a step."""
    import tensorflow as tf

    matrix = tf.constant(np.random.default_rng(0).normal(size=(2048, 2048)).astype("float32"))
    product = tf.function(lambda: tf.reduce_max(tf.matmul(matrix, matrix)))
    return lambda: float(product())


PRODUCT = "matrix product"
PRODUCT_OPERATIONS = 2 * 2048**3


def contenders(task):
    """Name → `Contender`, ours first."""
    step = keras_forward if task == "forward" else keras_training
    found = {
        "ours, TensorFlow": Contender(partial(ours, step), ("tensorflow",), "tensorflow"),
        "ours, TensorFlow, mixed bfloat16": Contender(
            partial(ours, step, dtype="mixed_bfloat16"), ("tensorflow",), "tensorflow"
        ),
        "ours, JAX": Contender(partial(ours, step, jit=True), ("jax",), "jax"),
        "ours, PyTorch": Contender(partial(ours, step), ("torch",), "torch"),
        "stock Keras layers, TensorFlow, default compile": Contender(
            partial(stock, step), ("tensorflow",), "tensorflow"
        ),
        "stock Keras layers, TensorFlow, XLA": Contender(partial(stock, step, jit=True), ("tensorflow",), "tensorflow"),
        "timm FocalNet, PyTorch eager": Contender(timm_focalnet, ("torch", "timm"), "torch"),
        "transformers FocalNet, PyTorch eager": Contender(transformers_focalnet, ("torch", "transformers"), "torch"),
    }
    if task == "forward":
        for name in ("ConvNeXtTiny", "MobileNetV3Large"):
            build = partial(application, step, name=name)
            found[f"Keras {name}, TensorFlow"] = Contender(build, ("tensorflow",), "tensorflow")
    return found | {PRODUCT: Contender(matrix_product, ("tensorflow",), "tensorflow")}
