"""The files that pyiqa's metrics read their parameters from, as Python tells of each file that it opens."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".safetensors", ".mat", ".npz", ".npy", ".pkl")
_watched = threading.local()
"""``paths``: the files that this thread has opened in :func:`opened_weights`."""


@contextmanager
def opened_weights() -> Iterator[list[Path]]:
    """Yield a list, which at the end holds the files of weights or parameters that this thread has read.

    pyiqa does not say which files its metrics load by default, but Python tells of each file that it opens. Files that
    a library opens without Python (``.safetensors``) are not in the list.
    """
    _watch_opening()
    weights = list[Path]()
    paths = dict[str, None]()
    _watched.paths = paths
    try:
        yield weights
    finally:
        del _watched.paths
        weights.extend(Path(path) for path in paths if os.path.isfile(path))


@cache  # an audit hook cannot be removed, so it is added once
def _watch_opening() -> None:
    sys.addaudithook(_notice)


def _notice(event: str, details: tuple[Any, ...]) -> None:
    if event != "open" or not hasattr(_watched, "paths"):
        return
    path, mode, _ = details
    is_read = mode is None or "r" in mode
    if is_read and isinstance(path, str) and path.lower().endswith(_SUFFIXES):
        _watched.paths[path] = None
