import contextlib
import csv
import errno
import hashlib
import http.server
import io
import lzma
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tokenize
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from focal_utils import files
from focal_utils.errors import DamagedData
from focal_utils.files import OpenFolder, fetch, open_archive, read_member, reading, whole_file

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; ``cuts`` lists after how many bytes each of the next answers breaks off."""

    def __init__(self, understands_range=True, cuts=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.understands_range = understands_range
        self.cuts = list(cuts)
        self.ranges = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.understands_range else 0
        if self.path != "/file.bin":
            return self.send_error(404)
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return None
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(CONTENT)
        self.wfile.write(CONTENT[start : start + cut])
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("FOCAL_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def serve():
    servers = []

    def start(**options):
        servers.append(Server(**options))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fetch(serve, tmp_path):
    server = serve()
    fetch(server.url, tmp_path / "new" / "file.bin", MD5)
    assert contents(tmp_path / "new") == {"file.bin": CONTENT}
    assert server.ranges == [None]


def test_a_broken_connection_is_resumed_at_once(serve, tmp_path):
    server = serve(cuts=[300_000, 400_000])
    fetch(server.url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {"file.bin": CONTENT}
    assert server.ranges == [None, "bytes=300000-", "bytes=700000-"]


def test_an_interrupted_download_is_resumed_by_the_next_call(serve, tmp_path):
    server = serve(cuts=[300_000, 0])
    with pytest.raises(ConnectionError, match=r"300,000 of 1,048,576 bytes.*file\.bin\.part are kept"):
        fetch(server.url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {"file.bin.part": CONTENT[:300_000]}
    fetch(server.url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {"file.bin": CONTENT}
    assert server.ranges[-1] == "bytes=300000-"


def test_a_server_without_ranges_starts_afresh(serve, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    fetch(serve(understands_range=False).url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {"file.bin": CONTENT}


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"], ids=["complete", "too long"])
def test_a_part_that_is_already_there(serve, tmp_path, part):
    (tmp_path / "file.bin.part").write_bytes(part)
    fetch(serve().url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {"file.bin": CONTENT}


def test_a_part_of_another_file_is_found_out(serve, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DamagedData, match="not the expected file and was deleted"):
        fetch(serve().url, tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {}


def test_a_wrong_checksum_leaves_nothing(serve, tmp_path):
    with pytest.raises(DamagedData, match=f"MD5 checksum is {MD5}, expected {'0' * 32}"):
        fetch(serve().url, tmp_path / "file.bin", "0" * 32)
    assert contents(tmp_path) == {}


def test_a_missing_file_on_the_server(serve, tmp_path):
    with pytest.raises(OSError, match="404"):
        fetch(serve().url + "x", tmp_path / "file.bin")
    assert contents(tmp_path) == {}


def test_nobody_answers(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        started = time.perf_counter()
        with pytest.raises(ConnectionError, match="http://127.0.0.1"):
            fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin", tmp_path / "file.bin")
        assert time.perf_counter() - started < 5
    assert contents(tmp_path) == {}


def test_offline_by_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    with pytest.raises(ConnectionError, match="FOCAL_OFFLINE is set"):
        fetch("http://127.0.0.1:1/file.bin", tmp_path / "file.bin")


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), CONTENT[:5000])
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/etc/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_a_name_that_leads_out_of_the_archive(tmp_path, name):
    path = write_zip(tmp_path / "bad.zip", "good.txt", name)
    with pytest.raises(DamagedData) as caught:
        open_archive(path)
    assert "bad.zip" in str(caught.value) and repr(name) in str(caught.value)


def test_ordinary_names(tmp_path):
    with open_archive(write_zip(tmp_path / "good.zip", "a/b.txt", "a..b/c.txt")) as archive:
        assert read_member(archive, "a/b.txt") == CONTENT[:5000]


def test_a_truncated_archive(tmp_path):
    path = write_zip(tmp_path / "cut.zip", "a.txt", "b.txt")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedData, match=r"cut\.zip is cut short or damaged"):
        open_archive(path)


def test_an_altered_member(tmp_path):
    path = write_zip(tmp_path / "altered.zip", "a.txt")
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(DamagedData, match=r"altered\.zip: the member 'a\.txt'"):
        read_member(archive, "a.txt")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full (Linux)")
def test_a_full_disk_is_told_and_leaves_nothing_under_the_name(serve, tmp_path):
    server = serve()
    (tmp_path / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="the disk is full: .*file.bin needs more space. Free some") as caught:
        fetch(server.url, tmp_path / "file.bin", MD5)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "file.bin").exists() and len(server.ranges) == 1


class Strange(http.server.ThreadingHTTPServer):
    """Answers each request as `answer(handler, start)` says; `asked` lists the headers of the requests."""

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), StrangeHandler)
        self.answer = answer
        self.asked = []

    def url(self, name="file.bin"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class StrangeHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        asked = self.headers.get("Range")
        self.server.answer(self, int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0)

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, data):
        with contextlib.suppress(OSError):  # the other side may have hung up
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def strange():
    servers = []

    def start(answer):
        servers.append(Strange(answer))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


ARCHIVE = zipped(a=CONTENT[:200_000], b=CONTENT[:100_000])


def whole(handler, start, content=ARCHIVE, **headers):
    """A well-behaved server's answer."""
    if start:
        handler.head(206, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}", **headers)
    else:
        handler.head(200, Content_Length=len(content), **headers)
    handler.body(content[start:])


