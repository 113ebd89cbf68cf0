"""Find a published file: in the user's folder of weights, in the caches of this machine, or by download."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from ..errors import WeightsError
from ..files.hashes import sha256_of
from . import download
from .folder import VARIABLE, read_sums, weights_folder
from .published import PublishedFile
from .torchscript import is_torchscript

logger = logging.getLogger("clipiqa_pyiqa")

HUB_CACHE = "hub cache"


@dataclass(frozen=True)
class Copy:
    """A copy of a published file on this machine.

    Attributes:
        path: The copy.
        source: Where it was found, in words.
        expected: What its SHA-256 must be, or begin with; empty if nobody says.
        binding: Whether another hash means damage. If not, it is a file of the user's own under a published name.
    """

    path: Path
    source: str
    expected: str
    binding: bool = True

    @functools.cached_property
    def sha256(self) -> str:
        return sha256_of(self.path)

    @property
    def as_published(self) -> bool:
        """Whether nothing speaks against this being the file that was published."""
        return self.sha256.startswith(self.expected)

    @property
    def damage(self) -> str:
        """What is wrong with it, in words; empty if nothing is."""
        if self.as_published or not self.binding:
            return ""
        return f"its SHA-256 starts {self.sha256[:8]}, expected {self.expected[:8]}"


def find(file: PublishedFile) -> Copy:
    """The first good copy of a published file; downloaded if this machine has none.

    Raises:
        WeightsError: If the copy in ``CLIPIQA_WEIGHTS_DIR`` is damaged, or if nothing is found and no download works.
    """
    if file.bundled:
        return _in_package(file)
    for copy in copies(file):
        if not copy.damage:
            return copy
        if copy.source == VARIABLE:
            raise WeightsError(f"{copy.path} is damaged: {copy.damage}; copy it again, or delete it.")
        logger.warning("%s is damaged (%s), so it is passed over: delete it.", copy.path, copy.damage)
    return _download(file)


def copies(file: PublishedFile) -> Iterator[Copy]:
    """Every copy of a published file on this machine, good or damaged, in the order of preference."""
    folder = weights_folder()
    if folder is not None:
        yield from copies_in_folder(folder, file)
    for name in file.hub_names:
        cached = try_to_load_from_cache(file.hub, name)
        if isinstance(cached, str):
            yield Copy(Path(cached), HUB_CACHE, _hub_hash(Path(cached)))
    for source, path in file.caches:
        if path.is_file():
            yield Copy(path, source, file.sha256)


def copies_in_folder(folder: Path, file: PublishedFile) -> Iterator[Copy]:
    """The copies of a published file in a folder of weights.

    The folder's ``SHA256SUMS`` is binding, and so is a hash that the file's own name carries. OpenAI's hashes are
    binding for TorchScript archives, the only form that OpenAI publishes: a state dict called ``RN50.pt`` is the
    user's own.
    """
    sums = read_sums(folder)
    for name in file.folder_names:
        path = folder / name
        if not path.is_file():
            continue
        if name in sums:
            yield Copy(path, VARIABLE, sums[name])
        elif name == file.name:
            yield Copy(path, VARIABLE, file.sha256, binding=file.sha256 in name or is_torchscript(path))
        else:
            yield Copy(path, VARIABLE, expected="")


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids every download."""
    return bool(constants.HF_HUB_OFFLINE)


def download_places(file: PublishedFile) -> list[str]:
    """Where a file would be downloaded from, best first."""
    return [*([f"{constants.ENDPOINT}/{file.hub}"] if file.hub else []), *file.urls]


def _in_package(file: PublishedFile) -> Copy:
    copy = next(copies(file), None)
    if copy is not None and not copy.damage:
        return copy
    problem = "missing" if copy is None else f"damaged ({copy.damage})"
    raise WeightsError(
        f"{file.download_path}, which is part of clipiqa-pyiqa, is {problem}: install the package again with "
        "`pip install --force-reinstall --no-deps clipiqa-pyiqa`."
    )


def _download(file: PublishedFile) -> Copy:
    failures = []
    for place in download_places(file):
        if is_offline():
            failures.append(f"{place}: not asked, because HF_HUB_OFFLINE is set")
            continue
        logger.info("Downloading %s from %s", file.title, place)
        try:
            copy = _download_from(place, file)
        except Exception as error:  # whatever the hub's client raises: the user reads it below, beside the others
            failures.append(f"{place}: {' '.join(str(error).split())[:200]}")
            continue
        if not copy.damage:
            return copy
        failures.append(f"{place}: {copy.path} is damaged ({copy.damage}): delete it")
    raise WeightsError(_nowhere(file, failures))


def _download_from(place: str, file: PublishedFile) -> Copy:
    if place in file.urls:
        return Copy(download.from_url(place, file.download_path, file.sha256), "download", file.sha256)
    path = download.from_hub(file.hub)
    return Copy(path, "download", _hub_hash(path))


def _hub_hash(path: Path) -> str:
    """The SHA-256 by which the hub cache names the content of a large file; empty if it does not tell."""
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else ""


def _nowhere(file: PublishedFile, failures: list[str]) -> str:
    ways_out: tuple[str, ...] = (
        f"copy the file into a folder and set {VARIABLE} to it (`clipiqa weights --download-to DIR` fills one)",
        f"pass {file.argument}=PATH",
        "set HF_ENDPOINT to a mirror of the hub that this machine reaches",
    )
    if file.argument == "clip_weights":
        ways_out += (
            "to try things out, use backbone='mini' (--backbone mini), the small CLIP in this package, which knows "
            "few words",
        )
    lines = [
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}).",
        "Tried before:",
    ]
    lines += [f"  - {place}" for place in _places(file)]
    lines += ["Ways out:", *(f"  {number}. {way}" for number, way in enumerate(ways_out, start=1))]
    return "\n".join(lines)


def _places(file: PublishedFile) -> Iterator[str]:
    """Every place on this machine that was searched in vain, with what was there."""
    damaged = {copy.path: copy for copy in copies(file)}
    folder = weights_folder()
    if folder is None:
        yield f"{VARIABLE}: not set"
    else:
        yield f"{VARIABLE}={folder}: {'no ' + ' or '.join(file.folder_names) if folder.is_dir() else 'no such folder'}"
    if file.hub:
        in_hub = [f"{copy.path}: damaged, {copy.damage}" for copy in damaged.values() if copy.source == HUB_CACHE]
        yield f"{HUB_CACHE} {constants.HF_HUB_CACHE}: {', '.join(in_hub) or f'no {file.hub}'}"
    for source, path in file.caches:
        yield f"{source} {path}: {f'damaged, {damaged[path].damage}' if path in damaged else 'not there'}"
