"""pyiqa, if it is installed, and whether the user wants its own classes."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .errors import CLIPIQAError

BUILTIN_VARIABLE = "CLIPIQA_PYIQA_BUILTIN"


def import_pyiqa(module: str = "") -> Any:
    """Return pyiqa, or a module of pyiqa; raise :class:`CLIPIQAError` if pyiqa is not installed."""
    if find_spec("pyiqa") is None:
        raise CLIPIQAError("this needs pyiqa, which is not installed: run `pip install pyiqa`.")
    return import_module(f"pyiqa{module}")


def keeps_pyiqas_classes() -> bool:
    """Return whether the user wants pyiqa's own classes instead of this package's."""
    return os.environ.get(BUILTIN_VARIABLE, "0") not in ("", "0")
