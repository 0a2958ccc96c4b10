"""The explorer without a browser: pictures of every kind, what is sent to the page, and that nothing breaks it."""

import base64
import io
import json
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
import traitlets
from PIL import Image

import focal_utils as fu
from focal_utils.data import pictures
from focal_utils.explorer import shown
from focal_utils.explorer.bundle import script, style
from focal_utils.explorer.network import read_network
from focal_utils.tracing import run_traced


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
    signs = {"stop": fu.render_sign(14, seed=1), "large": fu.render_sign(1, 48, seed=2)}
    return fu.GateExplorer(model, signs, class_names=fu.GTSRB_CLASSES)


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
    assert np.abs(unpacked(shown.pack(values)) - values).max() <= np.abs(values).max() / 65_000
    assert not unpacked(shown.pack(np.zeros((2, 2, 1)))).any()


def test_what_is_shown_is_what_was_traced(model, explorer):
    image = fu.render_sign(14, seed=1)
    output, traces = run_traced(model, image[None])
    for maps, trace in zip(explorer.shown["maps"], traces, strict=True):
        assert np.allclose(unpacked(maps["gates"]), trace.gates[0], atol=1e-4)
        norm = np.linalg.norm(trace.modulator[0], axis=-1)
        assert np.allclose(unpacked(maps["modulator"])[..., 0], norm, atol=1e-3 * norm.max())
        norms = unpacked(maps["contexts"])
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
    assert texts == ["stage 0\nblock 0", "stage 1\nblock 0"]
    assert {axes.get_title() for axes in figure.axes} >= {"gate\nlevel 1", "gate\nglobal", "modulator\nL2 norm"}


# What the network means by its output


def with_top(*layers):
    """A model that ends in `layers`, on random weights that are always the same."""
    keras.utils.set_random_seed(2)
    trunk = fu.FocalNet((16, 16, 3), 3, embed_dim=4, depths=(1,), patch_size=4, include_top=False)
    x = keras.layers.GlobalAveragePooling2D()(trunk.output)
    for layer in layers:
        x = layer(x)
    return keras.Model(trunk.input, x)


def answers(model, **options):
    """What the explorer shows and the model itself gives for one picture."""
    image = fu.render_sign(14, 16, seed=1)
    explorer = fu.GateExplorer(model, [image], **options)
    return dict(map(tuple, explorer.shown["before"])), np.asarray(model(image[None].astype("float32")))[0]


@pytest.mark.parametrize(
    "top",
    [
        lambda: [keras.layers.Dense(3, activation="softmax")],
        lambda: [keras.layers.Dense(3), keras.layers.Softmax()],
        lambda: [keras.layers.Dense(3), keras.layers.Activation("softmax"), keras.layers.Activation("linear")],
        lambda: [keras.layers.Dense(3), keras.ops.softmax],
        lambda: [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])],
        lambda: [keras.layers.Dense(3, activation="sigmoid")],  # several labels at once: the sum may be anything
    ],
    ids=["activation", "layer", "behind it", "operation", "nested", "sigmoids"],
)
def test_probabilities_are_shown_as_they_are(top):
    shown, given = answers(with_top(*top()))
    assert shown == {number: pytest.approx(float(share), abs=1e-4) for number, share in enumerate(given)}


def test_logits_become_probabilities():
    shown, given = answers(with_top(keras.layers.Dense(3)))
    shares = np.exp(given) / np.exp(given).sum()
    assert shown == {number: pytest.approx(float(share), abs=1e-4) for number, share in enumerate(shares)}


def test_one_column_says_yes_or_no():
    shown, given = answers(with_top(keras.layers.Dense(1, activation="sigmoid")), class_names=["no sign", "sign"])
    assert shown == {1: pytest.approx(float(given[0]), abs=1e-4), 0: pytest.approx(1 - float(given[0]), abs=1e-4)}
    shown, given = answers(with_top(keras.layers.Dense(1)))
    yes = 1 / (1 + np.exp(-float(given[0])))
    assert shown == {1: pytest.approx(yes, abs=1e-4), 0: pytest.approx(1 - yes, abs=1e-4)}


