"""The table of published files, each with its state on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from huggingface_hub import constants

from ..checks import check_list
from ..errors import WeightsError
from .clips import BACKBONES, canonical_backbone, published_clip
from .copies import Copy, download_addresses, search, warn_of_left_out
from .finding import checked_weights, weights_by_name
from .metric_files import PYIQA_FILES, pyiqa_file
from .obtaining import obtained_file
from .published_file import PublishedFile


class State(StrEnum):
    """What this machine has of a published file, as users read it."""

    FOUND = "found"
    NOT_PUBLISHED = "not published"
    DAMAGED = "damaged"
    TO_DOWNLOAD = "would be downloaded"
    MISSING_OFFLINE = "missing (offline)"
    FAILED = "failed"  # to be downloaded


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state on this machine."""

    title: str  # such as 'RN50 (openai)'
    state: State
    where: str  # the place and path of the file, the address to download from, or the problem
    size: int | None = None  # in bytes; None if the file is not on this machine
    sha256: str = ""  # of the file on this machine, or the known first digits of the published file's


def weights_at_hand(
    backbones: str | Iterable[str] = (), *, prompts: bool = False, download: bool = False
) -> Iterator[FileAtHand]:
    """Yield each published file with its state on this machine.

    Args:
        backbones: One or several, as ``'RN50'`` or, with a tag, ``'ViT-B/32:laion2b_s34b_b79k'``; default all.
        prompts: Add pyiqa's files: learned prompts, towers of QualiCLIP and LIQE, and a head.
        download: Download files that are not on this machine.
    """
    if not isinstance(backbones, str):
        check_list("backbones", backbones)
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    is_everything = not named and not prompts
    if is_everything:
        named = list(BACKBONES)
    files = list[PublishedFile]()
    for name in named:
        backbone, _, tag = name.partition(":")
        files.append(published_clip(canonical_backbone(backbone), tag))
    if is_everything or prompts:
        files += [pyiqa_file(name) for name in PYIQA_FILES]
    return (_at_hand(file, download) for file in files)


def _at_hand(file: PublishedFile, download: bool) -> FileAtHand:
    """Return a file with its state, after a download if one is wanted."""
    try:
        copy: Copy | None
        if download:
            copy = obtained_file(file)
        else:
            search_here = search(file)
            warn_of_left_out(file, search_here.problems)
            copy = search_here.copy
        if copy is None:
            state = State.MISSING_OFFLINE if constants.HF_HUB_OFFLINE else State.TO_DOWNLOAD
            return FileAtHand(file.title, state, " or ".join(download_addresses(file)), sha256=file.sha256)
        state = State.FOUND if _is_published(copy, file) else State.NOT_PUBLISHED
    except WeightsError as error:
        return FileAtHand(file.title, State.FAILED if download else State.DAMAGED, str(error).splitlines()[0])
    return FileAtHand(file.title, state, f"{copy.place}: {copy.path}", copy.path.stat().st_size, copy.sha256)


def _is_published(copy: Copy, file: PublishedFile) -> bool:
    """Return whether a copy is the published file; raise WeightsError if it does not hold the file's CLIP."""
    if file.title not in PYIQA_FILES:
        return weights_by_name(copy, file).tag == file.tag
    if file.backbone:  # pyiqa's file holds a tower
        checked_weights(copy, file)
    return True
