"""The network that runs in the page against Keras: the same logits and gates, under every switch."""

import base64
import json
import os

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.explorer.bundle import script
from focal_utils.explorer.network import network_bytes, read_network
from focal_utils.tracing import run_traced

CLOSE = 1e-4  # of the largest value, as promised; what is reached is about 1e-6
PICTURES = 200
SIDE = 256  # pixels of the crops of nuclei
NUCLEI = int(os.environ.get("NUCLEI_PICTURES", 8))  # crops; as many as of the other networks take some minutes
AT_ONCE = 8  # crops: their answers come as one text
ADDRESS = "http://explorer.test/"  # answered by the test itself: nothing is sent anywhere

RUN = """async ([settings, plain, shape]) => {
    const bytes = async (name) => (await fetch(name)).arrayBuffer();
    const network = new FocalNetwork(readNetwork(await bytes("network")), { plain });
    const pixels = new Uint8Array(await bytes("pictures"));
    const [height, width, channels] = shape;
    const size = height * width * channels;
    const answers = [];
    for (let start = 0; start < pixels.length; start += size) {
        const picture = { height, width, channels, values: pixels.subarray(start, start + size) };
        for (const setting of [{}, ...settings]) {
            const { logits, blocks } = network.answer(picture, setting);
            answers.push(logits.height ? logits.values : logits, ...blocks.map(({ gates }) => gates));
        }
    }
    const text = [];
    const all = new Uint8Array(await new Blob(answers).arrayBuffer());
    for (let start = 0; start < all.length; start += 32768) {
        text.push(String.fromCharCode(...all.subarray(start, start + 32768)));
    }
    return btoa(text.join(""));
}"""


@pytest.fixture
def in_page(new_page):
    """A function (bytes of a network, pictures) that runs it in Chromium: an array (pictures, settings, numbers)."""
    page = new_page()
    bodies = {"": "<!doctype html><title>network</title>"}

    def answered(route):
        route.fulfill(body=bodies[route.request.url.removeprefix(ADDRESS)], content_type="text/html")

    page.route(ADDRESS + "**", answered)
    page.goto(ADDRESS)
    page.add_script_tag(content=script("weightsfile.js") + script("network.js"))

    def answers(data, pictures, settings=(), plain=False):
        bodies["network"] = data
        bodies["pictures"] = pictures.astype("uint8").tobytes()
        text = page.evaluate(RUN, [list(settings), plain, list(pictures.shape[1:])])
        flat = np.frombuffer(base64.b64decode(text), "<f4")
        return flat.reshape(len(pictures), 1 + len(settings), -1)

    return answers


def expected(model, pictures, edit=None):
    """What Keras says of the pictures: logits, then the gates of all blocks, (pictures, numbers)."""
    logits, traces = run_traced(model, pictures, edit)
    flat = [part.reshape(len(pictures), -1) for part in (logits, *(trace.gates for trace in traces))]
    return np.concatenate(flat, axis=1), traces


def in_double_precision(model):
    """The same network in Keras with 64 bits for each number.

    In 32 bits Keras itself misses it by up to 2e-4 of a block's largest gate, on some pictures of nuclei: to see what
    the page misses, Keras has to be as exact.
    """
    described = json.dumps(keras.saving.serialize_keras_object(model)).replace('"float32"', '"float64"')
    exact = keras.saving.deserialize_keras_object(json.loads(described))
    exact.set_weights(model.get_weights())
    return exact


def same(got, wanted, traces):
    """That logits and the gates of each block are equal but for `CLOSE` of the largest; by how much they miss."""
    misses = []
    gates = [trace.gates[0].size for trace in traces]
    widths = [wanted.shape[1] - sum(gates), *gates]
    for mine, theirs in zip(*(np.split(part, np.cumsum(widths)[:-1], axis=1) for part in (got, wanted)), strict=True):
        misses.append(np.abs(mine - theirs).max() / np.abs(theirs).max())
        assert misses[-1] <= CLOSE
    return max(misses)


def real(name):
    """Some two hundred real pictures for a shipped network; the test is skipped where they are not to be had."""
    load = {"gtsrb": fu.load_gtsrb, "bloodcells": fu.load_blood_cells, "nuclei": fu.load_nuclei}[name]
    try:
        pictures = load().x_test
    except fu.DataNotFound:
        pytest.skip(f"the images of {name} are not on this machine")
    if name == "nuclei":
        pictures = crops(pictures)
    return pictures[np.random.default_rng(0).permutation(len(pictures))[:PICTURES]]


