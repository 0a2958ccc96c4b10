"""One's own photographs: every file is read or named with what is wrong, and what shows one thing stays in one part."""

import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from focal_utils.data import folder as folders


@pytest.fixture(scope="module")
def data(own_pictures):
    return fu.load_folder(own_pictures, size=48)


def visible(folder):
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_three_times_forty_files_of_all_kinds(own_pictures, data):
    assert len(visible(own_pictures)) == 120
    assert data.class_names == ("apples", "leaves", "plums") and data.image_shape == (48, 48, 3)
    assert data.x_train.dtype == np.uint8 and data.parts == ("train", "val", "test")
    total = sum(len(getattr(data, f"x_{part}")) for part in data.parts)
    assert total == data.report.read and data.report.read + len(data.report.skipped) == 120
    for counts in data.report.parts.values():
        assert min(counts.values()) > 0


def test_faults_are_listed_in_words(data):
    faults = dict(data.report.skipped)
    assert len(faults) == 3 * 4
    assert faults["apples/empty.png"] == "it is empty"
    assert faults["apples/notes.txt"].startswith("is not an image that can be read here")
    assert faults["apples/cut.jpg"].startswith("is damaged or cut short")
    assert faults["apples/IMG_0001 copy.jpg"] == "the same file as apples/IMG_0001.jpg"
    text = str(data.report)
    assert f"{data.report.read:,} pictures were read, 12 files skipped." in text and "… and 4 more" in text


def test_what_was_done_to_pictures_is_counted(data):
    notes = data.report.notes
    assert notes["grey, made RGB."] == notes["CMYK, made RGB."] == 3
    assert notes["turned upright, as the camera says."] == 3
    assert notes["with a palette, made RGB."] == 3 + 3  # the GIFs are so, too
    assert any("16 bits" in note for note in notes) and any("transparent" in note for note in notes)
    assert any("first frame" in note for note in notes)


def test_a_turned_photograph_is_upright(tmp_path):
    wide = Image.fromarray(np.tile(np.arange(90, dtype="uint8") * 2, (60, 1)))
    for kind, shades in (("one", (0, 1, 2)), ("other", (3, 4, 5))):
        (tmp_path / kind).mkdir()
        for number in shades:
            lying = wide.point(lambda value, by=number: value + by).transpose(Image.Transpose.ROTATE_90)
            exif = lying.getexif()
            exif[0x0112] = 6
            lying.save(tmp_path / kind / f"{kind}{number}.png", exif=exif)
    data = fu.load_folder(tmp_path, size=(20, 30), validation=0, test=0, alike=None)
    assert data.image_shape == (20, 30, 3)
    assert (np.diff(data.x_train[0, 10, :, 0].astype(int)) > 0).all()  # darkest on the left, as it was taken
    assert set(map(tuple, data.size_train)) == {(90, 60)}


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_on_one_side(own_pictures, seed):
    names, files = folders.files_of_classes(own_pictures)
    photographs, skipped, _ = folders.read_files(own_pictures, files, 32, 32)
    photographs, _ = folders.without_copies(photographs, names)
    groups = folders.groups_of(photographs)
    parts, _ = folders.split(photographs, groups, {"val": 0.2, "test": 0.2}, names, seed)
    place = {photograph.name: number for number, photograph in enumerate(photographs)}
    for kind in names:
        for one, other in (
            ("DSC_1.jpg", "DSC_2.jpg"),
            ("party.png", "party (2).png"),
            ("IMG_0000.jpg", "IMG_0000_small.jpg"),
        ):
            first = place[f"{kind}/{one}"]
            last = place[f"{kind}/{other}"]
            assert groups[first] == groups[last] and parts[first] == parts[last]
    for group in set(groups):
        assert len({part for part, own in zip(parts, groups, strict=True) if own == group}) == 1
    assert len(set(groups)) > 0.7 * len(groups)  # and most pictures are by themselves


def test_the_set_itself_refuses_groups_on_both_sides(data):
    shared = np.full_like(data.track_val, data.track_train[0])
    with pytest.raises(ValueError, match="track"):
        fu.ImageSet("x", "own split", data.class_names, data.x_train, data.y_train, data.x_val, data.y_val,
                    track_train=data.track_train, track_val=shared)  # fmt: skip


def test_shares_are_those_that_were_asked_for(own_pictures):
    data = fu.load_folder(own_pictures, size=16, validation=0.25, test=0)
    assert data.parts == ("train", "val")
    for label in range(3):
        share = np.sum(data.y_val == label) / (np.sum(data.y_val == label) + np.sum(data.y_train == label))
        assert share == pytest.approx(0.25, abs=0.05)


