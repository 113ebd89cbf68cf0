"""Packages that import what they offer when it is first asked for, so that importing them waits for no torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package, whose ``__all__`` names what it offers.

    Args:
        package: Its ``__name__``.
        places: What is imported late -> its module in the package, such as ``{'train': 'training'}``.

    Example::

        if TYPE_CHECKING:
            from .training import train

        __all__ = ["train"]
        if not TYPE_CHECKING:  # whom it would make believe in every name
            __getattr__, __dir__ = lazily(__name__, {"train": "training"})
    """

    def getattr_(name: str) -> Any:
        if name in places:
            return getattr(importlib.import_module(f".{places[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def dir_() -> list[str]:
        return list(sys.modules[package].__all__)

    return getattr_, dir_
