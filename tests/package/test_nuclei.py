import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from focal_utils.data import load_nuclei, nuclei
from focal_utils.data.nuclei import kind_of, part_of, read_archive, same_origin, split_by_origin, touching
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.files import data_folder

REAL = os.environ.get("FOCAL_DATA_DIR")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data, an empty cache, no network."""
    monkeypatch.delenv("FOCAL_DATA_DIR", raising=False)
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FOCAL_OFFLINE", "1")


def png(array, mode=None):
    """An array as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "png")
    return file.getvalue()


def mask(*boxes, shape=(20, 30)):
    """A mask (H, W) of 0 and 255: boxes (top, left, height, width)."""
    array = np.zeros(shape, "uint8")
    for top, left, height, width in boxes:
        array[top : top + height, left : left + width] = 255
    return array


def field(seed, shape=(20, 30), blobs=8):
    """A picture (H, W, 4) of smooth grey blobs, as RGBA without transparency."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, size=(blobs, blobs)).astype("float32")
    grey = np.asarray(Image.fromarray(coarse, "F").resize(shape[::-1], Image.Resampling.BICUBIC))
    grey = np.clip(grey, 0, 255).astype("uint8")
    return np.dstack([grey, grey, grey, np.full(shape, 255, "uint8")])


GOOD = {
    "a": (png(field(0)), [mask((2, 2, 5, 5)), mask((2, 7, 5, 5)), mask((12, 20, 6, 8))]),
    "b": (png(field(1)), [mask((0, 0, 20, 30))]),
}


def archive(path, **changes):
    """An archive in the official layout of the pictures GOOD and `changes`, id → (PNG, masks)."""
    with zipfile.ZipFile(path, "w") as file:
        for name, (picture, masks) in (GOOD | changes).items():
            if picture is not None:
                file.writestr(f"{name}/images/{name}.png", picture)
            for number, array in enumerate(masks):
                content = array if isinstance(array, bytes) else png(array)
                file.writestr(f"{name}/masks/{number}.png", content)
    return path


def read(path):
    return read_archive(path, {2: "made by hand", 3: "made by hand"})


def test_masks_become_one_label_map(tmp_path):
    found = read(archive(tmp_path / "n.zip"))
    assert found.ids == ["a", "b"] and found.edition == "made by hand"
    assert found.pictures[0].shape == (20, 30, 3) and found.pictures[0].dtype == np.uint8
    np.testing.assert_array_equal(found.pictures[0], field(0)[..., :3])
    labels = found.labels[0]
    assert labels.dtype == np.uint16 and labels.shape == (20, 30)
    assert np.bincount(labels.ravel()).tolist() == [600 - 25 - 25 - 48, 25, 25, 48]
    assert labels[3, 3] == 1 and labels[3, 8] == 2 and labels[15, 25] == 3
    assert (found.labels[1] == 1).all()


@pytest.mark.parametrize("shared", [1, 2])
def test_a_pixel_or_two_that_two_masks_claim_go_to_the_first(tmp_path, shared):
    second = mask((7, 2, 10, 10))
    second[6, 3 : 3 + shared] = 255
    found = read(archive(tmp_path / "n.zip", c=(png(field(2)), [mask((2, 2, 5, 5)), second])))
    assert np.bincount(found.labels[2].ravel())[1:].tolist() == [25, 100]


GREY_16 = png(np.full((20, 30), 40_000, "uint16"))
CLEAR = np.dstack([field(3)[..., :3], np.full((20, 30), 254, "uint8")])
BAD = {
    "no masks": (png(field(2)), [], "c.png has no masks"),
    "no picture": (None, [mask((2, 2, 5, 5))], "c has 0 pictures"),
    "mask of another size": (png(field(2)), [mask((2, 2, 5, 5), shape=(30, 20))], "is 20×30 pixels large.*30×20"),
    "mask one row short": (png(field(2)), [mask((2, 2, 5, 5), shape=(19, 30))], "is 30×19 pixels large.*30×20"),
    "overlap": (png(field(2)), [mask((2, 2, 5, 5)), mask((2, 4, 5, 5))], "overlaps the masks.*15 of its 25"),
    "the same mask twice": (png(field(2)), [mask((2, 2, 5, 5))] * 2, "25 of its 25"),
    "an empty mask": (png(field(2)), [mask((2, 2, 5, 5)), mask()], "marks no pixel"),
    "16 bits": (GREY_16, [mask((2, 2, 5, 5))], "mode I;16.*8 bits"),
    "a mask of 16 bits": (png(field(2)), [GREY_16], "mode I;16.*8 bits"),
    "transparent": (png(CLEAR), [mask((2, 2, 5, 5))], "transparent pixels"),
    "no picture file": (b"GIF89a", [mask((2, 2, 5, 5))], "c.png is cut short or damaged"),
    "half a picture": (png(field(2))[:200], [mask((2, 2, 5, 5))], "c.png is cut short or damaged"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(tmp_path, case):
    picture, masks, message = BAD[case]
    with pytest.raises(DamagedData, match=message):
        read(archive(tmp_path / "n.zip", c=(picture, masks)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_pictures_of_eight_bits_are_taken(tmp_path, mode):
    file = io.BytesIO()
    picture = Image.fromarray(field(2)[..., :3]).convert("L" if mode in ("LA", "P") else "RGB")
    picture.convert(mode).save(file, "png")
    found = read(archive(tmp_path / "n.zip", c=(file.getvalue(), [mask((2, 2, 5, 5))])))
    assert found.pictures[2].shape == (20, 30, 3)
    np.testing.assert_array_equal(found.pictures[2][..., 0], field(2)[..., 0])


def test_another_number_of_pictures_is_no_known_archive(tmp_path):
    with pytest.raises(DamagedData, match=r"holds 2 pictures, expected 670 \(official\) or 664 \(mended\)"):
        read_archive(archive(tmp_path / "n.zip"))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_half_an_archive_is_damaged(tmp_path, share):
    path = archive(tmp_path / "n.zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DamagedData, match="cut short or damaged"):
        read(path)


def test_an_altered_member_is_damaged(tmp_path):
    path = archive(tmp_path / "n.zip")
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedData, match="damaged"):
        read(path)


def quarters(seed, side=64):
    """A picture of blobs cut into four tiles: upper left, upper right, lower left, lower right."""
    whole = field(seed, (2 * side, 2 * side), blobs=20)[..., :3]
    grain = np.random.default_rng(seed).normal(0, 3, whole.shape[:2])
    whole = np.clip(whole + grain[..., None], 0, 255).astype("uint8")
    return [whole[y : y + side, x : x + side] for y in (0, side) for x in (0, side)]


def test_tiles_are_put_together_again():
    pictures = [tile for seed in range(4) for tile in quarters(seed)]
    order = np.random.default_rng(0).permutation(16)
    origins = same_origin([pictures[row] for row in order])
    expected = order // 4
    same = expected[:, None] == expected
    np.testing.assert_array_equal(origins[:, None] == origins, same)


def test_neighbours_are_told_with_their_direction():
    found = touching([tile for seed in range(4) for tile in quarters(seed)])
    first = {pair for pair in found if max(pair[:2]) < 4}
    assert first == {(0, 1, "right"), (2, 3, "right"), (0, 2, "below"), (1, 3, "below")}
    assert all(a // 4 == b // 4 for a, b, _ in found)


def test_pictures_that_only_look_alike_stay_apart():
    pictures = [field(seed, (32, 32))[..., :3] for seed in range(16)]
    assert len(set(same_origin(pictures))) == 16


def test_two_views_of_one_place_belong_together():
    wide = field(40, (96, 96))[..., :3]
    rng = np.random.default_rng(0)
    wide = np.clip(wide + rng.normal(0, 20, wide.shape[:2])[..., None], 0, 255).astype("uint8")
    others = [field(seed, (64, 64))[..., :3] for seed in range(10)]
    origins = same_origin([*others, wide[:64, :64], wide[10:74, 24:88]])
    assert origins[10] == origins[11] and len(set(origins)) == 11


def test_a_rare_size_is_one_origin():
    common = [field(seed, (32, 32))[..., :3] for seed in range(10)]
    rare = [field(seed, (32, 40))[..., :3] for seed in range(20, 23)]
    origins = same_origin([*common, *rare])
    assert len(set(origins[10:])) == 1 and not set(origins[:10]) & set(origins[10:])


def test_an_origin_stands_in_one_part_whatever_else_there_is():
    ids = [f"{number:03d}" for number in range(400)]
    origins = [number // 4 for number in range(400)]
    whole = split_by_origin(ids, ids, ids, origins, "test")
    assert not set(whole.origin_train) & set(whole.origin_test) | set(whole.origin_val) & set(whole.origin_test)
    shares = [len(part) / 400 for part in (whole.x_train, whole.x_val, whole.x_test)]
    np.testing.assert_allclose(shares, [0.65, 0.15, 0.2], atol=0.08)
    some = split_by_origin(ids[100:300], ids[100:300], ids[100:300], origins[100:300], "test")
    assert set(some.id_test) == set(whole.id_test) & set(ids[100:300])
    assert set(split_by_origin(ids, ids, ids, origins, "test", seed=1).id_test) != set(whole.id_test)
    assert part_of("000") == part_of("000")


def test_kinds_of_pictures():
    grey = field(0)[..., :3]
    assert kind_of(grey // 4) == "fluorescence" and kind_of(255 - grey // 4) == "brightfield"
    assert kind_of(grey // np.array([1, 2, 1], "uint8")) == "stained"


@pytest.fixture
def given(monkeypatch, tmp_path):
    """A folder with an archive of 24 tiles that passes as the mended one."""
    pictures = [tile for seed in range(6) for tile in quarters(seed)]
    content = {
        f"{number:02d}": (png(tile), [mask((2, 2, 5, 5), shape=(64, 64))]) for number, tile in enumerate(pictures)
    }
    folder = tmp_path / "given"
    folder.mkdir()
    archive(folder / nuclei.MENDED, **content)
    monkeypatch.setattr(nuclei, "EDITIONS", {26: "mended"})
    monkeypatch.setattr(nuclei, "read_archive", lambda path: read_archive(path, {26: "mended"}))
    monkeypatch.setenv("FOCAL_DATA_DIR", str(folder))
    return folder


def everything(found):
    return {part: getattr(found, part) for part in found.__dataclass_fields__ if part[:2] in ("x_", "y_", "id", "or")}


def test_label_maps_are_kept_and_made_anew_where_the_archive_changed(given, tmp_path, monkeypatch):
    first = load_nuclei()
    assert first.source == "mended, 26 pictures" and "26 pictures" in repr(first)
    kept = tmp_path / "cache" / "nuclei_stage1_train_labels.npz"
    assert kept.is_file()

    def never(path):
        raise AssertionError("the masks are read again")

    with monkeypatch.context() as patch:
        patch.setattr(nuclei, "read_archive", never)
        again = load_nuclei()
    for name, values in everything(first).items():
        for one, other in zip(values, everything(again)[name], strict=True):
            np.testing.assert_array_equal(one, other)
    kept.write_bytes(kept.read_bytes()[:500])
    with pytest.warns(UserWarning, match="made again"):
        load_nuclei()
    with np.load(kept, allow_pickle=False) as file:
        assert len(file["shapes"]) == 26
    os.utime(given / nuclei.MENDED, (1, 1))
    with pytest.raises(AssertionError, match="read again"), monkeypatch.context() as patch:
        patch.setattr(nuclei, "read_archive", never)
        load_nuclei()


def test_without_data_three_ways_out_are_named():
    with pytest.raises(DataNotFound, match=r"(?s)stage1_train.zip.*FOCAL_DATA_DIR.*by hand.*load_nuclei\(shipped"):
        load_nuclei()
    with pytest.raises(DataNotFound, match="download=False"):
        load_nuclei(download=False)


def test_the_selection_needs_nothing_else():
    found = load_nuclei(shipped=True)
    pictures = [*found.x_train, *found.x_val, *found.x_test]
    labels = [*found.y_train, *found.y_val, *found.y_test]
    assert len({*found.id_train, *found.id_val, *found.id_test}) == len(pictures)
    assert not set(found.origin_train) & set(found.origin_test) | set(found.origin_val) & set(found.origin_test)
    for part in ("train", "val", "test"):
        assert {kind_of(picture) for picture in getattr(found, f"x_{part}")} == {
            "fluorescence",
            "brightfield",
            "stained",
        }
    assert sum(picture.shape[0] * picture.shape[1] >= 1_000_000 for picture in pictures) >= 3
    assert sum(picture.shape[:2] == (256, 256) for picture in found.x_train) >= 16
    for picture, label in zip(pictures, labels, strict=True):
        assert picture.dtype == np.uint8 and picture.shape == (*label.shape, 3)
        assert label.dtype == np.uint16 and label.max() == len(np.unique(label)) - 1 > 0
    size = sum(path.stat().st_size for path in (data_folder() / "nuclei").iterdir())
    assert size <= 8e6
    with pytest.raises(ValueError, match="seed 20"):
        load_nuclei(shipped=True, seed=0)


@pytest.mark.parametrize("harm", ["missing", "half", "other size"])
def test_a_damaged_selection_is_named(tmp_path, harm):
    rows = ["id,part,origin", "a,train,0", "b,val,1"]
    (tmp_path / "pictures.csv").write_text("\n".join(rows) + "\n")
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(field(0)))
        (tmp_path / f"{name}_nuclei.png").write_bytes(png(np.ones((20, 30), "uint16")))
    assert len(nuclei.read_selection(tmp_path).x_train) == 1
    victim = tmp_path / "b_nuclei.png"
    if harm == "missing":
        victim.unlink()
    elif harm == "half":
        victim.write_bytes(victim.read_bytes()[:40])
    else:
        victim.write_bytes(png(np.ones((20, 31), "uint16")))
    with pytest.raises(DamagedData, match="b"):
        nuclei.read_selection(tmp_path)


def a_whole_set():
    """Three pictures, one for each part, of different grey, each with one nucleus."""
    fields = {}
    for origin, part in enumerate(("train", "val", "test")):
        label = np.zeros((20, 30), "uint16")
        label[3:9, 4:12] = 1
        fields[f"x_{part}"] = [np.full((20, 30, 3), 50 * origin, "uint8")]
        fields[f"y_{part}"] = [label]
        fields[f"id_{part}"] = np.array([part[0]])
        fields[f"origin_{part}"] = np.array([origin])
    return nuclei.PictureSet("nuclei", "three pictures", **fields)


def test_without_its_pictures_the_selection_comes_out_of_the_whole_set(tmp_path, monkeypatch):
    (tmp_path / "nuclei").mkdir()
    (tmp_path / "nuclei" / "pictures.csv").write_text("id,part,origin\nt,test,2\nv,val,1\n")
    whole = a_whole_set()
    monkeypatch.setattr(nuclei, "data_folder", lambda: tmp_path)
    monkeypatch.setattr(nuclei, "split_by_origin", lambda *_: whole)
    monkeypatch.setattr(nuclei, "find_file", lambda name: tmp_path / name)
    monkeypatch.setattr(nuclei, "with_labels", lambda path: (nuclei.Nuclei([], [], [], "some edition"), []))
    found = load_nuclei(shipped=True)
    assert found.source == "the 2 pictures that ship, out of three pictures"
    assert (len(found.x_train), len(found.x_val), len(found.x_test)) == (0, 1, 1)
    np.testing.assert_array_equal(found.x_val[0], whole.x_val[0])
    np.testing.assert_array_equal(found.y_test[0], whole.y_test[0])


def test_a_whole_set_that_lacks_a_picture_of_the_selection_is_named():
    rows = [{"id": "gone", "part": "train", "origin": "0"}, {"id": "v", "part": "val", "origin": "1"}]
    with pytest.raises(DamagedData, match="three pictures lacks 1 of the 2 pictures, gone for one"):
        nuclei.selected(a_whole_set(), rows)


def test_without_pictures_and_without_data_three_ways_out_are_named(tmp_path, monkeypatch):
    (tmp_path / "nuclei").mkdir()
    (tmp_path / "nuclei" / "pictures.csv").write_text("id,part,origin\nt,test,2\n")
    monkeypatch.setattr(nuclei, "data_folder", lambda: tmp_path)
    with pytest.raises(DataNotFound, match="FOCAL_DATA_DIR"):
        load_nuclei(shipped=True, download=False)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="FOCAL_DATA_DIR is not set")
def test_the_real_archive(monkeypatch):
    monkeypatch.setenv("FOCAL_DATA_DIR", REAL)
    monkeypatch.delenv("FOCAL_CACHE_DIR")
    whole = load_nuclei()
    pictures = [*whole.x_train, *whole.x_val, *whole.x_test]
    labels = [*whole.y_train, *whole.y_val, *whole.y_test]
    assert whole.source in ("mended, 664 pictures", "official, 670 pictures")
    if len(pictures) == 664:
        assert sum(int(label.max()) for label in labels) == 28_986
        assert [len(part) for part in (whole.x_train, whole.x_val, whole.x_test)] == [425, 103, 136]
    selection = load_nuclei(shipped=True)
    again = nuclei.selected(whole, nuclei.read_list(data_folder() / "nuclei"))
    assert len(again.x_train) == len(selection.x_train) and list(again.id_test) == list(selection.id_test)
    for part in ("train", "val", "test"):
        where = {name: row for row, name in enumerate(getattr(whole, f"id_{part}"))}
        names = getattr(selection, f"id_{part}")
        for name, picture, label in zip(
            names, getattr(selection, f"x_{part}"), getattr(selection, f"y_{part}"), strict=True
        ):
            np.testing.assert_array_equal(picture, getattr(whole, f"x_{part}")[where[name]])
            np.testing.assert_array_equal(label, getattr(whole, f"y_{part}")[where[name]])
