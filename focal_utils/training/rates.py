"""Learning rates that differ from layer to layer: small ones for what was learned before, full ones for what is new."""

from functools import cache

import keras

from focal_utils.errors import check_choice, check_number
from focal_utils.layers import serializable
from focal_utils.models import stages

KERAS = "keras.src.optimizers"  # where Keras' own optimizers are defined, whatever the backend


def layer_rates(model, decay=0.6, by="stage"):
    """How fast each layer of a `FocalNet` is to learn, over the classifier: smaller the nearer it is to the picture.

    What is behind the last stage gets 1, the last stage `decay`, the one before it decay², and so on (Howard & Ruder
    2018, *Universal language model fine-tuning*, section 3.2; Clark et al. 2020, *ELECTRA*, by layers).

    Args:
        model: a `FocalNet`, or a model of one's own with its layers.
        decay: from one step to the next, above 0 and at most 1.
        by: "stage", all blocks of a stage and the patch embedding before them learn equally fast; or "block", each
            block is a step of its own.

    Returns:
        A dict, name of a layer → factor on the learning rate: for `train(…, layer_rates=…)` or `layerwise`. Layers that
        are not in it learn at the full rate.

    Raises:
        ValueError: a decay out of range, an unknown `by`, or a model without patch embedding.

    Example:
        >>> fu.layer_rates(fu.FocalNet((32, 32, 3), 5, embed_dim=8, depths=(1, 1)), decay=0.5)
        {'stem': 0.25, 'stage0_block0': 0.25, 'stage1_downsample': 0.5, 'stage1_block0': 0.5}
    """
    decay = check_number("decay", decay, above=0, at_most=1)
    check_choice("by", by, ("stage", "block"))
    found = stages(model)
    steps = found if by == "stage" else [[layer] for layers in found for layer in layers]
    return {layer.name: decay ** (len(steps) - number) for number, layers in enumerate(steps) for layer in layers}


def check_rates(rates, model=None):
    """Rates as a dict of plain floats; of names that the model has, where it is given.

    Raises:
        ValueError: no dict, a factor that is negative, or a name that no weight of the model begins with.
    """
    if not isinstance(rates, dict):
        raise ValueError(f"layer_rates={rates!r}: a dict is needed, name of a layer → factor; see fu.layer_rates.")
    checked = {str(name): check_number(f"layer_rates[{name!r}]", rate, at_least=0) for name, rate in rates.items()}
    if model is not None:
        names = {part for weight in model.weights for part in weight.path.split("/")}
        unknown = [name for name in checked if name not in names]
        if unknown:
            raise ValueError(
                f"layer_rates names {unknown[0]!r}, but no layer of {model.name} with weights is called so."
            )
    return checked


def rate_of(path, rates):
    """The factor of a weight: that of the first layer in its path that has one, or 1."""
    return next((rates[part] for part in path.split("/") if part in rates), 1.0)


class Layerwise:
    """What makes an optimizer of Keras' move each weight at a rate of its own: a mixin that stands before it.

    A step and the decay of a weight are those of the optimizer with its learning rate times the weight's factor. It
    hooks into `update_step`, which Keras calls for each weight on TensorFlow and JAX; on PyTorch, Keras puts versions
    that move all weights at once in the place of its own classes, not of classes made from them, so it does there too.
    """

    def __init__(self, *args, layer_rates=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer_rates = check_rates(layer_rates or {})
        self.factors = ()

    def build(self, variables):
        super().build(variables)
        self.factors = tuple(rate_of(variable.path, self.layer_rates) for variable in variables)

    def factor(self, variable):
        return self.factors[self._get_variable_index(variable)]

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.factor(variable))

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = keras.ops.cast(self.learning_rate, variable.dtype) * self.factor(variable)
                variable.assign(variable - variable * rate * self.weight_decay)

    def get_config(self):
        return {**super().get_config(), "layer_rates": dict(self.layer_rates)}


@cache
def layerwise_class(kind):
    """The class of optimizers like `kind`, a class of Keras', that have a rate for each layer."""
    return type(f"Layerwise{kind.__name__}", (Layerwise, kind), {"__doc__": Layerwise.__doc__})


# Those that the recipe uses are registered, so that files with them can be read.
LayerwiseAdamW = serializable(layerwise_class(keras.optimizers.AdamW))
LayerwiseMuon = serializable(layerwise_class(keras.optimizers.Muon))


def layerwise(optimizer, rates):
    """An optimizer like the given one whose learning rate differs from layer to layer.

    Works with Keras' optimizers on TensorFlow, JAX and PyTorch, with a schedule, decay, clipping, averages of weights
    and accumulation. The given one must be new, as what it has gathered is not taken over.

    Args:
        optimizer: of Keras', not built yet.
        rates: name of a layer → factor on the learning rate; see `layer_rates`.

    Raises:
        TypeError: no optimizer of Keras', or one around another, as scales a loss: put that around the result.
        ValueError: rates out of range, or an optimizer that is in use.

    Example:
        >>> optimizer = fu.layerwise(keras.optimizers.Adam(1e-3), fu.layer_rates(model))
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise TypeError(
            "A LossScaleOptimizer moves no weights itself: give layerwise the optimizer inside it, and put the "
            "LossScaleOptimizer around the result."
        )
    own = [kind for kind in type(optimizer).__mro__ if kind.__module__.startswith(KERAS)]
    named = [kind for kind in own if kind not in (keras.Optimizer, *keras.Optimizer.__mro__)]
    if not isinstance(optimizer, keras.Optimizer) or not named:
        raise TypeError(f"layerwise takes an optimizer of Keras', not {type(optimizer).__name__}.")
    if optimizer.built:
        raise ValueError(f"{optimizer.name} is in use: give layerwise a new optimizer.")
    rates = check_rates(rates)
    kind = layerwise_class(named[0])
    return kind.from_config({**optimizer.get_config(), "layer_rates": rates})
