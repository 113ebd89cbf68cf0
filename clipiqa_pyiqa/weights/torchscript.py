"""Reading of TorchScript archives, such as OpenAI's files, without running code in them."""

import mmap
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


class TorchScriptArchive:
    """An archive's tensors by dotted names; ``read`` raises any exception if the archive is damaged.

    Tensors are mapped into memory; writing does not change the file.
    """

    def __init__(self, mapped: mmap.mmap, members: Mapping[str, zipfile.ZipInfo], tensors: Mapping[str, "_Tensor"]):
        self._mapped = mapped
        self._members = members
        self._tensors = tensors
        self.shapes: dict[str, tuple[int, ...]] = {name: tensor.shape for name, tensor in tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor, whose bytes stay in the file until they are used."""
        tensor = self._tensors[name]
        _, dtype, file_name, *_ = tensor.storage
        member = self._members[f"data/{file_name}"]
        content = self._content(member)
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        strided = flat.as_strided(tensor.shape, tensor.stride, tensor.offset)  # raises if it leaves the storage
        if strided.nbytes > len(content):
            raise ValueError(f"it declares the shape {tensor.shape}, but has {len(content)} bytes")
        if zlib.crc32(content) != member.CRC:
            raise ValueError("its checksum is wrong")
        return strided

    def _content(self, member: zipfile.ZipInfo) -> memoryview:
        """Return the bytes of a member, which must not be compressed."""
        header = self._mapped[member.header_offset : member.header_offset + 30]
        if member.compress_type != zipfile.ZIP_STORED or not header.startswith(b"PK\3\4"):
            raise ValueError(f"its member {member.filename} is compressed, or is not at its declared position")
        # The bytes follow the member's local header: 30 bytes, then its name and an extra field of these two lengths.
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        start = member.header_offset + 30 + name_length + extra_length
        return memoryview(self._mapped)[start : start + member.file_size]


def read_torchscript(path: Path) -> TorchScriptArchive | None:
    """Return the archive in a file; None for another zip archive; damage may raise any exception."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if "constants.pkl" not in members:
            return None
        check_declared_size(archive, path)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        with archive.open(members["data.pkl"]) as pickled:
            root = _Unpickler(pickled).load()
    return TorchScriptArchive(mapped, members, _tensors_in(root))


def check_declared_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise ValueError if an archive declares too many bytes for its size."""
    declared = sum(member.file_size for member in archive.infolist())
    if declared > _INFLATION * (path.stat().st_size + 2**17):
        raise ValueError(f"its members declare {declared:,} bytes when unpacked, too many for a file of its size")


def _tensors_in(root: "_Module") -> dict[str, "_Tensor"]:
    """Return the tensors of a module and of the modules in it, by dotted names."""
    tensors = dict[str, _Tensor]()
    modules = [("", root)]
    for prefix, module in modules:  # which grows meanwhile
        for name, value in module.items():
            if isinstance(value, _Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module):
                modules.append((f"{prefix}{name}.", value))
        if len(modules) > _MODULES:  # a small file may hold very many names, if modules share parts
            raise ValueError(f"it has more than {_MODULES:,} modules")
    return tensors


class _Tensor(NamedTuple):
    """The description of a tensor in an archive."""

    storage: tuple[Any, ...]  # ``('storage', dtype, file, device, elements)``
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuilt_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    """Return what torch's ``_rebuild_tensor_v2`` would make a tensor of."""
    return _Tensor(storage, offset, shape, stride)


class _Module(dict[str, Any]):
    __setstate__ = dict.update


_KNOWN = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt_tensor,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "HalfStorage"): torch.float16,
    ("torch", "FloatStorage"): torch.float32,
    ("torch", "LongStorage"): torch.int64,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that accepts only modules, tensors and containers."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function that the pickle names; raise for one that could run code."""
        if module.startswith("__torch__"):
            return _Module
        if module == "torch.jit._pickle":  # build_intlist and similar functions mark the type of a list or a dict
            return lambda value, *_: value
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is neither a module nor a tensor")

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage as it is described: ``('storage', dtype, file, device, elements)``."""
        return pid
