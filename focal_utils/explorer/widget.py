"""`GateExplorer`: the widget that shows a network's gates over a picture and answers under the mouse."""

import base64
import json
import sys
from collections import OrderedDict
from numbers import Integral, Real
from pathlib import Path

import anywidget
import keras
import numpy as np
import traitlets
from PIL import Image

from focal_utils.data.imageset import ImageSet
from focal_utils.data.nuclei import PictureSet
from focal_utils.data.pictures import fit_picture, picture_array, read_picture
from focal_utils.errors import check_choice
from focal_utils.explorer.bundle import script, style
from focal_utils.explorer.network import network_bytes, object_names, runs_in_page, says_objects
from focal_utils.explorer.predictions import OUTPUTS, class_output, count_classes, means_probabilities, top_classes
from focal_utils.explorer.sheet import contact_sheet
from focal_utils.explorer.shown import (
    MODES,
    NOT_FINITE,
    data_address,
    describe_blocks,
    exact_address,
    examine,
    finite,
    maps,
    object_runs,
    pixel_vectors,
    single_switches,
)
from focal_utils.explorer.still import answers_bytes, compact, page_text
from focal_utils.files import whole_file
from focal_utils.tracing.traces import modulations, run_traced

REMEMBERED = 64  # pictures whose maps are kept
MOST_BYTES = 3_000_000  # of an exported page
LARGEST_UPLOAD = 64_000_000  # bytes
MANY = 60  # pictures, from which on a number is asked for instead of thumbnails shown (page/workbench.js)
THUMB = 96  # pixels a side
FARTHEST = 2  # times a gate, to both sides


class Whole(traitlets.Int):
    """A trait for a whole number of any kind, NumPy's too."""

    def validate(self, owner, value):
        return super().validate(owner, int(value) if isinstance(value, Integral) else value)


