"""A network learns from its teachers' answers, averaged over views, and from nothing else."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import focal_utils as fu
from focal_utils.distilling import Distilled, averaged


def network(seed):
    keras.utils.set_random_seed(seed)
    return fu.FocalNet(
        (16, 16, 3), 3, embed_dim=8, depths=(1,), focal_levels=1, patch_size=4, preprocessing="per_image"
    )


def mirrored(images):
    return [images, ops.flip(images, axis=2)]


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 3)).astype("float32")


def probabilities(model, images):
    return ops.convert_to_numpy(ops.softmax(model(images, training=False)))


def test_a_teacher_is_the_mean_over_networks_and_views(images):
    one, other = network(0), network(1)
    means = [probabilities(model, view) for model in (one, other) for view in (images, images[:, :, ::-1])]
    found = ops.convert_to_numpy(averaged([one, other], mirrored)(images))
    np.testing.assert_allclose(found, np.mean(means, axis=0), atol=1e-6)


def test_labels_are_the_teacher_s_in_training_alone(images):
    student, teacher = network(0), network(1)
    learner = Distilled(student, averaged([teacher], mirrored))
    learner.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    labels, logits = np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]], learner(images)
    soft = np.mean([probabilities(teacher, view) for view in (images, images[:, :, ::-1])], axis=0)

    def loss(training):
        return float(ops.convert_to_numpy(learner.compute_loss(images, labels, logits, training=training)))

    def entropy(targets):
        return -np.mean(np.sum(targets * np.log(probabilities(student, images)), axis=-1))

    assert loss(True) == pytest.approx(entropy(soft), rel=1e-4)
    assert loss(False) == pytest.approx(entropy(labels), rel=1e-4) and abs(entropy(soft) - entropy(labels)) > 1e-3


def test_a_student_comes_to_say_what_its_teacher_says_whatever_the_labels(tmp_path):
    data = fu.render_signs(400, classes=(14, 12, 38), seed=0)
    images = data.x_train[:, ::2, ::2]
    wrong = np.zeros(len(images), int)  # what the labels say is never learned
    data = dataclasses.replace(data, x_train=images, y_train=wrong, x_val=images[:64], y_val=wrong[:64])
    student, teacher = network(0), network(1)
    teacher.get_layer("head").kernel.assign(20 * teacher.get_layer("head").kernel)  # untrained, but of firm opinions
    answer, before = averaged([teacher], mirrored), teacher.get_weights()
    learner = Distilled(student, answer)
    assert [v.path for v in learner.trainable_variables] == [v.path for v in student.trainable_variables]

    def agreement():
        said = ops.convert_to_numpy(answer(images.astype("float32"))).argmax(-1)
        return np.mean(fu.predict(student, images).argmax(-1) == said)

    agreed = agreement()
    fu.train(learner, data, 20, 32, augment=None, learning_rate=5e-3, label_smoothing=0.0, backup=tmp_path)
    assert agreement() > max(0.9, agreed + 0.1)
    assert all(np.array_equal(one, other) for one, other in zip(before, teacher.get_weights(), strict=True))
