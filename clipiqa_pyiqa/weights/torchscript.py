"""Reading of TorchScript archives (OpenAI's checkpoints) without running code in them."""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

_INFLATION = 8  # limit of declared bytes per byte of the file; torch does not compress tensors
_MODULES = 5_000  # limit of modules (RN50x64: about 1,000); a shared module counts once for each name


def check_archive(path: Path) -> None:
    """Raise ``ValueError`` if a zip archive declares too many bytes or a CRC (checksum) is wrong."""
    with zipfile.ZipFile(path) as archive:
        _check_declared(archive, path)
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its member {damaged} is wrong")


def read_torchscript(path: Path) -> dict[str, LazyTensor] | None:
    """Return an archive's tensors by dotted names; None for another zip archive; damage may raise any exception."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if "constants.pkl" not in members:
            return None
        _check_declared(archive, path)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        with archive.open(members["data.pkl"]) as pickled:
            root = _Unpickler(pickled, members, mapped).load()
    tensors, modules = dict[str, LazyTensor](), [("", root)]
    for prefix, module in modules:
        for name, value in module.items():
            if isinstance(value, LazyTensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module):
                modules.append((f"{prefix}{name}.", value))
        if len(modules) > _MODULES:  # a small file may hold very many names, if modules share parts
            raise ValueError(f"it has more than {_MODULES:,} modules")
    return tensors


class LazyTensor(NamedTuple):
    """A tensor on disk; its fields are the arguments of torch's ``_rebuild_tensor_v2``."""

    storage: tuple[memoryview, int, torch.dtype]  # bytes in the mapped file, their CRC, dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    hooks: Any

    def read(self) -> torch.Tensor:
        """Return the tensor, mapped into memory; writing does not change the file."""
        content, crc, dtype = self.storage
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        tensor = flat.as_strided(self.shape, self.stride, self.offset)  # raises if the tensor leaves the storage
        if tensor.nbytes > len(content):
            raise ValueError(f"it declares the shape {self.shape}, but has {len(content)} bytes")
        if zlib.crc32(content) != crc:
            raise ValueError("its checksum is wrong")
        return tensor


class _Module(dict[str, Any]):
    __setstate__ = dict.update


_KNOWN = {
    ("torch._utils", "_rebuild_tensor_v2"): LazyTensor,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "HalfStorage"): torch.float16,
    ("torch", "FloatStorage"): torch.float32,
    ("torch", "LongStorage"): torch.int64,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that accepts only modules, tensors and containers."""

    def __init__(self, file: Any, members: Mapping[str, zipfile.ZipInfo], mapped: mmap.mmap) -> None:
        super().__init__(file)
        self._members, self._mapped = members, mapped

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch.jit._pickle":  # build_intlist and similar functions mark the type of a list or a dict
            return lambda value, *_: value
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is neither a module nor a tensor")

    def persistent_load(self, pid: Any) -> tuple[memoryview, int, torch.dtype]:
        _, dtype, key, _, _ = pid  # 'storage', dtype, file name, device, number of elements
        member = self._members[f"data/{key}"]
        header = self._mapped[member.header_offset : member.header_offset + 30]
        if member.compress_type != zipfile.ZIP_STORED or not header.startswith(b"PK\3\4"):
            raise ValueError(f"its member {member.filename} is compressed, or is not at its declared position")
        # The bytes follow the member's local header: 30 bytes, then its name and an extra field of these two lengths.
        start = member.header_offset + 30 + sum(struct.unpack_from("<HH", header, 26))
        return memoryview(self._mapped)[start : start + member.file_size], member.CRC, dtype


def _check_declared(archive: zipfile.ZipFile, path: Path) -> None:
    declared = sum(member.file_size for member in archive.infolist())
    if declared > _INFLATION * (os.path.getsize(path) + 2**17):
        raise ValueError(f"its members declare {declared:,} bytes when unpacked, too many for a file of its size")