def test_the_meaning_can_be_asked_for_by_a_word():
    model = with_top(keras.layers.Dense(3, activation="softmax"))
    asked, given = answers(model, outputs="logits")
    shares = np.exp(given) / np.exp(given).sum()
    assert asked == {number: pytest.approx(float(share), abs=1e-4) for number, share in enumerate(shares)}
    with pytest.raises(ValueError, match="'logits', 'probabilities'"):
        answers(model, outputs="softmax")
    large = with_top(keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(7.0)))
    with pytest.raises(ValueError, match="holds no probabilities: outputs='logits'"):
        answers(large, outputs="probabilities")


class Subclassed(keras.Model):
    """A model that is no graph of layers."""

    def __init__(self, activation=None):
        super().__init__()
        self.stem = fu.PatchEmbed(8, 4)
        self.block = fu.FocalBlock(8, name="inner")
        self.head = keras.layers.Dense(3, activation=activation)

    def call(self, x):
        return self.head(keras.ops.mean(self.block(self.stem(x)), axis=(1, 2)))


def test_a_subclassed_model_called_or_not():
    called = Subclassed("softmax")
    called(np.zeros((2, 16, 24, 3), "float32"))
    explorer = fu.GateExplorer(called, [fu.render_sign(14, 48)])
    assert explorer.shown["size"] == [16, 24]  # what it was called with
    assert sum(share for _, share in explorer.shown["before"]) == pytest.approx(1, abs=1e-3)
    fresh = fu.GateExplorer(Subclassed(), [fu.render_sign(14, 48)])
    assert fresh.shown["size"] == [48, 48] and fresh.about["classes"] == ["class 0", "class 1", "class 2"]
    fresh.switches = {"inner": ["off"] * 3}
    assert fresh.message == "" and fresh.shown["after"] != []


def test_models_that_take_no_pictures_are_refused_in_words():
    first = keras.Input((8, 8, 3))
    second = keras.Input((8, 8, 3))
    two = keras.Model([first, second], fu.FocalBlock(3)(first + second))
    with pytest.raises(ValueError, match="takes several inputs"):
        fu.GateExplorer(two, np.zeros((1, 8, 8, 3)))
    with pytest.raises(TypeError, match="model is a str: give a keras.Model"):
        fu.GateExplorer("gtsrb", np.zeros((1, 8, 8, 3)))
    flat = keras.Sequential([keras.Input((8, 24)), keras.layers.Reshape((8, 8, 3)), fu.FocalBlock(3)])
    with pytest.raises(ValueError, match="needs .batch, height, width, channels"):
        fu.GateExplorer(flat, np.zeros((1, 8, 8, 3)))
    only = keras.Model([first], fu.FocalBlock(3)(first))
    assert fu.GateExplorer(only, np.zeros((1, 8, 8, 3))).about["classes"] == []


@pytest.mark.parametrize(
    "structure", [list, lambda parts: {f"part {number}": part for number, part in enumerate(parts)}]
)
def test_several_outputs(structure):
    trunk = fu.FocalNet((16, 16, 3), 3, embed_dim=4, depths=(1,), patch_size=4, include_top=False)
    pooled = keras.layers.GlobalAveragePooling2D()(trunk.output)
    box = keras.layers.Dense(4)(pooled)
    classes = keras.layers.Dense(3, activation="softmax")(pooled)
    model = keras.Model(trunk.input, structure([trunk.output, box, classes]))
    explorer = fu.GateExplorer(model, [fu.render_sign(14, 16)], class_names=["a", "b", "c"])
    given = keras.tree.flatten(model(fu.render_sign(14, 16)[None].astype("float32")))[2]
    number, share = explorer.shown["before"][0]
    assert share == pytest.approx(float(np.max(given)), abs=1e-4) and number == int(np.argmax(given))
    assert explorer.about["classes"] == ["a", "b", "c"]
    assert len(fu.GateExplorer(model, [fu.render_sign(14, 16)]).about["classes"]) == 4  # the first that could be meant


def test_feature_maps_have_no_classes_but_maps(model):
    explorer = fu.GateExplorer(fu.feature_maps(model), [fu.render_sign(14)])
    assert explorer.about["classes"] == [] and explorer.shown["before"] == [] and len(explorer.shown["maps"]) == 2
    explorer.switches = {"stage0_block0": ["off", "on", "on"]}
    assert explorer.message == "" and explorer.shown["after"] == []


