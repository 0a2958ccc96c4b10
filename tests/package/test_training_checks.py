"""What cannot be trained is refused in words before anything is begun; what hardly can is said."""

import dataclasses
import inspect
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils import training
from focal_utils.data import ImageSet
from focal_utils.measuring import installed_backends
from focal_utils.training import StopAtNaN, batches, make_optimizer


def pictures(count, seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, (count, 16, 16, 3)).astype("uint8")


@pytest.fixture
def blobs():
    """64 training and 16 validation images of noise, of three classes."""
    labels = np.arange(64) % 3
    return ImageSet("blobs", "own split", ("a", "b", "c"), pictures(64), labels, pictures(16, 1), labels[:16])


def network(preprocessing="per_image", **more):
    keras.utils.set_random_seed(0)
    options = {"embed_dim": 8, "depths": (1,), "focal_levels": 1, "preprocessing": preprocessing}
    return fu.FocalNet((16, 16, 3), 3, **{**options, **more})


class Subclass(keras.Model):
    """A model as people write them: a subclass of `keras.Model`, which knows no shapes before it has seen an image."""

    def __init__(self, **options):
        super().__init__(**options)
        self.embed = keras.layers.Conv2D(8, 4, 4)
        self.block = fu.FocalBlock(8, focal_level=1)
        self.head = keras.layers.Dense(3)

    def call(self, images):
        return self.head(keras.ops.mean(self.block(self.embed(images)), axis=(1, 2)))


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("batch_size", -1, "batch_size=-1: a whole number of at least 1"),
        ("batch_size", 0, "batch_size=0"),
        ("batch_size", "32", "batch_size='32'"),
        ("batch_size", 2.5, "batch_size=2.5"),
        ("batch_size", float("nan"), "batch_size=nan"),
        ("batch_size", 65, "64 training images do not fill one batch of 65"),
        ("epochs", 0, "epochs=0"),
        ("epochs", True, "epochs=True"),
        ("seed", 1.5, "seed=1.5"),
        ("backup_every", 0, "backup_every=0"),
        ("learning_rate", float("nan"), "learning_rate=nan: a finite number above 0"),
        ("learning_rate", 0, "learning_rate=0"),
        ("learning_rate", "fast", "learning_rate='fast'"),
        ("weight_decay", -0.1, "weight_decay=-0.1"),
        ("label_smoothing", 1, "label_smoothing=1: a finite number of at least 0 and below 1"),
        ("ema", 1.5, "ema=1.5"),
        ("accumulate", 0, "accumulate=0"),
        ("accumulate", 1000, "there are 2 steps in all, so weights would never change"),
        ("optimizer", "sgd", "choose one of 'adamw', 'muon'"),
        ("jit", "on", "jit='on' is not known"),
        ("augment", "strong", "a function such as fu.augment.augment_signs"),
        ("best", "best.h5", "must end in .weights.h5"),
    ],
)
def test_an_argument_out_of_range_is_named(argument, value, reason, blobs):
    options = {"epochs": 1, "batch_size": 32, **{argument: value}}
    with pytest.raises(ValueError, match=reason):
        fu.train(network(), blobs, **options)


def test_the_arguments_of_train_are_those_of_what_it_calls():
    own = inspect.signature(fu.train).parameters
    for function in (training.compile_model, make_optimizer):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.default is not parameter.empty:
                assert own[name].default == parameter.default, name
    assert own["augment"].default is None  # what is right for signs is wrong for other things


@pytest.mark.usefixtures("untraced")
def test_numbers_of_numpy_are_taken(blobs, tmp_path):
    options = {"learning_rate": np.float32(1e-3), "accumulate": np.int32(1), "backup_every": np.int64(1)}
    arguments = [np.int64(1), np.int16(32), None, np.uint8(3)]
    for _ in range(2):  # the second goes on from the first one's end
        fu.train(network(), blobs, *arguments, backup=tmp_path / "run", **options)
    assert len(list((tmp_path / "run").iterdir())) == 2


