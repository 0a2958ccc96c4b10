"""Fetching and opening files from elsewhere: resumable, checked, atomic, and never outside their folder."""

import errno
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

TIMEOUT = 8
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
BLOCK = 1 << 18


class DataNotFound(FileNotFoundError):
    """A data set is neither on this machine nor to be had from its source; the message names the ways out."""


class DamagedData(ValueError):
    """A file is cut short, altered, or not what it should be; the message names the file."""


def check_digest(path, expected, algorithm="md5"):
    """Raise ``DamagedData`` if the file's checksum is not the expected one (``None``: no checksum is known)."""
    if expected is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DamagedData(f"{path}: the {algorithm.upper()} checksum is {found}, expected {expected}. "
                          "Delete the file and get it again.")


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
                raise OSError(error.errno, f"the disk is full: {path} needs more space. Free some and call again; "
                                           f"the {after:,} bytes that have arrived are kept in {part}") from error
            if after <= before:
                raise ConnectionError(f"{url}: {error or type(error).__name__}"
                                      + (f"; the {after:,} bytes in {part} are kept" if after else "")) from error
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

        self._bar = bars.Progress(bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn(),
                                  bars.TransferSpeedColumn(), bars.TextColumn("left"), bars.TimeRemainingColumn())
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
                raise DamagedData(f"{path}: the member {name!r} leads out of the archive's folder. "
                                  "This is not the official archive: nothing was read from it.")
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
        raise DamagedData(f"{archive.filename}: the member {name!r} is damaged ({error}). "
                          "Delete the archive and get it again.") from error