# Names


def test_names_come_from_the_caller_the_model_or_the_images_and_are_not_guessed(model):
    image = fu.render_sign(14)
    plain = keras.models.clone_model(model)
    assert fu.GateExplorer(plain, [image]).about["classes"][7] == "class 7"
    plain.class_names = sorted(map(str, range(43)))  # a folder's, sorted as text
    assert fu.GateExplorer(plain, [image]).about["classes"][2] == "10"
    assert fu.GateExplorer(plain, fu.render_signs(43, seed=0)).about["classes"][2] == "10"
    given = [f"sign {number}" for number in range(43)]
    assert fu.GateExplorer(plain, [image], class_names=given).about["classes"] == given
    plain.class_names = ["too", "few"]
    assert fu.GateExplorer(plain, [image]).about["classes"][7] == "class 7"
    with pytest.raises(ValueError, match=r"class_names has 2 entries, but the model's output is \(1, 43\)"):
        fu.GateExplorer(plain, [image], class_names=["too", "few"])


# Pictures in whatever they come


def test_files_pillow_images_and_single_pictures(model, tmp_path):
    path = tmp_path / "mine.png"
    noise(32, 32, 3).save(path)
    expected = fu.GateExplorer(model, [np.asarray(noise(32, 32, 3))]).shown["image"]
    for images in (path, str(path), [path], noise(32, 32, 3), [noise(32, 32, 3)], path.read_bytes(), {"it": str(path)}):
        assert fu.GateExplorer(model, images).shown["image"] == expected
    explorer = fu.GateExplorer(model, [path, noise(32, 32)])
    assert explorer.names == ["mine.png", "picture 1"]
    explorer.add(noise(40, 40, 3), "camera")
    explorer.add(path)
    assert explorer.names[2:] == ["camera", "mine.png"]
    with pytest.raises(ValueError, match="is a folder"):
        fu.GateExplorer(model, tmp_path)
    with pytest.raises(TypeError, match="images is a int: give pictures"):
        fu.GateExplorer(model, 5)


def test_shares_and_deep_pictures_are_recognised_and_said(model):
    image = fu.render_sign(14)
    explorer = fu.GateExplorer(model, {"floats": image / 255, "deep": image.astype("uint16") * 257, "bytes": image})
    for number, note in enumerate(([pictures.SHARES], [pictures.DEEP], [])):
        explorer.picture = np.int64(number)
        assert explorer.shown["notes"] == note
    assert len({explorer._examined(number, {})[0]["image"] for number in range(3)}) == 1


def test_numbers_of_numpy_are_whole_numbers(explorer, tmp_path):
    explorer.picture = np.int64(1)
    explorer.block = np.uint8(1)
    explorer.level = np.int32(2)
    assert (explorer.picture, explorer.block, explorer.level) == (1, 1, 2) and type(explorer.picture) is int
    explorer.to_html(tmp_path / "a.html", np.int64(1))
    explorer.to_html(tmp_path / "b.html", np.array([1]))
    assert page_data(tmp_path / "a.html")["names"] == ["stop"] and page_data(tmp_path / "b.html")["names"] == ["large"]


# The page


def page_data(path):
    """What a page shows, read as a browser reads it, HTML first, then JSON: names, pictures, about.

    It is the same whether the network runs in the page or was recorded.
    """
    found = [[None, {}, ""]]

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append([tag, dict(attrs), ""])

        def handle_data(self, data):
            found[-1][2] += data

    Reader().feed(path.read_text("utf-8"))
    (text,) = [text for tag, attributes, text in found if attributes.get("id") == "options"]
    assert "<" not in text
    (network,) = json.loads(text, parse_constant=pytest.fail)["networks"]  # NaN is no JSON
    if "recorded" in network:
        return network["recorded"]
    header, _ = read_network(base64.b64decode(network["file"]["base64"]))
    names = [picture["name"] for picture in network["pictures"]]
    return {"names": names, "pictures": network["pictures"], "about": header}


