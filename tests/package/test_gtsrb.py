import functools
import io
import itertools
import os
import shutil
import zipfile
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from focal_utils.data import (
    GTSRB_CLASSES,
    TEST_COUNTS,
    TRAIN_COUNTS,
    gtsrb,
    load_gtsrb,
    loaders,
    read_official,
    resize_bilinear,
)
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.files import cache_folder

TRAINING, TEST_IMAGES, TEST_LABELS = loaders.ARCHIVES
HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data, an empty cache, no network."""
    monkeypatch.delenv("FOCAL_DATA_DIR", raising=False)
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FOCAL_OFFLINE", "1")


@pytest.fixture
def given(monkeypatch, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("FOCAL_DATA_DIR", str(folder))
    return folder


def picture(seed, width, height):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return pixels, b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def write_archives(folder, change=None):
    """Three small archives in the official layout: 2 classes, 3 tracks of 2 frames each; 3 test images.

    ``change`` may alter the members of the archives, a dict from archive name to dict from member name to bytes.
    """
    members = {TRAINING: {}, TEST_IMAGES: {}, TEST_LABELS: {}}
    for label in range(2):
        base = f"GTSRB/Final_Training/Images/{label:05d}/"
        lines = HEADER
        for track in range(3):
            for frame in range(2):
                name = f"{track:05d}_{frame:05d}.ppm"
                width = 40 + 3 * track
                height = 38 + 5 * frame
                members[TRAINING][base + name] = picture(100 * label + 10 * track + frame, width, height)[1]
                lines += f"{name};{width};{height};5;6;{width - 5};{height - 6};{label}\r\n"
        members[TRAINING][base + f"GT-{label:05d}.csv"] = lines.encode()
    lines = HEADER
    for number, label in enumerate((1, 0, 1)):
        members[TEST_IMAGES][f"GTSRB/Final_Test/Images/{number:05d}.ppm"] = picture(500 + number, 64, 64)[1]
        lines += f"{number:05d}.ppm;64;64;7;7;56;56;{label}\r\n"
    members[TEST_LABELS]["GT-final_test.csv"] = lines.encode()
    if change:
        change(members)
    for archive, content in members.items():
        with zipfile.ZipFile(folder / archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in content.items():
                file.writestr(name, data)
    return [folder / archive for archive in members]


@pytest.fixture
def small(monkeypatch):
    """``load_gtsrb`` expects the small archives instead of the official ones."""
    monkeypatch.setattr(loaders, "ARCHIVES", dict.fromkeys(loaders.ARCHIVES))
    monkeypatch.setattr(
        loaders, "read_official", functools.partial(read_official, train_counts=(6, 6), test_counts=(1, 2))
    )


def test_archives_are_read_without_unpacking(small, given):
    write_archives(given)
    signs = load_gtsrb(size=32)
    assert (signs.name, signs.source, signs.class_names) == ("GTSRB", "official", GTSRB_CLASSES)
    assert [len(x) for x in (signs.x_train, signs.x_val, signs.x_test)] == [8, 4, 3]
    assert signs.image_shape == (32, 32, 3) and signs.x_train.dtype == np.uint8 and signs.y_train.dtype == np.int64
    assert signs.y_test.tolist() == [1, 0, 1] and sorted(signs.y_val.tolist()) == [0, 0, 1, 1]
    assert not set(signs.track_train) & set(signs.track_val)
    assert signs.size_test.tolist() == [[64, 64]] * 3 and signs.roi_test.tolist() == [[7, 7, 56, 56]] * 3
    np.testing.assert_array_equal(signs.x_test[1], resize_bilinear(picture(501, 64, 64)[0], 32))
    assert {path.name for path in given.iterdir()} == set(loaders.ARCHIVES)
    assert repr(signs) == "<ImageSet GTSRB (official): 8 / 4 / 3 train / val / test, 32×32×3 uint8, 43 classes>"
    with pytest.raises(FrozenInstanceError):
        signs.x_train = None


def test_other_sizes_and_other_splits(small, given):
    write_archives(given)
    assert load_gtsrb(size=48).image_shape == (48, 48, 3)
    np.testing.assert_array_equal(load_gtsrb(seed=1).track_val, load_gtsrb(seed=1).track_val)
    assert len({tuple(load_gtsrb(seed=seed).track_val) for seed in range(8)}) > 1
    with pytest.raises(ValueError, match="validation is 0"):
        load_gtsrb(validation=0)
    with pytest.raises(ValueError, match="size is 4"):
        load_gtsrb(size=4)


def test_the_second_load_needs_no_archives(small, given):
    archives = write_archives(given)
    first = load_gtsrb()
    for path in archives:
        path.unlink()
    np.testing.assert_array_equal(load_gtsrb().x_train, first.x_train)


def test_a_cached_file_cut_short_is_named_and_made_again(small, given):
    write_archives(given)
    first = load_gtsrb()
    cached = cache_folder() / "gtsrb_32.npz"
    whole = cached.read_bytes()
    for damaged in (whole[:-1000], whole[:20], b"", whole[:5000] + b"\0" * 20 + whole[5020:]):
        cached.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"gtsrb_32\.npz is cut short or damaged.*made again"):
            again = load_gtsrb()
        np.testing.assert_array_equal(again.x_train, first.x_train)
        assert len(cached.read_bytes()) == len(whole)


def test_a_damaged_cache_that_cannot_be_made_again():
    cache_folder().mkdir()
    (cache_folder() / "gtsrb_32.npz").write_bytes(b"PK")
    with pytest.warns(UserWarning, match="cut short"), pytest.raises(DataNotFound):
        load_gtsrb()


def add(archive, name, data=b""):
    return lambda members: members[archive].update({name: data})


def alter(archive, name, old, new):
    def change(members):
        assert old in members[archive][name]
        members[archive][name] = members[archive][name].replace(old, new, 1)

    return change


CSV_1 = "GTSRB/Final_Training/Images/00001/GT-00001.csv"
PPM_1 = "GTSRB/Final_Training/Images/00001/00002_00001.ppm"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add(TRAINING, "../evil.ppm"), r"Training_Images\.zip: the member '\.\./evil\.ppm' leads out"),
        (add(TEST_LABELS, "/evil.csv"), r"Test_GT\.zip: the member '/evil\.csv' leads out"),
        (lambda members: members[TRAINING].pop(PPM_1), r"GT-00001\.csv, row 7: its image .*00002_00001\.ppm is not in"),
        (
            lambda members: members[TEST_IMAGES].pop("GTSRB/Final_Test/Images/00001.ppm"),
            r"GT-final_test\.csv, row 3: its image .*00001\.ppm is not in .*Test_Images\.zip",
        ),
        (lambda members: members[TRAINING].pop(CSV_1), r"has no GTSRB/.*/GT-00001\.csv"),
        (
            alter(TRAINING, CSV_1, b"00002_00001.ppm;46;43;5;6;41;37;1\r\n", b""),
            r"do not add up: class 1 \(speed limit 30\) has 5 images, expected 6\.$",
        ),
        (
            alter(TEST_LABELS, "GT-final_test.csv", b"56;1", b"56;0"),
            r"Test_GT\.zip: .*class 0 .* 2 images, expected 1; ",
        ),
        (alter(TEST_LABELS, "GT-final_test.csv", b"56;1", b"56;7"), "ClassId 7 occurs, expected 0 to 1"),
        (alter(TRAINING, CSV_1, b";1\r\n", b";0\r\n"), r"GT-00001\.csv, row 2: ClassId is 0, expected 1"),
        (alter(TRAINING, CSV_1, b";40;", b";forty;"), r"GT-00001\.csv, row 2: expected Filename;Width"),
        (
            alter(TRAINING, CSV_1, b";40;", b";41;"),
            r"row 2: width and height are \(41, 38\), but the image has \(40, 38\)",
        ),
        (add(TRAINING, PPM_1, b"P6 no picture"), r"00002_00001\.ppm is cut short or damaged"),
    ],
    ids=range(12),
)
def test_bad_archives(small, given, change, message):
    write_archives(given, change)
    with pytest.raises(DamagedData, match=message):
        load_gtsrb()
    assert not cache_folder().exists()
    assert {path.name for path in given.iterdir()} == set(loaders.ARCHIVES)


def test_a_truncated_archive(small, given):
    path = write_archives(given)[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedData, match=r"Training_Images\.zip is cut short or damaged"):
        load_gtsrb()


def test_an_archive_with_another_checksum(given):
    write_archives(given)
    with pytest.raises(DamagedData, match=r"GTSRB_Final_Test_Images\.zip: the MD5 checksum is"):
        load_gtsrb()


def test_no_data_and_no_network(tmp_path):
    with pytest.raises(DataNotFound) as caught:
        load_gtsrb()
    message = str(caught.value)
    for needed in (
        "set FOCAL_DATA_DIR",
        "gtsrb_32.npz",
        "now: not set",
        "render_signs",
        str(tmp_path / "cache"),
        *(loaders.ADDRESS + archive for archive in loaders.ARCHIVES),
    ):
        assert needed in message
    assert isinstance(caught.value, FileNotFoundError) and not (tmp_path / "cache").exists()


def test_download_can_be_forbidden():
    with pytest.raises(DataNotFound, match="download=False"):
        load_gtsrb(download=False)


def test_archives_are_fetched_into_the_cache(small, monkeypatch, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_archives(source)

    def fetch(url, path, md5):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((source / url.rsplit("/")[-1]).read_bytes())

    monkeypatch.setattr(loaders, "fetch", fetch)
    assert len(load_gtsrb().x_test) == 3
    assert {path.name for path in cache_folder().iterdir()} == {*loaders.ARCHIVES, "gtsrb_32.npz"}


def test_a_data_folder_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("FOCAL_DATA_DIR", str(tmp_path / "typo"))
    with pytest.raises(NotADirectoryError, match="FOCAL_DATA_DIR is '.*typo'"):
        load_gtsrb()


def packed_gtsrb(folder):
    paths = write_archives(folder)
    arrays = read_official(*paths, 32, train_counts=(6, 6), test_counts=(1, 2))
    for path in paths:
        path.unlink()
    return arrays


def test_packed_file_in_the_data_folder(given):
    arrays = packed_gtsrb(given)
    np.savez_compressed(given / "gtsrb_32.npz", **arrays)
    assert len(load_gtsrb().x_train) == 8
    with pytest.raises(DataNotFound, match=r"gtsrb_32\.npz serves size=32 only"):
        load_gtsrb(size=48)
    np.savez_compressed(given / "gtsrb_32.npz", **(arrays | {"x_test": arrays["x_test"][::-1]}))
    np.testing.assert_array_equal(load_gtsrb().x_test, arrays["x_test"][::-1])


def test_bad_packed_files(given):
    path = given / "gtsrb_32.npz"
    arrays = packed_gtsrb(given)
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DamagedData, match=r"gtsrb_32\.npz is cut short or damaged"):
        load_gtsrb()
    np.savez(path, x_train=arrays["x_train"])
    with pytest.raises(DamagedData, match="has no array y_train, x_test"):
        load_gtsrb()
    np.savez(path, **(arrays | {"y_train": np.array([{"an": "object"}], object)}))
    with pytest.raises(DamagedData, match="allow_pickle=False"):
        load_gtsrb()
    assert not cache_folder().exists()


def altered(**changes):
    """A change of the arrays of a packed file, applied by name."""
    return lambda arrays: {**arrays, **{name: change(arrays[name]) for name, change in changes.items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (altered(y_test=lambda y: y[:2]), "labels y_test are 2 for 3 images"),
        (altered(y_test=lambda y: np.append(y, 1)), "labels y_test are 4 for 3 images"),
        (altered(y_train=lambda y: y + 98), "labels y_train go from 98 to 99, expected 0 to 42"),
        (altered(y_train=lambda y: y - 1.5), "labels y_train hold -1.5"),
        (altered(y_train=lambda y: y.astype(str)), "labels y_train are of type <U"),
        (altered(x_train=lambda x: np.zeros((12, 48, 48, 3), "uint8")), r"x_train has shape \(12, 48, 48, 3\)"),
        (altered(x_test=lambda x: x / 255), "x_test has shape .* and type float64, expected uint8"),
        (altered(x_test=lambda x: x[..., :1]), r"x_test has shape \(3, 32, 32, 1\)"),
        (altered(x_train=lambda x: x[:5]), "labels y_train are 12 for 5 images"),
        (altered(track_train=lambda t: t[:5]), r"track_train has shape \(5,\)"),
        (altered(track_train=lambda t: t % 1000), "track 0 has images of classes"),
        (altered(roi_train=lambda r: r + 1000), "roi_train: box .* does not lie in its picture of 40×38 pixels"),
        (altered(roi_test=lambda r: r[:, ::-1]), "roi_test: box .* does not lie in its picture"),
        (altered(orig_size_test=lambda s: s * 0), "size_test holds 0"),
    ],
)
def test_packed_files_that_do_not_fit_together(given, change, message):
    path = given / "gtsrb_32.npz"
    arrays = packed_gtsrb(given)
    np.savez(path, **change(arrays))
    with pytest.raises(DamagedData, match=message) as caught:
        load_gtsrb()
    assert str(path) in str(caught.value) and not cache_folder().exists()


@pytest.mark.parametrize("size", ["32", 32.0, None, True, [32], 7, 1025, float("nan")])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="size is .*, expected 8 to 1024 pixels, a whole number"):
        load_gtsrb(size=size)


@pytest.mark.parametrize("validation", ["0.1", None, 1, -0.1, float("nan")])
def test_shares_that_are_none(small, given, validation):
    write_archives(given)
    with pytest.raises(ValueError, match="expected a share of the tracks between 0 and 1"):
        load_gtsrb(size=np.int64(32), validation=validation)


LAST_ROW = "00002_00001.ppm;46;43;5;6;41;37;1\r\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("00002_00000.ppm;46;38;5;6;41;32;1\r\n", r"row 7: its image .*00002_00000\.ppm stands in row 6 too"),
        ("00002_00001.ppm;46;43;5;6;47;37;1\r\n", r"row 7: its box \(5, 6, 47, 37\) does not lie in .* 46×43 pixels"),
        ("00002_00001.ppm;46;43;-1;6;41;37;1\r\n", "row 7: its box"),
        ("00002_00001.ppm;46;43;41;6;5;37;1\r\n", "row 7: its box"),
        ("00002_00001.ppm;-46;43;5;6;41;37;1\r\n", "row 7: its box"),
        ("00002_00001.ppm;46;43;5;6;41;37;-1\r\n", "ClassId is -1, expected 1"),
        ("00002_00001.ppm;46;43;5;6;41;37;1.0\r\n", "row 7: expected Filename;Width"),
        ("00002_00001.ppm;46;43\r\n", "row 7: expected Filename;Width"),
        ("../../00002_00001.ppm;46;43;5;6;41;37;1\r\n", "is not in"),
        ('"' + "x" * 200_000 + ";46\r\n", r"GT-00001\.csv is cut short or damaged \(field larger than"),
    ],
)
def test_rows_that_are_not_right(small, given, row, message):
    write_archives(given, alter(TRAINING, CSV_1, LAST_ROW.encode(), row.encode()))
    with pytest.raises(DamagedData, match=message):
        load_gtsrb()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_tables_in_another_encoding(small, given, encoding):
    def change(members):
        members[TRAINING][CSV_1] = members[TRAINING][CSV_1].decode().replace("Class", "Clässe").encode(encoding)

    write_archives(given, change)
    with pytest.raises(DamagedData, match=r"GT-00001\.csv is no UTF-8 text .*: save it as UTF-8|GT-00001.csv, row 2"):
        load_gtsrb()


def test_a_table_without_an_end_is_not_unpacked(small, given):
    write_archives(given, add(TRAINING, CSV_1, HEADER.encode() + bytes(20 << 20)))
    with pytest.raises(DamagedData, match=r"GT-00001\.csv' is .* bytes unpacked, over the limit of 16,777,216"):
        load_gtsrb()


@pytest.mark.parametrize("side", [5000, 13_000])
def test_a_picture_without_measure_is_not_decoded(small, given, side):
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    changed = LAST_ROW.replace("46;43", f"{side};{side}")

    def change(members):
        alter(TRAINING, CSV_1, LAST_ROW.encode(), changed.encode())(members)
        members[TRAINING][PPM_1] = buffer.getvalue()

    write_archives(given, change)
    with pytest.raises(DamagedData, match=f"{side}×{side} pixels of mode 1, expected RGB and at most 4096"):
        load_gtsrb()


# GTSRB as others lay it out


@pytest.fixture
def few(monkeypatch):
    """Each reader expects the small archives; of Training_fixed, 4 and 6 images of 2 classes."""
    for module in (gtsrb, loaders):
        monkeypatch.setattr(module, "FIXED_COUNTS", (4, 6))
    monkeypatch.setattr(gtsrb, "TRAIN_COUNTS", (6, 6))
    monkeypatch.setattr(gtsrb, "TEST_COUNTS", (1, 2))


def unpack(paths, folder):
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        path.unlink()


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def kaggle_members():
    """The pictures of `write_archives` as Kaggle lays them out: a dict from name to bytes."""
    head = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\r\n"
    members = {"Train.csv": head, "Test.csv": head, "Meta.csv": "Path,ClassId\r\n", "Meta/0.png": b""}
    for label, track, frame in itertools.product(range(2), range(3), range(2)):
        width, height = 40 + 3 * track, 38 + 5 * frame
        name = f"Train/{label}/{label:05d}_{track:05d}_{frame:05d}.png"
        members[name] = png(picture(100 * label + 10 * track + frame, width, height)[0])
        members["Train.csv"] += f"{width},{height},5,6,{width - 5},{height - 6},{label},{name}\r\n"
    for number, label in enumerate((1, 0, 1)):
        name = f"Test/{number:05d}.png"
        members[name] = png(picture(500 + number, 64, 64)[0])
        members["Test.csv"] += f"64,64,7,7,56,56,{label},{name}\r\n"
    return members


def write_folder(folder, members):
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)


def write_kaggle_zip(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)


@pytest.mark.parametrize(
    "place",
    [
        lambda given: unpack(write_archives(given), given),
        lambda given: unpack(write_archives(given), given / "data" / "gtsrb"),
        lambda given: write_folder(given, kaggle_members()),
        lambda given: write_folder(given / "gtsrb-german-traffic-sign", kaggle_members()),
        lambda given: write_kaggle_zip(given / "gtsrb-german-traffic-sign.zip", kaggle_members()),
        lambda given: write_kaggle_zip(given / "archive.zip", kaggle_members()),
        lambda given: write_folder(given, {n: d for n, d in kaggle_members().items() if n != "Train.csv"}),
    ],
    ids=["unpacked", "unpacked below", "Kaggle", "Kaggle below", "Kaggle zip", "archive.zip", "no Train.csv"],
)
def test_the_same_images_in_another_layout(few, given, tmp_path, place):
    (tmp_path / "official").mkdir()
    official = read_official(*write_archives(tmp_path / "official"), 32)
    place(given)
    signs = load_gtsrb(download=False, validation=0.4)
    assert (signs.name, signs.source) == ("GTSRB", "official")
    known = {image.tobytes(): row for row, image in enumerate(official["x_train"])}
    for part in ("train", "val"):
        rows = [known.pop(image.tobytes()) for image in getattr(signs, f"x_{part}")]
        for ours, theirs in (("y", "y"), ("track", "track"), ("size", "orig_size"), ("roi", "roi")):
            found = getattr(signs, f"{ours}_{part}")
            if found is not None:
                np.testing.assert_array_equal(found, official[f"{theirs}_train"][rows])
    assert not known
    np.testing.assert_array_equal(signs.x_test, official["x_test"])
    np.testing.assert_array_equal(signs.roi_test, official["roi_test"])
    shutil.rmtree(given)
    given.mkdir()
    assert np.array_equal(load_gtsrb(download=False, validation=0.4).x_val, signs.x_val), "it comes from the cache"


def write_fixed(folder, unpacked):
    """Training_fixed as torchvision leaves it, beside the test images: 4 images of class 0 and 6 of class 1."""
    training, *test = write_archives(folder)
    fixed = folder / "GTSRB-Training_fixed.zip"
    with zipfile.ZipFile(training) as old, zipfile.ZipFile(fixed, "w") as new:
        for name in old.namelist():
            if "/00000/00002_" not in name:
                data = old.read(name)
                if name.endswith("GT-00000.csv"):
                    data = b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"00002_"))
                new.writestr(name.replace("Final_Training/Images", "Training"), data)
    training.unlink()
    if unpacked:
        unpack([fixed, *test], folder)


@pytest.mark.parametrize("unpacked", [True, False])
def test_training_fixed_is_read_and_named(few, given, unpacked):
    (given / "gtsrb").mkdir()
    write_fixed(given / "gtsrb", unpacked)
    signs = load_gtsrb(download=False)
    assert signs.name == "GTSRB, Training_fixed"
    assert np.bincount([*signs.y_train, *signs.y_val]).tolist() == [4, 6] and len(signs.y_test) == 3
    assert not (cache_folder() / "gtsrb_32.npz").exists(), "it is not taken for all of GTSRB"
    again = load_gtsrb(download=False)
    assert again.name == signs.name and np.array_equal(again.x_train, signs.x_train)
    write_folder(given, kaggle_members())
    assert load_gtsrb(download=False).name == "GTSRB", "all of GTSRB goes before a part of it"


def without(name):
    return lambda members: members.pop(name)


def replaced(name, old, new):
    def change(members):
        assert old in members[name]
        members[name] = members[name].replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("Train/1/00001_00002_00001.png"), r"Train\.csv, row 13: its image .* is not in"),
        (without("Test/00002.png"), r"Test\.csv, row 4: its image Test/00002\.png is not in"),
        (replaced("Train.csv", "46,43,5,6,41,37,1,Train/1/00001_00002_00001.png\r\n", ""), "class 1 .* has 5 images"),
        (replaced("Test.csv", "56,1,", "56,43,"), "ClassId 43 occurs, expected 0 to 1"),
        (replaced("Train.csv", "Path", "Way"), "Train.csv, row 2: expected"),
        (replaced("Train.csv", "40,38", "38,40"), "row 2: its box|width and height are"),
        (replaced("Test.csv", "Test/00001.png", "Test/00000.png"), r"row 3: its image Test/00000\.png stands in row 2"),
    ],
)
def test_bad_layouts(few, given, change, message):
    members = kaggle_members()
    change(members)
    write_folder(given, members)
    with pytest.raises(DamagedData, match=message):
        load_gtsrb(download=False)


REAL = os.environ.get("FOCAL_DATA_DIR")


def real(name):
    path = Path(REAL) / name
    return path if path.is_file() else pytest.skip(f"FOCAL_DATA_DIR holds no {name}")


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="needs the real data sets: set FOCAL_DATA_DIR")
class TestRealData:
    @pytest.fixture(scope="class")
    def signs(self, tmp_path_factory):
        real("gtsrb_32.npz")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FOCAL_DATA_DIR", REAL)
            patch.setenv("FOCAL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
            return load_gtsrb(download=False)

    def test_gtsrb_counts(self, signs):
        labels = np.concatenate([signs.y_train, signs.y_val])
        assert np.bincount(labels).tolist() == list(TRAIN_COUNTS) and sum(TRAIN_COUNTS) == 39_209
        assert np.bincount(signs.y_test).tolist() == list(TEST_COUNTS) and sum(TEST_COUNTS) == 12_630

    def test_gtsrb_tracks(self, signs):
        assert not set(signs.track_train) & set(signs.track_val)
        assert set(signs.y_val) == set(range(43)) and 0.08 < len(signs.y_val) / 39_209 < 0.12

    def test_gtsrb_test_images_that_are_also_training_images(self, signs):
        images = np.concatenate([signs.x_train, signs.x_val])
        tracks = np.concatenate([signs.track_train, signs.track_val])
        known = {image.tobytes(): track for image, track in zip(images, tracks, strict=True)}
        found = [known[image.tobytes()] for image in signs.x_test if image.tobytes() in known]
        assert found == [14_023] * 8

    def test_official_layout_gives_the_same_bytes(self, signs):
        sample = real("gtsrb_official_layout_sample.zip")
        with zipfile.ZipFile(sample) as archive:
            rows = archive.read("GT-final_test.csv").decode().split()[1:]
        counts = np.bincount([int(row.split(";")[-1]) for row in rows], minlength=43)
        part = read_official(sample, sample, sample, 32, train_counts=(6,) * 43, test_counts=counts)
        known = {image.tobytes() for image in (*signs.x_train, *signs.x_val)}
        assert len(part["x_train"]) == 258 and all(image.tobytes() in known for image in part["x_train"])
        known = {image.tobytes() for image in signs.x_test}
        assert len(part["x_test"]) == 86 and all(image.tobytes() in known for image in part["x_test"])