@pytest.mark.parametrize("status", [416, 404, 500, 503])
def test_a_server_that_cuts_the_body_and_refuses_the_rest_is_not_asked_for_ever(strange, tmp_path, status):
    def answer(handler, start):
        if start:
            return handler.head(status, Content_Length=0)
        handler.head(200, Content_Length=len(ARCHIVE))
        return handler.body(ARCHIVE[:1000])

    server = strange(answer)
    with pytest.raises(OSError, match="broke off|server answers|nothing that goes on"):
        fetch(server.url("a.zip"), tmp_path / "a.zip")
    assert len(server.asked) <= 4 and not (tmp_path / "a.zip").exists()


def test_a_server_that_gives_a_byte_at_a_time_is_left(strange, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "ATTEMPTS", 5)

    def answer(handler, start):
        handler.head(206 if start else 200, Content_Range=f"bytes {start}-{start}/1000", Content_Length=1000 - start)
        handler.body(b"x")

    server = strange(answer)
    with pytest.raises(ConnectionError, match="it broke off 5 times"):
        fetch(server.url(), tmp_path / "file.bin")
    assert len(server.asked) == 5


@pytest.mark.parametrize("pause", [1000, 100_000, len(ARCHIVE) - 2])
def test_without_a_length_what_breaks_off_is_not_taken_for_the_file(strange, tmp_path, pause):
    def answer(handler, start):
        handler.head(200)
        handler.body(ARCHIVE[:pause])

    with pytest.raises(DamagedData, match="not the expected file and was deleted.*a.zip is cut short or damaged"):
        fetch(strange(answer).url(), tmp_path / "a.zip")
    with pytest.raises(DamagedData, match="MD5 checksum"):
        fetch(strange(answer).url(), tmp_path / "a.zip", hashlib.md5(ARCHIVE).hexdigest())
    with pytest.raises(DamagedData, match="may lack its end"):
        fetch(strange(lambda handler, start: (handler.head(200), handler.body(b"x"))).url(), tmp_path / "file.bin")
    assert contents(tmp_path) == {}


def test_without_a_length_a_whole_file_is_taken(strange, tmp_path):
    server = strange(lambda handler, start: (handler.head(200, Content_Length="many"), handler.body(ARCHIVE)))
    fetch(server.url(), tmp_path / "a.zip")
    fetch(server.url(), tmp_path / "file.bin", hashlib.md5(ARCHIVE).hexdigest())
    assert contents(tmp_path) == {"a.zip": ARCHIVE, "file.bin": ARCHIVE}


def test_chunks_say_where_they_end(strange, tmp_path):
    def answer(handler, start, end=b"0\r\n\r\n"):
        handler.protocol_version = "HTTP/1.1"
        handler.head(200, Transfer_Encoding="chunked", Connection="close")
        handler.body(b"5\r\nhello\r\n" + end)

    fetch(strange(answer).url(), tmp_path / "whole.bin")
    with pytest.raises(ConnectionError, match="IncompleteRead"):
        fetch(strange(lambda handler, start: answer(handler, start, b"")).url(), tmp_path / "cut.bin")
    assert contents(tmp_path)["whole.bin"] == b"hello" and not (tmp_path / "cut.bin").exists()


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/zip", "text/plain"])
def test_a_login_page_does_not_become_the_file(strange, tmp_path, kind):
    page = b"\n<!DOCTYPE html><html><form>Your password, please</form></html>"
    server = strange(lambda handler, start: whole(handler, 0, page, Content_Type=kind))
    for name in ("a.zip", "file.bin"):
        with pytest.raises((ConnectionError, DamagedData), match="web page"):
            fetch(server.url(), tmp_path / name)
    assert contents(tmp_path) == {}