@pytest.mark.parametrize(
    "name", ["<!--<script>", "</script><script>alert(1)</script>", "/*OPTIONS*/ \u2028 ]]>", "<b>&amp;"]
)
def test_names_are_text_in_the_page(model, tmp_path, name):
    explorer = fu.GateExplorer(model, {name: fu.render_sign(14)}, class_names=[name] * 43)
    explorer.to_html(tmp_path / "page.html")
    data = page_data(tmp_path / "page.html")
    assert data["names"] == [name] and data["about"]["classes"][0] == name


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_said(model, tmp_path, wrong):
    broken = keras.models.clone_model(model)
    kernel = broken.get_layer("stage0_block0").modulation.h.kernel
    kernel.assign(np.full(kernel.shape, wrong))
    explorer = fu.GateExplorer(broken, [fu.render_sign(14)])
    assert explorer.shown["notes"] == [shown.NOT_FINITE] and explorer.shown["before"] == []
    explorer.to_html(tmp_path / "page.html")
    assert page_data(tmp_path / "page.html")["pictures"][0]["notes"] == [shown.NOT_FINITE]
    explorer.contact_sheet()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (0, "no pictures"),
        ([], "no pictures"),
        (-2, "no pictures"),
        ([2], "no picture 2"),
        (["stop"], "no picture 'stop'"),
    ],
)
def test_a_page_without_pictures_is_refused(explorer, tmp_path, asked, reason):
    with pytest.raises(ValueError, match=reason):
        explorer.to_html(tmp_path / "page.html", asked)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def open_network():
    keras.utils.set_random_seed(0)
    return fu.FocalNet((None, None, 3), 5, embed_dim=8, depths=(2, 1), patch_size=4, preprocessing="per_image")


@pytest.mark.parametrize(("height", "width", "room"), [(480, 640, 870_000), (333, 210, 130_000), (128, 600, 145_000)])
def test_one_large_picture_has_a_page(open_network, tmp_path, height, width, room):
    most = room + len((script() + style()).encode())
    picture = np.asarray(noise(height // 4, width // 4, 3).resize((width, height)))
    explorer = fu.GateExplorer(open_network, [picture])
    path = tmp_path / "page.html"
    explorer.to_html(path, most_bytes=most)
    assert path.stat().st_size <= most
    data = page_data(path)
    (page,) = data["pictures"]
    assert page["size"] == [height, width] and "averaged over" in page["notes"][-1]
    for block, before, maps in zip(data["about"]["blocks"], explorer.about["blocks"], page["maps"], strict=True):
        factor = block["stride"] / before["stride"]
        assert block["widths"] == [each / factor for each in before["widths"]]
        rows, columns = maps["gates"]["shape"][:2]
        assert abs(rows * block["stride"] - height) < block["stride"] and rows >= 16
        assert abs(columns * block["stride"] - width) < block["stride"]
    assert explorer.about["blocks"][0]["stride"] == 4  # the explorer itself shows all


def test_many_large_pictures_are_too_many_or_fit_where_they_may(open_network, tmp_path):
    explorer = fu.GateExplorer(open_network, [np.asarray(noise(120, 160, 3))] * 5)
    with pytest.raises(ValueError, match="5 pictures are too many, so pass fewer"):
        explorer.to_html(tmp_path / "page.html", most_bytes=200_000)
    explorer.to_html(tmp_path / "page.html", 1, most_bytes=9_000_000)
    assert page_data(tmp_path / "page.html")["pictures"][0]["notes"] == []
    with pytest.raises(ValueError, match="pass more `most_bytes`"):
        explorer.to_html(tmp_path / "other.html", 1, most_bytes=50_000)


def test_averaging_keeps_means_also_at_cut_ends():
    plane = np.arange(5 * 3, dtype=float).reshape(5, 3, 1)
    small = shown.averaged(plane, 2)
    assert small.shape == (3, 2, 1) and small[0, 0, 0] == plane[:2, :2].mean() and small[2, 1, 0] == plane[4, 2, 0]


def test_odd_switches_are_refused(explorer):
    odd = [{"stage0_block0": 1}, {"stage0_block0": ["on", "on", float("nan")]}, {"stage0_block0": ["on", 2.5, "on"]}]
    for name, value in [("switches", switches) for switches in odd]:
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, name, value)
    with pytest.raises(traitlets.TraitError):
        explorer.switches = {"stage0_block0": [["on"], "on", "on"]}
