"""Reading of checkpoints without running code in them."""

import functools
import mmap
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..checks import FilePath
from ..errors import WeightsError
from ..files.reading import open_file
from ..pyiqa_package import import_pyiqa


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
            file = safe_open(path, framework="pt")
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
            return Checkpoint(path, shapes, file.get_tensor, file.metadata() or {})
        if head.startswith(b"PK") and (archive := read_torchscript(path)) is not None:
            return archive
    except Exception as error:  # with a damaged file, zipfile and pickle raise many kinds of errors
        raise _refusal(path, error) from error
    if head.startswith((b"PK", b"\x80")):  # \x80: a file by torch before 1.6
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
        return Checkpoint(path, {key: tuple(tensor.shape) for key, tensor in tensors.items()}, tensors.__getitem__)
    raise WeightsError(
        f"{path} is not a checkpoint: expected a TorchScript archive, a state dict by torch.save or a .safetensors "
        f"file, but it starts with {head!r}."
    )


def first_bytes(path: Path) -> bytes:
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
        if is_archive := zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_declared(archive, path)
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of its member {damaged} is wrong")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about pickle protocols is for the author of the file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)  # older files have no maps
    except Exception as error:  # with a damaged file, torch.load raises many kinds of errors
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> WeightsError:
    if not isinstance(error, pickle.UnpicklingError):
        return WeightsError(
            f"{path} is truncated or damaged ({' '.join(str(error).split())[:200]}): download or copy it again."
        )
    culprit = re.search(r"GLOBAL ([\w.]+)", str(error))
    return WeightsError(
        f"{path} holds {culprit[1] if culprit else 'other objects than tensors'}, which could run code, so it was "
        "not loaded: save only the state dict, by torch.save(model.state_dict(), path) or as .safetensors."
    )


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


_INFLATION = 8  # limit of declared bytes per byte of the file; torch does not compress tensors
_MODULES = 5_000  # limit of modules (RN50x64: about 1,000); a shared module counts once for each name


def read_torchscript(path: Path) -> Checkpoint | None:
    """Return an archive's tensors by dotted names; None for another zip archive; damage may raise any exception.

    Tensors are mapped into memory; writing does not change the file.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
        if "constants.pkl" not in members:
            return None
        _check_declared(archive, path)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        with archive.open(members["data.pkl"]) as pickled:
            root = _Unpickler(pickled).load()
    tensors, modules = dict[str, _Tensor](), [("", root)]
    for prefix, module in modules:
        for name, value in module.items():
            if isinstance(value, _Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, _Module):
                modules.append((f"{prefix}{name}.", value))
        if len(modules) > _MODULES:  # a small file may hold very many names, if modules share parts
            raise ValueError(f"it has more than {_MODULES:,} modules")

    def read(key: str) -> torch.Tensor:
        (_, dtype, name, *_), offset, shape, stride, *_ = tensors[key]
        member = members[f"data/{name}"]
        header = mapped[member.header_offset : member.header_offset + 30]
        if member.compress_type != zipfile.ZIP_STORED or not header.startswith(b"PK\3\4"):
            raise ValueError(f"its member {member.filename} is compressed, or is not at its declared position")
        # The bytes follow the member's local header: 30 bytes, then its name and an extra field of these two lengths.
        start = member.header_offset + 30 + sum(struct.unpack_from("<HH", header, 26))
        content = memoryview(mapped)[start : start + member.file_size]
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        tensor = flat.as_strided(shape, stride, offset)  # raises if the tensor leaves the storage
        if tensor.nbytes > len(content):
            raise ValueError(f"it declares the shape {shape}, but has {len(content)} bytes")
        if zlib.crc32(content) != member.CRC:
            raise ValueError("its checksum is wrong")
        return tensor

    return Checkpoint(path, {key: shape for key, (_, _, shape, *_) in tensors.items()}, read)


class _Tensor(tuple[Any, ...]):
    """Arguments of torch's ``_rebuild_tensor_v2``; the storage is ``('storage', dtype, file, device, elements)``."""


class _Module(dict[str, Any]):
    __setstate__ = dict.update


_KNOWN = {
    ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _Tensor(arguments),
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "HalfStorage"): torch.float16,
    ("torch", "FloatStorage"): torch.float32,
    ("torch", "LongStorage"): torch.int64,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that accepts only modules, tensors and containers."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch.jit._pickle":  # build_intlist and similar functions mark the type of a list or a dict
            return lambda value, *_: value
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is neither a module nor a tensor")

    def persistent_load(self, pid: Any) -> Any:
        return pid


def _check_declared(archive: zipfile.ZipFile, path: Path) -> None:
    declared = sum(member.file_size for member in archive.infolist())
    if declared > _INFLATION * (path.stat().st_size + 2**17):
        raise ValueError(f"its members declare {declared:,} bytes when unpacked, too many for a file of its size")


STEM = "visual.stem.weight"  # a tensor that only mini has
# Last parts of names of tensors that only some checkpoints hold; no feature depends on these tensors.
_BOOKKEEPING = {
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
    "attn_mask",
    "prompts_features",
}


@functools.cache
def shapes_of(backbone: str) -> Mapping[str, tuple[int, ...]]:
    import open_clip  # the import takes seconds

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(backbone.replace("/", "-")))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    if backbone == "mini":
        differing = {STEM} - checkpoint.keys()
    else:
        differing = {name for name, _ in checkpoint.shapes.items() ^ shapes_of(backbone).items()}
    if names := sorted(name for name in differing if name.rpartition(".")[2] not in _BOOKKEEPING):
        raise WeightsError(
            f"{checkpoint.path} is not a complete {backbone} checkpoint: {len(names)} tensors are missing, unknown or "
            f"of another shape, such as {names[0]}; pass the file's own backbone, or another file."
        )
