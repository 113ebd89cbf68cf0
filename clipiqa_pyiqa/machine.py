"""What this machine has: devices, and pyiqa beside this package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def one_thread(is_wanted: bool = True) -> Iterator[None]:
    """Compute with one thread of torch, so that results are equal for any number of threads."""
    import torch

    threads = torch.get_num_threads()
    if not is_wanted or threads == 1:  # what is set here becomes the default of later threads too
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
