"""Where files are and how they come: the project's, the user's, the cache; fetched, written and read whole, or not."""

import errno
import glob
import hashlib
import http.client
import itertools
import json
import os
import platform
import re
import struct
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace

from focal_utils.errors import DamagedData, damaged

BESIDE_PACKAGE = Path(__file__).resolve().parent.parent / "data"

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

TIMEOUT = 8  # seconds for which a server may be silent
BLOCK = 1 << 18  # bytes that are read at once
ATTEMPTS = 100  # connections for one file; each must bring more of it
LARGEST_DOWNLOAD = 4 << 30  # bytes; an answer that does not end is left there
LARGEST_MEMBER = 64 << 20  # bytes of one file in an archive, unpacked


# ---- where files are


def data_folder():
    """The project's `data` folder (photographs, weights, results), a `Path`.

    It is looked for beside the package (a checkout), then in the working folder and its parents (a notebook of a
    checkout, with the package installed elsewhere).

    Raises:
        FileNotFoundError: no such folder; the message lists the places that were tried.
    """
    working = Path.cwd()
    candidates = [BESIDE_PACKAGE, *(folder / "data" for folder in (working, *working.parents))]
    for folder in candidates:
        if (folder / "README.md").is_file() and (folder / "photos").is_dir():
            return folder
    tried = "\n  ".join(str(folder) for folder in candidates)
    raise FileNotFoundError(
        f"The project's data folder (with README.md and photos/) was not found. Tried:\n  {tried}\n"
        "Work inside a checkout of the project, or copy its data folder into the working folder."
    )


def given_folder():
    """The folder that the environment variable `FOCAL_DATA_DIR` names, or None where it is not set.

    Raises:
        NotADirectoryError: the variable names something that is not a folder.
    """
    name = os.environ.get("FOCAL_DATA_DIR")
    if not name:
        return None
    folder = without_tilde(name)
    if not folder.is_dir():
        raise NotADirectoryError(f"FOCAL_DATA_DIR is {name!r}, which is not a folder: correct it or unset it.")
    return folder


def cache_folder():
    """The folder for downloads and converted data, a `Path` that may not exist yet.

    The environment variable `FOCAL_CACHE_DIR` names it; otherwise it is `data/cache` of a checkout that can be written
    to, otherwise `~/.cache/focal_utils`, and in the system's folder for temporary files where there is no home.
    """
    name = os.environ.get("FOCAL_CACHE_DIR")
    if name:
        return without_tilde(name)
    if (BESIDE_PACKAGE / "README.md").is_file() and os.access(BESIDE_PACKAGE, os.W_OK):
        return BESIDE_PACKAGE / "cache"
    try:
        return Path.home() / ".cache" / "focal_utils"
    except RuntimeError:  # a container's user without a home
        return Path(tempfile.gettempdir()) / "focal_utils"