def test_a_login_page_does_not_cost_what_has_arrived(strange, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(ARCHIVE[:1000])
    server = strange(lambda handler, start: whole(handler, 0, b"<html>", Content_Type="text/html"))
    with pytest.raises(ConnectionError, match=r"web page.*the 1,000 bytes in .*a\.zip\.part are kept"):
        fetch(server.url(), tmp_path / "a.zip", hashlib.md5(ARCHIVE).hexdigest())
    assert contents(tmp_path) == {"a.zip.part": ARCHIVE[:1000]}


def in_pieces(handler, start, size=100_000):
    """Partial answers, each shorter than what was asked for."""
    if not start:
        handler.head(200, Content_Length=len(ARCHIVE))
        return handler.body(ARCHIVE[:1000])
    piece = ARCHIVE[start : start + size]
    handler.head(206, Content_Range=f"bytes {start}-{start + len(piece) - 1}/{len(ARCHIVE)}", Content_Length=len(piece))
    return handler.body(piece)


def test_short_partial_answers_are_put_together(strange, tmp_path):
    server = strange(in_pieces)
    fetch(server.url(), tmp_path / "a.zip")
    assert contents(tmp_path) == {"a.zip": ARCHIVE} and len(server.asked) == 4


@pytest.mark.parametrize(
    "extent", ["bytes 0-9/10", "bytes 999-300000/300240", "bytes */300240", "nonsense", "bytes 1001-9/-5", ""]
)
def test_another_range_than_the_one_asked_for(strange, tmp_path, extent):
    (tmp_path / "a.zip.part").write_bytes(ARCHIVE[:1000])
    server = strange(lambda handler, start: (handler.head(206, Content_Range=extent), handler.body(ARCHIVE[:10])))
    with pytest.raises(ConnectionError, match="another range"):
        fetch(server.url(), tmp_path / "a.zip", hashlib.md5(ARCHIVE).hexdigest())
    assert contents(tmp_path) == {"a.zip.part": ARCHIVE[:1000]}


NEW = zipped(a=CONTENT[:250_000], b=b"new")


def versions(honest=True, tag="ETag", old='"1"', new='"2"'):
    """A server whose file changes after the first request, which is cut; `honest`: it heeds If-Range."""

    def answer(handler, start):
        if len(handler.server.asked) == 1:
            handler.head(200, Content_Length=len(ARCHIVE), **{tag: old})
            handler.body(ARCHIVE[:1000])
        elif len(handler.server.asked) == 2:
            handler.head(503, Content_Length=0)
        else:
            changed = handler.headers.get("If-Range") != new
            whole(handler, 0 if honest and changed else start, NEW, **{tag: new})

    return answer


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize(
    ("tag", "old", "new"),
    [
        ("ETag", '"1"', '"2"'),
        ("Last-Modified", "Fri, 02 Oct 2026 09:00:00 GMT", "Sat, 03 Oct 2026 09:00:00 GMT"),
        ("X-Nothing", "", ""),
    ],
)
def test_a_part_of_an_older_version_is_not_gone_on_with(strange, tmp_path, honest, tag, old, new):
    server = strange(versions(honest, tag, old, new))
    with pytest.raises(OSError, match="503"):
        fetch(server.url(), tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").read_bytes() == ARCHIVE[:1000]
    fetch(server.url(), tmp_path / "a.zip")
    assert contents(tmp_path) == {"a.zip": NEW}


def test_a_part_of_the_same_version_is_gone_on_with(strange, tmp_path):
    server = strange(lambda handler, start: whole(handler, start, ARCHIVE, ETag='"1"'))
    (tmp_path / "a.zip.part").write_bytes(ARCHIVE[:1000])
    (tmp_path / "a.zip.part.json").write_text('{"version": "\\"1\\""}')
    fetch(server.url(), tmp_path / "a.zip")
    assert server.asked[0]["Range"] == "bytes=1000-" and server.asked[0]["If-Range"] == '"1"'
    assert contents(tmp_path) == {"a.zip": ARCHIVE}


@pytest.mark.parametrize("notes", ["", "[]", '{"version": 3', '{"other": 1}'])
def test_notes_that_cannot_be_read_count_as_none(strange, tmp_path, notes):
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.zip.part.json").write_text(notes)
    server = strange(whole)
    fetch(server.url(), tmp_path / "a.zip")
    assert "Range" not in server.asked[0] and contents(tmp_path) == {"a.zip": ARCHIVE}


def safetensors(length, stated):
    header = f'{{"w": {{"dtype": "U8", "shape": [{stated}], "data_offsets": [0, {stated}]}}}}'.encode()
    return len(header).to_bytes(8, "little") + header + bytes(length)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", b"no archive at all"),
        ("a.npz", ARCHIVE[:-30]),
        ("a.bin", ARCHIVE[:-30]),
        ("a.keras", b""),
        ("a.safetensors", safetensors(10, 20)),
        ("a.safetensors", b"\xff" * 100),
        ("a.safetensors", b"{}"),
    ],
)
def test_without_a_checksum_a_file_must_look_like_its_name(strange, tmp_path, name, content):
    server = strange(lambda handler, start: whole(handler, start, content))
    with pytest.raises(DamagedData, match="not the expected file and was deleted"):
        fetch(server.url(), tmp_path / name)
    assert contents(tmp_path) == {}
    good = safetensors(20, 20) if name.endswith("safetensors") else ARCHIVE
    fetch(strange(lambda handler, start: whole(handler, start, good)).url(), tmp_path / name)
    assert contents(tmp_path) == {name: good}