@pytest.mark.parametrize(
    ("part", "label", "reason"),
    [
        ("train", -1, "Label -1 of y_train does not fit a model of 3 classes"),
        ("val", 99, "Label 99 of y_val"),
        ("val", -2, "Label -2 of y_val"),
        ("test", 3, "Label 3 of y_test"),
    ],
)
def test_a_label_of_no_class_is_refused_in_all_parts(part, label, reason, blobs):
    data = blobs.exchange("test", pictures(4), [0, 1, 2, 0])
    with pytest.raises(ValueError):
        labels = np.where(np.arange(len(getattr(data, f"y_{part}"))), 0, label)
        data.exchange(part, getattr(data, f"x_{part}"), labels)
    getattr(data, f"y_{part}")[0] = label  # behind the ImageSet's back
    with pytest.raises(ValueError, match=reason):
        fu.train(network(), data, 1, 32)


@pytest.mark.parametrize("classes", [2, 1])
def test_a_model_of_too_few_classes_is_refused(classes, blobs):
    model = fu.FocalNet((16, 16, 3), classes, embed_dim=8, depths=(1,), preprocessing="per_image")
    with pytest.raises(
        ValueError, match=f"Label 2 of y_train does not fit a model of {classes} classes: set classes=3"
    ):
        fu.train(model, blobs, 1, 32)


def test_a_model_that_ends_in_no_logits_is_refused(blobs):
    trunk = network(include_top=False)
    with pytest.raises(ValueError, match=r"gives \(None, 4, 4, 8\), not logits"):
        fu.train(trunk, blobs, 1, 32)
    with pytest.raises(ValueError, match="not logits"):
        fu.train(fu.feature_maps(network()), blobs, 1, 32)
    with pytest.raises(ValueError, match="not logits"):
        fu.accuracy(trunk, blobs.x_val, blobs.y_val)


def test_a_network_of_probabilities_is_refused(blobs):
    with pytest.raises(ValueError, match="ends in a softmax, and the loss wants logits.*classifier_activation=None"):
        fu.train(network(classifier_activation="softmax"), blobs, 1, 32)


def own_batches(kind):
    x = pictures(8).astype("float32")
    y = np.eye(3)[np.arange(8) % 3]
    if kind == "tf.data":
        return batches.tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    if kind == "PyDataset":
        return type(
            "Mine", (keras.utils.PyDataset,), {"__len__": lambda self: 2, "__getitem__": lambda self, i: (x, y)}
        )()
    return (x, y) if kind == "tuple" else {"x_train": x, "y_train": y}


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "tuple", "dict"])
def test_batches_of_ones_own_are_refused_with_the_way_out(kind):
    with pytest.raises(TypeError, match="takes an ImageSet, not .*fu.ImageSet.*fu.training.compile_model"):
        fu.train(network(), own_batches(kind), 1, 4)


def test_batches_of_ones_own_train_as_the_message_says():
    model = training.compile_model(network(), 4)
    assert len(model.fit(own_batches("tf.data"), epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("preprocessing", "scale", "said"),
    [
        (None, 1, "go up to 255, but this FocalNet expects them normalised"),
        ("imagenet", 1 / 255, "from 0 to 255: multiply them by 255"),
        ("imagenet", 1, None),
        ("per_image", 1 / 255, None),
        (None, 1 / 255, None),
    ],
)
def test_images_of_another_scale_than_the_network_expects_are_said(preprocessing, scale, said, blobs):
    if scale != 1:
        x_train = blobs.x_train * np.float32(scale)
        blobs = dataclasses.replace(blobs, x_train=x_train, x_val=blobs.x_val * np.float32(scale))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fu.train(network(preprocessing), blobs, 1, 32)
    texts = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert [said in text for text in texts] == ([True] if said else [])


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("batch_size", "left"), [(32, 0), (30, 4), (48, 16), (35, 29)])
def test_images_that_sit_out_are_said(batch_size, left, blobs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fu.train(network(), blobs, 1, batch_size)
    texts = [str(warning.message) for warning in caught if "sit out" in str(warning.message)]
    assert len(texts) == (left > 6) and all(f"{left} of 64 training images" in text for text in texts)


@pytest.mark.usefixtures("untraced")
def test_test_and_validation_images_may_be_missing(blobs):
    alone = ImageSet("blobs", "own split", blobs.class_names, blobs.x_train, blobs.y_train)
    assert set(fu.train(network(), alone, 1, 32).history) == {"accuracy", "loss", "seconds"}
    assert "val_accuracy" in fu.train(network(), blobs, 1, 32).history
    with pytest.raises(ValueError, match="best in validation: the data has no x_val"):
        fu.train(network(), alone, 1, 32, best="best.weights.h5")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("broken", "good"), [(float("nan"), 0), (float("inf"), 1), (float("nan"), 3)])
