"""Reading of TorchScript archives, such as OpenAI's files, without running code in them."""

import io
import mmap
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Shapes = dict[str, tuple[int, ...]]
_INFLATION = 8  # limit of declared bytes per byte of the file; torch does not compress tensors


def read_torchscript(path: Path) -> tuple[Shapes, Callable[[str], torch.Tensor]] | None:
    """Return the shapes of an archive's tensors by dotted names, and a function that reads one by its name.

    A tensor is mapped into memory: its bytes stay in the file until they are used, and writing does not change the
    file. Returns None for another zip archive. Both functions raise any exception if the archive is damaged.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if "constants.pkl" not in members:
            return None
        check_declared_size(archive, path)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        root = _Unpickler(io.BytesIO(archive.read(members["data.pkl"]))).load()
    tensors = _tensors_in(root)

    def read(name: str) -> torch.Tensor:
        tensor = tensors[name]
        _, dtype, file_name, *_ = tensor.storage
        member = members[f"data/{file_name}"]
        # The bytes follow the member's local header: 30 bytes, then its name and an extra field of these two lengths.
        lengths = struct.unpack_from("<HH", mapped, member.header_offset + 26)
        start = member.header_offset + 30 + sum(lengths)
        content = memoryview(mapped)[start : start + member.file_size]
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        strided = flat.as_strided(tensor.shape, tensor.stride, tensor.offset)  # raises if it leaves the storage
        if strided.nbytes > len(content) or zlib.crc32(content) != member.CRC:
            raise ValueError("its size or its checksum is wrong, or it is compressed")
        return strided

    return {name: tensor.shape for name, tensor in tensors.items()}, read


def check_declared_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise ValueError if an archive declares too many bytes for its size."""
    declared = sum(member.file_size for member in archive.infolist())
    if declared > _INFLATION * (path.stat().st_size + 2**17):
        raise ValueError(f"its members declare {declared:,} bytes when unpacked, too many for a file of its size")


class _Tensor:
    """What an archive says of a tensor; made with the arguments of torch's ``_rebuild_tensor_v2``."""

    def __init__(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any):
        self.storage = storage  # ``('storage', dtype, file, device, elements)``
        self.offset, self.shape, self.stride = offset, shape, stride


class _Module(dict[str, Any]):
    __setstate__ = dict.update


_KNOWN = {
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
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


def _tensors_in(root: _Module) -> dict[str, _Tensor]:
    """Return the tensors of a module and of the modules in it, by dotted names; a shared module counts once."""
    tensors = dict[str, _Tensor]()
    modules = [("", root)]
    seen = {id(root)}
    for prefix, module in modules:  # which grows meanwhile
        for name, value in module.items():
            if isinstance(value, _Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module) and id(value) not in seen:
                seen.add(id(value))
                modules.append((f"{prefix}{name}.", value))
    return tensors
