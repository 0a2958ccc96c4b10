"""The film of the gates shows what the network had at each epoch, on one scale, and changes no training."""

import keras
import numpy as np
import pytest
from PIL import Image

import focal_utils as fu
from focal_utils.tracing import run_traced


@pytest.fixture(scope="module")
def data():
    return fu.render_signs(80, classes=(14, 12), seed=0)


def network(data, **options):
    keras.utils.set_random_seed(1)
    small = {"embed_dim": 8, "depths": (1, 1), "patch_size": 4, "preprocessing": "per_image"}
    return fu.FocalNet(data.image_shape, data.num_classes, **small | options)


def train(model, data, epochs, *callbacks):
    fu.train(model, data, epochs, batch_size=32, callbacks=callbacks, learning_rate=1e-2)


def test_each_shot_is_a_trace_of_the_network_at_that_moment(data, tmp_path):
    model = network(data)
    images = data.x_val[:2]
    before = run_traced(model, images)[1][1].gates
    film = fu.GateFilm(images, tmp_path / "gates.gif")
    train(model, data, 3, film)
    assert film.block == "stage1_block0" and [shot.epoch for shot in film.shots] == [0, 1, 2, 3]
    np.testing.assert_allclose(film.shots[0].gates, before, atol=1e-6)
    np.testing.assert_allclose(film.shots[-1].gates, run_traced(model, images)[1][1].gates, atol=1e-6)
    assert np.abs(film.shots[-1].gates - before).max() > 1e-3
    assert film.shots[0].logs == {} and 0 <= film.shots[3].logs["val_accuracy"] <= 1
    with Image.open(tmp_path / "gates.gif") as picture:
        assert picture.n_frames == 4 and picture.info["loop"] == 0
        picture.seek(3)
        assert picture.info["duration"] == 2800


def test_all_pictures_have_one_scale_and_say_when(data):
    film = fu.GateFilm(data.x_val[:2], every=2)
    train(network(data), data, 3, film)
    assert [shot.epoch for shot in film.shots] == [0, 2, 3]  # the last is always there
    figures = list(film.frames())
    limit = max(np.abs(shot.gates).max() for shot in film.shots)
    for figure in figures:
        drawn = [image for ax in figure.axes for image in ax.images if image.get_cmap().name == "RdBu_r"]
        assert len(drawn) == 2 * 3 and {image.get_clim() for image in drawn} == {(-limit, limit)}
    assert figures[0].get_suptitle() == "before training"
    assert figures[2].get_suptitle().startswith("epoch 3, validation accuracy 0.")


def test_filming_changes_no_training(data):
    plain = network(data)
    train(plain, data, 2)
    filmed = network(data)
    train(filmed, data, 2, fu.GateFilm(data.x_val[:1]))
    for one, other in zip(plain.get_weights(), filmed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_a_callback_of_keras_own_fit(data, tmp_path):
    model = network(data)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    film = fu.GateFilm(data.x_val[:1], tmp_path / "gates.GIF", block="stage0_block0")
    model.fit(data.x_train, data.y_train, epochs=1, callbacks=[film], verbose=0)
    assert film.shots[1].gates.shape == (1, 8, 8, 3) and (tmp_path / "gates.GIF").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "gates.png"}, r"path='gates.png': a film is a GIF"),
        ({"every": 0}, "every=0: a whole number of at least 1"),
        ({"milliseconds": 1.5}, "milliseconds=1.5"),
    ],
)
def test_errors_say_what_to_do(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        fu.GateFilm(data.x_val[:1], **arguments)


def test_what_cannot_be_filmed_is_said_before_training(data, tmp_path):
    with pytest.raises(ValueError, match="takes a batch"):
        fu.GateFilm(data.x_val[0])
    with pytest.raises(ValueError, match="block='stage9_block0' is not known: choose one of 'stage0_block0'"):
        train(network(data), data, 1, fu.GateFilm(data.x_val[:1], block="stage9_block0"))
    with pytest.raises(ValueError, match="nothing to trace"):
        train(network(data, mixer="convnext"), data, 1, fu.GateFilm(data.x_val[:1]))
    with pytest.raises(ValueError, match="Nothing has been filmed yet"):
        fu.GateFilm(data.x_val[:1]).write(tmp_path / "gates.gif")
