"""What a network is stays what it is when it is saved, cloned, pickled: frozen parts, precision, names of classes."""

import pickle
import warnings

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils.layers import trainable_parts
from focal_utils.machine import jit_here

SMALL = {"input_shape": (16, 16, 3), "classes": 3, "embed_dim": 4, "depths": (1, 1)}


def small(**more):
    return fu.FocalNet(**SMALL | more)


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def cloned(model, folder):
    return keras.models.clone_model(model)


def pickled(model, folder):
    return pickle.loads(pickle.dumps(model))


each_way = pytest.mark.parametrize("way", [saved, cloned, pickled])


def in_functional(layer):
    """A functional model of one layer on a map of 8 channels."""
    inputs = keras.Input((4, 4, 8))
    return keras.Model(inputs, layer(inputs))


def set_trainable(part, value):
    part.trainable = value


def freeze_network(model):
    model.trainable = False


def freeze_all_but_the_head(model):
    for layer in model.layers[:-1]:
        layer.trainable = False


FROZEN = {
    "a stage": lambda: fu.freeze(small(), 1),
    "both stages": lambda: fu.freeze(small(), 2),
    "the network": lambda: changed(small(), freeze_network),
    "all but the head": lambda: changed(small(), freeze_all_but_the_head),
    "a block": lambda: changed(small(), lambda m: set_trainable(m.get_layer("stage1_block0"), False)),
    "a modulation": lambda: changed(small(), lambda m: set_trainable(m.get_layer("stage0_block0").modulation, False)),
    "a norm in the stem": lambda: changed(small(), lambda m: set_trainable(m.get_layer("stem").norm, False)),
    "a kernel of a level": lambda: changed(
        small(), lambda m: set_trainable(m.get_layer("stage0_block0").modulation.contextualize.convs[1], False)
    ),
    "all of a block but its MLP": lambda: changed(small(), free_the_mlp),
    "a block of its own": lambda: in_functional(fu.FocalBlock(8, trainable=False)),
    "a block's MLP": lambda: in_functional(changed(fu.FocalBlock(8), lambda b: set_trainable(b.mlp, False))),
    "an attention": lambda: in_functional(fu.WindowedAttention(8, num_heads=2, trainable=False)),
    "a projection": lambda: in_functional(changed(fu.FocalModulation(8), lambda f: set_trainable(f.h, False))),
    "a patch embedding": lambda: in_functional(fu.PatchEmbed(8, 2, trainable=False)),
}


def changed(layer, change):
    change(layer)
    return layer


def free_the_mlp(model):
    block = model.get_layer("stage0_block0")
    block.trainable = False
    block.mlp.trainable = True


def trained(model):
    """Which weights are trained: their places among all weights."""
    trainable = {id(weight) for weight in model.trainable_weights}
    return [place for place, weight in enumerate(model.weights) if id(weight) in trainable]


@each_way
@pytest.mark.parametrize("frozen", FROZEN.values(), ids=FROZEN)
def test_what_is_frozen_stays_frozen(frozen, way, tmp_path):
    model = frozen()
    assert len(trained(model)) < len(model.weights)
    assert trained(way(model, tmp_path)) == trained(model)


@pytest.mark.parametrize("way", [saved, pickled])
@pytest.mark.parametrize("frozen", ["a stage", "a modulation", "all but the head"])
def test_a_training_goes_on_with_its_optimizer(frozen, way, tmp_path):
    model = FROZEN[frozen]()
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit_here())
    model.optimizer.build(model.trainable_variables)
    for number, variable in enumerate(model.optimizer.variables):  # as if steps had been taken
        variable.assign(np.full(variable.shape, 1 + number))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping variable loading")
        other = way(model, tmp_path)
    mine, others = (network.optimizer.variables for network in (model, other))
    assert len(mine) == len(others) > 2
    for variable, loaded in zip(mine, others, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(loaded))


def test_a_whole_that_is_free_again_is_saved_free(tmp_path):
    model = fu.freeze(fu.freeze(small(), 2), 0)
    assert trainable_parts(model) == {} and "trainable_parts" not in model.get_config()
    assert len(trained(saved(model, tmp_path))) == len(model.weights)


def test_a_layer_that_is_not_built_yet_keeps_what_is_frozen():
    block = fu.FocalBlock(8)
    block.modulation.trainable = False
    twin = fu.FocalBlock.from_config(block.get_config())
    twin.build((None, 4, 4, 8))
    assert not twin.modulation.trainable_weights and twin.mlp.trainable_weights


POLICIES = ["mixed_bfloat16", "mixed_float16", "float64", "float32"]


