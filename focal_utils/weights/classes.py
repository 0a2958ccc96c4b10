"""What the classes of published classifiers are called, where somebody who knows has written it down."""

import os
import socket
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from keras.applications import imagenet_utils

from focal_utils.errors import DamagedData, DataNotFound, check_choice
from focal_utils.files import TIMEOUT

IMAGENET_1K = 1000

IMAGENET_22K = 21842

# Where Keras keeps its list: in the folder that KERAS_HOME names, or in the user's own.
KERAS_LIST = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / "imagenet_class_index.json"


def imagenet_classes(count=IMAGENET_1K):
    """The classes of the published classifiers, in their order: a list of (id, name), such as ("n01440764", "tench").

    Ids are WordNet's, of which each class has its own; two classes may share a name ("crane").

    Args:
        count: 1000, ImageNet-1K, by Keras' own list, which Keras downloads the first time; or 21842, ImageNet-22K as
            Microsoft ordered it for FocalNet, the 1,000 of ImageNet-1K first, by the list that timm brings. Its files
            are read, and need no PyTorch: `pip install --no-deps timm`.

    Raises:
        ValueError: another count.
        DataNotFound: the list is not here and cannot be had; the message says what to do.
        DamagedData: a list of timm's that is none of so many classes.

    Example:
        >>> fu.imagenet_classes()[281]  # doctest: +SKIP
        ('n02123045', 'tabby')
    """
    check_choice("count", count, (IMAGENET_1K, IMAGENET_22K))
    return classes_of_keras() if count == IMAGENET_1K else classes_of_timm()


def classes_of_keras():
    """ImageNet-1K's classes by Keras' list."""
    if os.environ.get("FOCAL_OFFLINE") and not KERAS_LIST.is_file():
        raise DataNotFound(f"Keras' list of ImageNet's classes is not in {KERAS_LIST}, and FOCAL_OFFLINE is set.")
    in_order = -np.arange(IMAGENET_1K, dtype="float32")[None]  # as scores, so that the first class is the best
    try:
        with silent_for_at_most(TIMEOUT):
            (listed,) = imagenet_utils.decode_predictions(in_order, top=IMAGENET_1K)
    except Exception as error:  # Keras says a plain Exception where it cannot fetch
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataNotFound(
            f"Keras' list of ImageNet's classes could not be fetched ({reason}). Call fu.imagenet_classes() once where "
            f"there is a network, and bring what Keras then keeps as {KERAS_LIST}."
        ) from error
    return [(synset, name) for synset, name, _ in listed]


def classes_of_timm():
    """ImageNet-22K's classes, as Microsoft's checkpoints have them, by the list that timm brings."""
    timm = find_spec("timm")
    if timm is None:
        raise DataNotFound(
            f"The list of the {IMAGENET_22K:,} classes of ImageNet-22K comes with timm, which is not installed. Its "
            "files alone are read: pip install --no-deps timm."
        )
    folder = Path(timm.origin).parent / "data" / "_info"
    synsets = folder / "imagenet22k_ms_synsets.txt"
    names = folder / "imagenet_synset_to_lemma.txt"
    if not (synsets.is_file() and names.is_file()):
        raise DataNotFound(f"The timm that is installed has no {synsets.name} in {folder}: pip install timm==1.0.31.")
    name_of = dict(line.split("\t", 1) for line in names.read_text(encoding="utf-8").splitlines())
    listed = synsets.read_text(encoding="utf-8").split()
    unknown = [synset for synset in listed if synset not in name_of]
    if len(listed) != IMAGENET_22K or unknown:
        raise DamagedData(
            f"{synsets} has {len(listed)} classes, {len(unknown)} of them without a name: not FocalNet's."
        )
    return [(synset, name_of[synset]) for synset in listed]


@contextmanager
def silent_for_at_most(seconds):
    """For as long as the block lasts, a server that is silent for so long counts as not reached: Keras has no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def name_classes(model):
    """Tell a network of published weights what its classes are called, where that can be known, and nobody has said it.

    Without a list of so many classes, or a way to get it, they stay without names.
    """
    config = getattr(model, "config", {})
    named = config.get("class_names") is not None
    if config.get("include_top") and not named and config["classes"] in (IMAGENET_1K, IMAGENET_22K):
        try:
            model.class_names = [name for _, name in imagenet_classes(config["classes"])]
        except DataNotFound:
            return
