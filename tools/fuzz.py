"""Try thousands of damaged and odd inputs on the doors of the package, and say what became of them.

    python tools/fuzz.py                            8,000 inputs on all doors, about ten minutes
    python tools/fuzz.py --number 400 --seed 3      a quick try with other inputs
    python tools/fuzz.py --doors layer picture      some doors only
    python tools/fuzz.py --case layer 17            one input again, with its whole traceback

An input is *right* where it is taken and means what it says, *refused* where an error says so in words, *bare* where a
library's own error comes out, *wrong* where it is taken and means something else, *lost* where a refusal changed what
was there. A worker that dies is a *crash*, one that takes over 30 s a *hang*. Exit status 1 for any of the last four.
"""

import argparse
import collections
import contextlib
import json
import sys
import tempfile
import traceback
import warnings
import zipfile
from pathlib import Path


def parser():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--number", type=int, default=8000, help="of inputs, shared among the doors")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--doors", nargs="+", help="which (default: all)")
    options.add_argument("--case", nargs=2, metavar=("DOOR", "NUMBER"), help="one input again")
    options.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return options


if __name__ == "__main__":
    parser().parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np
from PIL import Image

import focal_utils as fu
from focal_utils.data import ImageSet, read_npz, write_npz
from focal_utils.exercises import verdict
from focal_utils.files import fetch, open_archive, read_member
from focal_utils.measuring import DidNotFit, Worker, serve
from focal_utils.training import Backup, compile_model, make_variables

PATIENCE = 30  # seconds that one input may take
WORDS = 25  # characters of a message under which it says too little
BAD = ("wrong", "lost", "crash", "hang")

# What people and programs put where a number, a word or a list is wanted.
ODD = [
    -1,
    0,
    1,
    2,
    3,
    2.0,
    2.5,
    -0.5,
    0.5,
    1.0,
    1.5,
    1e12,
    10**12,
    float("nan"),
    float("inf"),
    "4",
    "",
    "three",
    "auto",
    None,
    True,
    False,
    [],
    [1],
    (1, 2),
    {},
    {"a": 1},
    b"3",
    2 + 1j,
    object(),
    len,
    np.int64(2),
    np.float32(0.5),
    np.nan,
    np.array(3),
    np.array([1, 1]),
    np.array([[1]]),
    np.bool_(True),
    "hierarchical",
    "softmax",
    "multiply",
    "mean",
]


class Lost(Exception):
    """A refusal that changed what was there before."""


def is_whole(value, least):
    """Whether a value is a whole number that counts something; an array without axes is the number in it."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least


def is_rate(value):
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and 0 <= value < 1


def is_number(value):
    """Whether a value is a finite real number."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and bool(np.isfinite(value))


def is_one_of(words):
    return lambda value: isinstance(value, str) and value in words


def is_switch(value):
    return isinstance(value, (bool, np.bool_))


def damaged(data, rng):
    """The bytes of a file after an accident: what happened, and what is left."""
    data = bytearray(data)
    place = int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    accident = str(rng.choice(["bit", "cut", "zeros", "noise", "insert", "drop", "repeat", "page", "empty", "other"]))
    if accident == "bit":
        data[place] ^= 1 << int(rng.integers(8))
    elif accident == "cut":
        del data[place:]
    elif accident == "zeros":
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif accident == "noise":
        data[place : place + length] = rng.bytes(len(data[place : place + length]))
    elif accident == "insert":
        data[place:place] = rng.bytes(length)
    elif accident == "drop":
        del data[place : place + length]
    elif accident == "repeat":
        data[place:place] = data[place : place + length]
    elif accident == "page":
        data = bytearray(b"<!DOCTYPE html><html><body>Please log in</body></html>")
    elif accident == "empty":
        data = bytearray()
    else:
        data = bytearray(
            rng.choice([b"PK\x05\x06" + bytes(18), b"\x93NUMPY", b"GIF89a", b"\x80\x04N.", b"{}", b"\xff"])
        )
    return f"{accident} at {place}", bytes(data)


