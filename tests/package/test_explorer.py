"""The explorer without a browser: pictures of every kind, what is sent to the page, and that nothing breaks it."""

import base64
import io

import keras
import numpy as np
import pytest
import traitlets
from PIL import Image

import focal_utils as fu
from focal_utils.explorer import payload, pictures
from focal_utils.tracing import run


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = fu.FocalNet((32, 32, 3), 43, embed_dim=8, depths=(1, 1), patch_size=2, preprocessing="per_image")
    for variable in model.trainable_variables:
        if len(variable.shape) == 2:
            variable.assign(10 * variable)  # fresh weights are too small for gates to matter
    return model


@pytest.fixture
def explorer(model):
    return fu.GateExplorer(model, {"stop": fu.render_sign(14, seed=1), "large": fu.render_sign(1, 48, seed=2)})


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype="uint8"))


def unpacked(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(packed["shape"]) * packed["scale"]


def test_packing_keeps_four_digits():
    values = np.random.default_rng(0).normal(size=(5, 4, 3))
    assert np.abs(unpacked(payload.pack(values)) - values).max() <= np.abs(values).max() / 65_000
    assert not unpacked(payload.pack(np.zeros((2, 2, 1)))).any()


def test_what_is_shown_is_what_was_traced(model, explorer):
    image = fu.render_sign(14, seed=1)
    output, traces = run(model, image[None])
    for shown, trace in zip(explorer.shown["maps"], traces, strict=True):
        assert np.allclose(unpacked(shown["gates"]), trace.gates[0], atol=1e-4)
        norm = np.linalg.norm(trace.modulator[0], axis=-1)
        assert np.allclose(unpacked(shown["modulator"])[..., 0], norm, atol=1e-3 * norm.max())
        norms = unpacked(shown["contexts"])
        assert np.allclose(norms[..., 1], np.linalg.norm(trace.contexts[1][0], axis=-1), atol=1e-3 * norms.max())
    assert explorer.shown["before"][0][0] == output[0].argmax()
    block = explorer.about["blocks"][1]
    assert block["levels"] == ["level 1", "level 2", "global"] and block["widths"] == [3, 7] and block["stride"] == 4
    assert explorer.about["classes"] == list(fu.GTSRB_CLASSES)


def test_switches_do_what_they_say(model, explorer):
    plain = explorer.shown
    explorer.switches = {"stage0_block0": ["off", "mean", "on"]}
    gates = unpacked(explorer.shown["maps"][0]["gates"])
    before = unpacked(plain["maps"][0]["gates"])
    assert not gates[..., 0].any()
    assert np.allclose(gates[..., 1], before[..., 1].mean(), atol=1e-3)
    assert np.allclose(gates[..., 2], before[..., 2], atol=1e-3)
    assert explorer.shown["before"] == plain["before"] and explorer.shown["after"] != plain["after"]
    explorer.switches = {}
    assert explorer.shown == plain


def test_pictures_of_another_size_are_fitted_and_it_says_so(explorer):
    assert explorer.shown["notes"] == []
    explorer.picture = 1
    assert explorer.shown["size"] == [32, 32] and "48×48 were resized" in explorer.shown["notes"][0]
    cut, notes = pictures.fit_picture(np.zeros((40, 100, 3), "uint8"), 32, 32)
    assert cut.shape == (32, 32, 3) and "its central 40×40 of 100×40" in notes[0]


def test_a_fitted_picture_is_its_centre():
    wide = np.zeros((20, 60, 3), "uint8")
    wide[:, 20:40] = 200
    assert (pictures.fit_picture(wide, 10, 10)[0] == 200).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"these are my notes", "is not an image"),
        (b"", "is not an image"),
        (encoded(noise(64, 48, 3), "JPEG")[:900], "is damaged or cut short"),
        (encoded(noise(64, 48, 3))[:900], "is damaged or cut short"),
        (np.zeros((4, 4, 7)), "a picture is"),
        (np.full((4, 4, 3), np.nan), "finite"),
        (np.full((4, 4, 3), 300.0), "0 to 255"),
        (np.full((4, 4, 3), -1.0), "prepare"),
    ],
)
def test_what_is_no_picture_is_refused_and_the_explorer_stays(explorer, data, reason):
    explorer.switches = {"stage0_block0": ["off", "on", "on"]}
    before = explorer.shown, explorer.names, explorer.picture, explorer.switches
    with pytest.raises(ValueError, match=reason):
        explorer.add(data, "it")
    assert (explorer.shown, explorer.names, explorer.picture, explorer.switches) == before
    explorer.picture = 1
    assert explorer.shown["picture"] == 1


def test_a_picture_of_too_many_pixels_is_refused_unopened(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="64×48 pixels"):
        pictures.read_picture(encoded(noise(48, 64, 3)), "it.png")


