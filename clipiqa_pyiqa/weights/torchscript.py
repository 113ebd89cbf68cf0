"""Read the tensors of a TorchScript archive, the form of OpenAI's checkpoints, without running anything in it.

``torch.jit.load`` compiles the code inside the archive, and ``torch.load(weights_only=True)`` refuses such files. But
an archive is a zip: ``data.pkl`` describes the modules, and ``data/0``, ``data/1``, ... are the tensors' bytes, stored
uncompressed. We unpickle the description with a handful of harmless names and no others, and map the bytes, whose CRC
is checked when they are read.
"""

from __future__ import annotations

import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from .archive import check_crc, check_declared

DEPTH = 32  # of modules in modules: 7 in CLIP
MODULES = 20_000  # with each way to a shared one counted: about 300 in CLIP

_STORAGES = {
    "HalfStorage": torch.float16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class _Storage:
    """Where one storage's bytes lie in the mapped file."""

    bytes: mmap.mmap
    start: int
    entry: zipfile.ZipInfo
    dtype: torch.dtype

    @property
    def length(self) -> int:
        """In bytes."""
        return self.entry.file_size


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is still on disk."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """The tensor, mapped into memory (private to this process: writing would not reach the file)."""
        dtype = self.storage.dtype
        if math.prod(self.shape) == 0:
            return torch.empty(self.shape, dtype=dtype)
        if math.prod(self.shape) * dtype.itemsize > self.storage.length:
            raise ValueError(f"it declares the shape {self.shape}, but has {self.storage.length} bytes")
        start, end = self.storage.start, self.storage.start + self.storage.length
        check_crc(memoryview(self.storage.bytes)[start:end], self.storage.entry)
        count = self.storage.length // dtype.itemsize
        flat = torch.frombuffer(self.storage.bytes, dtype=dtype, count=count, offset=self.storage.start)
        return flat.as_strided(self.shape, self.stride, self.offset)  # checks that it stays inside the storage


class _Module:
    """Stands for a module of the archive: holds its attributes, does nothing."""

    attributes: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = dict(state)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, and not a state dict by ``torch.save``, which is a zip file, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(name).name == "constants.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return False  # no zip file, or a damaged one


def read_torchscript(path: Path) -> dict[str, LazyTensor]:
    """The parameters and buffers of a TorchScript archive by their dotted names, each still on disk.

    Raises:
        pickle.UnpicklingError: If the archive asks for anything but modules and tensors.
        Exception: If it is damaged, almost any other.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        check_declared(archive, path)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        description = next(name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl")
        with archive.open(description) as pickled:
            root = _Unpickler(pickled, archive, str(PurePosixPath(description).parent), mapped).load()
    return _named_tensors(root)


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows modules, tensors and containers of them, and refuses every other name."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str, mapped: mmap.mmap) -> None:
        super().__init__(file)
        self._archive, self._folder, self._mapped = archive, folder, mapped

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _lazy_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.jit._pickle":  # build_intlist, restore_type_tag, ...: marks the type of a list or a dict
            return _untyped
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is neither a module nor a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, _ = pid  # 'storage', dtype, file name, device, number of elements
        entry = self._archive.getinfo(f"{self._folder}/data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("packed again with compression, so that it cannot be mapped")
        if self._mapped[entry.header_offset : entry.header_offset + 4] != b"PK\3\4":
            raise ValueError(f"no member begins where {entry.filename} should")
        # The bytes follow the entry's local header: 30 bytes, then its name and an extra field of these two lengths.
        name_length, extra_length = struct.unpack_from("<HH", self._mapped, entry.header_offset + 26)
        start = entry.header_offset + 30 + name_length + extra_length
        return _Storage(self._mapped, start, entry, _dtype(dtype))


def _dtype(value: Any) -> torch.dtype:
    if not isinstance(value, torch.dtype):
        raise ValueError(f"no storage type: {value!r}")
    return value


def _lazy_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> LazyTensor:
    return LazyTensor(storage, offset, tuple(shape), tuple(stride))


def _untyped(value: Any, *_: Any) -> Any:
    return value


def _named_tensors(root: _Module) -> dict[str, LazyTensor]:
    tensors: dict[str, LazyTensor] = {}
    waiting, seen = [("", root, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        seen += 1
        if depth > DEPTH or seen > MODULES:  # modules may be shared, and so be more by their names than in the file
            raise ValueError(f"its modules are nested deeper than {DEPTH}, or are more than {MODULES:,}")
        for name, value in module.attributes.items():
            if isinstance(value, LazyTensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value, depth + 1))
    return tensors