class Doors:
    """The doors, one method each: `door(rng)` gives (what is tried, a function that tries it, whether it came right).

    What the doors need is made once. `lost` says, after a refusal, whether something was changed.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.rng = np.random.default_rng(0)
        keras.utils.set_random_seed(0)
        self.model = fu.FocalNet((32, 32, 3), 5, embed_dim=8, depths=(1, 1), preprocessing="per_image")
        self.images = self.rng.integers(0, 256, (6, 32, 32, 3)).astype("uint8")
        self.weights = [array.copy() for array in self.model.get_weights()]
        self.made = {}
        with contextlib.suppress(ValueError):
            verdict("none", None)  # the exercises register themselves when one is asked for

    def file(self, name, write):
        """The bytes of a good file, written once."""
        if name not in self.made:
            path = self.folder / name
            write(path)
            self.made[name] = path.read_bytes()
        return self.made[name]

    def unchanged(self):
        """Whether the model is as it was; it is put back."""
        same = all(np.array_equal(a, b) for a, b in zip(self.model.get_weights(), self.weights, strict=True))
        self.model.set_weights(self.weights)
        return same

    def damaged_file(self, rng, name, write):
        what, data = damaged(self.file(name, write), rng)
        path = self.folder / f"damaged_{name}"
        path.write_bytes(data)
        return what, path, data == self.made[name]

    # Files

    def npz(self, rng):
        arrays = {"x": self.images, "y": np.arange(6)}
        what, path, _ = self.damaged_file(rng, "arrays.npz", lambda path: write_npz(path, **arrays))

        def right(result):
            return set(result) == {"x", "y"} and all(np.array_equal(result[name], arrays[name]) for name in arrays)

        return what, lambda: read_npz(path), right

    def archive(self, rng):
        def write(path):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a/one.txt", b"one" * 500)
                archive.writestr("a/two.bin", self.images.tobytes())

        what, path, _ = self.damaged_file(rng, "archive.zip", write)

        def read():
            with open_archive(path) as archive:
                return {name: read_member(archive, name) for name in archive.namelist()}

        whole = {"a/one.txt": b"one" * 500, "a/two.bin": self.images.tobytes()}
        # An archive whose directory lost a member cannot be told from one that never had it; its members are whole.
        return what, read, lambda result: all(data in whole.values() for data in result.values())

    def safetensors(self, rng):
        from safetensors.numpy import save_file

        tensors = fu.peer_weights(self.model, "timm")
        what, path, _ = self.damaged_file(rng, "timm.safetensors", lambda path: save_file(tensors, path))

        def right(_):
            # The format has no checksum: a bit of a number that is flipped to another number cannot be seen.
            return all(np.isfinite(array).all() for array in self.model.get_weights())

        return what, lambda: fu.load_checkpoint(self.model, path), right

    def tensors(self, rng):
        """A dictionary of tensors of which one is not what it should be."""
        tensors = dict(fu.peer_weights(self.model, "timm"))
        name = str(rng.choice(sorted(tensors)))
        good = tensors[name]
        odd = [
            good.astype(complex),
            good > 0,
            (good * 9).astype("int8"),
            np.full_like(good, np.nan),
            good[..., None],
            good.ravel()[:-1],
            np.array(["a"] * 3),
            np.array([None]),
            "text",
            None,
            3.5,
            [1, 2],
            good.astype("float16"),
            good.astype("float64"),
            np.where(good == good.max(), np.inf, good),
        ]
        number = int(rng.integers(len(odd) + 2))
        if number < len(odd):
            tensors[name] = odd[number]
        elif number == len(odd):
            del tensors[name]
        else:
            tensors[name + ".more"] = good
        fine = number < len(odd) and isinstance(odd[number], np.ndarray) and odd[number].dtype.kind == "f"
        fine = fine and odd[number].shape == good.shape and np.isfinite(odd[number]).all()
        return f"{name}: {number}", lambda: fu.load_checkpoint(self.model, tensors), lambda _: fine

    def h5(self, rng):
        what, path, _ = self.damaged_file(rng, "own.weights.h5", lambda path: self.model.save_weights(path))

        def right(_):
            return all(np.isfinite(array).all() for array in self.model.get_weights())

        return what, lambda: fu.load_weights(self.model, path), right

    def backup(self, rng):
        folder = self.folder / "backup"
        facts = {"epochs": 1}
        if "backup" not in self.made:
            make_variables(compile_model(self.model, 10))
            keeper = Backup(folder, 2, None, facts)
            keeper.set_model(self.model)
            keeper.step = 1
            keeper.save()
            self.made["backup"] = max(folder.glob("*")).read_bytes()
            self.made["backup name"] = max(folder.glob("*")).name
            self.model.set_weights(self.weights)
        what, data = damaged(self.made["backup"], rng)
        for path in folder.glob("*"):
            path.unlink()
        (folder / self.made["backup name"]).write_bytes(data)

        def right(step):
            return step == 1 and self.unchanged()

        return what, lambda: Backup(folder, 2, None, facts).restore(self.model), right

    def picture(self, rng):
        kinds = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
        ending = str(rng.choice(list(kinds)))
        image = Image.fromarray(self.images[0])
        what, path, _ = self.damaged_file(rng, f"picture.{ending}", lambda path: image.save(path, kinds[ending]))
        # Which colours a damaged picture had cannot be known: what is read must be a picture.
        return f"{ending}, {what}", lambda: fu.GateExplorer(self.model, [path]), lambda result: result is not None

    # Arrays

    def arrays(self, rng):
        """Images as nobody should give them, where images are wanted."""
        good = self.images
        odd = [
            good[0],
            good[..., 0],
            good[..., :2],
            good[None],
            good.astype(bool),
            good.astype(complex),
            good.astype("U3"),
            np.where(good > 9, np.nan, good.astype("float32")),
            good.astype("float32") + np.inf,
            good[:0],
            good[:, :0],
            list(good),
            None,
            "photo.png",
            5,
            good.astype("int64") * 1000,
            -good.astype("int16"),
            good.astype(object),
            {"images": good},
            good[:, :16],
            good.astype("float64"),
            good.astype("uint16") * 257,
        ]
        fine = {1, 11, 20}  # grey, a list of pictures, doubles: they can be understood
        number = int(rng.integers(len(odd)))
        door = str(rng.choice(["predict", "trace", "accuracy", "ImageSet", "GateExplorer"]))
        value = odd[number]
        calls = {
            "predict": lambda: fu.predict(self.model, value),
            "trace": lambda: fu.trace(self.model, value),
            "accuracy": lambda: fu.accuracy(self.model, value, np.arange(len(good)) % 5),
            "ImageSet": lambda: ImageSet("fuzz", "own split", tuple("abcde"), value, np.arange(len(good)) % 5),
            "GateExplorer": lambda: fu.GateExplorer(self.model, value),
        }
        # Whole numbers of other types and sizes are images too, and one door takes what another cannot.
        doubtful = {0, 2, 3, 4, 9, 10, 15, 16, 17, 19, 21}
        return f"{door}, images {number}", calls[door], lambda _: number in fine | doubtful

    def labels(self, rng):
        images = self.images
        odd = [
            np.arange(6) % 5,
            (np.arange(6) % 5)[:, None],
            np.eye(5)[np.arange(6) % 5],
            np.arange(5),
            np.arange(7) % 5,
            np.array([0, 1, 2, 3, 4, -1]),
            np.array([0, 1, 2, 3, 4, 5]),
            np.array([0, 1, 2, 3, 4, 99]),
            np.array([0, 1, 2, 3, np.nan, 1]),
            np.array([0, 1, 2, 3, 1.5, 1]),
            np.array(list("abcdef")),
            None,
            3,
            "labels",
            [0, 1, 2, 3, 4, 0],
            (np.arange(6) % 5).astype("float32"),
            np.zeros((6, 5)),
            np.ones((6, 5)),
            np.zeros((6, 2)),
            np.array([None] * 6),
            (np.arange(6) % 5).astype("int8"),
            np.full(6, np.inf),
            np.full(6, 2**40),
            np.eye(6)[:, :5],
        ]
        fine = {0, 1, 2, 14, 15, 20}
        number = int(rng.integers(len(odd)))
        value = odd[number]
        door = str(rng.choice(["ImageSet", "accuracy"]))
        calls = {
            "ImageSet": lambda: ImageSet("fuzz", "own split", tuple("abcde"), images, value).y_train.tolist(),
            "accuracy": lambda: fu.accuracy(self.model, images, value),
        }
        good = calls["accuracy"] if door == "accuracy" else None
        return f"{door}, labels {number}", calls[door], lambda result: number in fine and (good is None or result >= 0)

    # Arguments

    def argument(self, rng, make, wanted):
        name = str(rng.choice(sorted(wanted)))
        value = ODD[int(rng.integers(len(ODD)))]
        return f"{name}={value!r}", lambda: make(**{name: value}), lambda _: wanted[name](value)

    def layer(self, rng):
        choices = {
            "context": ("hierarchical", "parallel", "top"),
            "gating": ("linear", "softmax", "none"),
            "modulate": ("multiply", "add"),
        }
        wanted = {
            "dim": lambda value: is_whole(value, 1),
            "focal_level": lambda value: is_whole(value, 0),
            "focal_window": lambda value: is_whole(value, 1),
            "focal_factor": lambda value: is_whole(value, 0),
            "dropout": is_rate,
            "use_postln_in_modulation": is_switch,
            "normalize_modulator": is_switch,
            "global_context": is_switch,
            **{
                name: (lambda value, words=words: isinstance(value, str) and value in words)
                for name, words in choices.items()
            },
        }
        return self.argument(rng, lambda **odd: fu.FocalModulation(**{"dim": 8, **odd}), wanted)

    def block(self, rng):
        wanted = {
            "dim": lambda value: is_whole(value, 1),
            "mlp_ratio": lambda value: is_number(value) and 0 < value <= 64,
            "dropout": is_rate,
            "drop_path": is_rate,
            "use_postln": is_switch,
            "layer_scale": lambda value: value is None or is_number(value),
            "mixer": lambda value: False,
            "focal_level": lambda value: is_whole(value, 0),
        }
        return self.argument(rng, lambda **odd: fu.FocalBlock(**{"dim": 8, **odd}), wanted)

    def network(self, rng):
        def per_stage(least):
            def fits(value):
                if is_whole(value, least):
                    return True
                return np.ndim(value) == 1 and len(value) == 2 and all(is_whole(part, least) for part in value)

            return fits

        small = {"input_shape": (16, 16, 3), "classes": 3, "embed_dim": 4, "depths": (1, 1), "patch_size": 2}
        wanted = {
            "classes": lambda value: is_whole(value, 1) and value < 10**6,
            "embed_dim": lambda value: is_whole(value, 1) and value < 10**4,
            "depths": lambda value: np.ndim(value) == 1 and len(value) and all(is_whole(part, 1) for part in value),
            "focal_levels": per_stage(0),
            "focal_windows": per_stage(1),
            "focal_factor": lambda value: is_whole(value, 0) and value < 10**4,
            "patch_size": lambda value: is_whole(value, 1) and value <= 16,
            "drop_rate": is_rate,
            "drop_path_rate": is_rate,
            "include_top": is_switch,
            "use_conv_embed": is_switch,
            "preprocessing": lambda value: value is None,
            "input_shape": lambda value: False,
        }
        return self.argument(rng, lambda **odd: fu.FocalNet(**{**small, **odd}), wanted)

    def training(self, rng):
        data = ImageSet(
            "fuzz", "own split", tuple("abcde"), self.images, np.arange(6) % 5, self.images, np.arange(6) % 5
        )
        wanted = {
            "epochs": lambda value: is_whole(value, 1) and value < 10,
            "batch_size": lambda value: is_whole(value, 1) and value <= 6,
            "learning_rate": lambda value: is_number(value) and 0 < value < 10,
            "augment": lambda value: value is None,
            "seed": lambda value: is_whole(value, 0),
            "optimizer": lambda value: False,
            "label_smoothing": is_rate,
            "weight_decay": lambda value: is_number(value) and value >= 0,
        }
        name = str(rng.choice(sorted(wanted)))
        # Long trainings are not what is tried here.
        value = [odd for odd in ODD if not (name == "epochs" and is_whole(odd, 4))][int(rng.integers(len(ODD) - 1))]
        arguments = {"epochs": 1, "batch_size": 3, "augment": None, name: value}

        def run():
            model = fu.FocalNet((32, 32, 3), 5, embed_dim=4, depths=(1,), patch_size=8, preprocessing="per_image")
            return fu.train(model, data, **arguments)

        return f"{name}={value!r}", run, lambda _: wanted[name](value)

    def loaders(self, rng):
        value = ODD[int(rng.integers(len(ODD)))]
        calls = {
            "render_signs": lambda: fu.render_signs(value),
            "render_sign": lambda: fu.render_sign(value),
            "load_gtsrb": lambda: fu.load_gtsrb(size=value),
            "load_medmnist": lambda: fu.load_medmnist(value),
            "load_trained": lambda: fu.load_trained(value),
            "focalnet": lambda: fu.focalnet(value),
            "freeze": lambda: fu.freeze(self.model, value),
            "count_macs": lambda: fu.count_macs(value),
        }
        name = str(rng.choice(sorted(calls)))
        fine = {
            "render_signs": lambda: is_whole(value, 1) and value < 10**4,
            "render_sign": lambda: is_whole(value, 0) and value < 43,
            "load_trained": lambda: value is None,
            "freeze": lambda: is_whole(value, 0) and value <= 3,
            "load_gtsrb": lambda: False,
        }
        return f"{name}({value!r})", calls[name], lambda _: fine.get(name, lambda: False)()

    # Answers to exercises

    def exercise(self, rng):
        from focal_utils.exercises import EXERCISES

        name = str(rng.choice(sorted(EXERCISES)))

        def leaves(*_, **__):
            sys.exit()

        def breaks(*_, **__):
            raise KeyError("x")

        def changes(*arguments, **__):
            for argument in arguments:
                if isinstance(argument, np.ndarray):
                    argument[...] = 0
            return arguments[0] if arguments else None

        answers = [
            *ODD,
            leaves,
            breaks,
            changes,
            lambda: 1,
            lambda *a: a,
            lambda *a: None,
            lambda *a: np.nan,
            lambda *a: "no",
            lambda *a: {},
            lambda *a: iter(()),
            np.mean,
            keras.layers.Dense(3),
            fu.FocalModulation(8),
            str,
            print,
            Image,
            lambda *a: np.zeros(3),
            lambda *a: [np.zeros((1, 2)), None],
            lambda *a: object(),
            lambda *a: a[0] if a else 0,
        ]
        number = int(rng.integers(len(answers)))

        def run():
            solved, sentence = verdict(name, answers[number])
            if not isinstance(sentence, str) or len(sentence) < 10:
                raise RuntimeError(f"no sentence came: {sentence!r}")
            return solved

        # Some odd numbers are the right answer to some exercise: whole numbers, and what is equal to one.
        def right(solved):
            return not solved or isinstance(answers[number], (int, float, np.number, np.ndarray))

        return f"{name}, answer {number}", run, right

    # A server

    def server(self, rng):
        """What a server may do to a download whose checksum is known."""
        import hashlib
        import http.server
        import threading

        whole = self.file("archive.zip", lambda path: path.write_bytes(b"PK" + bytes(5000)))
        what, data = damaged(whole, rng)
        status = int(rng.choice([200, 200, 200, 206, 404, 416, 500, 301]))
        claims = str(rng.choice(["true", "none", "long", "short"]))

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                length = {"true": len(data), "long": len(data) + 999, "short": max(0, len(data) - 7)}.get(claims)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                if status == 301:
                    self.send_header("Location", "/again")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        path = self.folder / "fetched.zip"
        path.unlink(missing_ok=True)
        for part in self.folder.glob("fetched.zip*"):
            part.unlink()

        def run():
            with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
                threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
                try:
                    fetch(f"http://127.0.0.1:{served.server_port}/x.zip", path, hashlib.md5(whole).hexdigest())
                except Exception:
                    if path.exists():
                        raise Lost("a refused download is under its final name") from None
                    raise
                finally:
                    served.shutdown()
            return path.read_bytes()

        return f"{status}, {claims} length, {what}", run, lambda got: got == whole


DOORS = [
    name
    for name in vars(Doors)
    if not name.startswith("_") and name not in ("file", "unchanged", "damaged_file", "argument")
]
# How many inputs of each door, relatively: those that take a second are tried less often.
SHARES = collections.defaultdict(lambda: 4, training=1, picture=2, network=3, loaders=2, server=2, backup=2)
GUARDED = ("safetensors", "tensors", "h5", "backup")  # of which a refusal must leave the model as it was


def in_words(error):
    """Whether an error is one of ours, or one of Keras' or NumPy's about what was given, and says something."""
    if not isinstance(error, (ValueError, TypeError, OSError, NotImplementedError, FloatingPointError)):
        return False
    if isinstance(error, (UnicodeError, zipfile.BadZipFile, json.JSONDecodeError)):
        return False
    frames = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
    ours = [number for number, name in enumerate(frames) if "/focal_utils/" in name]
    raised_by_us = bool(ours) and ours[-1] == len(frames) - 1
    of_keras = any("/keras/" in name for name in frames[-3:])
    return len(str(error)) >= WORDS and (raised_by_us or of_keras)


def attempt(doors, door, number, seed, whole_traceback=False):
    """One input at one door: what it was, what became of it, and the error's words."""
    rng = np.random.default_rng([seed, DOORS.index(door), number])
    what, run, right = getattr(doors, door)(rng)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = run()
        outcome = "right" if right(result) else "wrong"
        words = "" if outcome == "right" else f"taken: {str(result)[:120]}"
    except Lost as error:
        outcome = "lost"
        words = str(error)
    except (Exception, SystemExit) as error:
        if whole_traceback:
            traceback.print_exc()
        outcome = "refused" if in_words(error) else "bare"
        words = f"{type(error).__name__}: {error}"[:300]
        if door in GUARDED and not doors.unchanged():
            outcome = "lost"
    if door in GUARDED:
        doors.unchanged()
    return {"door": door, "number": number, "what": what[:160], "outcome": outcome, "words": words}


