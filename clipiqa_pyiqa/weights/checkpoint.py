"""Opening of checkpoints of every format without running code in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..checks import FilePath
from ..errors import WeightsError
from ..files import open_file
from ..machine import import_pyiqa
from ..text import reason_of
from .torchscript import check_declared_size, read_torchscript

_NO_PICKLE = (b"MATLAB 5.0", b"MATLAB 7.3", b"\x89HDF")  # formats of scipy and h5py, which execute no code


@dataclass(eq=False, repr=False)
class Checkpoint(Mapping[str, torch.Tensor]):
    """A state dict on disk; ``checkpoint[key]`` reads one tensor, in the file's dtype, on the CPU."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], torch.Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._opened = self.path.stat()

    def __contains__(self, key: object) -> bool:
        return key in self.shapes

    def __getitem__(self, key: str) -> torch.Tensor:
        now = self.path.stat() if self.path.exists() else self._opened  # what is deleted or replaced stays mapped
        if now.st_ino == self._opened.st_ino and now.st_mtime_ns != self._opened.st_mtime_ns:
            raise WeightsError(f"{self.path} was overwritten after it was opened: make the metric again.")
        try:
            tensor = self.read(key)
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ValueError("it holds NaN or infinity")
        except Exception as error:  # a damaged file may raise any kind of error
            raise WeightsError(
                f"{self.path} is incomplete or damaged: its tensor {key} cannot be read ({reason_of(error)}); "
                "download or copy the file again."
            ) from error
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


class TowerKind(Enum):
    """The kinds of image towers."""

    RESNET = auto()
    VIT = auto()
    MINI = auto()


def tower_kind_of(checkpoint: Checkpoint) -> TowerKind:
    """Return the kind of image tower in a checkpoint."""
    if "visual.stem.weight" in checkpoint:
        return TowerKind.MINI
    return TowerKind.VIT if "visual.proj" in checkpoint else TowerKind.RESNET


def open_checkpoint(path: FilePath) -> Checkpoint:
    """Return the checkpoint in a TorchScript archive, a ``torch.save`` file or a ``.safetensors`` file.

    Only names and shapes are read. Raises ``WeightsError`` if the file cannot be read, is damaged, is of another
    format, or could run code.
    """
    path = Path(path).expanduser()
    try:
        head = _first_bytes(path)
        if head[8:9] == b"{":  # .safetensors: eight bytes of length, then JSON
            file = safe_open(path, framework="pt")
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
            return Checkpoint(path, shapes, file.get_tensor, file.metadata() or {})
        archive = read_torchscript(path) if head.startswith(b"PK") else None
    except Exception as error:  # with a damaged file, zipfile and pickle raise many kinds of errors
        raise _refusal(path, error) from error
    if archive is not None:
        return Checkpoint(path, *archive)
    tensors = _state_dict_in(path) if head.startswith((b"PK", b"\x80")) else {}  # \x80: by torch before 1.6
    if not tensors:
        raise WeightsError(
            f"{path} is not a checkpoint: expected a TorchScript archive, a state dict by torch.save or a .safetensors "
            f"file, with tensors in it; it starts with {head!r}."
        )
    return Checkpoint(path, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors.__getitem__)


def _state_dict_in(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a file of torch.save: in a dict, perhaps in a training's dict, or one tensor alone."""
    content = load_pickled(path)
    if isinstance(content, torch.Tensor):
        content = {"ctx": content}  # the format of pyiqa's published prompts
    for name in ("state_dict", "model", "params"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    return {
        str(name).removeprefix("module.").removeprefix("clip_model."): value
        for name, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, torch.Tensor)
    }


def load_pickled(path: Path) -> Any:
    """Return the tensors and plain values in a ``torch.save`` file; raise ``WeightsError`` for other objects."""
    try:
        is_archive = zipfile.is_zipfile(path)
        if is_archive:
            with zipfile.ZipFile(path) as archive:
                check_declared_size(archive, path)
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of its member {damaged} is wrong")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about pickle protocols is for the author of the file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)  # older files have no maps
    except Exception as error:  # with a damaged file, torch.load raises many kinds of errors
        raise _refusal(path, error) from error


def check_files_of_options(options: Mapping[str, Any], trust_weights: bool = False) -> None:
    """Raise WeightsError if an option of pyiqa's metrics names a file that could run code, unless it is trusted."""
    if trust_weights:
        return
    for text in _texts(options):
        problem = _problem_of_address(text) if "://" in text else _problem_of_file(Path(text).expanduser())
        if problem:
            raise WeightsError(
                f"{problem}; or pass trust_weights if you trust the author of the file.", options=("trust_weights",)
            )


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and paths in an option, however deep."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _texts(element)


def _problem_of_address(address: str) -> str:
    """Return why a file of an address could run code, or an empty text."""
    get_url_from_name = import_pyiqa(".archs.arch_util").get_url_from_name
    name = address.rpartition("/")[2]
    if address in {get_url_from_name(name, store) for store in ("hugging_face", "github")}:
        return ""
    return (
        f"{address[:200]!r} is not a file that pyiqa publishes, and loading it could run code: download the file and "
        "pass its path"
    )


def _problem_of_file(path: Path) -> str:
    """Return why a file could run code, or an empty text, also for a text that names no file."""
    if not path.is_file() or _first_bytes(path).startswith(_NO_PICKLE):
        return ""
    try:
        with safe_open(path, "pt"):  # reads the whole header, since a pickle may begin with the same bytes
            return ""
    except (SafetensorError, OSError):
        pass
    try:
        load_pickled(path)
    except WeightsError as error:
        return str(error).rstrip(".")
    return ""


def _first_bytes(path: Path) -> bytes:
    with open_file(path) as file:
        return bytes(file.read(16))


def _refusal(path: Path, error: Exception) -> WeightsError:
    """Return the error that says whether a file cannot be read, is damaged, or could run code."""
    if isinstance(error, OSError) and error.strerror:
        return WeightsError(f"{path} cannot be read: {error.strerror}.")
    if not isinstance(error, pickle.UnpicklingError):
        return WeightsError(f"{path} is truncated or damaged ({reason_of(error)[:200]}): download or copy it again.")
    culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
    finding = f"holds {culprit[1]}" if culprit else "is damaged, or holds other objects than tensors"
    return WeightsError(
        f"{path} {finding}, which could run code, so it was not loaded: copy it again, or save only the state "
        "dict, by torch.save(model.state_dict(), path) or as .safetensors."
    )
