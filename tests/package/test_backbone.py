"""A FocalNet as a backbone: maps of four strides, frozen stages, the published weights' preprocessing."""

import http.server
import json
import threading

import keras
import numpy as np
import pytest
from safetensors.numpy import save

import focal_utils as fu
from focal_utils.errors import DamagedData, DataNotFound
from focal_utils.machine import jit_here
from focal_utils.models import variants
from focal_utils.weights import classes, published


def network(shape=(64, 96, 3), **more):
    return fu.FocalNet(shape, 5, embed_dim=4, depths=(1, 1, 2, 1), **more)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(tensor))


@pytest.mark.parametrize("include_top", [True, False])
def test_four_maps_of_four_strides(include_top):
    model = network(include_top=include_top)
    maps = fu.feature_maps(model)(random(2, 64, 96, 3))
    assert [tuple(m.shape) for m in maps] == [(2, 16, 24, 4), (2, 8, 12, 8), (2, 4, 6, 16), (2, 2, 3, 32)]
    last = fu.feature_maps(model, norm=True)(random(2, 64, 96, 3))[-1]
    if not include_top:
        np.testing.assert_array_equal(numpy(last), numpy(model(random(2, 64, 96, 3))))


def test_images_of_any_size():
    features = fu.feature_maps(network((None, None, 3), include_top=False))
    for height, width in ((64, 64), (96, 33), (200, 120)):
        shapes = [tuple(m.shape[1:3]) for m in features(random(1, height, width, 3))]
        assert shapes == [(height // 4 // 2**s, width // 4 // 2**s) for s in range(4)]


def test_frozen_stages_are_not_trained():
    model = fu.freeze(network(), 2)
    before = model.get_weights()
    names = [weight.path for weight in model.weights]
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jit_here())
    model.train_on_batch(random(2, 64, 96, 3), random(2, 5))
    moved = {n for n, a, b in zip(names, before, model.get_weights(), strict=True) if not np.array_equal(a, b)}
    assert not any(name.startswith(("stem", "stage0", "stage1")) for name in moved)
    assert any(name.startswith("stage2") for name in moved) and any(name.startswith("head") for name in moved)
    assert len(fu.freeze(model, 0).trainable_weights) == len(names)
    with pytest.raises(ValueError, match="count=5: focalnet has 4 stages"):
        fu.freeze(model, 5)
    with pytest.raises(ValueError, match="has no patch embedding"):
        fu.freeze(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), 1)


def test_preprocessing_is_imagenets_and_that_of_the_layer():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")
    mean = np.array([0.485, 0.456, 0.406])
    std = np.array([0.229, 0.224, 0.225])
    before = images.copy()
    expected = (images / 255 - mean) / std
    np.testing.assert_allclose(fu.preprocess_input(images.copy()), expected, atol=1e-5)
    layer = fu.focalnet("tiny_srf", (32, 32, 3), 5, embed_dim=4, depths=(1,), preprocessing="imagenet").layers[1]
    np.testing.assert_allclose(numpy(layer(images)), expected, atol=1e-4)
    assert np.array_equal(images, before)


@pytest.fixture
def keras_list(tmp_path_factory, monkeypatch):
    """Keras' list of ImageNet-1K, as if it had been fetched: class 7 is called "class 7"."""
    path = tmp_path_factory.mktemp("keras") / "index.json"
    path.write_text(json.dumps({str(i): [f"n{i:08d}", f"class {i}"] for i in range(1000)}))
    from keras.src.applications import imagenet_utils

    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", None)
    monkeypatch.setattr(imagenet_utils.file_utils, "get_file", lambda *a, **k: str(path))
    monkeypatch.setattr(classes, "KERAS_LIST", path)


@pytest.fixture
def timm_list(tmp_path, monkeypatch):
    """A timm of which nothing but its lists is there; classes of ImageNet-22K are in another order than their ids."""
    folder = tmp_path / "site" / "timm" / "data" / "_info"
    folder.mkdir(parents=True)
    (tmp_path / "site" / "timm" / "__init__.py").write_text("raise ImportError('PyTorch is not installed')")
    synsets = [f"n{(number + 1000) % 21842:08d}" for number in range(21842)]
    (folder / "imagenet22k_ms_synsets.txt").write_text("\n".join(synsets))
    (folder / "imagenet_synset_to_lemma.txt").write_text("\n".join(f"{name}\t{name[-4:]}, it" for name in synsets))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def test_predictions_get_their_names(keras_list):
    logits = np.zeros((1, 1000), "float32")
    logits[0, 7] = 5
    logits[0, 3] = 2
    assert fu.decode_predictions(logits, top=2) == [[("n00000007", "class 7", 5), ("n00000003", "class 3", 2)]]
    assert fu.imagenet_classes()[999] == ("n00000999", "class 999")


