"""Checks of files that pyiqa's metrics unpickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import WeightsError, import_pyiqa
from .checkpoint import first_bytes, load_pickled

_NO_PICKLE = (b"MATLAB 5.0", b"MATLAB 7.3", b"\x89HDF")  # formats of scipy and h5py, which execute no code
_WAY_OUT = "pass trust_weights if you trust the author of the file"


def check_options(options: Mapping[str, Any], trust_weights: bool = False) -> None:
    get_url_from_name = import_pyiqa(".archs.arch_util").get_url_from_name
    for value in () if trust_weights else _texts(options):
        path = Path(value).expanduser()
        if "://" in value:
            name = value.rsplit("/", 1)[-1]
            if value not in {get_url_from_name(name, store) for store in ("hugging_face", "github")}:
                raise WeightsError(
                    f"{value[:200]!r} is not a file that pyiqa publishes, and loading it could run code: "
                    f"download the file and pass its path, or {_WAY_OUT}."
                )
        elif path.is_file() and not first_bytes(path).startswith(_NO_PICKLE) and not _is_safetensors(path):
            try:
                load_pickled(path)
            except WeightsError as error:
                raise WeightsError(f"{str(error).rstrip('.')}; or {_WAY_OUT}.") from error


def _is_safetensors(path: Path) -> bool:
    try:
        with safe_open(path, "pt"):  # reads the whole header, since a pickle may begin with the same bytes
            return True
    except (SafetensorError, OSError):
        return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)