def crops(pictures):
    """All squares of `SIDE` pixels that lie side by side in the pictures, from their upper left corners."""
    found = []
    for picture in pictures:
        height, width = picture.shape[:2]
        for y in range(0, height - SIDE + 1, SIDE):
            for x in range(0, width - SIDE + 1, SIDE):
                found.append(picture[y : y + SIDE, x : x + SIDE])
    return np.stack(found)


@pytest.mark.data
@pytest.mark.parametrize("name", ["gtsrb", "bloodcells"])
def test_shipped_networks_say_in_the_page_what_they_say_in_keras(in_page, name):
    pictures = real(name)
    model = fu.load_trained(name)
    exact, traces = expected(model, pictures)
    miss = same(in_page(network_bytes(model, precision="float32"), pictures)[:, 0], exact, traces)
    print(f"{name}: {miss:.1e} of the largest or less, of {len(pictures)} pictures")
    classes = model.output_shape[-1]
    for precision in ("float32", "float16", "int8"):
        data = network_bytes(model, precision=precision)
        got = in_page(data, pictures)[:, 0]
        agreed = np.mean(got[:, :classes].argmax(axis=1) == exact[:, :classes].argmax(axis=1))
        print(f"{name}, {precision}: {len(data):,} bytes, the same class for {100 * agreed:.1f} % of {len(pictures)}")
        assert agreed >= 0.99
        rounded = fu.load_trained(name)
        weights = read_network(data)[1]
        for variable in rounded.weights:
            variable.assign(weights[variable.path])
        same(got, *expected(rounded, pictures)[:1], traces)


ARCHITECTURES = {
    "as shipped": {},
    "in plain JavaScript": {},
    "norms behind, scaled": {"use_postln": True, "layer_scale": 0.5, "use_postln_in_modulation": True},
    "softmax, normalised": {"gating": "softmax", "normalize_modulator": True},
    "no gates, parallel": {"gating": "none", "context": "parallel"},
    "top alone, added": {"context": "top", "modulate": "add"},
    "without global": {"global_context": False, "focal_levels": (2, 1)},
    "odd sides filled up": {"pad_to_stride": True, "input_shape": (17, 23, 3), "use_conv_embed": False},
    "odd sides cut": {"input_shape": (17, 23, 1), "use_conv_embed": False, "embed_dim": 6},
    "no focal level": {"focal_levels": 0, "patch_size": 4, "preprocessing": "imagenet"},
    "even windows": {"focal_windows": 2, "focal_factor": 1, "preprocessing": None},
}


def filled(model):
    """A model with random weights, so that every one of them counts."""
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.normal(0.3 if "gamma" in variable.path else 0, 0.3, variable.shape))
    return model


def edits(model, pictures):
    """Settings that scale, turn round and freeze gates of the first and the last block, and the same for `fu.trace`."""
    levels = {trace.name: trace.gates.shape[-1] for trace in expected(model, pictures)[1]}
    settings = {}
    for block in (min(levels), max(levels)):
        count = levels[block]
        settings[block] = [{"times": -1.5 if level == 0 else 1, "frozen": level == count - 1} for level in range(count)]

    def edit(block, gates):
        if block not in settings:
            return None
        gates = np.array(gates)
        for level, setting in enumerate(settings[block]):
            mean = gates[..., level].mean(axis=(1, 2), keepdims=True)
            gates[..., level] = setting["times"] * (mean if setting["frozen"] else gates[..., level])
        return gates

    return settings, edit


def agree(in_page, model, pictures, plain=False):
    """That the page and Keras say the same of pictures, as they are and with gates changed; by how much they miss."""
    settings, edit = edits(model, pictures)
    misses = []
    got = in_page(network_bytes(model, precision="float32"), pictures, [settings], plain)
    for number, change in enumerate((None, edit)):
        misses.append(same(got[:, number], *expected(model, pictures, change)))
    return max(misses)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_and_switch(in_page, name):
    arguments = {
        "input_shape": (16, 16, 3),
        "classes": 5,
        "embed_dim": 8,
        "depths": (1, 2),
        "patch_size": 2,
        "use_conv_embed": True,
        "preprocessing": "per_image",
        **ARCHITECTURES[name],
    }
    model = filled(fu.FocalNet(**arguments))
    pictures = np.random.default_rng(1).integers(0, 256, (3, *arguments["input_shape"]), dtype="uint8")
    agree(in_page, model, pictures, plain=name == "in plain JavaScript")


