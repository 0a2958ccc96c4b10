"""Pictures of every kind, from files, bytes, arrays and Pillow, become what a network reads, or are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from focal_utils.data import pictures


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype="uint8"))


def test_a_fitted_picture_is_its_centre():
    wide = np.zeros((20, 60, 3), "uint8")
    wide[:, 20:40] = 200
    assert (pictures.fit_picture(wide, 10, 10)[0] == 200).all()
    cut, notes = pictures.fit_picture(np.zeros((40, 100, 3), "uint8"), 32, 32)
    assert cut.shape == (32, 32, 3) and "its central 40×40 of 100×40" in notes[0]


def test_a_picture_of_one_column_is_fitted_too():
    assert pictures.fit_picture(np.full((300, 1, 3), 9, "uint8"), 16, 64)[0].shape == (16, 64, 3)


def test_a_picture_of_too_many_pixels_is_refused_unopened(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="64×48 pixels"):
        pictures.read_picture(encoded(noise(48, 64, 3)), "it.png")


def test_twenty_megapixels_are_read_small():
    picture, notes = pictures.read_picture(encoded(Image.new("RGB", (5500, 3700), (0, 128, 128)), "JPEG"))
    assert max(picture.shape) <= pictures.WORKING_SIDE and notes == []
    assert np.abs(picture.astype(int) - [0, 128, 128]).max() <= 4


def test_grey_transparent_animated_and_turned_pictures():
    grey = noise(8, 8)
    assert np.array_equal(pictures.read_picture(encoded(grey))[0][..., 1], np.asarray(grey))
    glass = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture, notes = pictures.read_picture(encoded(glass))
    assert (picture == 255).all() and "white" in notes[0]
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    picture, notes = pictures.read_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert picture[0, 0].tolist() == [255, 0, 0] and "first frame" in notes[0]
    turned = Image.new("RGB", (8, 4), "green")
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    assert pictures.read_picture(encoded(turned, "JPEG", exif=exif))[0].shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255], pictures.SHARES),
        (np.array([[0.0, 0.1, 0.2]], "float16"), [0, 25, 51], pictures.SHARES),
        (np.array([[0.0, 127.6, 255.0]]), [0, 128, 255], None),
        (np.zeros((1, 3)), [0, 0, 0], None),
        (np.array([[0, 1, 1]]), [0, 1, 1], None),
        (np.array([[False, True, True]]), [0, 255, 255], None),
        (np.array([[0, 6554, 65535]], "uint16"), [0, 26, 255], pictures.DEEP),
        (np.array([[0, 300, 30000]]), [0, 1, 117], pictures.DEEP),
        (np.array([[0, 100, 255]], "uint16"), [0, 100, 255], pictures.DARK),
        (np.array([[0, 100, 255]], "int64"), [0, 100, 255], None),
    ],
)
def test_what_white_is_follows_from_the_numbers_and_is_said(values, expected, note):
    picture, notes = pictures.read_picture(values)
    assert picture[0, :, 0].tolist() == expected and picture.shape == (1, 3, 3)
    assert notes == ([note] if note else [])


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "uint16"), ("TIFF", "uint16"), ("TIFF", "int32")])
def test_ten_per_cent_grey_of_16_bits_stays_ten_per_cent(kind, dtype):
    picture, notes = pictures.read_picture(encoded(Image.fromarray(np.full((4, 4), 6554, dtype)), kind))
    assert (picture == 26).all() and notes == [pictures.DEEP]  # 10 % of 255, rounded


def test_deep_pictures_of_floats():
    picture, notes = pictures.read_picture(encoded(Image.fromarray(np.full((4, 4), 0.25, "float32")), "TIFF"))
    assert (picture == 64).all() and notes == [pictures.SHARES]
    with pytest.raises(ValueError, match="0 to 255"):
        pictures.read_picture(encoded(Image.fromarray(np.full((4, 4), 1e6, "float32")), "TIFF"))
    large = Image.fromarray(np.full((1500, 1200), 6554, "uint16"))
    assert pictures.read_picture(encoded(large))[0].shape == (1024, 819, 3)


def test_a_phone_s_photograph_is_not_animated():
    photograph = encoded(noise(30, 40, 3), "MPO", save_all=True, append_images=[noise(15, 20, 3)])
    picture, notes = pictures.read_picture(photograph, "IMG_1.jpg")
    assert picture.shape == (30, 40, 3) and notes == []
    pages = encoded(noise(30, 40, 3), "TIFF", save_all=True, append_images=[noise(30, 40, 3)])
    assert pictures.read_picture(pages)[1] == [pictures.FIRST_PAGE]
    moving = encoded(noise(8, 8, 3), "WEBP", save_all=True, append_images=[noise(9, 9, 3).resize((8, 8))], duration=50)
    assert pictures.read_picture(moving)[1] in ([pictures.FIRST_FRAME], [])  # WebP joins frames that are alike


def test_pillow_s_images_are_taken_and_stay_as_they_are(tmp_path):
    image = noise(8, 6, 3)
    assert np.array_equal(pictures.read_picture(image)[0], np.asarray(image))
    path = tmp_path / "large.jpg"
    noise(3000, 2000, 3).save(path)
    with Image.open(path) as opened:
        assert max(pictures.read_picture(opened)[0].shape) == pictures.WORKING_SIDE
        assert opened.size == (2000, 3000)
    grey = noise(8, 6).convert("LA")
    assert pictures.read_picture(grey)[1] == ["Its transparent parts were laid on white."]
    assert pictures.read_picture(noise(8, 6).convert("1"))[0].shape == (8, 6, 3)


def test_files_and_folders(tmp_path):
    path = tmp_path / "a.png"
    noise(8, 6, 3).save(path)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        assert np.array_equal(pictures.read_picture(source)[0], np.asarray(noise(8, 6, 3)))
    with pytest.raises(ValueError, match="is a folder: give its files"):
        pictures.read_picture(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no picture .*b.png, seen from"):
        pictures.read_picture(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="c.png is damaged or cut short"):
        pictures.read_picture(tmp_path / "c.png")


@pytest.mark.parametrize("values", [np.array([["a"]]), np.array([[1 + 2j]]), np.array([[None]]), np.array([[np.inf]])])
def test_arrays_of_anything_else_are_refused(values):
    with pytest.raises(ValueError, match="no finite numbers"):
        pictures.read_picture(values, "it")
