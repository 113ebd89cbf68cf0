"""Whether files that options of pyiqa's own metrics name could run code."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import WeightsError
from ..machine import import_pyiqa
from .checkpoint import first_bytes, load_pickled

_NO_PICKLE = (b"MATLAB 5.0", b"MATLAB 7.3", b"\x89HDF")  # formats of scipy and h5py, which execute no code
_ADVICE = "pass trust_weights if you trust the author of the file"


def check_files_of_options(options: Mapping[str, Any], trust_weights: bool = False) -> None:
    """Raise WeightsError if an option of pyiqa's metrics names a file that could run code, unless it is trusted."""
    if trust_weights:
        return
    get_url_from_name = import_pyiqa(".archs.arch_util").get_url_from_name
    for text in _texts(options):
        if "://" in text:
            name = text.rsplit("/", 1)[-1]
            if text not in {get_url_from_name(name, store) for store in ("hugging_face", "github")}:
                raise WeightsError(
                    f"{text[:200]!r} is not a file that pyiqa publishes, and loading it could run code: "
                    f"download the file and pass its path, or {_ADVICE}.",
                    options=("trust_weights",),
                )
        else:
            _check_parameter_file(Path(text).expanduser())


def _check_parameter_file(path: Path) -> None:
    """Raise WeightsError if a file for a metric of pyiqa could run code; a text may also be no file."""
    if not path.is_file() or first_bytes(path).startswith(_NO_PICKLE) or _is_safetensors(path):
        return
    try:
        load_pickled(path)
    except WeightsError as error:
        raise WeightsError(f"{str(error).rstrip('.')}; or {_ADVICE}.", options=("trust_weights",)) from error


def _is_safetensors(path: Path) -> bool:
    try:
        with safe_open(path, "pt"):  # reads the whole header, since a pickle may begin with the same bytes
            return True
    except (SafetensorError, OSError):
        return False


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and paths in an option, however deep."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _texts(element)
