import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from focal_utils.data import (
    load_blood_cells,
    load_medmnist,
    load_photos,
    loaders,
    resize_bilinear,
    validation_mask,
    write_npz,
)
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.files import cache_folder, data_folder

REAL = os.environ.get("FOCAL_DATA_DIR")


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


def test_writing_leaves_all_or_nothing(tmp_path, monkeypatch):
    write_npz(tmp_path / "a.npz", x=np.arange(3))
    before = (tmp_path / "a.npz").read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_npz(tmp_path / "a.npz", x=np.arange(9))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"] and (tmp_path / "a.npz").read_bytes() == before


def test_validation_by_track():
    labels = np.repeat([0, 1, 2], [300, 60, 900])
    tracks = 1000 * labels + np.concatenate([np.arange(300), np.arange(60), np.arange(900)]) // 30
    held_out = validation_mask(labels, tracks, 0.1, seed=0)
    assert not set(tracks[held_out]) & set(tracks[~held_out])
    assert np.bincount(labels[held_out]).tolist() == [30, 30, 90]
    np.testing.assert_array_equal(held_out, validation_mask(labels, tracks, 0.1, seed=0))
    assert np.bincount(labels[~validation_mask(labels, tracks, 0.99, seed=0)]).min() == 30
    with pytest.raises(ValueError, match="Class 1 has 1 track"):
        validation_mask(np.array([0, 0, 1]), np.array([0, 1, 1000]), 0.5, seed=0)


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def float_bilinear(image, size):
    for axis in (0, 1):
        old = image.shape[axis]
        centre = (np.arange(size) + 0.5) * old / size - 0.5
        first = np.floor(centre).astype(int)
        share = np.expand_dims(centre - first, (1, 2) if axis == 0 else (0, 2))
        image = (
            np.take(image, first.clip(0, old - 1), axis) * (1 - share)
            + np.take(image, (first + 1).clip(0, old - 1), axis) * share
        )
    return image


@pytest.mark.parametrize(
    ("width", "height", "size"), [(25, 27, 32), (51, 47, 32), (200, 243, 32), (64, 60, 32), (33, 90, 64)]
)
def test_resizing_is_bilinear(width, height, size):
    image = noise(width, height)
    assert np.abs(resize_bilinear(image, size) - float_bilinear(image, size)).max() <= 1.5


def test_resizing_by_a_half_and_not_at_all():
    image = noise(64, 64)
    np.testing.assert_array_equal(resize_bilinear(image, 64), image)
    mean = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
    np.testing.assert_array_equal(resize_bilinear(image, 32), np.floor(mean + 0.5))


def medmnist_arrays(shape=(28, 28), top=1):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 12), ("val", 4), ("test", 5)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % (top + 1))[:, None].astype(np.uint8)
    return arrays


def test_medmnist(given, monkeypatch):
    path = given / "breastmnist.npz"
    np.savez(path, **medmnist_arrays())
    with pytest.raises(DamagedData, match=r"breastmnist\.npz: the MD5 checksum is"):
        load_medmnist("breastmnist")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(loaders.MEDMNIST, "breastmnist", (md5, loaders.MEDMNIST["breastmnist"][1]))
    images = load_medmnist("breastmnist")
    assert images.image_shape == (28, 28, 1) and images.y_train.shape == (12,) and images.y_train.dtype == np.int64
    assert images.class_names == ("malignant", "normal or benign") and images.track_train is None


def test_medmnist_without_data():
    with pytest.raises(DataNotFound, match=r"(?s)bloodmnist\.npz.*FOCAL_DATA_DIR.*zenodo\.org.*render_signs"):
        load_medmnist("bloodmnist")
    with pytest.raises(ValueError, match="no MedMNIST set 'bloodmnits' here, expected one of bloodmnist, "):
        load_medmnist("bloodmnits")