def test_an_answer_without_an_end_is_left_at_the_limit(strange, tmp_path):
    def answer(handler, start):
        handler.head(200)
        for _ in range(100):
            handler.body(CONTENT)

    with pytest.raises(DamagedData, match="more than 5,000,000 bytes came"):
        fetch(strange(answer).url(), tmp_path / "file.bin", MD5, most=5_000_000)
    announced = strange(lambda handler, start: handler.head(200, Content_Length=10**15))
    with pytest.raises(DamagedData, match="1,000,000,000,000,000 bytes, over the limit"):
        fetch(announced.url(), tmp_path / "file.bin", MD5)
    assert contents(tmp_path) == {}


def test_redirections_are_followed_and_other_addresses_refused(strange, tmp_path):
    def answer(handler, start):
        if handler.path == "/there":
            return whole(handler, start)
        return handler.head(302, Location="/there", Content_Length=0)

    fetch(strange(answer).url(), tmp_path / "a.zip")
    assert contents(tmp_path) == {"a.zip": ARCHIVE}
    for address in ("file:///etc/passwd", "ftp://example.org/a", "a.zip", "", None):
        with pytest.raises(ValueError, match="no address to fetch from"):
            fetch(address, tmp_path / "b.zip")


def slowly(handler, start):
    handler.head(206 if start else 200, Content_Range=f"bytes {start}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}")
    for place in range(start, len(ARCHIVE), 20_000):
        handler.body(ARCHIVE[place : place + 20_000])
        time.sleep(0.03)


FETCH = """
import sys
from focal_utils.files import fetch
fetch(*sys.argv[1:])
"""


def fetching(url, path, *more):
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, url, str(path), *more], env=environment, stdout=subprocess.DEVNULL
    )


def test_two_processes_fetch_one_file(strange, tmp_path):
    server = strange(slowly)
    path = tmp_path / "a.zip"
    both = [fetching(server.url(), path) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert contents(tmp_path) == {"a.zip": ARCHIVE}


def test_several_threads_fetch_one_file(strange, tmp_path):
    server = strange(slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch(server.url(), tmp_path / "a.zip"), range(4)))
    assert contents(tmp_path) == {"a.zip": ARCHIVE}


def test_what_a_killed_process_had_fetched_is_gone_on_with(strange, tmp_path):
    def answer(handler, start):
        if start:
            return whole(handler, start)
        handler.head(200, Content_Length=len(ARCHIVE))
        handler.body(ARCHIVE[:150_000])
        return time.sleep(3)

    server = strange(answer)
    md5 = hashlib.md5(ARCHIVE).hexdigest()
    process = fetching(server.url(), tmp_path / "a.zip", md5)
    until = time.time() + 120
    while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.time() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    fetch(server.url(), tmp_path / "a.zip", md5)
    assert contents(tmp_path) == {"a.zip": ARCHIVE}
    assert int(server.asked[-1]["Range"].removeprefix("bytes=").removesuffix("-")) > 0


