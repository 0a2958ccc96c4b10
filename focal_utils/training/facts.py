"""What a run is: the facts that must be the same when it goes on from a backup."""

import functools
import json
import re
import zlib

import keras
import numpy as np


def facts(model, data, augment):
    """What a run must not change, besides its numbers, when it goes on: network, images and augmentation."""
    images = zlib.crc32(np.ascontiguousarray(data.x_train))
    return {
        "network": blueprint(model),
        "images": len(data.x_train),
        "data": zlib.crc32(np.ascontiguousarray(data.y_train), images),
        "augment": named(augment),
    }


def named(function):
    """The name of a function, with the arguments that `functools.partial` has fixed; None for None."""
    if isinstance(function, functools.partial):
        return [named(function.func), repr(function.args), repr(sorted(function.keywords.items()))]
    return getattr(function, "__qualname__", None if function is None else type(function).__name__)


def blueprint(model):
    """What a network is apart from its weights: its class and its configuration, a dict of JSON's values.

    Two networks of the same shapes may compute different things; a backup must not go from one to the other. Keras
    numbers layers that have no name ("dense_7"), in each process and call anew: these numbers are counted from 0 here.
    A model that has no configuration, as a subclass without `get_config`, is known by its class alone.
    """
    try:
        config = keras.saving.serialize_keras_object({**model.get_config(), "name": None})
        text = json.dumps(config)
    except (NotImplementedError, TypeError, ValueError):
        return {"class": type(model).__name__}
    names = [value for key, value in flat(config).items() if key.split(".")[-1] == "name" and value]
    counts = {}
    for name in dict.fromkeys(names):
        kind = re.sub(r"_\d+$", "", name)
        counts[kind] = counts.get(kind, -1) + 1
        text = text.replace(json.dumps(name), json.dumps(f"{kind}:{counts[kind]}"))
    return {"class": type(model).__name__, "config": json.loads(text)}


def flat(facts, name=""):
    """Nested dicts and lists as one dict: {"network": {"depths": [1, 2]}} as {"network.depths.0": 1, …}."""
    if not isinstance(facts, dict | list):
        return {name: facts}
    items = facts.items() if isinstance(facts, dict) else enumerate(facts)
    found = {}
    for key, value in items:
        found.update(flat(value, f"{name}.{key}" if name else str(key)))
    return found
