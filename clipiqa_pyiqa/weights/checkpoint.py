"""Reading of checkpoints of every format without running code in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..checks import FilePath
from ..errors import WeightsError
from ..files import open_file
from .torchscript import check_declared_size, read_torchscript


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
        if key not in self.shapes:
            raise WeightsError(f"{self.path} has no tensor {key}: get a complete file.")
        now = self.path.stat() if self.path.exists() else self._opened  # what is deleted or replaced stays mapped
        if now.st_ino == self._opened.st_ino and now.st_mtime_ns != self._opened.st_mtime_ns:
            raise WeightsError(f"{self.path} was overwritten after it was opened: make the metric again.")
        try:
            tensor = self.read(key)
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ValueError("it holds NaN or infinity")
            return tensor
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a damaged file may raise any kind of error
            raise WeightsError(
                f"{self.path} is damaged: its tensor {key} cannot be read ({error}); download or copy the file again."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def open_checkpoint(path: FilePath) -> Checkpoint:
    """Return the checkpoint in a TorchScript archive, a ``torch.save`` file or a ``.safetensors`` file."""
    path = Path(path).expanduser()
    head = first_bytes(path)
    try:
        if head[8:9] == b"{":  # .safetensors: eight bytes of length, then JSON
            return _safetensors_checkpoint(path)
        archive = read_torchscript(path) if head.startswith(b"PK") else None
    except Exception as error:  # with a damaged file, zipfile and pickle raise many kinds of errors
        raise _refusal(path, error) from error
    if archive is not None:
        return Checkpoint(path, archive.shapes, archive.read)
    if head.startswith((b"PK", b"\x80")):  # \x80: a file by torch before 1.6
        return _state_dict_checkpoint(path)
    raise WeightsError(
        f"{path} is not a checkpoint: expected a TorchScript archive, a state dict by torch.save or a .safetensors "
        f"file, but it starts with {head!r}."
    )


def _safetensors_checkpoint(path: Path) -> Checkpoint:
    file = safe_open(path, framework="pt")
    shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
    return Checkpoint(path, shapes, file.get_tensor, file.metadata() or {})


def _state_dict_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file of torch.save: a dict of tensors, perhaps in a training's dict, or one tensor."""
    content = load_pickled(path)
    if isinstance(content, torch.Tensor):
        content = {"ctx": content}  # the format of pyiqa's published prompts
    for name in ("state_dict", "model", "params"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}: expected a state dict (names with tensors).")
    tensors = {
        str(name).removeprefix("module.").removeprefix("clip_model."): value
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Checkpoint(path, shapes, tensors.__getitem__)


def first_bytes(path: Path) -> bytes:
    """Return the first 16 bytes of a file; raise WeightsError if it cannot be read or is empty."""
    try:
        with open_file(path) as file:
            head = file.read(16)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise WeightsError(f"{path} is empty: download or copy it again.")
    return head


def load_pickled(path: Path) -> Any:
    """Return the tensors and plain values in a ``torch.save`` file; raise ``WeightsError`` for other objects."""
    try:
        is_archive = zipfile.is_zipfile(path)
        if is_archive:
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about pickle protocols is for the author of the file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)  # older files have no maps
    except Exception as error:  # with a damaged file, torch.load raises many kinds of errors
        raise _refusal(path, error) from error


def _check_archive(path: Path) -> None:
    """Raise ValueError if a zip archive declares too many bytes, or a member's checksum is wrong."""
    with zipfile.ZipFile(path) as archive:
        check_declared_size(archive, path)
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of its member {damaged} is wrong")


def _refusal(path: Path, error: Exception) -> WeightsError:
    """Return the error that says whether a file is damaged or could run code."""
    if not isinstance(error, pickle.UnpicklingError):
        return WeightsError(
            f"{path} is truncated or damaged ({' '.join(str(error).split())[:200]}): download or copy it again."
        )
    culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
    finding = f"holds {culprit[1]}" if culprit else "is damaged, or holds other objects than tensors"
    return WeightsError(
        f"{path} {finding}, which could run code, so it was not loaded: copy it again, or save only the state "
        "dict, by torch.save(model.state_dict(), path) or as .safetensors."
    )