def without_tilde(name):
    """A path with `~` spelled out, where there is a home to put in its place."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


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
    """What a script in `tools` has measured: `data/results/<name>.json` as Python's dicts and lists.

    Raises:
        FileNotFoundError: no such results; the message lists those that there are.
    """
    folder = data_folder() / "results"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.json")))
        raise FileNotFoundError(f"There are no results {name!r} in {folder}. There are: {known}.")
    return json.loads(path.read_text(encoding="utf-8"))


# ---- names of one's own, beside the name that a file will have

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # several machines may share a folder
NUMBERS = itertools.count()
IN_USE = set()


@contextmanager
def own_name(path, kind):
    """A name beside `path` that no other process or thread has; it ends as `path` does, since Keras looks at that."""
    name = f".{HOST}-{os.getpid()}-{next(NUMBERS)}.{kind}.{path.name}"
    IN_USE.add(name)
    try:
        yield path.with_name(name)
    finally:
        IN_USE.discard(name)


def left_behind(path, kind):
    """Such names beside `path` whose process is no more: a list of paths, none where psutil is not installed."""
    try:
        import psutil
    except ModuleNotFoundError:  # the layers alone come without it
        return []
    found = []
    for other in path.parent.glob(f".{HOST}-*.{kind}.{glob.escape(path.name)}"):
        process = other.name.split("-")[1]
        own = process == str(os.getpid())
        if process.isdecimal() and (other.name not in IN_USE if own else not psutil.pid_exists(int(process))):
            found.append(other)
    return found


@contextmanager
def whole_file(path):
    """A name beside `path` to write to: the file is put in place when all is written, and otherwise not at all.

    The name ends as that of `path` does, since Keras tells formats apart by it, and belongs to this process and thread
    alone. What killed processes left there is cleared away.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the disk is full, or the folder cannot be written to. What stood under `path` is as it was.

    Example:
        >>> with whole_file("results.json") as name:
        ...     name.write_text("{}")
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}. Make it first.")
    for leftover in left_behind(path, "tmp"):
        leftover.unlink(missing_ok=True)
    with own_name(path, "tmp") as temporary:
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise OSError(
                error.errno,
                f"the disk is full: {path} needs more space. Free some and call again; an older file of that name is "
                "as it was",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_file_or_folder(path):
    """As `whole_file`, for what may be a folder: a name in a hidden folder beside `path`, put in place when complete.

    Raises:
        OSError: it cannot be written. Nothing stands under `path` then.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        os.replace(part, path)


# ---- reading


@contextmanager
def reading(path):
    """In this `with` block, whatever a library raises about the file becomes an error in words that names it.

    Libraries raise a dozen types for a broken file (zipfile alone five, Pillow also SyntaxError, NumPy what Python's
    parser says of a header), which differ between versions; so the block should hold nothing but their calls.

    Raises:
        DamagedData: the file is not what it should be, or would need more memory than there is.
        OSError: the system does not let it be read.
    """
    try:
        yield
    except DamagedData:
        raise
    except OSError as error:
        if error.errno is None:  # not the system's, a library's
            raise damaged(path, error) from error
        reason = error.strerror or type(error).__name__
        raise OSError(error.errno, f"{path} cannot be read ({reason}): correct the path or its permissions") from error
    except MemoryError as error:
        raise damaged(path, "what it says of itself needs more memory than there is") from error
    except Exception as error:
        raise damaged(path, error) from error


def check_digest(path, expected, algorithm="md5"):
    """Raise DamagedData if the file's checksum is not the expected one (None: no checksum is known)."""
    if expected is None:
        return
    with reading(path), open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DamagedData(
            f"{path}: the {algorithm.upper()} checksum is {found}, expected {expected}. "
            "Delete the file and get it again."
        )


def open_archive(path):
    """A zip archive, opened for reading after a look at every member's name.

    Raises:
        DamagedData: not a zip archive, cut short, or a member's name leads out of the archive's folder.
        OSError: the file cannot be read.
    """
    with reading(path):
        archive = zipfile.ZipFile(path)
    for name in archive.namelist():
        for flavour in (PurePosixPath, PureWindowsPath):
            if flavour(name).is_absolute() or flavour(name).drive or ".." in flavour(name).parts:
                archive.close()
                raise DamagedData(
                    f"{path}: the member {name!r} leads out of the archive's folder. "
                    "This is not the official archive: nothing was read from it."
                )
    return archive


class OpenFolder:
    """A folder that is read as a `zipfile.ZipFile` is: what was unpacked need not be packed again."""

    def __init__(self, path):
        self.path = Path(path)
        self.filename = str(path)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    @cached_property
    def names(self):
        return [path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()]

    def namelist(self):
        return self.names

    def getinfo(self, name):
        if not (self.path / name).is_file():
            raise KeyError(f"There is no file {name!r} in {self.filename}")
        return SimpleNamespace(file_size=(self.path / name).stat().st_size)

    def read(self, name):
        return (self.path / name).read_bytes()


def read_member(archive, name, most=LARGEST_MEMBER):
    """A member's bytes, out of an `open_archive` or an `OpenFolder`.

    Raises:
        KeyError: no such member.
        DamagedData: the member is cut short or altered, or larger than `most` bytes, unpacked: then it is not read.
    """
    size = archive.getinfo(name).file_size
    if size > most:
        raise DamagedData(
            f"{archive.filename}: the member {name!r} is {size:,} bytes unpacked, over the limit of {most:,} for it. "
            "This is not the official archive: it was not read."
        )
    with reading(f"{archive.filename}: the member {name!r}"):
        return archive.read(name)


# ---- downloads


def fetch(url, path, checksum=None, algorithm="md5", most=LARGEST_DOWNLOAD):
    """Download a file with a progress bar; under its name it is complete and checked, or not there.

    What has arrived is kept in `<name>.part`. After an interruption the download goes on from there, at once while the
    server still answers, otherwise at the next call. Two processes that fetch one file do not write to one part.

    `keras.utils.get_file` and `pooch` check a checksum too, but start afresh after an interruption, write to the final
    name at once (Keras), and take for the file whatever comes where no checksum is known.

    Args:
        url: an http or https address; redirections are followed.
        path: where the file goes.
        checksum: expected checksum, or None where none is published. Then what came must look like what the name says:
            a zip archive opens, a `.safetensors` file is as long as its header says, and it is no web page; and an
            older part counts only if the server says that the file has not changed since.
        algorithm: of the checksum: "md5" or "sha256".
        most: bytes that the file may have.

    Raises:
        OSError: no connection, or it broke off, or a web page came (a login, often), or the disk is full.
        DamagedData: the checksum is wrong, the file is not what its name says, or too large; nothing is kept.
        ValueError: not an http or https address.

    Example:
        >>> fetch("https://example.org/weights.zip", "weights.zip", "7053d0359d879ad8a5505303e11de1dc")
    """
    if not str(url).startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no address to fetch from: it must begin with http:// or https://.")
    if os.environ.get("FOCAL_OFFLINE"):
        raise ConnectionError("FOCAL_OFFLINE is set")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with own_name(path, "part") as own:
        part = Part(path, own)
        try:
            if checksum is None and not part.version:
                part.drop()  # of which version it is, nobody knows
            certain = fetch_all(url, path, part, most)
            check_digest(own, checksum, algorithm)
            if checksum is None:
                check_content(own, path.name, certain)
            os.replace(own, path)
        except DamagedData as error:
            part.drop()
            text = str(error).replace(str(own), str(path))
            raise DamagedData(f"What came from {url} is not the expected file and was deleted. {text}") from error
        finally:
            part.put_back()


class Part:
    """What has arrived of a file, under a name of this process's own.

    `version` is what the server calls the file that the bytes are of, `total` how long it is; None where it is unknown.

    When it is made, it takes over `<name>.part`, or what a killed process left, whichever is longer.
    """

    def __init__(self, path, own):
        self.own = own
        self.shared = path.with_name(path.name + ".part")
        self.version = None
        self.total = None
        sources = sorted([self.shared, *left_behind(path, "part")], key=length_of)
        for source in reversed(sources):
            if os.path.lexists(source) and not os.path.lexists(own):
                self._take(source)
            elif source != self.shared:
                unlink_with_notes(source)

    def _take(self, source):
        try:
            os.rename(source, self.own)
            os.rename(notes_of(source), notes_of(self.own))
            self.version = json.loads(notes_of(self.own).read_text(encoding="utf-8"))["version"]
        except FileNotFoundError:  # another process was faster, or there are no notes
            return
        except (ValueError, KeyError, TypeError):
            self.version = None

    @property
    def size(self):
        return length_of(self.own)

    def begin(self, version, total):
        """Note of which version the bytes will be, so that the next call can ask for that one."""
        self.version = version
        self.total = total
        if version:
            notes_of(self.own).write_text(json.dumps({"version": version}), encoding="utf-8")
        else:
            notes_of(self.own).unlink(missing_ok=True)

    def drop(self):
        unlink_with_notes(self.own)
        self.version = None

    def put_back(self):
        """Keep what has arrived as `<name>.part`, unless more is there by now."""
        if self.size <= length_of(self.shared):
            unlink_with_notes(self.own)
            return
        if self.version:
            os.replace(notes_of(self.own), notes_of(self.shared))
        else:
            notes_of(self.shared).unlink(missing_ok=True)
        os.replace(self.own, self.shared)


def notes_of(part):
    return part.with_name(part.name + ".json")


def unlink_with_notes(part):
    part.unlink(missing_ok=True)
    notes_of(part).unlink(missing_ok=True)


def length_of(path):
    return path.stat().st_size if path.exists() else 0


class OtherVersionError(Exception):
    """The file on the server is not the one that the part is of."""


def fetch_all(url, path, part, most):
    """Fetch what is missing of the part, again and again while more arrives; whether its length was announced."""
    reached = part.size
    restarted = False
    for _ in range(ATTEMPTS):
        try:
            return fetch_rest(url, path.name, part, most)
        except (urllib.error.HTTPError, OtherVersionError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code != 416 or not part.size:
                    raise ConnectionError(
                        f"{url}: the server answers {error.code} ({error.reason}); {kept(part)}"
                    ) from error
                if error.headers.get("Content-Range") == f"bytes */{part.size}":
                    return True
            if restarted:
                raise ConnectionError(f"{url}: the server has nothing that goes on from what has arrived") from error
            restarted = True
            part.drop()
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in DISK_FULL:
                raise OSError(
                    error.errno, f"the disk is full: {path} needs more space. Free some and call again; {kept(part)}"
                ) from error
            if part.size <= reached:
                raise ConnectionError(f"{url}: {error or type(error).__name__}; {kept(part)}") from error
            reached = part.size
    raise ConnectionError(f"{url}: it broke off {ATTEMPTS} times; {kept(part)}")


def kept(part):
    return f"the {part.size:,} bytes in {part.shared} are kept" if part.size else "nothing has arrived"


def fetch_rest(url, name, part, most):
    """One connection: append what it brings to the part; whether the length of the whole was announced."""
    have = part.size
    headers = {"User-Agent": "focal_utils"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.version:
            headers["If-Range"] = part.version
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if response.headers.get_content_type() == "text/html" and not name.endswith((".html", ".htm")):
            raise ConnectionError("the server sent a web page instead of the file, a login perhaps")
        start, total = extent_of(response, have)
        if total is not None and total > most:
            raise DamagedData(f"{name}: it is {total:,} bytes, over the limit of {most:,} for it.")
        version = version_of(response)
        if not start:
            have = 0
            part.begin(version, total)
        elif differ(version, part.version) or differ(total, part.total):
            raise OtherVersionError
        with open(part.own, "ab" if start else "wb") as file, progress_bar(name, have, total) as advance:
            while block := response.read(BLOCK):
                have += len(block)
                if have > most:
                    raise DamagedData(f"{name}: more than {most:,} bytes came, the limit for it.")
                file.write(block)
                advance(len(block))
        if total is not None and have != total:
            raise ConnectionError(f"the connection broke off after {have:,} of {total:,} bytes")
        return total is not None or response.chunked  # an answer in chunks says where it ends


def extent_of(response, have):
    """Where the bytes of an answer begin in the file, and how long that is (None: it does not say)."""
    if response.status != 206:
        length = response.headers.get("Content-Length") or ""
        return 0, int(length) if length.isdecimal() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not found or int(found[1]) != have:
        raise ConnectionError("the server sent another range than the one asked for")
    return have, None if found[2] == "*" else int(found[2])


def differ(one, other):
    return one is not None and other is not None and one != other


def version_of(response):
    """What the server calls this version of the file, in words that it takes as `If-Range`, or None."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def check_content(path, name, certain):
    """Raise DamagedData unless a file is what its name says; `certain` is whether its length was announced."""
    with open(path, "rb") as file:
        start = file.read(512)
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")) and not name.endswith((".html", ".htm")):
        raise DamagedData(f"{path} is a web page, a login perhaps.")
    if name.endswith((".zip", ".npz", ".keras")) or start.startswith(b"PK\x03\x04"):
        open_archive(path).close()
    elif name.endswith(".safetensors"):
        check_safetensors(path)
    elif not certain:
        raise DamagedData(
            f"{path}: the server did not say how long it is, and there is no checksum: it may lack its end."
        )


def check_safetensors(path):
    with reading(path), open(path, "rb") as file:
        (header,) = struct.unpack("<Q", file.read(8))
        if header > LARGEST_MEMBER:
            raise ValueError(f"a header of {header:,} bytes")
        tensors = json.loads(file.read(header))
        ends = [entry["data_offsets"][1] for key, entry in tensors.items() if key != "__metadata__"]
        expected = 8 + header + max(ends, default=0)
        if path.stat().st_size != expected:
            raise ValueError(f"{path.stat().st_size:,} bytes of {expected:,}")


@contextmanager
def progress_bar(title, have, total):
    """A progress bar with speed and remaining time: a function that moves it on by a number of bytes."""
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=Console(),  # one of its own, since a console shows one bar at a time, and threads may fetch together
    )
    task = bar.add_task(title, total=total, completed=have)
    with bar:
        yield lambda amount: bar.advance(task, amount)
