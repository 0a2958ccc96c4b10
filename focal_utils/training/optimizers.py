"""How weights are moved: a learning rate that warms up and goes down, and AdamW, which is the paper's, or Muon."""

import keras

from focal_utils.errors import check_choice
from focal_utils.training.rates import check_rates, layerwise


def warmup_cosine(steps, learning_rate):
    """Learning rates over `steps` steps: up to `learning_rate` in the first tenth, then down to 0 along a cosine.

    Grown in notebook 06.
    """
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 20,
        decay_steps=max(1, steps - steps // 10),
        warmup_target=learning_rate,
        warmup_steps=max(1, steps // 10),
    )


def muon(learning_rate, weight_decay, **options):
    """Muon for the weight matrices of a network, AdamW at a third of the rate for the rest, its classifier included.

    Muon moves a matrix by its averaged gradient with all singular values made nearly 1: weak directions of the gradient
    count as much as strong ones. The matrices of a FocalNet, f, h, proj, fc1 and fc2 of its blocks, are most of its
    weights; depthwise kernels, patch embeddings, biases, norms and γ are no matrices. Jordan et al. 2024, *Muon: An
    optimizer for hidden layers in neural networks*; a step is as long as in Liu et al. 2025, *Muon is scalable for LLM
    training* (arXiv 2502.16982), so that rates and decays are about those of AdamW.

    Args:
        learning_rate: of the matrices, a number or a schedule. weight_decay: of all that decays.
        options: further arguments of `keras.optimizers.Muon`.
    """
    return keras.optimizers.Muon(
        learning_rate,
        weight_decay=weight_decay,
        adam_weight_decay=weight_decay,
        adam_lr_ratio=1 / 3,
        exclude_layers=["head"],
        **options,
    )


OPTIMIZERS = {"adamw": keras.optimizers.AdamW, "muon": muon}


def make_optimizer(model, steps, optimizer="adamw", learning_rate=2e-3, weight_decay=0.05, ema=None, accumulate=1):
    """The recipe's optimizer for `steps` steps of `model`: warm-up over the first tenth, then a cosine down to zero.

    Grown in notebook 06.

    Nothing that has one axis decays: biases, norms and γ. The gradients' common length is at most 5.

    Args:
        optimizer: "adamw" or "muon".
        ema: momentum, such as 0.998, of a moving average of the weights, which `train` then validates and keeps.
        accumulate: weights change once in so many steps, by the mean of their gradients, as with a batch that is so
            many times larger.

    Raises:
        ValueError: an unknown optimizer.
    """
    check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    optimizer = OPTIMIZERS[optimizer](
        warmup_cosine(steps, learning_rate),
        weight_decay=weight_decay,
        global_clipnorm=5.0,
        use_ema=ema is not None,
        ema_momentum=ema or 0.0,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) == 1])
    return optimizer


def with_layer_rates(optimizer, model, layer_rates):
    """The optimizer that `make_optimizer` gave for a model, new, with a rate for each layer; see `layerwise`.

    Args:
        optimizer: or one that scales the loss around it.
        layer_rates: name of a layer → factor.

    Raises:
        ValueError: rates that do not fit the model, or an optimizer that is in use.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(with_layer_rates(optimizer.inner_optimizer, model, layer_rates))
    rated = layerwise(optimizer, check_rates(layer_rates, model))
    rated.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) == 1])
    return rated
