"""Open a CLIP checkpoint safely: nothing in the file is ever executed, and no tensor is read before it is asked for."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..errors import WeightsError
from .archive import check_members
from .torchscript import is_torchscript, read_torchscript

# What a pickled numpy number, such as an epoch's loss, consists of; torch knows no more of numpy than arrays.
_NUMPY_SCALARS: list[Any] = [
    np.dtype,
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
]
_NESTED_UNDER = ("state_dict", "model", "params")


class Checkpoint(Mapping[str, torch.Tensor]):
    """A CLIP state dict on disk, with OpenAI's key names.

    ``checkpoint[key]`` reads one tensor, in the file's dtype and on the CPU. It is mapped into memory where the format
    allows, so treat it as read-only: clone before writing.

    Attributes:
        path: The file.
        shapes: Shape of each tensor, known without reading any.
        metadata: What a .safetensors file says about itself.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], torch.Tensor],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.metadata = dict(metadata or {})
        self.shapes = dict(shapes)
        self._read = read

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of one tensor, without reading it."""
        return self.shapes[key]

    def __getitem__(self, key: str) -> torch.Tensor:
        if key not in self.shapes:
            raise KeyError(key)
        try:
            tensor = self._read(key)
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise ValueError("it holds numbers that are not finite")
            return tensor
        except (RuntimeError, ValueError, OSError, SafetensorError) as error:
            raise WeightsError(f"{self.path} is damaged: its tensor {key} cannot be read ({error}).") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self)} tensors)"


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint, whatever its format; the content decides, not the file's name.

    Args:
        path: OpenAI's TorchScript archive; a state dict by ``torch.save``, bare or under ``state_dict``, ``model`` or
            ``params``, its keys with or without ``module.``; or a ``.safetensors`` file.

    Raises:
        WeightsError: If the file is missing, empty, damaged, no checkpoint, or pickled with code in it.
    """
    path = Path(path)
    head = first_bytes(path)
    if head.startswith(b"PK"):
        return _open_torchscript(path) if is_torchscript(path) else _open_state_dict(path, mmap=True)
    if head[8:9] == b"{":  # eight bytes of length, then JSON
        return _open_safetensors(path)
    if head.startswith(b"\x80"):
        return _open_state_dict(path, mmap=False)  # torch.save before 1.6, which cannot be mapped
    raise WeightsError(
        f"{path} is not a checkpoint: expected a TorchScript archive, a state dict by torch.save or a .safetensors "
        f"file, but it starts with {head!r}."
    )


def first_bytes(path: Path) -> bytes:
    """How a checkpoint file begins, which tells its format; an error for what is no file to read."""
    if path.is_dir():
        raise WeightsError(f"{path} is a folder: expected a checkpoint file.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: expected a checkpoint file.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise WeightsError(f"{path} is empty: expected a checkpoint file; download or copy it again.")
    return head


def _open_torchscript(path: Path) -> Checkpoint:
    try:
        tensors = read_torchscript(path)
    except UnpicklingError as error:
        raise _unsafe(path, error) from error
    except Exception as error:  # a damaged file makes zipfile and pickle raise almost anything
        raise _damaged(path, error) from error
    return Checkpoint(path, {key: lazy.shape for key, lazy in tensors.items()}, lambda key: tensors[key].read())


def _open_safetensors(path: Path) -> Checkpoint:
    try:
        file = safe_open(path, framework="pt")
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise _damaged(path, error) from error
    return Checkpoint(path, shapes, file.get_tensor, file.metadata())


def load_pickled(path: Path, mmap: bool = False) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values; nothing else is unpickled.

    Raises:
        WeightsError: If the file is damaged, or pickled with code in it.
    """
    try:
        if zipfile.is_zipfile(path):
            check_members(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about pickle protocols, meant for the file's author
            with torch.serialization.safe_globals(_NUMPY_SCALARS):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise _unsafe(path, error) from error
    except Exception as error:  # a damaged file makes torch.load raise almost anything
        raise _damaged(path, error) from error


def _open_state_dict(path: Path, mmap: bool) -> Checkpoint:
    content = load_pickled(path, mmap)
    tensors = _state_dict(path, content)
    return Checkpoint(path, {key: tuple(tensor.shape) for key, tensor in tensors.items()}, tensors.__getitem__)


def _state_dict(path: Path, content: Any) -> dict[str, torch.Tensor]:
    for name in _NESTED_UNDER:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}: expected a state dict, names with tensors.")
    return {
        str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, torch.Tensor)
    }


def _unsafe(path: Path, error: UnpicklingError) -> WeightsError:
    culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f"is pickled with {culprit[1]} in it" if culprit else "is damaged, or pickled with more than tensors in it"
    return WeightsError(
        f"{path} {what}, which could run code, so it was not loaded: save its state dict alone, by "
        "torch.save(model.state_dict(), path) or as .safetensors."
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:200]
    return WeightsError(f"{path} is truncated or damaged ({reason}): download or copy it again.")
