"""The published ImageNet weights, from the Hugging Face hub into the cache: pinned, checked, whole or not there."""

import os
import re
import urllib.error
import urllib.request

from focal_utils.errors import DataNotFound
from focal_utils.files import TIMEOUT, cache_folder, fetch
from focal_utils.weights.checkpoints import load_checkpoint
from focal_utils.weights.saved import load_weights

HUB = "https://huggingface.co"

FILE = "model.safetensors"

# timm's repositories (MIT licence), and their numbers of classes: ImageNet-1K, or ImageNet-22K for the big ones.
REPOSITORIES = {
    name: (f"timm/focalnet_{name}.ms_in1k", 1000)
    for name in ("tiny_srf", "tiny_lrf", "small_srf", "small_lrf", "base_srf", "base_lrf")
} | {
    name: (f"timm/focalnet_{name}.ms_in22k", 21842)
    for name in ("large_fl3", "large_fl4", "xlarge_fl3", "xlarge_fl4", "huge_fl3", "huge_fl4")
}


def load_pretrained(model, source, variant):
    """Load weights into a `FocalNet` of a variant; returns the model.

    Args:
        source: "imagenet" for the published weights of that variant; or a path, of a `.weights.h5` file, which
            `load_weights` reads, or of a `.safetensors` or `.pth` file, which `load_checkpoint` reads.

    Raises:
        ValueError: a variant without published weights, or a classifier of other classes than the published one's;
            whatever the loading raises.
    """
    if source == "imagenet":
        classes, published = model.output_shape[-1], REPOSITORIES.get(variant, (None, None))[1]
        if published and len(model.output_shape) == 2 and classes != published:
            raise ValueError(
                f'weights="imagenet" has a classifier of {published} classes for {variant}, not of {classes}: take '
                f"include_top=False and add your own, or classes={published}."
            )
        source = imagenet_weights(variant)
    load = load_weights if str(source).endswith(".h5") else load_checkpoint
    load(model, source)
    return model


def imagenet_weights(variant):
    """Path of a variant's published weights, a `.safetensors` file, which is downloaded where it is not in the cache.

    The hub names the revision and the SHA-256 checksum of the file; both are asked for first, that very revision is
    fetched, and the file is under its name only when the checksum is right.

    Raises:
        ValueError: a variant without published weights.
        DataNotFound: no connection; the message says how to do it by hand.
        DamagedData: what came is not what the hub announced; nothing is kept.
    """
    if variant not in REPOSITORIES:
        raise ValueError(f"There are no published weights of {variant!r}. There are: {', '.join(REPOSITORIES)}.")
    repository = REPOSITORIES[variant][0]
    path = cache_folder() / "hub" / repository.replace("/", "--") / FILE
    if path.is_file():
        return path
    try:
        revision, checksum = announced(f"{HUB}/{repository}/resolve/main/{FILE}")
        fetch(f"{HUB}/{repository}/resolve/{revision}/{FILE}", path, checksum, "sha256")
    except OSError as error:
        raise DataNotFound(
            f"The ImageNet weights of {variant} could not be fetched ({error}). On a machine with internet, download "
            f'{HUB}/{repository}/resolve/main/{FILE}, and give its path instead: weights="…/{FILE}".'
        ) from error
    return path


class _Stay(urllib.request.HTTPRedirectHandler):
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
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as response:
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
