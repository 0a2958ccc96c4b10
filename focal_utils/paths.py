"""Where the project's own data, the user's data and the cache are."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

_BESIDE_PACKAGE = Path(__file__).resolve().parent.parent / "data"


def data_folder():
    """Return the project's ``data`` folder (photographs, weights, results) as a ``Path``.

    It is looked for beside the package (a checkout), then in the working folder and its parents
    (a notebook of a checkout, with the package installed elsewhere).

    Raises:
        FileNotFoundError: no such folder; the message lists the places that were tried.
    """
    working = Path.cwd()
    candidates = [_BESIDE_PACKAGE, *(folder / "data" for folder in (working, *working.parents))]
    for folder in candidates:
        if (folder / "README.md").is_file() and (folder / "photos").is_dir():
            return folder
    tried = "\n  ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(
        f"The project's data folder (with README.md and photos/) was not found. Tried:\n  {tried}\n"
        "Work inside a checkout of the project, or copy its data folder into the working folder."
    )


def given_folder():
    """Return the folder named by the environment variable ``FOCAL_DATA_DIR``, or ``None`` where it is not set.

    Raises:
        NotADirectoryError: the variable names something that is not a folder.
    """
    name = os.environ.get("FOCAL_DATA_DIR")
    if not name:
        return None
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(f"FOCAL_DATA_DIR is {name!r}, which is not a folder: correct it or unset it.")
    return folder


def cache_folder():
    """Return the folder for downloads and converted data, a ``Path`` that may not exist yet.

    The environment variable ``FOCAL_CACHE_DIR`` names it; otherwise it is ``data/cache`` of a checkout that can be
    written to, otherwise ``~/.cache/focal_utils``.
    """
    name = os.environ.get("FOCAL_CACHE_DIR")
    if name:
        return Path(name).expanduser()
    if (_BESIDE_PACKAGE / "README.md").is_file() and os.access(_BESIDE_PACKAGE, os.W_OK):
        return _BESIDE_PACKAGE / "cache"
    return Path.home() / ".cache" / "focal_utils"


@contextmanager
def whole_file(path):
    """A name beside ``path`` to write to: the file is put in place when all is written, and otherwise not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_results(name):
    """What a script in ``tools`` has measured: ``data/results/<name>.json`` as Python's dicts and lists.

    Raises:
        FileNotFoundError: no such results; the message lists those that there are.
    """
    folder = data_folder() / "results"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.json")))
        raise FileNotFoundError(f"There are no results {name!r} in {folder}. There are: {known}.")
    return json.loads(path.read_text(encoding="utf-8"))
