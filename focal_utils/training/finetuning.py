"""Fine-tuning: a trained network learns to tell one's own classes apart, by `train` twice or more."""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from focal_utils.data import ImageSet
from focal_utils.errors import check_flag, check_number, check_whole
from focal_utils.models import VARIANTS, FocalNet, focalnet, freeze, stages
from focal_utils.statistics import wilson
from focal_utils.training.augment import augment_photographs
from focal_utils.training.evaluate import accuracy
from focal_utils.training.rates import layer_rates
from focal_utils.training.recipe import train
from focal_utils.weights import load_checkpoint, load_trained, peer_weights


class FineTuned(NamedTuple):
    """What `finetune` gives; printed, it says how good it became."""

    model: FocalNet  # takes pictures 0…255, gives logits; it knows its classes' names
    log: list  # a dict for each epoch: phase, open_stages, loss, accuracy, val_loss, val_accuracy, …
    chosen: int  # number of the epoch in the log whose weights the model has: that of the lowest validation loss
    accuracies: dict  # part: (right, total), of validation and test

    def __str__(self):
        lines = [
            f"{len(self.log)} epochs; the weights of epoch {self.chosen + 1}, of the lowest validation loss, are kept."
        ]
        for part, (right, total) in self.accuracies.items():
            low, high = wilson(right, total)
            chose = ", which chose the epoch" if part == "val" else ""
            lines.append(
                f"{part}{chose}: {right} of {total} pictures right, {right / total:.1%} (95 % interval {low:.1%} to "
                f"{high:.1%})"
            )
        return "\n".join(lines)


class LowestLoss(keras.callbacks.Callback):
    """Keeps the weights of the lowest validation loss over all phases, and ends a phase that does not lower it.

    Keras' `EarlyStopping` keeps them over one `fit` only: a later phase that only worsens the network would be kept.
    """

    def __init__(self, patience):
        super().__init__()
        self.patience = patience
        self.log = []
        self.phase = {}
        self.lowest = np.inf
        self.chosen = None
        self.weights = None

    def on_train_begin(self, logs=None):
        self.waited = 0
        self.lowest_of_phase = np.inf

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: float(value) for name, value in logs.items()}
        self.log.append({**self.phase, **figures})
        loss = figures["val_loss"]
        if loss < self.lowest:
            self.lowest = loss
            self.chosen = len(self.log) - 1
            self.weights = self.model.get_weights()
        if loss < self.lowest_of_phase:
            self.lowest_of_phase = loss
            self.waited = 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.model.stop_training = True


def finetune(
    data,
    start="tiny_srf",
    epochs=20,
    head_epochs=5,
    *,
    gradual=False,
    decay=0.6,
    batch_size=None,
    augment=augment_photographs,
    head_rate=3e-3,
    learning_rate=5e-4,
    patience=6,
    seed=0,
    **recipe,
):
    """Fine-tune a trained FocalNet to the classes of `data`: `train`, first of the new classifier, then of everything.

    The classifier is new, so that its first gradients are as good as noise: the rest is frozen until it has settled.
    Then all is trained, early stages at smaller rates (`layer_rates`). A phase ends early when validation no longer
    gains, and of all epochs the weights of the lowest validation loss are kept. Accuracies are of these.

    Args:
        data: an `ImageSet` with validation, of pictures 0…255; `load_folder` makes one of photographs.
        start: what to start from: a variant, whose published weights are fetched; the name of a shipped network, such
            as "gtsrb", which needs no connection; or a `FocalNet`, which stays as it is.
        epochs: of the training of everything, at most.
        head_epochs: of the classifier alone, at most; 0 for none.
        gradual: whether stages are freed one after the other, from the last to the first, the epochs shared among them
            (Howard & Ruder 2018, section 3.3), and not all at once.
        decay: of the learning rate from each stage to the one before it; 1 for none.
        batch_size: images of a step; None for one of 32 or fewer that leaves few out.
        augment: see `train`.
        head_rate: learning rate of the first phase.
        learning_rate: of the classifier in the later ones, on which `decay` acts.
        patience: epochs without a lower validation loss after which a phase ends.
        seed: fixes the new classifier's weights, the order and the augmentation.
        recipe: further arguments of `train`: weight_decay, label_smoothing, optimizer, ….

    Returns:
        A `FineTuned`: the model, the log, the chosen epoch, and how many pictures of validation and test are right.

    Raises:
        TypeError: no `ImageSet`, or a start that is nothing of the above.
        ValueError: data without validation, an argument out of range, or fewer training images than 4.
        DataNotFound: published weights that cannot be fetched; the message names the ways out.

    Example:
        >>> data = fu.load_folder("my_pictures", size=128)
        >>> tuned = fu.finetune(data, start="gtsrb")
        >>> print(tuned)
        >>> tuned.model.save("mine.keras")
    """
    check_data(data)
    epochs = check_whole("epochs", epochs, 1)
    head_epochs = check_whole("head_epochs", head_epochs)
    check_whole("patience", patience, 1)
    check_number("decay", decay, above=0, at_most=1)
    check_flag("gradual", gradual)
    batch_size = batch_that_fits(len(data.x_train)) if batch_size is None else batch_size
    model = started(start, data, seed)
    keeper = LowestLoss(patience)
    for number, (frozen, lasts) in enumerate(phases(model, epochs, head_epochs, gradual)):
        freeze(model, frozen)
        whole = frozen < len(stages(model))
        keeper.phase = {"phase": number + 1, "open_stages": len(stages(model)) - frozen}
        train(
            model,
            data,
            lasts,
            batch_size,
            augment,
            seed + number,
            callbacks=[keeper],
            learning_rate=learning_rate if whole else head_rate,
            layer_rates=layer_rates(model, decay) if whole else None,
            **recipe,
        )
    freeze(model, 0)
    kept = FocalNet.from_config(model.get_config())  # without the optimizer, which would be saved with it
    kept.set_weights(keeper.weights)
    return FineTuned(kept, keeper.log, keeper.chosen, accuracies_of(kept, data))


