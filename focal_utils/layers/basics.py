"""What every layer is made of: exact GELU, Dense on every pixel, LayerNorm, and how a layer is saved."""

import math

import keras
from keras import ops

EPSILON = 1e-5  # LayerNorm, everywhere in the paper's code; Keras' default is 1e-3

SQRT_HALF = math.sqrt(0.5)

# What arguments may be at most: generous, and yet a slip of the finger does not fill the memory.
MAX_DIM = 2**14  # channels; the largest published network has 2816

MAX_SIDE = 2**14  # pixels of a picture's side

MAX_KERNEL = 1023  # pixels

MAX_LEVELS = 64

MAX_RATIO = 64  # width of an MLP over its channels

MAX_SCALE = 1e6  # what LayerScale starts with

serializable = keras.saving.register_keras_serializable(package="focal_utils")


def parts_of(layer, prefix=""):
    """Pairs (path, part) of all layers inside a layer or model, each before what is inside it: "mlp/fc1"."""
    for part in layer._flatten_layers(include_self=False, recursive=False):
        path = prefix + part.name
        yield path, part
        yield from parts_of(part, f"{path}/")


def trainable_parts(layer):
    """Which parts of a layer or model do other than what they are in, path → bool: {"mlp": False} where that is frozen.

    Keras saves of a layer only whether it is trainable as a whole.
    """
    around = {"": layer.trainable}
    found = {}
    for path, part in parts_of(layer):
        around[path] = part.trainable
        if part.trainable != around[path.rpartition("/")[0]]:
            found[path] = part.trainable
    return found


def set_trainable_parts(layer, trainable):
    """Freeze, or free, the parts of a layer or model that `trainable_parts` told of."""
    for path, part in parts_of(layer):
        if path in trainable:
            part.trainable = trainable[path]


def quantized_parts(layer):
    """Which parts of a layer or model `quantize` has changed, path → mode: {"mlp/fc1": "int8"}."""
    return {path: part.quantization_mode for path, part in parts_of(layer) if part.quantization_mode}


def set_quantized_parts(layer, quantized):
    """Make the parts of a new layer or model what `quantized_parts` told of; their weights are loaded afterwards."""
    for path, part in parts_of(layer):
        if path in quantized and part.built:
            part.quantize(quantized[path])
        elif path in quantized:
            part.dtype_policy = f"{quantized[path]}_from_{part.dtype_policy.name}"


def changed_parts(layer):
    """What a configuration says of parts that are not as they were made: arguments for `from_config`, most often none.

    `with_changed_parts` is the way back.
    """
    found = {"trainable_parts": trainable_parts(layer), "quantized_parts": quantized_parts(layer)}
    return {name: parts for name, parts in found.items() if parts}


def with_changed_parts(make, config):
    """What `make` makes of a configuration, with its parts changed as `changed_parts` told of them.

    Args:
        make: a function from the arguments, a dict, to a new layer or model.
        config: of `get_config`; it stays as it is.
    """
    arguments = dict(config)
    trainable = arguments.pop("trainable_parts", {})
    quantized = arguments.pop("quantized_parts", {})
    layer = make(arguments)
    set_quantized_parts(layer, quantized)
    set_trainable_parts(layer, trainable)
    return layer


class Configured:
    """What a layer needs to be saved, cloned and pickled: a mixin that stands before `keras.layers.Layer`.

    The layer puts its arguments into `self.config`, as plain Python values, and hands `self.inherited` on to its parts.
    Parts that were frozen by themselves stay frozen, and quantized ones quantized.
    """

    @property
    def inherited(self):
        """What a part takes over from the layer around it: the dtype policy, and whether it is trained."""
        return {"dtype": self.dtype_policy, "trainable": self.trainable}

    def get_config(self):
        return {**super().get_config(), **self.config, **changed_parts(self)}

    @classmethod
    def from_config(cls, config):
        return with_changed_parts(super().from_config, config)


@serializable
def gelu(x):
    """Exact GELU, x·Φ(x), built on `erf`; any shape in, the same shape out (Hendrycks & Gimpel 2016, eq. 1).

    `keras.ops.gelu` defaults to the tanh approximation, which is off by up to 4.7e-4. Grown in notebook 01. A layer
    that has it as its activation keeps it when it is saved: were it not registered, Keras would take its own function
    of this name for it, which says the same, but not in ONNX.
    """
    return 0.5 * x * (1.0 + ops.erf(x * SQRT_HALF))


@serializable
class PixelDense(keras.layers.Dense):
    """A Dense layer on every pixel, (B, H, W, C) → (B, H, W, units), computed as one matrix product (B·H·W, C).

    Keras' own Dense gives the same numbers, but adds the bias and applies the activation after it has gone back to 4-D.
    On the 2-D view TensorFlow hands oneDNN product, bias and activation as one operation, so that bias and GELU no
    longer pass through memory: 96 → 384 channels with GELU on 8×56×56 pixels take 12.7 ms instead of 20.0 on 2 CPU
    cores, the product alone 9.3. In training, where the gradient needs the values between, it makes no difference.
    """

    def call(self, inputs, training=None):
        shape = ops.shape(inputs)
        outputs = super().call(ops.reshape(inputs, (-1, shape[-1])))
        return ops.reshape(outputs, (*shape[:-1], self.units))

    def quantize(self, mode=None, type_check=True, config=None):
        """As Dense does it. Keras keeps subclasses out, for they may compute otherwise; this one does not."""
        super().quantize(mode, type_check=False, config=config)


def dense(units, layer=PixelDense, **kwargs):
    """A Dense layer on every pixel, initialised as in the paper's code: truncated normal, σ = 0.02, bias zero."""
    return layer(units, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02), **kwargs)


def layer_norm(**kwargs):
    """LayerNorm over the channels with ε = 1e-5."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, **kwargs)
