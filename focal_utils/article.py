"""The article's five functions, under their own names and with their own design, mended for Keras 3; stacks of them.

The series starts from the article *Focal Modulation vs Self-Attention in Keras*. Under Keras 3 its code stops at
`tf.stack`, which refuses Keras' symbolic tensors: here `keras.ops` stands where the article calls `tf`, and nothing
else of the design is changed. So the functions take symbolic and real tensors, on TensorFlow, JAX and PyTorch.
Where the design departs from the paper (Yang et al. 2022) it is kept, and named in the docstring; `layers` has the
paper's. Each call of a function makes new layers with new random weights, so build a `keras.Model` to train them.
"""

import keras
from keras import layers, ops

from focal_utils.layers import PatchEmbed

# What the article claims, in the order of its text and in our words. Notebook 08 has a verdict on each.
CLAIMS = (
    "The cost of self-attention grows with the square of the pixels, so large images are hard for it.",
    "In Keras, focal modulation can be dropped in for self-attention.",
    "It gathers local and global context, and for much less.",
    "To gather first is much lighter than to let pixels interact first, as transformers do.",
    "Depthwise convolutions are cheap and add few parameters.",
    "The gates learn to weigh the scales: fine detail for some pixels, global context for others, the best for each.",
    "The product acts as a filter that brings out what is relevant, all over the image.",
    "The norm and the skip of its block make training stable.",
    "It fits the input shapes usual in medical imaging and satellite analysis.",
    "It suits tasks such as signs and medical anomalies, and is a robust alternative to a ViT for classification.",
    "It converges faster than a standard transformer, because convolutions help it early.",
    "Beside standard attention the saved memory shows at once: without N², much larger images fit a standard GPU.",
    "It costs no accuracy, and is particularly useful where context at high resolution counts.",
)


def hierarchical_contextualization(x, filters, levels=3):
    """One context for each kernel 3, 5, 7, …: x (B, H, W, C) → a list of `levels` maps (B, H, W, C).

    Against the paper: every kernel reads x, none reads the level before, so three levels see 7 pixels and not 13; there
    is no global context; the convolutions have biases. `filters` is not used.
    """
    contexts = []
    for i in range(levels):
        kernel_size = 3 + i * 2
        contexts.append(layers.DepthwiseConv2D(kernel_size, padding="same", activation="gelu")(x))  # (B, H, W, C)
    return contexts


def gated_aggregation(contexts, filters):
    """A weighted mean of the contexts: a list of L maps (B, H, W, C) → (B, H, W, C).

    Against the paper: the gates are a softmax, so they are positive and share a sum of 1; they are computed from the
    first context and not from x. `filters` is not used.
    """
    stacked = ops.stack(contexts, axis=-1)  # (B, H, W, C, L)
    gate_logits = layers.Conv2D(len(contexts), kernel_size=1)(contexts[0])  # (B, H, W, L)
    gates = ops.softmax(gate_logits, axis=-1)
    return ops.sum(stacked * ops.expand_dims(gates, axis=3), axis=-1)


def focal_modulation_layer(x, filters):
    """Query times modulator: x (B, H, W, C) → (B, H, W, filters).

    Against the paper: the contexts are made from x itself, without a projection of their own, and the product is not
    projected again.
    """
    query = layers.Dense(filters)(x)  # (B, H, W, filters)
    contexts = hierarchical_contextualization(x, filters)
    modulator = gated_aggregation(contexts, filters)  # (B, H, W, C)
    modulator = layers.Dense(filters)(modulator)  # (B, H, W, filters)
    return query * modulator


def FocalModulationBlock(input_shape, filters):  # noqa: N802, the article's name
    """A `keras.Model` x + modulation(LayerNorm(x)), (B, *input_shape) → (B, H, W, filters).

    Against the paper: no MLP after it, and LayerNorm with Keras' ε of 1e-3.

    Raises:
        ValueError: `filters` and the input's channels are two numbers that a sum cannot add.

    Example:
        >>> FocalModulationBlock((224, 224, 64), 64).summary()
    """
    channels = input_shape[-1]
    if filters != channels and 1 not in (filters, channels):
        raise ValueError(
            f"filters={filters}, but input_shape={input_shape} has {channels} channels: the residual sum needs "
            "as many of one as of the other."
        )
    inputs = layers.Input(shape=input_shape)
    x = layers.LayerNormalization()(inputs)
    modulated = focal_modulation_layer(x, filters)
    outputs = layers.Add()([inputs, modulated])
    return keras.Model(inputs, outputs, name="focal_mod_block")


def build_focal_net(num_classes=10):
    """The article's network, compiled to be trained: images (B, 224, 224, 3) → class probabilities (B, num_classes).

    A 7×7 convolution of stride 2, then three times a modulation and a LayerNorm, mean, `Dense`. It is compiled with
    Adam, sparse cross-entropy and accuracy, so labels are whole numbers, (B,). The article does not train it.

    Against the paper: the norm stands behind each modulation, not before it, and the first modulation reads the stem's
    output as it is; there is no residual sum and no MLP; behind the stem nothing is downsampled, so all three
    modulations work on 112×112 pixels. It does not call `FocalModulationBlock`.

    The article does not say in which range its images are. From 0 to 255, the untrained norms give features of about
    size 1; from 0 to 1 they shrink from norm to norm, because Keras' ε, 1e-3, is more than the variance found.
    """
    inputs = layers.Input(shape=(224, 224, 3))
    x = layers.Conv2D(64, kernel_size=7, strides=2, padding="same")(inputs)  # (B, 112, 112, 64)
    for _ in range(3):
        x = focal_modulation_layer(x, 64)
        x = layers.LayerNormalization()(x)
    x = layers.GlobalAveragePooling2D()(x)  # (B, 64)
    outputs = layers.Dense(num_classes, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def stack(way, depth, num_classes=43):
    """A model of `depth` of the article's layers, for small images: (B, 32, 32, 3), 0…255 → logits (B, num_classes).

    Grown in notebook 08. The stem is the paper's, patches of 4 pixels, so that it is the layers' way that counts.

    Args:
        way: "block", a norm before each layer and a sum around it, as in the article's block; "network", a norm behind
            each and no sum, as in its network; "bare", neither.
    """
    images = keras.Input((32, 32, 3))
    x = PatchEmbed(32, 4)(layers.Rescaling(1 / 127.5, -1)(images))  # (B, 8, 8, 32)
    for _ in range(depth):
        if way == "block":
            x = x + focal_modulation_layer(layers.LayerNormalization()(x), 32)
        else:
            x = focal_modulation_layer(x, 32)
            x = layers.LayerNormalization()(x) if way == "network" else x
    return keras.Model(images, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(x)))


def loss_of_stack(way, depth, signs, seed=0):
    """The training loss of a `stack` after eight epochs of Adam on `signs`, an `ImageSet`: a number.

    Grown in notebook 08.
    """
    keras.utils.set_random_seed(seed)
    model = stack(way, depth)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, jit_compile=False)
    return model.fit(signs.x_train, signs.y_train, 64, epochs=8, verbose=0).history["loss"][-1]