class GateExplorer(anywidget.AnyWidget):
    """Look at the gates, contexts and modulators of a network beside a picture, and switch levels off.

    Point at a pixel, or move with the arrow keys: its gates are shown as bars, what each level sees as squares on the
    picture, and how the numbers are made from each other. Only another picture, another switch or the vectors of a
    pixel ask the kernel. Works in JupyterLab 4, Notebook 7 and Colab (ipywidgets 7.7.1 or later, anywidget).

    Args:
        model: a `keras.Model` with focal modulation; it takes batches (B, H, W, channels). A subclassed one is shown
            pictures of the size that it was first called with, or as they are if it was not called yet. Of several
            outputs the first of shape (B, classes) is read. Of a `fu.segmenter` of two numbers for each pixel the
            objects are outlined and counted, as `fu.find_nuclei` finds them.
        images: the pictures: an array (N, H, W, 1 or 3), a list of such pictures of any size, of files (paths) or of
            Pillow images, a dict from name to picture, a single picture, or a data set, whose test images are taken.
            Numbers go from 0 to 255; see `read_picture` for others. Of another size than the network reads they are cut
            at their centre and resized. What was done to a picture is said below it.
        class_names: names of the classes. None: those of the model (`model.class_names`) or of the `ImageSet`, if they
            are as many as the classes; else "class 7". Of a segmenter what one object is called, and several; None:
            `model.object_names`, else "object" and "objects".
        prepare: a function of the batch of raw pictures, (B, H, W, channels) uint8, that gives what the model takes.
            None: the model takes them as they are.
        outputs: what the model gives for a class, "logits" or "probabilities". None: recognised, by a softmax or
            sigmoid at the end, or rows that are distributions. One column says yes or no, class 1 or class 0.

    Traits that may be read, set and observed: `picture` (its number), `block` (its number), `view` ("gate", "winner",
    "modulator" or "context"), `level`, and `switches`: {block name: for each level "on", "mean" (frozen: at every pixel
    its mean over the picture), "off", or a number from −2 to 2 that the gate is multiplied by}.

    Raises:
        ValueError: a model without focal blocks or with several inputs, no pictures, pictures that are none, names that
            are not as many as classes, or "probabilities" that are none.
        TypeError: no model, or images that are nothing of the above.

    Example:
        >>> explorer = fu.GateExplorer(fu.load_trained("gtsrb"), {"stop": fu.render_sign(14)})
        >>> explorer.switches = {"stage0_block0": ["off", "on", "on", "on"]}  # level 1 of the first block
        >>> explorer.to_html("stop.html")
    """

    _esm = script() + "\nexport default { render };\n"
    _css = style()

    about = traitlets.Dict().tag(sync=True)  # blocks, class names, the size that the network reads
    names = traitlets.List().tag(sync=True)  # of the pictures
    thumbs = traitlets.List().tag(sync=True)  # their addresses; none where there are many
    picture = Whole(0).tag(sync=True)
    block = Whole(0).tag(sync=True)
    view = traitlets.Enum(("gate", "winner", "modulator", "context"), "gate").tag(sync=True)
    level = Whole(0).tag(sync=True)
    switches = traitlets.Dict().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)  # everything of the picture on screen
    message = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model, images, class_names=None, prepare=None, outputs=None):
        if "google.colab" in sys.modules:
            from google.colab import output  # Colab shows widgets of other packages only if told to

            output.enable_custom_widget_manager()
        if outputs is not None:
            check_choice("outputs", outputs, OUTPUTS)
        *self._size, self._channels = picture_shape(model)
        self._model = model
        self._prepare = prepare
        self._pictures, names = collect(images)
        self._seen = OrderedDict()
        self._upload = []
        self._objects = None
        classes = self._read_output(images, class_names, outputs)
        shown, traces, picture = self._examined(0, {})
        about = {
            "blocks": describe_blocks(model, traces, *picture.shape[:2]),
            "classes": classes,
            "objects": self._objects,
            "size": None if None in self._size else list(self._size),
        }
        super().__init__(
            about=about,
            names=names,
            thumbs=self._thumbs(),
            shown=shown,
            switches={},
        )
        self.observe(self._show, ["picture", "switches"])
        self.on_msg(self._receive)

    def _read_output(self, images, class_names, outputs):
        """Find out which output is about classes and what it holds; the classes' names, a list."""
        first, _ = self._fitted(0)
        output, _ = run_traced(self._model, self._batch(first))
        if says_objects(self._model):
            self._number = None
            self._meaning = "objects"
            self._objects = object_names(self._model, class_names)
            return []
        self._number = class_output(output, class_names)
        self._meaning = outputs or "logits"
        if self._number is None and class_names is not None:
            shapes = ", ".join(str(part.shape) for part in keras.tree.flatten(output))
            raise ValueError(f"class_names has {len(class_names)} entries, but the model's output is {shapes}.")
        if self._number is None:
            return []
        values = keras.tree.flatten(output)[self._number]
        if outputs is None and means_probabilities(self._model, self._number, values):
            self._meaning = "probabilities"
        count = count_classes(values)
        own = images.class_names if isinstance(images, ImageSet) else None
        for known in (class_names, getattr(self._model, "class_names", None), own):
            if known is not None and len(known) == count:
                return [str(name) for name in known]
        return [f"class {number}" for number in range(count)]

    def __repr__(self):
        return f"<GateExplorer of {self._model.name}: {len(self.names)} pictures, {len(self.about['blocks'])} blocks>"

    def add(self, picture, name=None):
        """Add a picture and show it.

        Args:
            picture: an array, a Pillow image, the path of an image file, or its bytes; see `read_picture`.
            name: what to call it.

        Raises:
            ValueError: no picture, a damaged one, or one too small for the network.
            FileNotFoundError: no such file.
                Either way the explorer stays as it was.
        """
        name = name or (Path(picture).name if isinstance(picture, (str, Path)) else f"picture {len(self.names)}")
        self._pictures.append(read_picture(picture, name))
        try:
            self._examined(len(self.names), {})
        except Exception as error:
            self._pictures.pop()
            raise ValueError(f"{name} could not go through the network: {error}") from error
        self.names = [*self.names, str(name)]
        self.thumbs = self._thumbs()
        self.picture = len(self.names) - 1

    def to_html(self, path, pictures=12, most_bytes=None):
        """Write a page of its own that needs neither kernel nor connection.

        A `FocalNet` with a classifier, or a `fu.segmenter` on one, runs in it, on pictures of the reader's own too,
        whatever is switched. Of another model, of one with `prepare`, and of one too large for a page, the pictures and
        single switches are recorded instead. Where that would be too large, the pictures become JPEG and the largest
        maps are averaged, two by two pixels or more, until it is not; the page says so.

        Args:
            path: of the file, written whole or not at all.
            pictures: how many of the pictures, from the first one on, or a list of their numbers.
            most_bytes: that the page may have; None: 3 MB.

        Raises:
            ValueError: no pictures, numbers of none, or a page that would still be too large.
        """
        numbers = self._numbers(pictures)
        limit = MOST_BYTES if most_bytes is None else most_bytes
        page = self._live_page(numbers, limit) or self._recorded_page(numbers, limit)
        with whole_file(path) as temporary:
            temporary.write_text(page, "utf-8")

    def _live_page(self, numbers, limit):
        """The page in which the network itself runs, as precise as fits; None where no page so small can run it."""
        if not self._can_run_in_page() or not finite(self._examined(numbers[0], {})[1]):
            return None
        shown = []
        for number in numbers:
            picture, notes = self._fitted(number)
            shown.append({"name": self.names[number], "address": exact_address(picture), "notes": notes})
        for precision in ("float16", "int8"):
            data = network_bytes(self._model, self._objects or self.about["classes"], precision)
            file = {"base64": base64.b64encode(data).decode()}
            page = self._page({"file": file, "pictures": shown}, numbers)
            if len(page.encode()) <= limit:
                return page
        return None

    def _can_run_in_page(self):
        """Whether the page's own forward pass says what this explorer shows."""
        if self._prepare is not None or not runs_in_page(self._model):
            return False
        if self._meaning == "objects":
            return True
        return self._meaning == "logits" and self._number == 0

    def _recorded_page(self, numbers, limit):
        """The page of what the network says of the pictures, and of one switch at a time."""
        recorded = {
            "about": self.about,
            "names": [self.names[number] for number in numbers],
            "pictures": [],
            "answers": [],
        }
        examined = [self._examined(number, {}) for number in numbers]
        empty = len(self._page({"recorded": recorded}, numbers).encode())
        room = limit - empty - answers_bytes(self.about["blocks"], len(numbers))
        recorded["pictures"], blocks = compact(examined, self.about["blocks"], room)
        recorded["about"] = self.about | {"blocks": blocks, "objects": None}
        recorded["pictures"] = [picture | {"objects": None} for picture in recorded["pictures"]]
        batches = [self._batch(picture) for _, _, picture in examined]
        alike = len({batch.shape for batch in batches}) == 1
        for batch in [np.concatenate(batches)] if alike else batches:
            if self._objects is None:
                recorded["answers"] += single_switches(self._answers, batch, self.about["blocks"])
        return self._page({"recorded": recorded}, numbers)

    def _page(self, network, numbers):
        """The text of a page that shows a network, as `mount` takes it, in the state that is on screen."""
        state = {name: getattr(self, name) for name in ("block", "view", "level")}
        options = {"networks": [{"id": "", "title": ""} | network], "state": state, "address": True}
        still = data_address(self._examined(numbers[0], {})[2], side=THUMB)
        return page_text(options, self.names[numbers[0]], still)

    def _numbers(self, pictures):
        """The numbers of the pictures that `to_html` was asked for, a list."""
        count = len(self.names)
        numbers = list(range(count)[: max(0, pictures)] if isinstance(pictures, Integral) else pictures)
        wrong = [number for number in numbers if not isinstance(number, Integral) or not 0 <= number < count]
        if wrong:
            raise ValueError(f"pictures: there is no picture {wrong[0]!r}, they have the numbers 0 to {count - 1}.")
        if not numbers:
            raise ValueError(
                f"pictures={pictures!r}: the page would have no pictures. There are {count} to choose from."
            )
        return [int(number) for number in numbers]

    def contact_sheet(self):
        """The picture on screen beside all its maps, a row for each block: a `Figure` that says the same on paper."""
        _, traces, picture = self._examined(self.picture, self.switches)
        return contact_sheet(picture, traces, self.about["blocks"])

    def _batch(self, picture):
        """What the model takes for one fitted picture (H, W, 3): a batch of one."""
        raw = np.round(picture.mean(axis=-1, keepdims=True)).astype("uint8") if self._channels == 1 else picture
        return np.asarray(raw[None] if self._prepare is None else self._prepare(raw[None]))

    def _thumbs(self):
        """Small pictures to choose by; none where they are many."""
        if len(self._pictures) > MANY:
            return []
        return [data_address(picture_array(values)[0], side=THUMB) for values, _ in self._pictures]

    def _fitted(self, number):
        """Picture `number` as the network reads it, (H, W, 3) uint8, and the sentences about it."""
        raw, notes = self._pictures[number]
        values, more = picture_array(raw, f"picture {number}")
        picture, fitting = fit_picture(values, *self._size)
        return picture, [*notes, *more, *fitting]

    def _answers(self, images, switches):
        """All probabilities for images as the model takes them, under switches, and the traces."""
        return examine(self._model, images, switches, self._number, self._meaning)

    def _examined(self, number, switches):
        """What is shown of picture `number` under `switches`, its traces, and the picture as the network reads it."""
        key = number, json.dumps(switches, sort_keys=True)
        if key not in self._seen:
            picture, notes = self._fitted(number)
            (after,), traces = self._answers(self._batch(picture), switches)
            earlier = self._examined(number, {})[0] if switches else None
            objects = None
            if self._meaning == "objects":
                runs = object_runs(after)
                objects = {"before": earlier["objects"]["after"] if switches else runs, "after": runs}
                after = []
            before = earlier["probabilities"]["after"] if switches else after
            shown = {
                "picture": number,
                "switches": switches,
                "image": data_address(picture),
                "size": list(picture.shape[:2]),
                "notes": notes if finite(traces) else [*notes, NOT_FINITE],
                "before": top_classes(before),
                "after": top_classes(after),
                "probabilities": {"before": before, "after": after},
                "objects": objects,
                "maps": [maps(block) for block in traces],
            }
            self._seen[key] = shown, traces, picture
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return self._seen[key]

    @traitlets.validate("picture", "block", "level")
    def _in_range(self, proposal):
        name = proposal["trait"].name
        value = proposal["value"]
        blocks = self.about["blocks"]
        counts = {
            "picture": len(self.names),
            "block": len(blocks),
            "level": max(len(block["levels"]) for block in blocks),
        }
        if not 0 <= value < counts[name]:
            raise traitlets.TraitError(f"{name}={value}: there are {counts[name]}, so give 0 to {counts[name] - 1}.")
        return value

    @traitlets.validate("switches")
    def _known_switches(self, proposal):
        levels = {block["name"]: len(block["levels"]) for block in self.about["blocks"]}
        for name, modes in proposal["value"].items():
            listed = isinstance(modes, (list, tuple)) and all(is_mode(mode) for mode in modes)
            if name not in levels or not listed or len(modes) != levels[name]:
                raise traitlets.TraitError(
                    f"switches={{{name!r}: {modes!r}}}: give a block's name, and for each of its levels one of "
                    f"{', '.join(MODES)}, or a number from −2 to 2. Blocks and their levels: {levels}."
                )
        return proposal["value"]

    def _show(self, _):
        """Answer another picture or other switches. What goes wrong is said in the explorer, which stays as it was."""
        try:
            self.shown = self._examined(self.picture, self.switches)[0]
            self.message = ""
        except Exception as error:
            self.message = f"That did not work: {error}"

    def _look(self, content):
        """Send the vectors of a pixel of the picture on screen."""
        _, traces, _ = self._examined(self.picture, self.switches)
        block = traces[content["block"]]
        layer = next(layer for layer, name in modulations(self._model).items() if name == block.name)
        self.send({"id": content["id"], "pixel": pixel_vectors(layer, block, content["row"], content["column"])})

    def _receive(self, _, content, buffers):
        """Answer for a pixel, or take the parts of an upload, of which the last one makes it a picture."""
        if content.get("kind") == "pixel":
            self._look(content)
        if content.get("kind") != "upload":
            return
        if content["part"] == 0:
            self._upload = []
        if sum(map(len, self._upload)) <= LARGEST_UPLOAD:  # of a larger one the rest is dropped
            self._upload += [bytes(buffer) for buffer in buffers]
        if sum(map(len, self._upload)) > LARGEST_UPLOAD:
            self.message = f"{content['name']} is over {LARGEST_UPLOAD / 1e6:.0f} MB: reduce it first."
        elif content["part"] == content["parts"] - 1:
            data = b"".join(self._upload)
            self._upload = []
            try:
                self.message = ""
                self.add(data, content["name"])
            except Exception as error:
                self.message = str(error)