def test_blood_cells(given):
    with pytest.raises(DataNotFound, match=r'(?s)FOCAL_DATA_DIR.*put it into.*load_medmnist\("bloodmnist"\)'):
        load_blood_cells()
    path = given / "bloodcells_pbc_28.npz"
    np.savez(path, **medmnist_arrays((28, 28, 3), top=7))
    cells = load_blood_cells()
    assert (cells.source, cells.num_classes, cells.image_shape) == ("own split", 8, (28, 28, 3))
    np.savez(path, **medmnist_arrays((28, 28, 3), top=8))
    with pytest.raises(DamagedData, match="train_labels go from 0 to 8, expected 0 to 7"):
        load_blood_cells()
    np.savez(path, **(medmnist_arrays((28, 28, 3)) | {"val_images": np.zeros((4, 28))}))
    with pytest.raises(DamagedData, match=r"val_images has shape \(4, 28\) and type float64"):
        load_blood_cells()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((12, 28, 28, 4), "uint8")}, r"train_images has shape \(12, 28, 28, 4\)"),
        ({"test_images": np.zeros((5, 28, 28), "uint8")}, r"test_images has shape \(5, 28, 28\)"),
        ({"val_images": np.zeros((4, 64, 64, 3), "uint8")}, r"val_images has shape \(4, 64, 64, 3\)"),
        ({"train_images": np.zeros((12, 28, 28, 3), "float32")}, "train_images has shape .* and type float32"),
        ({"train_images": np.zeros((0, 28, 28, 3), "uint8")}, r"train_images has shape \(0, 28, 28, 3\)"),
        ({"train_labels": np.full((12, 1), 1.5)}, "train_labels hold 1.5"),
        ({"train_labels": np.full((12, 1), np.nan)}, "train_labels hold nan"),
        ({"val_labels": np.zeros((5, 1), "uint8")}, "val_labels are 5 for 4 images"),
        ({"test_labels": np.zeros((5, 2), "uint8")}, r"test_labels have shape \(5, 2\), but there are 8 classes"),
        ({"test_labels": np.array(["a"] * 5)}, "test_labels are of type <U1"),
        ({"test_labels": np.int64(3)}, r"test_labels have shape \(\)"),
    ],
)
def test_blood_cells_that_are_none(given, changes, message):
    path = given / "bloodcells_pbc_28.npz"
    np.savez(path, **{**medmnist_arrays((28, 28, 3), top=7), **changes})
    with pytest.raises(DamagedData, match=message) as caught:
        load_blood_cells()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [None, 28, ["breastmnist"], "BreastMNIST"])
def test_names_of_no_medmnist_set(name):
    with pytest.raises(ValueError, match="no MedMNIST set .* here, expected one of bloodmnist, "):
        load_medmnist(name)


def test_photos():
    photos = load_photos()
    credits_text = (data_folder() / "photos" / "CREDITS.md").read_text(encoding="utf-8")
    assert len(photos) >= 3 and list(photos) == sorted(photos)
    for name, photo in photos.items():
        assert photo.dtype == np.uint8 and photo.shape[2] == 3 and 200 < max(photo.shape) <= 400
        assert f"{name}.jpg" in credits_text
    assert sum(path.stat().st_size for path in (data_folder() / "photos").iterdir()) < 300_000


def test_photos_from_an_installed_package(monkeypatch, tmp_path):
    checkout = data_folder().parent
    monkeypatch.setattr("focal_utils.files.BESIDE_PACKAGE", tmp_path / "site-packages" / "data")
    monkeypatch.chdir(checkout / "tests")
    assert data_folder() == checkout / "data" and load_photos()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="data folder .* was not found"):
        load_photos()


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FOCAL_CACHE_DIR")
    (tmp_path / "checkout" / "data").mkdir(parents=True)
    (tmp_path / "checkout" / "data" / "README.md").touch()
    monkeypatch.setattr("focal_utils.files.BESIDE_PACKAGE", tmp_path / "checkout" / "data")
    assert cache_folder() == tmp_path / "checkout" / "data" / "cache"
    monkeypatch.setattr("focal_utils.files.BESIDE_PACKAGE", tmp_path / "site-packages" / "data")
    assert cache_folder() == Path.home() / ".cache" / "focal_utils"


@pytest.mark.data
@pytest.mark.skipif(not REAL, reason="needs the real data sets: set FOCAL_DATA_DIR")
def test_real_medmnist_and_blood_cells(monkeypatch):
    for name in ("breastmnist.npz", "bloodcells_pbc_28.npz"):
        if not (Path(REAL) / name).is_file():
            pytest.skip(f"FOCAL_DATA_DIR holds no {name}")
    monkeypatch.setenv("FOCAL_DATA_DIR", REAL)
    breast = load_medmnist("breastmnist")
    blood = load_blood_cells()
    assert [len(y) for y in (breast.y_train, breast.y_val, breast.y_test)] == [546, 78, 156]
    assert [len(y) for y in (blood.y_train, blood.y_val, blood.y_test)] == [11_965, 1_710, 3_417]
    train = {image.tobytes() for image in blood.x_train}
    assert len(train & {image.tobytes() for image in blood.x_test}) == 5