def test_twenty_megapixels_are_read_small():
    picture, notes = pictures.read_picture(encoded(Image.new("RGB", (5500, 3700), (0, 128, 128)), "JPEG"))
    assert max(picture.shape) <= pictures.WORKING_SIDE and notes == []
    assert np.abs(picture.astype(int) - [0, 128, 128]).max() <= 4


def test_grey_transparent_animated_deep_and_turned_pictures():
    grey = noise(8, 8)
    assert np.array_equal(pictures.read_picture(encoded(grey))[0][..., 1], np.asarray(grey))
    glass = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture, notes = pictures.read_picture(encoded(glass))
    assert (picture == 255).all() and "white" in notes[0]
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    picture, notes = pictures.read_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert picture[0, 0].tolist() == [255, 0, 0] and "first frame" in notes[0]
    deep = Image.fromarray(np.array([[0, 30_000, 60_000]], "uint16"))
    assert pictures.read_picture(encoded(deep))[0][0, :, 0].tolist() == [0, 127, 255]
    turned = Image.new("RGB", (8, 4), "green")
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held upright
    assert pictures.read_picture(encoded(turned, "JPEG", exif=exif))[0].shape == (8, 4, 3)


def upload(explorer, data, name, size=1000):
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    for part, piece in enumerate(pieces):
        message = {"kind": "upload", "name": name, "part": part, "parts": len(pieces)}
        explorer._receive(explorer, message, [memoryview(piece)])


def test_uploads_come_in_parts(explorer):
    image = noise(50, 40, 3)
    upload(explorer, encoded(image), "mine.png", size=777)
    assert explorer.names[-1] == "mine.png" and explorer.picture == 2 and explorer.message == ""
    assert "central 40×40 of 40×50" in explorer.shown["notes"][0]
    upload(explorer, b"no picture", "notes.txt")
    assert "notes.txt is not an image" in explorer.message and explorer.picture == 2 and len(explorer.names) == 3


def test_an_upload_that_is_too_large_is_told_so(explorer, monkeypatch):
    monkeypatch.setattr("focal_utils.explorer.widget.LARGEST_UPLOAD", 3000)
    upload(explorer, encoded(noise(64, 64, 3)), "huge.png")
    assert "huge.png is over" in explorer.message and len(explorer.names) == 2


def test_traits_out_of_range_are_refused(explorer):
    for name, value in (("picture", 2), ("picture", -1), ("block", 2), ("level", 3), ("view", "nothing")):
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, name, value)
    for switches in ({"stage9": ["on"]}, {"stage0_block0": ["on"]}, {"stage0_block0": ["on", "on", "shut"]}):
        with pytest.raises(traitlets.TraitError, match="Blocks and their levels"):
            explorer.switches = switches
    assert explorer.switches == {} and explorer.picture == 0


def test_what_cannot_be_explored_is_refused(model):
    with pytest.raises(ValueError, match="no FocalBlock"):
        fu.GateExplorer(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]), np.zeros((1, 8, 8, 3)))
    with pytest.raises(ValueError, match="no pictures"):
        fu.GateExplorer(model, [])
    with pytest.raises(ValueError, match="picture 1 has shape"):
        fu.GateExplorer(model, [np.zeros((8, 8, 3)), np.zeros((8, 8, 2))])


def test_arrays_lists_sets_of_images_and_prepared_ones():
    model = fu.FocalNet((None, None, 1), 4, embed_dim=4, depths=(1,), focal_levels=1)
    explorer = fu.GateExplorer(model, [np.full((24, 36), 9)], prepare=lambda batch: batch / 255.0)
    assert explorer.shown["size"] == [24, 36] and explorer.about["classes"][3] == "class 3"
    data = fu.render_signs(40, seed=0)
    network = fu.FocalNet((32, 32, 3), 43, embed_dim=4, depths=(1,), preprocessing="per_image")
    explorer = fu.GateExplorer(network, data)
    assert len(explorer.names) == len(data.x_test) and fu.GTSRB_CLASSES[data.y_test[0]] in explorer.names[0]


def test_the_page_is_whole_or_not_there(explorer, tmp_path, monkeypatch):
    explorer.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "export default" not in page and "http" not in page.replace("http-equiv", "")
    assert len(page.encode()) <= 3_000_000
    monkeypatch.setattr("focal_utils.explorer.widget.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="fewer"):
        explorer.to_html(tmp_path / "other.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_the_contact_sheet_has_a_row_for_each_block(explorer):
    figure = explorer.contact_sheet()
    texts = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert texts == ["stage0\nblock0", "stage1\nblock0"]
    assert {axes.get_title() for axes in figure.axes} >= {"gate\nlevel 1", "gate\nglobal", "modulator\nL2 norm"}