def is_mode(mode):
    """Whether this is a way to set a level."""
    if isinstance(mode, Real) and not isinstance(mode, bool):
        return -FARTHEST <= mode <= FARTHEST
    return mode in MODES


def picture_shape(model):
    """Height, width and channels of the pictures that a model reads; None for what may be any, or is not known.

    Raises:
        TypeError: no model.
        ValueError: one of several inputs, or of inputs that are no pictures.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model is a {type(model).__name__}: give a keras.Model with focal modulation.")
    shape = getattr(model, "input_shape", None)
    if shape is None and model.built:  # a subclassed model: of what it was called with
        shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None:
        return None, None, None
    if isinstance(shape, list) and len(shape) == 1:
        (shape,) = shape
    if isinstance(shape, dict) or any(isinstance(part, (list, tuple)) for part in shape):
        raise ValueError(f"Model {model.name!r} takes several inputs, {shape}: wrap it in one that takes pictures.")
    if len(shape) != 4:
        raise ValueError(f"Model {model.name!r} takes {shape}: the explorer needs (batch, height, width, channels).")
    return tuple(shape[1:])


def collect(images):
    """The pictures that `GateExplorer` was given, as a list of (values, notes), and their names."""
    if isinstance(images, ImageSet):
        names = [f"{number} · {images.class_names[label]}" for number, label in enumerate(images.y_test)]
        pictures = [(image, []) for image in images.x_test]
    elif isinstance(images, PictureSet):
        names = [f"{number} · {image.shape[1]}×{image.shape[0]}" for number, image in enumerate(images.x_test)]
        counts = [int(labels.max()) for labels in images.y_test]
        pictures = [
            (image, [f"People marked {count} in it."]) for image, count in zip(images.x_test, counts, strict=True)
        ]
    else:
        named = as_named(images)
        names = [name for name, _ in named]
        pictures = [read_picture(picture, name) for name, picture in named]
    if not pictures:
        raise ValueError("GateExplorer got no pictures: give at least one.")
    return pictures, names


def as_named(images):
    """Pictures in whatever they were given as a list of (name, picture); one alone is a list of one."""
    if isinstance(images, dict):
        return [(str(name), picture) for name, picture in images.items()]
    if isinstance(images, (str, Path, bytes, Image.Image)) or getattr(images, "ndim", None) in (2, 3):
        images = [images]
    try:
        pictures = list(images)
    except TypeError:
        raise TypeError(f"images is a {type(images).__name__}: give pictures, a list or a dict of them.") from None
    return [
        (Path(picture).name if isinstance(picture, (str, Path)) else f"picture {number}", picture)
        for number, picture in enumerate(pictures)
    ]
