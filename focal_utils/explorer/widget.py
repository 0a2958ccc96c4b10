"""`GateExplorer`: the widget that shows a network's gates over a picture and answers under the mouse."""

import json
import sys
from collections import OrderedDict
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from focal_utils.data.gtsrb import GTSRB_CLASSES
from focal_utils.data.imageset import ImageSet
from focal_utils.explorer.payload import MODES, describe_blocks, examine, maps, png, single_switches
from focal_utils.explorer.pictures import fit_picture, picture_array, read_picture
from focal_utils.explorer.sheet import contact_sheet
from focal_utils.files import whole_file

HERE = Path(__file__).parent
SCRIPT = "\n".join((HERE / name).read_text("utf-8") for name in ("maps.js", "drawing.js", "controls.js", "explorer.js"))
STYLE = (HERE / "explorer.css").read_text("utf-8")
REMEMBERED = 64  # pictures whose maps are kept
MOST_BYTES = 3_000_000  # of an exported page
LARGEST_UPLOAD = 64_000_000  # bytes


class GateExplorer(anywidget.AnyWidget):
    """Look at the gates, contexts and modulators of a network over a picture, and switch levels off.

    Point at a pixel, or move with the arrow keys: its gates are shown as bars, and what each level sees as squares on
    the picture. That needs no kernel; another picture or another switch asks it once. Works in JupyterLab 4, Notebook 7
    and Colab (ipywidgets 7.7.1 or later, anywidget).

    Args:
        model: a `keras.Model` with focal modulation; it takes batches (B, H, W, channels).
        images: the pictures: an array (N, H, W, 1 or 3) from 0 to 255, a list of such pictures of any size, a dict from
            name to picture, or an `ImageSet`, whose test images are taken. Of another size than the network reads they
            are cut at their centre and resized, which is said below the picture.
        class_names: names of the classes; an `ImageSet` has its own, and 43 classes are taken for GTSRB's.
        prepare: a function of the batch of raw pictures, (B, H, W, channels) uint8, that gives what the model takes.
            None: the model takes them as they are.

    Traits that may be read, set and observed: `picture` (its number), `block` (its number), `view` ("gate", "winner",
    "modulator" or "context"), `level`, `opacity` (0 to 1), `smooth`, and `switches`: {block name: one of "on", "mean"
    and "off" for each level}.

    Raises:
        ValueError: a model without focal blocks, no pictures, or pictures that are none.
    """

    _esm = SCRIPT
    _css = STYLE

    about = traitlets.Dict().tag(sync=True)  # blocks, class names
    names = traitlets.List().tag(sync=True)  # of the pictures
    picture = traitlets.Int(0).tag(sync=True)
    block = traitlets.Int(0).tag(sync=True)
    view = traitlets.Enum(("gate", "winner", "modulator", "context"), "gate").tag(sync=True)
    level = traitlets.Int(0).tag(sync=True)
    opacity = traitlets.Float(0.6).tag(sync=True)
    smooth = traitlets.Bool(False).tag(sync=True)
    switches = traitlets.Dict().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)  # everything of the picture on screen
    message = traitlets.Unicode("").tag(sync=True)

    def __init__(self, model, images, class_names=None, prepare=None):
        if "google.colab" in sys.modules:
            from google.colab import output  # Colab shows widgets of other packages only if told to

            output.enable_custom_widget_manager()
        self._model, self._prepare = model, prepare or (lambda batch: batch)
        self._size = tuple(model.input_shape[1:3])
        self._channels = model.input_shape[-1] or 3
        self._pictures, names = collect(images)
        self._seen, self._upload = OrderedDict(), []
        classes = model.output_shape[-1]
        if class_names is None:
            known = images.class_names if isinstance(images, ImageSet) else GTSRB_CLASSES
            class_names = known if len(known) == classes else [f"class {number}" for number in range(classes)]
        shown, traces, picture = self._examined(0, {})
        super().__init__(
            about={"blocks": describe_blocks(model, traces, *picture.shape[:2]), "classes": list(class_names)},
            names=names,
            shown=shown,
            switches={},
        )
        self.observe(self._show, ["picture", "switches"])
        self.on_msg(self._receive)

    def __repr__(self):
        return f"<GateExplorer of {self._model.name}: {len(self.names)} pictures, {len(self.about['blocks'])} blocks>"

    def add(self, picture, name=None):
        """Add a picture and show it.

        Args:
            picture: an array (H, W), (H, W, 1) or (H, W, 3) from 0 to 255, the path of an image file, or its bytes.
            name: what to call it.

        Raises:
            ValueError: no picture, a damaged one, or one too small for the network. FileNotFoundError: no such file.
                Either way the explorer stays as it was.
        """
        name = name or (Path(picture).name if isinstance(picture, (str, Path)) else f"picture {len(self.names)}")
        values, notes = read_picture(picture, name)
        self._pictures.append((values, notes))
        try:
            self._examined(len(self.names), {})
        except Exception as error:
            self._pictures.pop()
            raise ValueError(f"{name} could not go through the network: {error}") from error
        self.names = [*self.names, name]
        self.picture = len(self.names) - 1

    def to_html(self, path, pictures=12):
        """Write a page that needs neither kernel nor network: hovering, views and single switches work in it.

        Args:
            path: of the file, written whole or not at all.
            pictures: how many of the pictures, from the first one on, or a list of their numbers.

        Raises:
            ValueError: the page would be larger than 3 MB; fewer pictures make it smaller.
        """
        numbers = list(range(min(pictures, len(self.names)))) if isinstance(pictures, int) else list(pictures)
        examined = [self._examined(number, {}) for number in numbers]
        batches = [self._batch(picture) for _, _, picture in examined]
        blocks, answers = self.about["blocks"], []
        for batch in [np.concatenate(batches)] if len({batch.shape for batch in batches}) == 1 else batches:
            answers += single_switches(self._model, batch, blocks)
        data = {
            "about": self.about,
            "names": [self.names[number] for number in numbers],
            "pictures": [shown for shown, _, _ in examined],
            "answers": answers,
            "state": {name: getattr(self, name) for name in ("block", "view", "level", "opacity", "smooth")},
        }
        page = (HERE / "page.html").read_text("utf-8")
        for mark, text in (
            ("/*STYLE*/", STYLE),
            ("/*SCRIPT*/", SCRIPT.replace("export default", "const explorer =")),
            ("/*DATA*/", json.dumps(data, separators=(",", ":")).replace("</", "<\\/")),
        ):
            page = page.replace(mark, text)
        size = len(page.encode())
        if size > MOST_BYTES:
            raise ValueError(
                f"The page would have {size / 1e6:.1f} MB, and {MOST_BYTES / 1e6:.0f} MB is the limit: "
                f"{len(numbers)} pictures are too many, so pass fewer as `pictures`."
            )
        with whole_file(path) as temporary:
            temporary.write_text(page, "utf-8")

    def contact_sheet(self):
        """The picture on screen beside all its maps, a row for each block: a `Figure` that says the same on paper."""
        _, traces, picture = self._examined(self.picture, self.switches)
        return contact_sheet(picture, traces, self.about["blocks"])

    def _batch(self, picture):
        """What the model takes for one fitted picture (H, W, 3): a batch of one."""
        raw = picture if self._channels == 3 else np.round(picture.mean(axis=-1, keepdims=True)).astype("uint8")
        return np.asarray(self._prepare(raw[None]))

    def _examined(self, number, switches):
        """What is shown of picture `number` under `switches`, its traces, and the picture as the network reads it."""
        key = number, json.dumps(switches, sort_keys=True)
        if key not in self._seen:
            raw, notes = self._pictures[number]
            picture, fitting = fit_picture(picture_array(raw), *self._size)
            (after,), traces = examine(self._model, self._batch(picture), switches)
            before = self._examined(number, {})[0]["after"] if switches else after
            shown = {
                "picture": number,
                "switches": switches,
                "image": png(picture),
                "size": list(picture.shape[:2]),
                "notes": [*notes, *fitting],
                "before": before,
                "after": after,
                "maps": [maps(block) for block in traces],
            }
            self._seen[key] = shown, traces, picture
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return self._seen[key]

    @traitlets.validate("picture", "block", "level")
    def _in_range(self, proposal):
        counts = {"picture": len(self.names), "block": len(self.about["blocks"])}
        counts["level"] = max(len(block["levels"]) for block in self.about["blocks"])
        name, value = proposal["trait"].name, proposal["value"]
        if not 0 <= value < counts[name]:
            raise traitlets.TraitError(f"{name}={value}: there are {counts[name]}, so give 0 to {counts[name] - 1}.")
        return value

    @traitlets.validate("switches")
    def _known_switches(self, proposal):
        levels = {block["name"]: len(block["levels"]) for block in self.about["blocks"]}
        for name, modes in proposal["value"].items():
            if name not in levels or len(modes) != levels[name] or not set(modes) <= set(MODES):
                raise traitlets.TraitError(
                    f"switches={{{name!r}: {modes!r}}}: give a block's name, and for each of its levels one of "
                    f"{', '.join(MODES)}. Blocks and their levels: {levels}."
                )
        return proposal["value"]

    def _show(self, _):
        """Answer another picture or other switches. What goes wrong is said in the explorer, which stays as it was."""
        try:
            self.shown, self.message = self._examined(self.picture, self.switches)[0], ""
        except Exception as error:
            self.message = f"That did not work: {error}"

    def _receive(self, _, content, buffers):
        """Take the parts of an upload; the last one makes it a picture."""
        if content.get("kind") != "upload":
            return
        if content["part"] == 0:
            self._upload = []
        if sum(map(len, self._upload)) <= LARGEST_UPLOAD:  # of a larger one the rest is dropped
            self._upload += [bytes(buffer) for buffer in buffers]
        if sum(map(len, self._upload)) > LARGEST_UPLOAD:
            self.message = f"{content['name']} is over {LARGEST_UPLOAD / 1e6:.0f} MB: reduce it first."
        elif content["part"] == content["parts"] - 1:
            data, self._upload = b"".join(self._upload), []
            try:
                self.message = ""
                self.add(data, content["name"])
            except Exception as error:
                self.message = str(error)


def collect(images):
    """The pictures that `GateExplorer` was given, as a list of (values, notes), and their names."""
    if isinstance(images, ImageSet):
        names = [f"{number} · {images.class_names[label]}" for number, label in enumerate(images.y_test)]
        return [(image, []) for image in images.x_test], names
    if isinstance(images, dict):
        names, pictures = [str(name) for name in images], list(images.values())
    else:
        one = isinstance(images, np.ndarray) and images.ndim == 3
        pictures = [images] if one else list(images)
        names = [f"picture {number}" for number in range(len(pictures))]
    if not pictures:
        raise ValueError("GateExplorer got no pictures: give at least one.")
    for picture, name in zip(pictures, names, strict=True):
        picture_array(picture, name)
    return [(np.asarray(picture), []) for picture in pictures], names