def test_a_loss_that_is_no_number_ends_it_and_nothing_is_kept(broken, good, blobs, tmp_path):
    def spoilt(images, draw):
        return batches.tf.where(draw[1] >= good, broken, batches.tf.cast(images, "float32"))

    paths = {"best": tmp_path / "best.weights.h5", "backup": tmp_path / "backup", "backup_every": 1}
    with pytest.raises(FloatingPointError, match=f"The loss became .* in epoch {good // 2 + 1}.*learning_rate"):
        fu.train(network("imagenet"), blobs, 3, 32, augment=spoilt, **paths)
    kept = sorted(path.name for path in tmp_path.glob("backup/*"))
    assert kept == [f"step_{step:09d}.npz" for step in range(1, good + 1)][-2:]
    assert paths["best"].exists() == (good >= 2)  # the first epoch's


def test_a_step_that_overflowed_in_float16_is_no_reason_to_stop():
    look = StopAtNaN()
    look.on_epoch_begin(0)
    plain = training.compile_model(network(), 10)
    scaled = training.compile_model(network(dtype="mixed_float16"), 10)
    look.set_model(scaled)
    look.on_train_batch_end(0, {"loss": float("inf")})
    for model in (plain, scaled):
        look.set_model(model)
        model.set_weights([weight * np.float32("nan") for weight in model.get_weights()])
        with pytest.raises(FloatingPointError):
            look.on_train_batch_end(0, {"loss": float("nan")})
        look.on_train_batch_end(0, {"loss": 1.0})


@pytest.mark.parametrize("make", [Subclass, lambda: keras.Sequential([Subclass()])])
def test_a_subclass_of_keras_model_is_trained_and_tested(make, blobs, tmp_path):
    model = make()
    paths = {"best": tmp_path / "best.weights.h5", "backup": tmp_path / "backup", "log": tmp_path / "log.csv"}
    history = fu.train(model, blobs, 2, 32, ema=0.9, **paths).history
    assert len(history["val_accuracy"]) == 2 and paths["best"].exists()
    assert fu.predict(model, blobs.x_val).shape == (16, 3)
    assert 0 <= fu.accuracy(model, blobs.x_val, blobs.y_val) <= 1
    assert not fu.train(make(), blobs, 2, 32, ema=0.9, **paths).history  # all is done already


