"""Finding published files, on this machine or by download."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import constants

from ..errors import WeightsError, checked
from ..files.reading import sha256_of
from .checkpoint import open_checkpoint
from .published import (
    BACKBONES,
    PYIQA_FILES,
    PublishedFile,
    canonical_backbone,
    check_architecture,
    pyiqa_file,
    recognise,
    release,
    tags,
)

VARIABLE = "CLIPIQA_WEIGHTS_DIR"

logger = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was found and checked."""

    backbone: str  # one of ``BACKBONES``
    path: Path
    sha256: str
    tag: str  # 'openai' or another tag of open_clip; 'file' for an unpublished file
    quick_gelu: bool  # whether its transformers use QuickGELU, x * sigmoid(1.702 x), instead of GELU
    mean: tuple[float, float, float]  # of each channel of the training pixels in [0, 1]
    std: tuple[float, float, float]
    source: str  # the place where it was found

    @property
    def short(self) -> str:
        """Tag and first digits of the hash: ``'openai afeb0e10'`` or ``'file mine.pt 1234abcd'``."""
        name = f"{self.tag} {self.path.name}" if self.tag == "file" else self.tag
        return f"{name} {self.sha256[:8]}"


class Copy(NamedTuple):
    path: Path
    source: str  # the place where it was found
    sha256: str


