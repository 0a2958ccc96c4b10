"""The trained networks that the project ships."""

import zipfile
from contextlib import contextmanager

import keras

from focal_utils.errors import damaged
from focal_utils.files import data_folder, reading

SHIPPED = "weights/*.keras"
OBJECTS = {"nuclei": ("nucleus", "nuclei")}  # what one object is called that a segmenter finds, and several


def load_trained(name=None):
    """A trained network that the project ships, as a `keras.Model`.

    It takes raw images as the loaders give them, (B, H, W, channels) from 0 to 255, and gives logits (B, classes); its
    `class_names` are the data set's. "nuclei" takes pictures of any size and gives logits (B, H, W, 2), for each pixel
    whether it lies in a nucleus, and how deep: `find_nuclei` makes objects of them, and its `object_names` are what one
    of them is called, and several. A network computes in the precision that it was trained in, float32, whatever Keras'
    global dtype policy says.

    Args:
        name: of the network. Without one, the names of all that are shipped are returned, as a list.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
        DamagedData: the file is cut short or damaged, or a checksum in it is wrong; the message names it.

    Example:
        >>> network = fu.load_trained("gtsrb")
        >>> fu.predict(network, images).argmax(-1)
    """
    shipped = {path.stem: path for path in sorted(data_folder().glob(SHIPPED))}
    if name is None:
        return list(shipped)
    if not isinstance(name, str) or name not in shipped:
        raise ValueError(f"No trained network is called {name!r}. Shipped are: {', '.join(shipped) or 'none'}.")
    path = shipped[name]
    with reading(path):
        with zipfile.ZipFile(path) as file:
            wrong = file.testzip()
        if wrong is not None:
            raise damaged(path, f"the checksum of {wrong} is wrong")
        with dtype_policy("float32"):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    names = class_names_of(name)
    if names is not None and model.class_names is None:
        model.class_names = names
    if name in OBJECTS:
        model.object_names = OBJECTS[name]
    return model


def class_names_of(name):
    """What the classes of a shipped network are called, by the data set that it learned from; None for another name."""
    from focal_utils.data.loaders import GTSRB_CLASSES, MEDMNIST  # only here: layers alone need no data sets

    names = {"gtsrb": GTSRB_CLASSES, "bloodcells": MEDMNIST["bloodmnist"][1], "breastmnist": MEDMNIST["breastmnist"][1]}
    return names.get(name)


@contextmanager
def dtype_policy(name):
    """Another global dtype policy for as long as the block lasts."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