def test_predictions_of_imagenet_22k_get_theirs_of_timm(timm_list):
    logits = np.zeros((2, 21842), "float32")
    logits[:, 0] = (1, 3)
    logits[:, 21841] = 2
    best = [[name for _, name, _ in row] for row in fu.decode_predictions(logits, top=2)]
    assert best == [["0999, it", "1000, it"], ["1000, it", "0999, it"]]


def test_names_that_cannot_be_known_are_not_made_up(timm_list, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"count=500 is not known: choose one of 1000, 21842"):
        fu.decode_predictions(np.zeros((1, 500)))
    with pytest.raises(ValueError, match=r"got shape \(1000,\): give what the classifier says"):
        fu.decode_predictions(np.zeros(1000))
    (timm_list / "imagenet_synset_to_lemma.txt").write_text("n00001000\tone")
    with pytest.raises(DamagedData, match="21841 of them without a name"):
        fu.imagenet_classes(21842)
    (timm_list / "imagenet22k_ms_synsets.txt").unlink()
    with pytest.raises(DataNotFound, match="has no imagenet22k_ms_synsets.txt in .*: pip install timm"):
        fu.imagenet_classes(21842)
    monkeypatch.setattr(classes, "find_spec", lambda name: None)
    with pytest.raises(DataNotFound, match="pip install --no-deps timm"):
        fu.imagenet_classes(21842)
    monkeypatch.setattr(classes, "KERAS_LIST", tmp_path / "nowhere.json")
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    with pytest.raises(DataNotFound, match="nowhere.json, and FOCAL_OFFLINE is set"):
        fu.imagenet_classes()


