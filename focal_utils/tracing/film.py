"""A film of the gates while a network learns: a strip of pictures that needs no kernel."""

import io
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image

from focal_utils.errors import check_choice, check_whole
from focal_utils.figures import gate_maps
from focal_utils.files import whole_file
from focal_utils.tracing.edits import gate_names
from focal_utils.tracing.traces import as_batch, modulations, run_traced


class Shot(NamedTuple):
    """The gates at one moment of a training."""

    epoch: int  # how many are done
    gates: np.ndarray  # (N, h, w, levels), of the block that is filmed
    logs: dict  # what Keras measured in this epoch: loss, accuracy, …


class GateFilm(keras.callbacks.Callback):
    """A callback that films the gates of one block: a GIF, a picture for each epoch, all on one scale.

    It traces the network on the same images before the first epoch and after each, which costs a forward pass, and
    draws when the training ends: each image beside its gates, one column for each level, the epoch and the accuracy
    above. The GIF plays wherever pictures are shown. What was traced stays in `shots`.

    Args:
        images: (N, H, W, channels), as the network takes them; a few, they are stacked.
        path: where to write the GIF; its folder must be there. None for no file.
        block: the name of a block, "stage1_block0" for instance; None for the middle one.
        every: epochs from shot to shot; the last epoch is always shot.
        milliseconds: how long each picture stays; the last one stays four times as long.

    Raises:
        ValueError: images that are no batch, a block that is not there, a network without focal modulation, or a path
            that does not end in .gif.

    Example:
        >>> film = fu.GateFilm(data.x_val[:3], "gates.gif")
        >>> history = fu.train(network, data, epochs=8, callbacks=[film])
        >>> film.shots[-1].gates.shape
        (3, 16, 16, 4)
    """

    def __init__(self, images, path=None, block=None, every=1, milliseconds=700):
        super().__init__()
        self.images = as_batch(images)
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.suffix.lower() != ".gif":
            raise ValueError(f"path={str(path)!r}: a film is a GIF, so give a name that ends in .gif.")
        self.block = block
        self.every = check_whole("every", every, 1)
        self.milliseconds = check_whole("milliseconds", milliseconds, 20)
        self.shots = []

    def on_train_begin(self, logs=None):
        blocks = list(modulations(self.model).values())
        self.block = blocks[len(blocks) // 2] if self.block is None else check_choice("block", self.block, blocks)
        self.names = gate_names(self.model)[self.block]
        self.shots = []
        self.last = self.params.get("epochs")

    def on_epoch_begin(self, epoch, logs=None):
        if not self.shots:  # a training that goes on begins later than with epoch 0
            self.shoot(epoch, {})

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.last:
            self.shoot(epoch + 1, logs or {})

    def on_train_end(self, logs=None):
        if self.path is not None:
            self.write(self.path)

    def shoot(self, epoch, logs):
        """Trace the network as it is now, and keep its gates."""
        traces = run_traced(self.model, self.images)[1]
        gates = next(trace.gates for trace in traces if trace.name == self.block)
        self.shots.append(Shot(epoch, gates, {name: float(value) for name, value in logs.items()}))

    def frames(self):
        """A `Figure` for each shot, all with the same scale."""
        limit = max(float(np.abs(shot.gates).max()) for shot in self.shots)
        for shot in self.shots:
            figure = gate_maps(self.images, shot.gates, self.names, limit)
            figure.suptitle(title_of(shot), fontsize=10)
            yield figure

    def write(self, path):
        """Write the film to a GIF.

        Raises:
            ValueError: nothing has been filmed yet.
        """
        if not self.shots:
            raise ValueError("Nothing has been filmed yet: hand the film to `fu.train` or `fit` as a callback first.")
        pictures = [as_picture(figure) for figure in self.frames()]
        durations = [self.milliseconds] * (len(pictures) - 1) + [4 * self.milliseconds]
        with whole_file(path) as part:
            pictures[0].save(part, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def title_of(shot):
    """What stands above a picture of the film."""
    if shot.epoch == 0:
        return "before training"
    accuracy = shot.logs.get("val_accuracy")
    return f"epoch {shot.epoch}" + ("" if accuracy is None else f", validation accuracy {accuracy:.2f}")


def as_picture(figure):
    """A `Figure` as a PIL image in few colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, facecolor="white")
    return Image.open(buffer).convert("RGB").quantize(128)