SEGMENTERS = {
    "three stages, as shipped": {"depths": (1, 2, 1), "patch_size": 4, "use_conv_embed": True},
    "at full size": {"depths": (1, 1, 2, 1), "patch_size": 2, "use_conv_embed": True, "use_postln": True},
    "from stride 2": {"depths": (1, 1), "patch_size": 2, "use_conv_embed": True, "preprocessing": "imagenet"},
    "from stride 1": {"depths": (1, 1), "patch_size": 1, "preprocessing": None},
    "one stage, patches": {"depths": (2,), "patch_size": 4},
    "patches, filled up": {"depths": (1, 1), "patch_size": 4, "pad_to_stride": True},
}


@pytest.mark.parametrize("sides", [(32, 48), (37, 31)])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_segmenter_and_switch(in_page, name, sides):
    arguments = {"input_shape": (None, None, 3), "embed_dim": 8, "include_top": False, "preprocessing": "per_image"}
    backbone = fu.FocalNet(**arguments | SEGMENTERS[name])
    detail_stride = 1 if name == "at full size" else None
    model = filled(fu.segmenter(backbone, classes=2, width=12, detail=4, detail_stride=detail_stride))
    pictures = np.random.default_rng(1).integers(0, 256, (2, *sides, 3), dtype="uint8")
    agree(in_page, model, pictures)


def test_the_shipped_segmenter_says_in_the_page_what_it_says_in_keras(in_page):
    model = fu.load_trained("nuclei")
    nuclei = fu.load_nuclei(shipped=True)
    pictures = np.stack([picture for picture in nuclei.x_test if picture.shape[:2] == (256, 256)])
    misses = [agree(in_page, model, pictures[start : start + 2]) for start in range(0, len(pictures), 2)]
    print(f"{len(pictures)} pictures, two ways: {max(misses):.1e} of the largest or less")
    inside = fu.predict(model, pictures)[..., 0] > 0
    for precision in ("float16", "int8"):
        data = network_bytes(model, precision=precision)
        got = in_page(data, pictures)[:, 0, : inside[0].size * 2].reshape(*inside.shape, 2)[..., 0] > 0
        found = [fu.dice(one, other) for one, other in zip(inside, got, strict=True)]
        print(f"{precision}: {len(data):,} bytes, Dice with the exact network's answer {min(found):.4f} or more")
        assert min(found) >= 0.98


@pytest.mark.data
@pytest.mark.slow
def test_the_shipped_segmenter_says_of_many_crops_what_it_says_in_keras(in_page):
    model = fu.load_trained("nuclei")
    pictures = real("nuclei")[:NUCLEI]
    assert len(pictures) == NUCLEI
    double = in_double_precision(model)
    files = {name: network_bytes(model, precision=name) for name in ("float32", "float16", "int8")}
    misses = []
    agreed = {name: [] for name in files}
    for start in range(0, len(pictures), AT_ONCE):
        some = pictures[start : start + AT_ONCE]
        exact, traces = expected(double, some)
        inside = exact[:, : 2 * SIDE**2 : 2] > 0  # of each pixel two logits: whether it is in a nucleus, and how deep
        for name, data in files.items():
            got = in_page(data, some)[:, 0]
            if name == "float32":
                misses.append(same(got, exact, traces))
            agreed[name] += list(np.mean((got[:, : 2 * SIDE**2 : 2] > 0) == inside, axis=1))
    print(f"nuclei: {max(misses):.1e} of the largest or less, of {len(pictures)} crops")
    for name, shares in agreed.items():
        whole = f"the same for {100 * np.mean(shares):.3f} % of the pixels"
        print(f"nuclei, {name}: {whole}, for {100 * min(shares):.2f} % or more of each crop")
        assert min(shares) >= 0.98 and np.mean(shares) >= 0.99


def test_what_is_no_network_is_refused(in_page):
    with pytest.raises(Exception, match="holds no network"):
        in_page(b"these are my notes", np.zeros((1, 2, 2, 3)))