# Files written whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.weights.h5"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as name:
        name.write_text("half")
        raise RuntimeError
    assert contents(tmp_path) == {"a.weights.h5": b"old"}
    with whole_file(path) as name:
        assert name.name.endswith(".weights.h5") and name.parent == tmp_path
        name.write_text("new")
    assert contents(tmp_path) == {"a.weights.h5": b"new"}
    with (
        pytest.raises(FileNotFoundError, match="there is no folder .*nowhere. Make it first"),
        whole_file(tmp_path / "nowhere" / "a"),
    ):
        pass


def test_each_thread_has_a_name_of_its_own(tmp_path):
    path = tmp_path / "a.txt"
    barrier = threading.Barrier(8)

    def write(number):
        with whole_file(path) as name:
            name.write_text(str(number) * 1000)
            barrier.wait(30)
        return name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(write, range(8)))
    assert len(set(names)) == 8 and list(contents(tmp_path)) == ["a.txt"]
    assert path.read_text() in {str(number) * 1000 for number in range(8)}


def test_what_dead_processes_left_is_cleared_and_what_others_write_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = files.HOST
    left = [f".{host}-{dead.pid}-0.tmp.a.txt", f".{host}-{os.getpid()}-987654321.tmp.a.txt"]
    alive = [
        f".{host}-{os.getppid()}-0.tmp.a.txt",
        f".0a0a0a0a-{dead.pid}-0.tmp.a.txt",
        f".{host}-{dead.pid}-0.tmp.b.txt",
    ]
    for name in left + alive:
        (tmp_path / name).write_text("half")
    with whole_file(tmp_path / "a.txt") as outer, whole_file(tmp_path / "a.txt") as inner:
        outer.write_text("1")
        inner.write_text("2")
    assert sorted(contents(tmp_path)) == sorted([*alive, "a.txt"])
    with whole_file(tmp_path / "[a].txt") as name:
        name.write_text("3")
    assert (tmp_path / "[a].txt").read_text() == "3"


def test_a_full_disk_leaves_the_older_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for number in files.DISK_FULL:
        with (
            pytest.raises(OSError, match="the disk is full: .*a.txt needs more space") as caught,
            whole_file(path) as name,
        ):
            name.write_text("half")
            raise OSError(number, "No space left on device")
        assert caught.value.errno == number and contents(tmp_path) == {"a.txt": b"old"}


# Files read


@pytest.mark.parametrize(
    "error",
    [
        zipfile.BadZipFile("x"),
        zlib.error("x"),
        lzma.LZMAError("x"),
        csv.Error("x"),
        EOFError(),
        SyntaxError("x"),
        NotImplementedError("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        OSError("x"),
        KeyError("x"),
        MemoryError(),
        struct.error("x"),
        tokenize.TokenError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_libraries_raise_becomes_damaged_data(error):
    text = r"a\.zip is cut short or damaged \(.+\)\. Fetch or save it again"
    with pytest.raises(DamagedData, match=text) as caught, reading("a.zip"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EISDIR, errno.ENOENT])
def test_what_the_system_refuses_stays_the_system_s(number):
    with pytest.raises(OSError, match="a.zip cannot be read .*: correct the path") as caught, reading("a.zip"):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number and not isinstance(caught.value, DamagedData)


def test_a_member_too_large_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.csv", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with open_archive(path) as archive:
        with pytest.raises(DamagedData, match="'zeros.csv' is 314,572,800 bytes unpacked, over the limit"):
            read_member(archive, "zeros.csv")
        with pytest.raises(DamagedData, match="over the limit of 1,000"):
            read_member(archive, "zeros.csv", most=1000)


def test_a_folder_is_read_like_an_archive(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"text")
    with OpenFolder(tmp_path) as folder:
        assert folder.namelist() == ["a/b.txt"] and read_member(folder, "a/b.txt") == b"text"
        with pytest.raises(KeyError):
            read_member(folder, "a/c.txt")
        with pytest.raises(DamagedData, match="4 bytes unpacked, over the limit of 3"):
            read_member(folder, "a/b.txt", most=3)


def test_without_a_home(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "BESIDE_PACKAGE", tmp_path / "nowhere")
    monkeypatch.delenv("FOCAL_CACHE_DIR", raising=False)

    def no_home(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert files.cache_folder() == Path(tempfile.gettempdir()) / "focal_utils"
    monkeypatch.setenv("FOCAL_CACHE_DIR", "~nobody/cache")
    assert files.cache_folder() == Path("~nobody/cache")
    monkeypatch.setenv("FOCAL_DATA_DIR", "~nobody")
    with pytest.raises(NotADirectoryError, match="FOCAL_DATA_DIR is '~nobody'"):
        files.given_folder()
