"""Find a published file: in the user's folder of weights, in the caches of this machine, or by download."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from huggingface_hub import constants

from ..errors import WeightsError
from ..files.hashes import sha256_of
from . import download, hub
from .folder import VARIABLE, read_sums, weights_folder
from .published import PublishedFile
from .torchscript import is_torchscript

logger = logging.getLogger("clipiqa_pyiqa")
TO_TRY_OUT = (
    "to try things out, use backbone='mini' (--backbone mini), the small CLIP in this package, which knows few words"
)
"""The last of the ways out where weights are missing."""

HUB_CACHE = "hub cache"


@dataclass(frozen=True)
class Copy:
    """A copy of a published file on this machine.

    Attributes:
        path: The copy.
        source: Where it was found, in words.
        expected: What its SHA-256 must be, or begin with; empty if nobody says.
        binding: Whether another hash rules it out. If not, it is a file of the user's own under a published name.
        verdict: What it is if it is ruled out, in words.
    """

    path: Path
    source: str
    expected: str
    binding: bool = True
    verdict: str = "damaged"

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
        place = copy.path.resolve()  # what to delete is the hub's blob, not the link to it
        logger.warning("%s is %s (%s), so it is passed over: delete it.", place, copy.verdict, copy.damage)
    return _download(file)


def copies(file: PublishedFile) -> Iterator[Copy]:
    """Every copy of a published file on this machine, good or damaged, in the order of preference."""
    folder = weights_folder()
    if folder is not None:
        yield from copies_in_folder(folder, file)
    for path, expected in hub.cached(file.hub, file.hub_names, file.revision, file.hub_sha256):
        yield Copy(path, HUB_CACHE, expected)
    for source, path in file.caches:
        if path.is_file():
            yield Copy(path, source, file.sha256, verdict=f"not the published {file.title}")


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
        elif unquote(name) == file.name:
            yield Copy(path, VARIABLE, file.sha256, binding=file.sha256 in name or is_torchscript(path))
        else:
            yield Copy(path, VARIABLE, expected="")
    for name in file.hub_names[:1]:  # one name for every backbone: only the hash tells which it is
        path = folder / name
        if name not in file.folder_names and path.is_file() and file.hub_sha256 == sha256_of(path):
            yield Copy(path, VARIABLE, file.hub_sha256)


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
        logger.warning("Downloading %s from %s …", file.title, place)  # a warning, since it may take minutes
        try:
            copy = _download_from(place, file)
        except Exception as error:  # whatever the hub's client raises: the user reads it below, beside the others
            failures.append(f"{place}: {download.innermost(error)}")
            continue
        return copy
    raise WeightsError(_nowhere(file, failures))


def _download_from(place: str, file: PublishedFile) -> Copy:
    if place in file.urls:
        return Copy(download.from_url(place, file.download_path, file.sha256, file.most), "download", file.sha256)
    path, expected = hub.download(file.hub, file.hub_names, file.revision, file.hub_sha256, file.most)
    return Copy(path, "download", expected)


def _nowhere(file: PublishedFile, failures: list[str]) -> str:
    ways_out: tuple[str, ...] = (
        f"copy the file into a folder and set {VARIABLE} to it (`clipiqa weights --download-to DIR` fills one)",
        f"pass {file.argument}=PATH" + " (--clip-weights PATH)" * (file.argument == "clip_weights"),
        "set HF_ENDPOINT to a mirror of the hub that this machine reaches",
    )
    if file.argument == "clip_weights":
        ways_out += (TO_TRY_OUT,)
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
        blobs = [copy for copy in damaged.values() if copy.source == HUB_CACHE]
        in_hub = [f"{copy.path.resolve()}: {copy.verdict}, {copy.damage}" for copy in blobs]
        yield f"{HUB_CACHE} {constants.HF_HUB_CACHE}: {', '.join(in_hub) or f'no {file.hub}'}"
    for source, path in file.caches:
        found = damaged.get(path)
        yield f"{source} {path}: {f'{found.verdict}, {found.damage}' if found else 'not there'}"
