"""Images from wherever they come: sources, the reader, and the one path from files to batches of equal size."""

from __future__ import annotations

import importlib

_LATE = {  # what others may use -> its module, imported when first asked for, since some of them import torch
    **dict.fromkeys(("in_batches", "prefetch", "stacked"), "batches"),
    **dict.fromkeys(("image_suffixes", "readable_formats"), "formats"),
    **dict.fromkeys(("MIN_SIDE", "ImageRecord", "check_limits", "read_image", "strict_decoding"), "reader"),
    **dict.fromkeys(("FileSource", "ImageSource", "Inputs", "find_inputs", "images_in"), "sources"),
}


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_LATE)