FORMS = {
    "(N, 1)": lambda labels: labels[:, None],
    "one-hot": lambda labels: np.eye(3)[labels],
    "floats": lambda labels: labels.astype("float32"),
    "a list": lambda labels: labels.tolist(),
    "bytes": lambda labels: labels.astype("uint8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_understood_in_every_form(form, blobs):
    model = network()
    predicted = fu.predict(model, blobs.x_train).argmax(-1)
    labels = np.where(np.arange(64) < 48, predicted, (predicted + 1) % 3)
    assert fu.accuracy(model, blobs.x_train, FORMS[form](labels)) == 0.75
    counts = training.confusion_matrix(FORMS[form](labels), FORMS[form](predicted), 3)
    assert np.trace(counts) == 48 and counts.sum() == 64
    data = blobs.exchange("train", blobs.x_train, FORMS[form](labels))
    assert np.array_equal(data.y_train, labels)


def test_labels_that_do_not_fit_are_refused(blobs):
    model = network()
    for labels in (blobs.y_val[:-1], blobs.y_val + 1.5, np.eye(4)[blobs.y_val], blobs.y_val + 1, blobs.y_val - 1):
        with pytest.raises(ValueError, match="labels"):
            fu.accuracy(model, blobs.x_val, labels)
    for predictions in (np.full(16, 3), np.zeros((16, 3)), np.zeros(15)):
        with pytest.raises(ValueError, match="predictions"):
            training.confusion_matrix(blobs.y_val, predictions, 3)


def test_the_nearest_neighbour_takes_labels_of_any_shape_and_images_of_one_size():
    images = np.stack([fu.render_sign(label, seed=1) for label in (14, 12, 17)])
    for labels in (np.array([14, 12, 17]), np.array([[14], [12], [17]]), [14, 12, 17]):
        assert training.nearest_neighbour(images, labels, images).tolist() == [14, 12, 17]
    for labels in (np.eye(3), np.array([14, 12])):
        with pytest.raises(ValueError, match="reshape"):
            training.nearest_neighbour(images, labels, images)
    larger = np.stack([fu.render_sign(label, 64, seed=1) for label in (14, 12, 17)])
    with pytest.raises(ValueError, match="reshape"):
        training.nearest_neighbour(larger, np.array([14, 12, 17]), images)


def test_several_outputs_are_predicted(blobs):
    maps = fu.predict(fu.feature_maps(network()), blobs.x_val, batch_size=5)
    assert [len(values) for values in keras.tree.flatten(maps)] == [16] * len(keras.tree.flatten(maps))
    model = network()
    named = keras.Model(model.input, {"logits": model.output, "features": model.get_layer("pool").output})
    answer = fu.predict(named, blobs.x_val, batch_size=5)
    assert np.allclose(answer["logits"], fu.predict(model, blobs.x_val), atol=1e-5)


@pytest.mark.parametrize(("images", "batch_size"), [(0, 256), (4, 0), (4, -1)])
def test_nothing_to_predict_is_said(images, batch_size):
    with pytest.raises(ValueError, match="a whole number of at least 1 is needed|got no images"):
        fu.predict(network(), pictures(images), batch_size)


def test_without_tensorflow_it_says_what_to_install(blobs, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    model = network()
    monkeypatch.setattr(batches, "import_module", missing)
    for call in (
        lambda: training.training_batches(blobs.x_train, blobs.y_train, 3, 32),
        lambda: training.validation_batches(blobs.x_val, blobs.y_val, 3),
        lambda: training.augment_signs(blobs.x_train, (0, 0)),
        lambda: fu.train(model, blobs, 1, 32),
    ):
        with pytest.raises(ModuleNotFoundError, match="pip install tensorflow-cpu.*compile_model"):
            call()


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import numpy as np
import focal_utils as fu
images = np.zeros((8, 16, 16, 3), "uint8")
data = fu.ImageSet("blank", "own split", ("a", "b"), images, [0, 1] * 4, images, [0, 1] * 4)
model = fu.FocalNet((16, 16, 3), 2, embed_dim=8, depths=(1,), preprocessing="imagenet")
print(fu.predict(model, images).shape, fu.accuracy(model, images, data.y_val))
try:
    fu.train(model, data, 1, 4)
except ModuleNotFoundError as error:
    print(error)
fu.training.compile_model(model, 4).fit(images.astype("float32"), np.eye(2)[data.y_train], verbose=0)
print("trained without it")
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_other_backends_need_tensorflow_for_batches_only(backend):
    if backend not in installed_backends():
        pytest.skip(f"{backend} is not installed (make test-backends installs it)")
    environment = {**dict(subprocess.os.environ), "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "(8, 2)" in done.stdout and "pip install tensorflow-cpu" in done.stdout
    assert done.stdout.endswith("trained without it\n")


def test_a_stand_in_for_an_image_set_is_refused(blobs):
    with pytest.raises(TypeError, match="takes an ImageSet, not SimpleNamespace"):
        fu.train(network(), types.SimpleNamespace(**vars(blobs)), 1, 32)