def find_weights(
    backbone: str = "RN50", clip_weights: str | Path | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Return the weights of a backbone after checking hash and architecture; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``; the spelling ``'vit-b-32'`` also works.
    """
    backbone = canonical_backbone(backbone)
    is_name = isinstance(clip_weights, str) and "/" not in clip_weights and not Path(clip_weights).suffix
    if clip_weights is None or (is_name and (clip_weights in tags(backbone) or not Path(clip_weights).exists())):
        known = release(backbone, str(clip_weights or ""))
        return weights_in(find_file(known), known, quick_gelu)
    path = Path(clip_weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"clip_weights={str(clip_weights)!r} does not exist or is a folder: pass a file or a tag of open_clip."
        )
    copy = Copy(path, "given path", sha256_of(path))
    recognised = recognise(path, copy.sha256)
    if recognised is None or recognised.backbone != backbone:
        recognised = replace(release(backbone), tag="file", quick_gelu=quick_gelu is not False)
    weights = weights_in(copy, recognised, quick_gelu)
    if weights.tag == "file" and quick_gelu is None:
        warning = "%s is not a published file: QuickGELU is assumed; switch quick_gelu off if the model uses GELU."
        logger.warning(warning, path)
    return weights


def weights_in(copy: Copy, known: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    if quick_gelu is not None and quick_gelu != known.quick_gelu:
        raise WeightsError(
            f"quick_gelu={quick_gelu} contradicts {known.title} ({copy.path}), which was trained "
            f"{'with' if known.quick_gelu else 'without'} QuickGELU: leave quick_gelu out."
        )
    check_architecture(open_checkpoint(copy.path), known.backbone)
    return Weights(
        known.backbone, copy.path, copy.sha256, known.tag, known.quick_gelu, known.mean, known.std, copy.source
    )


def found_again(weights: Weights) -> Weights:
    """Return weights that another process pickled; the file on this machine must have the same hash."""
    for path in (weights.path, Path(os.environ.get(VARIABLE) or ".").expanduser() / weights.path.name):
        if path.is_file() and sha256_of(path) == weights.sha256:
            return replace(weights, path=path)
    raise WeightsError(
        f"this metric was pickled with {weights.backbone}, {weights.short} ({weights.path}), and no file with that "
        f"SHA-256 is on this machine: put the file there, or into the folder that {VARIABLE} names."
    )


def find_file(file: PublishedFile) -> Copy:
    """Return the first good copy of a published file on this machine; download the file if there is no copy."""
    if copy := good_copy(file):
        return copy
    places = download_places(file)
    if not places:
        raise WeightsError(f"{file.title}, a part of clipiqa-pyiqa, is missing or damaged: install the package again.")
    failures = ["HF_HUB_OFFLINE is set"] if constants.HF_HUB_OFFLINE else []
    from huggingface_hub import hf_hub_url  # loads the hub's client

    from .download import from_hub, from_url, unreachable

    for place in [] if failures else places:
        logger.warning("Downloading %s from %s …", file.title, place)  # a warning, since a download may take minutes
        try:
            if problem := unreachable(place):
                raise OSError(problem)
            if place in file.urls:
                path = from_url(place, file.caches[-1] / place.rpartition("/")[2], file.sha256)
            else:
                path = from_hub(file)
            return Copy(path, "download", sha256_of(path))
        except Exception as error:  # the hub's client raises many kinds of errors; the message below lists all
            failures.append(f"{urlsplit(place).netloc}: {' '.join((str(error) or repr(error)).split())[:200]}")
    address = hf_hub_url(file.hub, file.hub_names[0], revision=file.revision or None) if file.hub else file.urls[0]
    way_out = (
        "to try clipiqa, use backbone=mini, the small CLIP in this package, or name a file by clip_weights=PATH"
        if file.backbone
        else "name a file of your own instead"
    )
    raise WeightsError(
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}): {way_out}.\n"
        f"The file is at {address}: save it as {file.caches[-1] / file.names[0]}, or under that name in the folder "
        f"that {VARIABLE} names. Where the hub is blocked, set HF_ENDPOINT to a mirror, such as https://hf-mirror.com."
    )


def good_copy(file: PublishedFile) -> Copy | None:
    """Return the first good copy on this machine; raise WeightsError if the copy in the user's folder is damaged."""
    for path, source, expected in copies(file):
        sha256 = sha256_of(path)
        if not expected or sha256.startswith(expected):
            return Copy(path, source, sha256)
        hashes = " or ".join(f"{each[:8]}…" for each in expected)
        # The real path, not the hub's link: if a user deletes only the link, the hub links the same file again.
        problem = f"{path.resolve()} is damaged or another file: its SHA-256 is {sha256[:8]}…, not {hashes}"
        if source == VARIABLE:
            raise WeightsError(f"{problem}; copy it again, or delete the file.")
        logger.warning("%s; this copy is not used: delete the file.", problem)
    return None


def copies(file: PublishedFile) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield path, place and accepted hashes, or their first digits; without hashes, any file is accepted."""
    folder = os.environ.get(VARIABLE)
    for path in (Path(folder).expanduser() / name for name in file.names) if folder and download_places(file) else ():
        if path.is_file():  # users convert weights to .safetensors, so that their hash is unknown
            yield path, VARIABLE, () if path.suffix == ".safetensors" else file.hashes
    for name in file.hub_names:
        for path in sorted(file.hub_folder.glob(f"snapshots/*/{name}")):
            expected = file.hub_hash(name, path.readlink().name if path.is_symlink() else "")
            yield path, "hub cache", (expected,) if expected else ()
    for path in (cache / name for cache in file.caches for name in file.names):
        if path.is_file():
            yield path, "cache" if download_places(file) else "this package", file.hashes


def download_places(file: PublishedFile) -> list[str]:
    return [*([f"{constants.ENDPOINT}/{file.hub}"] if file.hub else []), *file.urls]


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state on this machine."""

    title: str  # such as 'RN50 (openai)'
    state: str
    where: str  # the place and path of the file, the address to download from, or the problem
    size: int | None = None  # in bytes; None if the file is not on this machine
    sha256: str = ""  # of the file on this machine, or the known first digits of the published file's


@checked
def weights_at_hand(
    backbones: str | Iterable[str] = (), *, prompts: bool = False, download: bool = False
) -> Iterator[FileAtHand]:
    """Yield each published file with its state on this machine.

    Args:
        backbones: One or several, as ``'RN50'`` or, with a tag, ``'ViT-B/32:laion2b_s34b_b79k'``; default all.
        prompts: Add the published prompts of CLIP-IQA+.
    """
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    everything = not named and not prompts
    parts = [name.partition(":") for name in (BACKBONES if everything else named)]
    wanted = [release(canonical_backbone(backbone), tag) for backbone, _, tag in parts]
    wanted += map(pyiqa_file, PYIQA_FILES if everything or prompts else ())
    return (_look(file, download) for file in wanted)


def _look(file: PublishedFile, download: bool) -> FileAtHand:
    try:
        copy = find_file(file) if download else good_copy(file)
        if copy is None:
            state = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
            return FileAtHand(file.title, state, " or ".join(download_places(file)), sha256=file.sha256)
        if file.backbone:
            weights_in(copy, file)
    except WeightsError as error:
        return FileAtHand(file.title, "failed" if download else "damaged", str(error).splitlines()[0])
    return FileAtHand(file.title, "found", f"{copy.source}: {copy.path}", copy.path.stat().st_size, copy.sha256)
