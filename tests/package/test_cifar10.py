"""CIFAR-10 through Keras' own loader, which is replaced here: nothing is fetched."""

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.data import load_cifar10, loaders


def fake(count_train=50_000, count_test=10_000, side=32):
    """What Keras' loader gives, with other pictures: classes come in turn, a picture is as bright as its class."""

    def part(count):
        labels = (np.arange(count) % 10).astype("uint8")
        images = np.broadcast_to((20 * labels)[:, None, None, None], (count, side, side, 3))
        return images, labels[:, None]

    return lambda: (part(count_train), part(count_test))


def raising(error):
    def load():
        raise error

    return load


@pytest.fixture
def keras_gives(monkeypatch, tmp_path):
    """A function that puts another loader in the place of Keras', and leaves its cache empty."""
    monkeypatch.setattr(loaders, "CIFAR10_FOLDER", tmp_path / "cifar-10-batches-py-target")
    monkeypatch.delenv("FOCAL_OFFLINE", raising=False)
    return lambda load: monkeypatch.setattr(keras.datasets.cifar10, "load_data", load)


def test_it_is_split_class_by_class(keras_gives):
    keras_gives(fake())
    data = fu.load_cifar10()
    assert repr(data) == (
        "<ImageSet CIFAR-10 (official): 45,000 / 5,000 / 10,000 train / val / test, 32×32×3 uint8, 10 classes>"
    )
    assert np.bincount(data.y_train).tolist() == [4500] * 10 and np.bincount(data.y_val).tolist() == [500] * 10
    for images, labels in ((data.x_train, data.y_train), (data.x_val, data.y_val), (data.x_test, data.y_test)):
        np.testing.assert_array_equal(images[:, 0, 0, 0], 20 * labels)  # images stay with their labels
    assert data.class_names[3] == "cat"


def test_the_split_follows_the_seed_and_the_share(keras_gives):
    keras_gives(fake())
    data = fu.load_cifar10(validation=0.2, seed=3)
    assert len(data.x_train) == 40_000
    mask = loaders.validation_mask(fake()()[0][1].ravel(), np.arange(50_000), 0.2, 3)
    np.testing.assert_array_equal(data.y_val, fake()()[0][1].ravel()[mask])
    with pytest.raises(ValueError, match="validation is 2"):
        fu.load_cifar10(validation=2)


@pytest.mark.parametrize(
    "error",
    [Exception("URL fetch failure on https://x: None -- timed out"), ConnectionResetError("reset"), TimeoutError()],
)
def test_without_a_network_it_says_what_to_do(keras_gives, error):
    keras_gives(raising(error))
    with pytest.raises(fu.DataNotFound) as caught:
        load_cifar10()
    said = str(caught.value)
    assert "Three ways out" in said and loaders.CIFAR10_ADDRESS in said
    assert str(loaders.CIFAR10_FOLDER) + "_archive" in said  # where Keras looks for it


def test_offline_it_does_not_ask_keras_to_fetch(keras_gives, monkeypatch):
    keras_gives(raising(AssertionError("Keras was asked")))
    monkeypatch.setenv("FOCAL_OFFLINE", "1")
    with pytest.raises(fu.DataNotFound, match="FOCAL_OFFLINE is set"):
        load_cifar10()
    keras_gives(fake())
    loaders.CIFAR10_FOLDER.with_name(loaders.CIFAR10_FOLDER.name + "_archive").write_bytes(b"")
    assert len(load_cifar10().x_test) == 10_000  # what is in the cache may be read


@pytest.mark.parametrize(
    "load",
    [
        raising(ValueError("Incomplete or corrupted file detected. The sha256 file hash does not match")),
        raising(EOFError("Ran out of input")),
        raising(KeyError("data")),
        fake(count_train=49_999),
        fake(side=28),
    ],
)
def test_what_is_not_cifar10_is_refused(keras_gives, load):
    keras_gives(load)
    with pytest.raises(fu.DamagedData, match="cifar-10-batches-py-target.*[Dd]elete it"):
        load_cifar10()


def test_where_keras_looks():
    assert loaders.CIFAR10_FOLDER.parts[-2:] == ("datasets", "cifar-10-batches-py-target")
    assert load_cifar10 is fu.load_cifar10