def test_a_seed_gives_the_same_split_and_another_another(own_pictures, data):
    again = fu.load_folder(own_pictures, size=48)
    other = fu.load_folder(own_pictures, size=48, seed=1)
    assert np.array_equal(data.x_val, again.x_val) and not np.array_equal(data.x_val[:5], other.x_val[:5])


def test_a_folder_inside_a_class_is_a_group(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        for animal in range(4):
            (tmp_path / kind / f"animal{animal}").mkdir(parents=True)
            for number in range(3):
                picture = rng.integers(0, 255, (20, 20, 3), dtype="uint8")
                Image.fromarray(picture).save(tmp_path / kind / f"animal{animal}" / f"{number}.png")
    data = fu.load_folder(tmp_path, size=16, validation=0.25, test=0.25)
    assert len(data.x_val) == len(data.x_test) == 6 and len(data.x_train) == 12
    assert len(set(data.track_val)) == 2 and data.report.groups == 8


def test_the_same_file_in_two_classes_is_left_out(own_pictures, tmp_path):
    for kind in ("one", "other"):
        (tmp_path / kind).mkdir()
        for number in range(4):
            picture = np.random.default_rng([number, len(kind)]).integers(0, 255, (20, 20, 3), dtype="uint8")
            Image.fromarray(picture).save(tmp_path / kind / f"{kind}{number}.png")
        Image.new("RGB", (20, 20), "green").save(tmp_path / kind / "same.png")
    report = fu.load_folder(tmp_path, size=16, test=0).report
    assert [name for name, _ in report.skipped] == ["one/same.png", "other/same.png"]
    assert "lies in one and other: one is wrong" in report.skipped[0][1]


def test_classes_that_cannot_be_split_are_said(tmp_path):
    rng = np.random.default_rng(0)
    for kind, subjects in (("many", 6), ("single", 1)):
        for subject in range(subjects):
            (tmp_path / kind / f"s{subject}").mkdir(parents=True)
            for number in range(2):
                picture = rng.integers(0, 255, (20, 20, 3), dtype="uint8")
                Image.fromarray(picture).save(tmp_path / kind / f"s{subject}" / f"{number}.png")
    report = fu.load_folder(tmp_path, size=16).report
    assert "Class 'single' has no picture for val: its 2 pictures form 1 groups." in str(report)
    for folder in (tmp_path / "many").iterdir():
        for path in folder.iterdir():
            path.rename(tmp_path / "many" / "s0" / f"{folder.name}-{path.name}")
    with pytest.raises(ValueError, match="No class can be split: no group is left for val.*set validation=0"):
        fu.load_folder(tmp_path, size=16)


def test_what_is_no_folder_of_classes_is_said(tmp_path, own_pictures):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere.*check its name"):
        fu.load_folder(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="is a file"):
        fu.load_folder(own_pictures / "apples" / "notes.txt")
    with pytest.raises(ValueError, match="holds 0 folders, and two or more are needed"):
        fu.load_folder(own_pictures / "apples")
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="train, val, which are parts of a data set"):
        fu.load_folder(tmp_path)
    (tmp_path / "cats").mkdir()
    with pytest.raises(ValueError, match="no picture of class 'cats' in .*the folder is empty"):
        fu.load_folder(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 4}, "8 to 1024"),
        ({"size": (32, 4000)}, "8 to 1024"),
        ({"validation": 0.7, "test": 0.4}, "leave nothing to train on"),
        ({"test": -0.1}, "test=-0.1"),
        ({"alike": 2}, "alike=2"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_arguments_out_of_range_are_said(own_pictures, arguments, words):
    with pytest.raises(ValueError, match=words):
        fu.load_folder(own_pictures, **arguments)


def test_too_many_and_too_large_files_are_not_read(own_pictures, monkeypatch):
    monkeypatch.setattr(folders, "MOST_MEMORY", 1000)
    with pytest.raises(ValueError, match="would take .* over the limit .* choose a smaller size"):
        fu.load_folder(own_pictures)
    monkeypatch.undo()
    monkeypatch.setattr(folders, "MOST_FILE", 3000)
    report = fu.load_folder(own_pictures, size=16).report
    assert any("over the limit" in why for _, why in report.skipped)


def test_heic_names_what_reads_it(own_pictures, tmp_path, monkeypatch):
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    try:
        folders.read_file(path, "a/phone.heic", 0, 16, 16)
    except ValueError as error:
        assert "pip install pillow-heif" in folders.reason(path, error)
    else:
        pytest.fail("bytes that are no picture were read")


def test_heic_is_read_where_it_can_be(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "phone.heic")
    assert folders.ready_for_heic()
    photograph, _ = folders.read_file(tmp_path / "phone.heic", "a/phone.heic", 0, 16, 16)
    assert photograph.picture[8, 8, 0] > 200