def policies(model):
    """The dtype policy of the network, of its layers, and of what is in one of its blocks."""
    parts = [model, *model.layers, model.get_layer("stage0_block0").modulation.f]
    return [part.dtype_policy.name for part in parts if not isinstance(part, keras.layers.InputLayer)]


@pytest.mark.parametrize("way", [saved, pickled])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_policy_that_a_network_was_built_under_stays(policy, way, tmp_path, monkeypatch):
    model = under(policy, small, preprocessing="imagenet")
    assert model.get_config()["dtype"] == policy
    assert policies(way(model, tmp_path)) == policies(model)
    other = "float32" if policy != "float32" else "mixed_bfloat16"
    assert policies(under(other, way, model, tmp_path)) == policies(model)


def under(policy, make, *arguments, **more):
    """What `make` gives while `policy` is Keras' global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make(*arguments, **more)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_an_argument_and_the_global_policy_make_the_same_network(policy):
    assert policies(small(dtype=policy)) == policies(under(policy, small))
    assert policies(small(dtype=keras.DTypePolicy(policy))) == policies(small(dtype=policy))


@pytest.mark.parametrize("name", fu.load_trained())
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_a_shipped_network_is_what_it_was_under_any_policy(name, policy):
    network = under(policy, fu.load_trained, name)
    assert set(policies(network)) == {"float32"}


@pytest.mark.parametrize("way", [saved, pickled])
def test_names_of_classes_are_saved_with_the_network(way, tmp_path):
    model = small(class_names=["stop", "yield", "no entry"])
    assert model.class_names == ["stop", "yield", "no entry"]
    assert way(model, tmp_path).class_names == model.class_names
    model.class_names = ("a", "b", "c")
    assert way(model, tmp_path).class_names == ["a", "b", "c"]
    assert small().class_names is None and way(small(), tmp_path).class_names is None


def test_names_belong_to_a_classifier():
    model = small(class_names=list("abc"))
    with pytest.raises(ValueError, match="3 names for 4 classes: give one each, or class_names=None"):
        fu.FocalNet.from_config(model.get_config() | {"classes": 4})
    assert fu.FocalNet.from_config(model.get_config() | {"include_top": False}).class_names is None
    with pytest.raises(ValueError, match="class_names has 2 names for 3 classes"):
        model.class_names = ["a", "b"]
    with pytest.raises(ValueError, match="has no classifier"):
        small(include_top=False).class_names = list("abc")
    assert model.class_names == ["a", "b", "c"]


def test_a_file_of_the_former_version_loads(tmp_path):
    """Its configuration has no names and no policy, numbers per stage as lists, and blocks with few arguments."""
    model = small()
    former = {"dtype": None, "depths": [1, 1], "focal_levels": [2, 2], "input_shape": [16, 16, 3]}
    old = {**model.get_config(), **former}
    del old["class_names"]
    assert fu.FocalNet.from_config(old).count_params() == model.count_params()
    old = {
        "name": "b",
        "trainable": True,
        "dtype": "float32",
        "dim": 8,
        "mlp_ratio": 4.0,
        "dropout": 0.0,
        "drop_path": 0.0,
        "use_postln": False,
        "layer_scale": None,
        "mixer": "focal",
        "focal_level": 3,
    }
    assert fu.FocalBlock.from_config(old).modulation.config["focal_level"] == 3


@pytest.mark.parametrize(
    ("name", "label", "called", "classes"),
    [
        ("gtsrb", 14, "stop", 43),
        ("bloodcells", 3, "immature granulocyte", 8),
        ("breastmnist", 0, "malignant", 2),
    ],
)
def test_a_shipped_network_knows_its_classes(name, label, called, classes, tmp_path):
    network = fu.load_trained(name)
    assert network.class_names[label] == called and len(network.class_names) == classes
    assert network.class_names == list(fu.GTSRB_CLASSES) or name != "gtsrb"
    assert saved(network, tmp_path).class_names == network.class_names


@pytest.mark.parametrize(
    "make", [lambda **more: keras.layers.Dense(3, **more), lambda **more: keras.layers.Conv2D(3, 1, **more)]
)
def test_a_layer_keeps_this_gelu_as_its_activation(make, tmp_path):
    """Keras' own function of this name is exact, too, but cannot be said in ONNX."""
    images = keras.Input((4, 4, 2))
    model = keras.Model(images, make(activation=fu.gelu)(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].activation is fu.gelu
    assert keras.models.clone_model(loaded).layers[-1].activation is fu.gelu
    assert fu.load_trained("nuclei").get_layer("details").activation is fu.gelu
