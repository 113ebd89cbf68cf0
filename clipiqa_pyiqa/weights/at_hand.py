"""The table of published files, each with its state on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from huggingface_hub import constants

from ..checks import check_list
from ..errors import WeightsError
from .finding import checked_weights, obtained_file, recognised_weights, search
from .published import BACKBONES, PYIQA_FILES, PublishedFile, canonical_backbone, published_clip, pyiqa_file

State = Literal["found", "not published", "damaged", "would be downloaded", "missing (offline)", "failed"]


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state on this machine."""

    title: str  # such as 'RN50 (openai)'
    state: State  # 'failed': to be downloaded
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

    Raises ``WeightsError`` for an unknown backbone or tag.
    """
    if not isinstance(backbones, str):
        check_list("backbones", backbones)
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    is_everything = not named and not prompts
    files = list[PublishedFile]()
    for name in BACKBONES if is_everything else named:
        backbone, _, tag = name.partition(":")
        files.append(published_clip(canonical_backbone(backbone), tag))
    if is_everything or prompts:
        files += [pyiqa_file(name) for name in PYIQA_FILES]
    return (_at_hand(file, download) for file in files)


def _at_hand(file: PublishedFile, download: bool) -> FileAtHand:
    """Return a file with its state, after a download if one is wanted."""
    try:
        copy = obtained_file(file) if download else search(file)
        if copy is None:
            state: State = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
            return FileAtHand(file.title, state, " or ".join(file.addresses), sha256=file.sha256)
        is_published = True
        if file.title not in PYIQA_FILES:
            is_published = recognised_weights(copy, file).tag == file.tag
        elif file.backbone:  # pyiqa's file holds a tower
            checked_weights(copy, file)
    except WeightsError as error:
        return FileAtHand(file.title, "failed" if download else "damaged", str(error).splitlines()[0])
    state = "found" if is_published else "not published"
    return FileAtHand(file.title, state, f"{copy.place}: {copy.path}", copy.path.stat().st_size, copy.sha256)