def work():
    """A worker: one attempt for each request."""
    with tempfile.TemporaryDirectory() as folder:
        doors = Doors(folder)
        serve(lambda request: attempt(doors, *request) if request else "ready")


def ready_worker():
    """A worker that has imported what it needs, so that its time is the input's."""
    worker = Worker("fuzz", [sys.executable, __file__, "--worker"])
    worker.ask(None)
    worker.patience = PATIENCE
    return worker


def planned(number, chosen):
    """(door, number of the input) for all inputs, the doors by turns."""
    total = sum(SHARES[door] for door in chosen)
    return [(door, one) for door in chosen for one in range(round(number * SHARES[door] / total))]


def main():
    options = parser().parse_args()
    if options.worker:
        work()
        return 0
    if options.case:
        with tempfile.TemporaryDirectory() as folder:
            print(
                json.dumps(attempt(Doors(folder), options.case[0], int(options.case[1]), options.seed, True), indent=1)
            )
        return 0
    chosen = options.doors or DOORS
    unknown = [door for door in chosen if door not in DOORS]
    if unknown:
        parser().error(f"there is no door {unknown[0]!r}: choose from {', '.join(DOORS)}")
    counts = collections.defaultdict(collections.Counter)
    worker = ready_worker()
    for door, number in planned(options.number, chosen):
        try:
            row = worker.ask([door, number, options.seed])
        except (DidNotFit, RuntimeError) as error:
            outcome = "hang" if "longer" in str(error) else "crash"
            row = {"door": door, "number": number, "what": "", "outcome": outcome, "words": str(error)[-300:]}
            worker = ready_worker()
        counts[door][row["outcome"]] += 1
        if row["outcome"] not in ("right", "refused"):
            print(f"{row['outcome']:8s} {door} {number}: {row['what']}   {row['words']}", flush=True)
    worker.stop()
    total = sum(counts.values(), collections.Counter())
    print()
    for door in chosen:
        print(f"{door:12s} " + "  ".join(f"{outcome} {count}" for outcome, count in counts[door].most_common()))
    print(f"{'all':12s} " + "  ".join(f"{outcome} {count}" for outcome, count in total.most_common()))
    return int(any(total[outcome] for outcome in BAD) or total["bare"] > 0.01 * total.total())


if __name__ == "__main__":
    sys.exit(main())
