"""Every example in a docstring runs, in the package as it is installed."""

import doctest
import importlib
import pkgutil

import pytest

import clipiqa_pyiqa

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(clipiqa_pyiqa.__path__, "clipiqa_pyiqa.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
