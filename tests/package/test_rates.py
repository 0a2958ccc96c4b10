"""A learning rate for each layer: a step is the optimizer's own, times the factor, on every backend."""

import keras
import numpy as np
import pytest

import focal_utils as fu
from focal_utils import training
from focal_utils.training.rates import Layerwise, LayerwiseAdamW

OPTIMIZERS = {
    "sgd": lambda **more: keras.optimizers.SGD(0.1, momentum=0.9, **more),
    "adam": lambda **more: keras.optimizers.Adam(0.1, **more),
    "adamw": lambda **more: keras.optimizers.AdamW(0.1, weight_decay=0.2, **more),
    "muon": lambda **more: keras.optimizers.Muon(0.1, weight_decay=0.2, adam_weight_decay=0.2, **more),
    "lion": lambda **more: keras.optimizers.Lion(0.1, **more),
    "rmsprop": lambda **more: keras.optimizers.RMSprop(0.1, **more),
    "nadam": lambda **more: keras.optimizers.Nadam(0.1, **more),
}


def network():
    keras.utils.set_random_seed(0)
    return fu.FocalNet((16, 16, 3), 4, embed_dim=8, depths=(1, 2), patch_size=2, preprocessing="imagenet")


def two_layers():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, name="old"), keras.layers.Dense(3, name="new")], name="two"
    )


def moved(optimizer):
    """By how much one step moves each weight: a dict."""
    model = two_layers()
    before = {weight.path: np.array(weight) for weight in model.weights}
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    model.train_on_batch(rng.normal(size=(8, 4)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 8)])
    return {weight.path: np.array(weight) - before[weight.path] for weight in model.weights}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_the_optimizers_own_times_the_factor(name):
    plain = moved(OPTIMIZERS[name]())
    scaled = moved(fu.layerwise(OPTIMIZERS[name](), {"old": 0.25}))
    for path, step in plain.items():
        factor = 0.25 if "old" in path else 1.0
        assert np.abs(step).max() > 0
        np.testing.assert_allclose(scaled[path], factor * step, rtol=2e-4, atol=2e-6, err_msg=path)


def test_a_layer_of_rate_0_does_not_move_nor_decay():
    steps = moved(fu.layerwise(OPTIMIZERS["adamw"](), {"old": 0.0}))
    assert all((np.abs(step).max() == 0) == ("old" in path) for path, step in steps.items())


def test_rates_go_down_from_stage_to_stage_and_from_block_to_block():
    model = network()
    by_stage = fu.layer_rates(model, 0.5)
    assert by_stage == {
        "stem": 0.25, "stage0_block0": 0.25, "stage1_downsample": 0.5, "stage1_block0": 0.5, "stage1_block1": 0.5,
    }  # fmt: skip
    by_block = fu.layer_rates(model, 0.5, by="block")
    assert list(by_block.values()) == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5]


def test_train_moves_early_layers_less():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (32, 16, 16, 3), dtype="uint8")
    data = fu.ImageSet("noise", "own split", ("a", "b", "c", "d"), images, rng.integers(0, 4, 32))

    def way(rates):
        model = network()
        before = [np.array(weight) for weight in model.get_layer("stem").weights]
        fu.train(model, data, 2, 16, layer_rates=rates, jit=False)
        after = model.get_layer("stem").weights
        return sum(np.abs(np.array(one) - other).sum() for one, other in zip(after, before, strict=True))

    assert way({"stem": 0.01}) < 0.05 * way(None)


def compiled(**recipe):
    model = training.compile_model(network(), 10, jit=False, **recipe)
    return training.compile_with_rates(model, {"stem": 0.5})


def test_decay_is_left_out_and_options_stay():
    model = compiled(ema=0.9, accumulate=2)
    optimizer = model.optimizer
    assert isinstance(optimizer, LayerwiseAdamW) and optimizer.use_ema and optimizer.gradient_accumulation_steps == 2
    assert optimizer.weight_decay == 0.05 and optimizer.global_clipnorm == 5.0
    norm = next(weight for weight in model.trainable_variables if len(weight.shape) == 1)
    optimizer.build(model.trainable_variables)
    assert not optimizer._use_weight_decay(norm)


def test_a_scaled_loss_stays_scaled():
    model = network()
    scaled = keras.optimizers.LossScaleOptimizer(training.make_optimizer(model, 10))
    rated = training.with_layer_rates(scaled, model, {"stem": 0.5})
    assert isinstance(rated, keras.optimizers.LossScaleOptimizer)
    assert isinstance(rated.inner_optimizer, LayerwiseAdamW)


def test_it_is_saved_and_loaded(tmp_path):
    model = compiled()
    training.make_variables(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, Layerwise) and again.optimizer.layer_rates == {"stem": 0.5}


def test_what_cannot_be_done_is_said():
    with pytest.raises(TypeError, match="give layerwise the optimizer inside it"):
        fu.layerwise(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), {})
    with pytest.raises(TypeError, match="takes an optimizer of Keras', not str"):
        fu.layerwise("adam", {})
    used = keras.optimizers.Adam()
    used.build(two_layers().trainable_variables)
    with pytest.raises(ValueError, match="is in use"):
        fu.layerwise(used, {})
    with pytest.raises(ValueError, match="layer_rates.'old'.*=-1"):
        fu.layerwise(keras.optimizers.Adam(), {"old": -1})
    with pytest.raises(ValueError, match="names 'stern', but no layer of focalnet"):
        training.with_layer_rates(keras.optimizers.AdamW(), network(), {"stern": 0.1})
    with pytest.raises(ValueError, match="layer_rates=0.5: a dict is needed"):
        training.with_layer_rates(keras.optimizers.AdamW(), network(), 0.5)
    with pytest.raises(ValueError, match="decay=1.5"):
        fu.layer_rates(network(), 1.5)
    with pytest.raises(ValueError, match="by='layer' is not known"):
        fu.layer_rates(network(), by="layer")
