"""The trained networks that the project ships."""

import keras

from focal_utils.errors import damaged
from focal_utils.files import data_folder

SHIPPED = "weights/*.keras"


def load_trained(name=None):
    """A trained network that the project ships, as a `keras.Model`: `load_trained("gtsrb")`.

    It takes raw images as the loaders give them, (B, H, W, channels) from 0 to 255, and gives logits (B, classes).

    Args:
        name: of the network. Without one, the names of all that are shipped are returned, as a list.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
        DamagedData: the file is cut short or damaged; the message names it.
    """
    shipped = {path.stem: path for path in sorted(data_folder().glob(SHIPPED))}
    if name is None:
        return list(shipped)
    if name not in shipped:
        raise ValueError(f"No trained network is called {name!r}. Shipped are: {', '.join(shipped) or 'none'}.")
    path = shipped[name]
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise damaged(path, error) from error
