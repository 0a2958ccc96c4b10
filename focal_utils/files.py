"""Where files are and how they come: the project's, the user's, the cache; fetched and written whole or not at all."""

import errno
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from focal_utils.errors import DamagedData

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
    """A name beside ``path`` to write to: the file is put in place when all is written, and otherwise not at all.

    The name ends as that of ``path`` does, since Keras tells formats apart by it.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def file_to_read(path, what="file"):
    """The `Path` of a file that is there and may be read; `what` it is, "checkpoint" for instance, goes into messages.

    Raises:
        TypeError: no path. FileNotFoundError: no such file. IsADirectoryError: a folder; the message names its files.
        PermissionError: the system does not let it be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{path!r} is a {type(path).__name__}: give the path of a {what}, a string or a Path.")
    path = Path(path)
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file())
        inside = f" In it are {', '.join(names[:5])}{' …' if len(names) > 5 else ''}." if names else " It is empty."
        raise IsADirectoryError(f"{path} is a folder: give the path of the {what}, a file.{inside}")
    if not path.is_file():
        raise FileNotFoundError(f"There is no {what} {path}.")
    with open(path, "rb"):
        return path


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


TIMEOUT = 8

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

BLOCK = 1 << 18


def check_digest(path, expected, algorithm="md5"):
    """Raise ``DamagedData`` if the file's checksum is not the expected one (``None``: no checksum is known)."""
    if expected is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DamagedData(
            f"{path}: the {algorithm.upper()} checksum is {found}, expected {expected}. "
            "Delete the file and get it again."
        )


def fetch(url, path, checksum=None, algorithm="md5"):
    """Download a file with a progress bar; under its name it is complete and checked, or not there.

    What has arrived stands in ``<name>.part``. After an interruption the download goes on from there, at once while
    the server still answers, otherwise at the next call.

    Args:
        url: an http or https address.
        path: where the file goes.
        checksum: expected checksum, or ``None`` where none is published.
        algorithm: of the checksum: "md5" or "sha256".

    Raises:
        OSError: no connection, or it broke off, or the disk is full.
        DamagedData: the checksum is wrong; nothing is kept.
    """
    if os.environ.get("FOCAL_OFFLINE"):
        raise ConnectionError("FOCAL_OFFLINE is set")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = False
    while not done:
        before = part.stat().st_size if part.is_file() else 0
        try:
            _fetch_rest(url, part, before)
            done = True
        except urllib.error.HTTPError as error:
            if error.code != 416 or not before:
                raise
            done = error.headers.get("Content-Range") == f"bytes */{before}"
            if not done:
                part.unlink()
        except (OSError, http.client.HTTPException) as error:
            after = part.stat().st_size if part.is_file() else 0
            if getattr(error, "errno", None) in DISK_FULL:
                raise OSError(
                    error.errno,
                    f"the disk is full: {path} needs more space. Free some and call again; "
                    f"the {after:,} bytes that have arrived are kept in {part}",
                ) from error
            if after <= before:
                raise ConnectionError(
                    f"{url}: {error or type(error).__name__}"
                    + (f"; the {after:,} bytes in {part} are kept" if after else "")
                ) from error
    try:
        check_digest(part, checksum, algorithm)
    except DamagedData as error:
        part.unlink()
        raise DamagedData(f"What came from {url} is not the expected file and was deleted. {error}") from error
    os.replace(part, path)


def _fetch_rest(url, part, have):
    headers = {"User-Agent": "focal_utils"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            if response.status == 206:
                raise ConnectionError("the server sent another range than the one asked for")
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with open(part, "ab" if have else "wb") as file, _progress(part.stem, have, total) as advance:
            while block := response.read(BLOCK):
                file.write(block)
                have += len(block)
                advance(len(block))
    if total is not None and have != total:
        raise ConnectionError(f"the connection broke off after {have:,} of {total:,} bytes")


class _progress:
    """A progress bar with speed and remaining time."""

    def __init__(self, title, have, total):
        from rich import progress as bars

        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TransferSpeedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task(title, total=total, completed=have)

    def __enter__(self):
        self._bar.start()
        return lambda amount: self._bar.advance(self._task, amount)

    def __exit__(self, *error):
        self._bar.stop()


def open_archive(path):
    """Open a zip archive for reading, after looking at every member's name.

    Raises:
        DamagedData: not a zip archive, cut short, or a member's name leads out of the archive's folder.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise DamagedData(f"{path} is damaged or cut short ({error}). Delete the file and get it again.") from error
    for name in archive.namelist():
        for flavour in (PurePosixPath, PureWindowsPath):
            if flavour(name).is_absolute() or flavour(name).drive or ".." in flavour(name).parts:
                archive.close()
                raise DamagedData(
                    f"{path}: the member {name!r} leads out of the archive's folder. "
                    "This is not the official archive: nothing was read from it."
                )
    return archive


def read_member(archive, name):
    """Return a member's bytes.

    Raises:
        KeyError: no such member.
        DamagedData: the member is cut short or altered.
    """
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedData(
            f"{archive.filename}: the member {name!r} is damaged ({error}). Delete the archive and get it again."
        ) from error
