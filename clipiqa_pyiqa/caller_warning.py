"""Warnings that point to the line which called this package, and not to lines of this package or of torch."""

import inspect
import warnings
from pathlib import Path

import torch

_FOLDERS = tuple(f"{Path(file).parent.as_posix()}/" for file in (__file__, torch.__file__))


def warn_caller(message: str) -> None:
    """Warn at the innermost line outside of this package and of torch, through which modules are called."""
    level = 1
    frame = inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).as_posix().startswith(_FOLDERS):
        frame = frame.f_back
        level += 1
    warnings.warn(message, stacklevel=level)