def check_data(data):
    """Raise an error unless data can be fine-tuned on."""
    if not isinstance(data, ImageSet):
        raise TypeError(
            f"fu.finetune takes an ImageSet, not {type(data).__name__}: fu.load_folder(path) reads one from a folder "
            "with a folder for each class."
        )
    if "val" not in data.parts:
        raise ValueError(
            f"{data.name} has no validation images, by which the epoch is chosen: move some there by data.hold_out, or "
            "read the folder with validation=0.2."
        )
    top = data.x_train.max()
    if top <= 1:
        raise ValueError(f"The images of {data.name} go up to {top:g}: give them from 0 to 255.")


def batch_that_fits(images, most=32):
    """The batch size, from 4 (or all images) to `most`, that leaves fewest of the training images out of an epoch.

    Of those that leave out equally few it is the largest.

    Raises:
        ValueError: fewer than 4 images.
    """
    if images < 4:
        raise ValueError(f"{images} training images are too few to learn from: 4 at least, better some dozen a class.")
    least = max(4, min(most, images) // 2)
    return min(range(min(most, images), least - 1, -1), key=lambda size: images % size)


def started(start, data, seed=0):
    """A FocalNet for the images and classes of `data` with the weights of another, all but the classifier's.

    Args:
        start: see `finetune`.
        data: an `ImageSet`.
        seed: fixes the classifier's weights.

    Raises:
        TypeError, ValueError, DataNotFound: see `finetune`.
    """
    source = network_of(start)
    keras.utils.set_random_seed(seed)
    config = source.get_config()
    own = {
        "input_shape": data.image_shape,
        "classes": data.num_classes,
        "class_names": list(data.class_names),
        "include_top": True,
        "pooling": None,
        "classifier_activation": None,
        "preprocessing": config["preprocessing"] or "imagenet",
        "name": "finetuned",
    }
    kept = {name: value for name, value in config.items() if name not in ("trainable", "trainable_parts")}
    model = FocalNet.from_config({**kept, **own})
    bands = data.image_shape[-1]
    stem = "mean" if bands != source.input_shape[-1] else None
    load_checkpoint(model, peer_weights(source, "timm"), head=False, stem=stem)
    return model


def network_of(start):
    """The network that `start` means: a `FocalNet`."""
    if isinstance(start, FocalNet):
        return start
    if not isinstance(start, (str, Path)):
        raise TypeError(f"start is a {type(start).__name__}: give a variant, a shipped network's name or a FocalNet.")
    if start in VARIANTS:
        return focalnet(start, weights="imagenet", preprocessing="imagenet", include_top=False)
    shipped = load_trained()
    if start not in shipped:
        raise ValueError(
            f"start={str(start)!r} is not known: choose a variant, {', '.join(VARIANTS)}; a shipped network, "
            f"{', '.join(shipped)}; or give a FocalNet."
        )
    network = load_trained(start)
    if not isinstance(network, FocalNet):
        raise ValueError(f"{start} is no classifier to start from: choose another of {', '.join(shipped)}.")
    return network


def phases(model, epochs, head_epochs, gradual):
    """What is trained one after the other: (frozen stages, epochs) each.

    When stages are freed one by one, each phase but the last takes its share of the epochs, at least one.
    """
    count = len(stages(model))
    listed = [(count, head_epochs)] if head_epochs else []
    if not gradual:
        return [*listed, (0, epochs)]
    share = max(1, epochs // count)
    opened = [(frozen, share) for frozen in range(count - 1, 0, -1)]
    return [*listed, *opened, (0, max(1, epochs - share * (count - 1)))]


def accuracies_of(model, data):
    """How many pictures of validation and test are right: {part: (right, total)}, for the parts that there are."""
    found = {}
    for part in ("val", "test"):
        if part in data.parts:
            labels = getattr(data, f"y_{part}")
            share = accuracy(model, getattr(data, f"x_{part}"), labels)
            found[part] = (round(share * len(labels)), len(labels))
    return found
