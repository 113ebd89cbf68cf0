"""Files that other code will open: looked at first, since pyiqa unpickles whatever its metrics are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import WeightsError
from .checkpoint import first_bytes, load_pickled

_NO_PICKLE = (b"MATLAB 5.0", b"MATLAB 7.3", b"\x89HDF")  # scipy and h5py execute nothing
_WAY_OUT = "pass --trust-weights (trust_weights=True) if you trust whoever made it"


def check_options(options: Mapping[str, Any], trust_weights: bool = False) -> None:
    """Refuse files and URLs in a metric's options that could run code when pyiqa loads them.

    Args:
        options: pyiqa's ``metric_opts``; values nested in mappings and lists count, too.
        trust_weights: Refuse nothing.

    Raises:
        WeightsError: A file holds more than tensors and plain values, or is damaged; or a URL is none of pyiqa's own.
    """
    if trust_weights:
        return
    for value in _texts(options):
        if "://" in value:
            _check_url(value)
        elif Path(value).expanduser().is_file():
            check_file(Path(value).expanduser())


def check_file(path: Path) -> None:
    """Refuse a file that could run code when it is unpickled.

    Raises:
        WeightsError: It holds more than tensors and plain values, or is damaged.
    """
    if first_bytes(path).startswith(_NO_PICKLE) or _is_safetensors(path):
        return
    try:
        load_pickled(path)
    except WeightsError as error:
        raise WeightsError(f"{str(error).rstrip('.')}; or {_WAY_OUT}.") from error


def _is_safetensors(path: Path) -> bool:
    """Whether the whole header is one: a pickle may hold any few bytes that it likes."""
    try:
        with safe_open(path, "pt"):
            return True
    except (SafetensorError, OSError):
        return False


def _check_url(url: str) -> None:
    from pyiqa.archs.arch_util import get_url_from_name

    name = url.rsplit("/", 1)[-1]
    if url not in {get_url_from_name(name, store) for store in ("hugging_face", "github")}:
        raise WeightsError(
            f"{url[:200]!r} is none of the files that pyiqa publishes, and loading it could run code: download it and "
            f"name the file, which is looked at first, or {_WAY_OUT}."
        )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str | Path):
        return [str(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for each in value for text in _texts(each)] if isinstance(value, list | tuple) else []
