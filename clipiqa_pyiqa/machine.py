"""What this machine has: devices, and pyiqa beside this package."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .errors import CLIPIQAError
from .text import shown

if TYPE_CHECKING:
    import torch

BUILTIN_VARIABLE = "CLIPIQA_PYIQA_BUILTIN"


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the named device, by default cuda if available, else cpu; raise ``CLIPIQAError`` for a missing device."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise CLIPIQAError(
            f"device must be cpu, cuda, cuda:N or mps, and this machine must have it; got {shown(name)}.",
            options=("device",),
        ) from error


def import_pyiqa(module: str = "") -> Any:
    """Return pyiqa, or a module of pyiqa; raise :class:`CLIPIQAError` if pyiqa is not installed."""
    if find_spec("pyiqa") is None:
        raise CLIPIQAError("this needs pyiqa, which is not installed: run `pip install pyiqa`.")
    return import_module(f"pyiqa{module}")


def keeps_pyiqas_classes() -> bool:
    """Return whether the user wants pyiqa's own classes instead of this package's."""
    return os.environ.get(BUILTIN_VARIABLE, "0") not in ("", "0")