def test_a_list_that_keras_cannot_fetch_is_said(monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://…: None -- Network is unreachable")

    monkeypatch.delenv("FOCAL_OFFLINE", raising=False)
    monkeypatch.setattr(classes.imagenet_utils, "decode_predictions", fail)
    with pytest.raises(
        DataNotFound, match="URL fetch failure.*where there is a network, and bring what Keras then keeps"
    ):
        fu.imagenet_classes()


SMALL = {"embed_dim": 4, "depths": (1, 1)}


class Handler(http.server.BaseHTTPRequestHandler):
    """The hub: HEAD names revision and checksum and sends on; GET gives the file of that revision."""

    def answer(self, body=b"", status=200, **headers):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.server.asked.append(self.path)
        told = {"X_Repo_Commit": "c" * 40, "X_Linked_Etag": f'"{self.server.checksum}"'} if self.server.tells else {}
        self.answer(b"", 302, Location="http://127.0.0.1:1/elsewhere", **told)

    def do_GET(self):
        self.server.asked.append(self.path)
        self.answer(self.server.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(keras_list, tmp_path, monkeypatch):
    """A hub on this machine, with the weights of a small network in place of tiny_srf's."""
    import hashlib

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model = fu.focalnet("tiny_srf", (32, 32, 3), **SMALL)
    server.content = save(fu.peer_weights(model, "timm"))
    server.asked = []
    server.tells = True
    server.checksum = hashlib.sha256(server.content).hexdigest()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(published, "HUB", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("FOCAL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("FOCAL_OFFLINE", raising=False)
    server.model = model
    yield server
    server.shutdown()
    server.server_close()


def test_imagenet_weights_are_fetched_once_pinned_and_checked(served):
    model = fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", **SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), served.model.get_weights(), strict=True))
    assert model.class_names[7] == "class 7"
    own = fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", class_names=list(map(str, range(1000))), **SMALL)
    assert own.class_names[7] == "7"
    fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", include_top=False, **SMALL)
    where = "/timm/focalnet_tiny_srf.ms_in1k/resolve"
    assert served.asked == [f"{where}/main/model.safetensors", f"{where}/{'c' * 40}/model.safetensors"]


def test_published_weights_come_without_names_where_nobody_knows_them(served, monkeypatch):
    def unknown(count):
        raise DataNotFound("no list")

    monkeypatch.setattr(classes, "imagenet_classes", unknown)
    assert fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", **SMALL).class_names is None


def test_weights_of_a_file_are_not_taken_for_imagenets(served, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(served.content)
    model = fu.focalnet("tiny_srf", (32, 32, 3), weights=tmp_path / "mine.safetensors", **SMALL)
    assert model.class_names is None
    np.testing.assert_array_equal(model.get_weights()[0], served.model.get_weights()[0])


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("stem", ["mean", "repeat"])
def test_published_weights_for_any_number_of_channels(served, channels, stem):
    model = fu.focalnet("tiny_srf", (32, 32, channels), include_top=False, weights="imagenet", stem=stem, **SMALL)
    kernel = served.model.get_weights()[0]
    bands = np.arange(channels) % 3
    expected = kernel[:, :, bands] if stem == "repeat" else kernel.mean(axis=2, keepdims=True).repeat(channels, axis=2)
    np.testing.assert_allclose(model.get_weights()[0], expected * 3 / channels, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(model.get_weights()[1], served.model.get_weights()[1])


def test_a_stem_is_asked_for_by_a_word(served, tmp_path):
    with pytest.raises(ValueError, match='3 there, 5 here; .*stem="mean"'):
        fu.focalnet("tiny_srf", (32, 32, 5), weights="imagenet", **SMALL)
    with pytest.raises(ValueError, match="stem='mean' says how weights are fitted.*weights=None asks for none"):
        fu.focalnet("tiny_srf", (32, 32, 5), stem="mean", **SMALL)
    served.model.save_weights(tmp_path / "mine.weights.h5")
    with pytest.raises(ValueError, match="stem='mean' fits published checkpoints to other channels"):
        fu.focalnet("tiny_srf", (32, 32, 3), weights=tmp_path / "mine.weights.h5", stem="mean", **SMALL)


def test_a_wrong_checksum_keeps_nothing(served, tmp_path):
    served.checksum = "0" * 64
    with pytest.raises(DamagedData, match="SHA256 checksum"):
        fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", **SMALL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_revision_or_connection_it_says_what_to_do(served, monkeypatch):
    served.tells = False
    with pytest.raises(DataNotFound, match="names no revision and checksum.*give its path instead"):
        fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", **SMALL)
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    with pytest.raises(DataNotFound, match="FOCAL_OFFLINE is set.*focalnet_tiny_srf.ms_in1k/resolve/main"):
        fu.focalnet("tiny_srf", (32, 32, 3), weights="imagenet", **SMALL)


def test_variants_and_classes_without_published_weights():
    with pytest.raises(ValueError, match="no published weights of 'tiny_iso_16'. There are: tiny_srf"):
        fu.focalnet("tiny_iso_16", weights="imagenet")
    with pytest.raises(ValueError, match="a classifier of 1000 classes for tiny_srf, not of 8"):
        fu.focalnet("tiny_srf", classes=8, weights="imagenet")


@pytest.mark.parametrize("classes", [None, 1000, 21842])
def test_a_classifier_that_was_not_published(classes):
    with pytest.raises(ValueError, match="weights of huge_fl4 come without a classifier: take include_top=False"):
        fu.focalnet("huge_fl4", classes=classes, weights="imagenet")
    with pytest.raises(ValueError, match="a classifier of 21842 classes for xlarge_fl3, not of 1000"):
        fu.focalnet("xlarge_fl3", classes=1000, weights="imagenet")


@pytest.fixture
def asked(monkeypatch):
    """What would be loaded: pairs of a model and a repository; nothing is."""
    pairs = []
    monkeypatch.setattr(
        variants, "load_pretrained", lambda model, source, repository, stem: pairs.append((model, repository))
    )
    return pairs


@pytest.mark.parametrize(("variant", "side", "classes"), [("tiny_lrf", 224, 1000), ("large_fl4", 384, 21842)])
def test_published_weights_get_the_network_that_they_were_trained_in(variant, side, classes, asked):
    model = fu.focalnet(variant, weights="imagenet", **SMALL)
    assert model.input_shape == (None, side, side, 3) and model.output_shape == (None, classes)
    assert asked == [(model, fu.VARIANTS[variant].repository)]


def test_without_their_classifier_and_at_another_size_they_go_too(asked):
    model = fu.focalnet("huge_fl4", (64, 64, 3), include_top=False, weights="imagenet", **SMALL)
    assert model.output_shape == (None, 8, 8, 8)
    assert asked == [(model, "timm/focalnet_huge_fl4.ms_in22k")]


def test_what_was_published_of_each_variant():
    """As timm's table has it: ImageNet-1K at 224², ImageNet-22K at 384² or, huge, at 224²; no isotropic ones."""
    published = {name: (row.image_size, row.repository, row.classes) for name, row in fu.VARIANTS.items()}
    for name in ("tiny_srf", "tiny_lrf", "small_srf", "small_lrf", "base_srf", "base_lrf"):
        assert published.pop(name) == (224, f"timm/focalnet_{name}.ms_in1k", 1000)
    for name in ("large_fl3", "large_fl4", "xlarge_fl3", "xlarge_fl4"):
        assert published.pop(name) == (384, f"timm/focalnet_{name}.ms_in22k", 21842)
    assert published.pop("huge_fl3") == (224, "timm/focalnet_huge_fl3.ms_in22k", 21842)
    assert published.pop("huge_fl4") == (224, "timm/focalnet_huge_fl4.ms_in22k", 0)
    assert set(published) == {"tiny_iso_16", "small_iso_16", "base_iso_16"}
    assert set(published.values()) == {(224, None, 0)}
