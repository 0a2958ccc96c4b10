"""Array files: what they say of themselves is looked at before anything is unpacked."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from focal_utils.data import arrays, read_npz, write_npz
from focal_utils.errors import DamagedData


def npy(shape, data=b"", dtype="|u1", version=(1, 0)):
    """An array file that says what it is told to say."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    write = {(1, 0): np.lib.format.write_array_header_1_0, (2, 0): np.lib.format.write_array_header_2_0}[version]
    write(file, header)
    return file.getvalue() + data


def packed(path, kind=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_arrays_come_back_those_that_are_asked_for(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, x=np.arange(3), y=np.eye(2), z=np.array("text"))
    found = read_npz(path, ["x"], optional=["z", "none"])
    assert list(read_npz(path)) == ["x", "y", "z"]
    assert list(found) == ["x", "z"] and found["x"].tolist() == [0, 1, 2] and found["z"] == "text"
    assert read_npz(packed(path, a=npy((3,), b"abc", version=(2, 0))), ["a"])["a"].tolist() == [97, 98, 99]
    with pytest.raises(DamagedData, match="has no array b, c; it holds a"):
        read_npz(path, ["a", "b", "c"])


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(arrays, "HARMLESS", 1 << 20)
    path = packed(tmp_path / "bomb.npz", kind, x=npy((8 << 20,), bytes(8 << 20)))
    tracemalloc.start()
    with pytest.raises(DamagedData, match="bytes would unpack to 8,388,736, as no pictures do"):
        read_npz(path, ["x"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_pictures_that_pack_well_are_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 32, 32, 3), "uint8"))
    assert read_npz(tmp_path / "a.npz", ["x"])["x"].shape == (1000, 32, 32, 3)


@pytest.mark.parametrize(
    "member",
    [
        npy((1 << 40,), b"abc"),  # asks for a terabyte
        npy((1 << 40, 1 << 40), b"abc"),
        npy((4,), b"abc"),
        npy((2,), b"abc"),
        npy((-3,), b"abc"),
        npy((3,), b"abc", "<f8"),
        npy((3,), b"abc").replace(b"fortran", b"portran"),
        npy((3,), b"abc").replace(b"|u1", b"|x9"),
        npy((3,), b"abc").replace(b"{", b"(((("),
        npy((3,), b"abc").replace(b"NUMPY\x01", b"NUMPY\x09"),
        b"no array",
        b"",
    ],
)
def test_headers_that_lie(tmp_path, member):
    with pytest.raises(DamagedData, match=r"a\.npz is cut short or damaged"):
        read_npz(packed(tmp_path / "a.npz", x=member), ["x"])


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"an": "object"}], object))
    with pytest.raises(DamagedData, match="allow_pickle=False"):
        read_npz(tmp_path / "a.npz", ["x"])


@pytest.mark.parametrize("place", range(0, 1200, 7))
def test_a_flipped_bit_is_found_or_harmless(tmp_path, place):
    path = tmp_path / "a.npz"
    values = np.random.default_rng(0).integers(0, 256, (20, 20), "uint8")
    np.savez_compressed(path, x=values)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << place % 8
    path.write_bytes(data)
    try:
        found = read_npz(path, ["x"])["x"]
    except DamagedData:
        return
    assert np.array_equal(found, values)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" * 9, b"\x93NUMPY\x01\x00", b"x,y\n1,2\n", b"\x00" * 400])
def test_files_that_are_no_archive(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DamagedData, match="cut short or damaged"):
        read_npz(tmp_path / "a.npz", ["x"])


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(OSError, match="cannot be read"):
            read_npz(path, ["x"])
    assert arrays.HARMLESS >= 64 << 20
