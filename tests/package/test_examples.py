"""The examples in the docstrings of layers and networks say what happens."""

import doctest
import importlib

import keras
import numpy as np
import pytest

import focal_utils as fu

MODULES = (
    "layers.basics",
    "layers.focal",
    "layers.attention",
    "layers.blocks",
    "layers.relatives",
    "models.focalnet",
    "models.variants",
    "models.backbone",
    "models.costs",
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"focal_utils.{name}")
    failed, _ = doctest.testmod(module, extraglobs={"fu": fu, "keras": keras, "np": np}, optionflags=OPTIONS)
    assert failed == 0


def test_what_users_call_has_an_example():
    called = (
        (fu.HierarchicalContext, fu.FocalModulation, fu.FocalBlock, fu.DropPath, fu.SelfAttention)
        + (fu.FocalNet, fu.focalnet, fu.feature_maps, fu.freeze)
        + (fu.layer_costs, fu.count_macs, fu.count_parameters)
    )
    assert [thing.__name__ for thing in called if ">>> " not in thing.__doc__] == []
