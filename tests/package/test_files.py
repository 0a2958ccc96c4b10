import errno
import hashlib
import http.server
import socket
import threading
import time
import zipfile
from pathlib import Path

import pytest

from focal_utils.errors import DamagedData
from focal_utils.files import fetch, open_archive, read_member

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; ``cuts`` lists after how many bytes each of the next answers breaks off."""

    def __init__(self, understands_range=True, cuts=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.understands_range, self.cuts, self.ranges = understands_range, list(cuts), []

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
    with pytest.raises(DamagedData, match=r"cut\.zip is damaged or cut short"):
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
