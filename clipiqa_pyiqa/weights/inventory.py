"""The published weights and prompts on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from huggingface_hub import constants

from ..errors import WeightsError
from ..errors.arguments import checked
from .architecture import BACKBONES, canonical_backbone
from .published import PYIQA_FILES, PublishedFile, pyiqa_file, release
from .selection import VARIABLE, copies, download_places, find_file, weights_in


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state on this machine."""

    title: str  # such as 'RN50 (openai)'
    state: str
    where: str  # the place and path of the file, the address to download from, or the problem
    size: int | None = None  # in bytes; None if the file is not on this machine
    sha256: str = ""  # of the file on this machine, or the known first digits of the published file's

    @property
    def is_bad(self) -> bool:
        return self.state in ("damaged", "failed")


@checked
def weights_at_hand(
    backbones: str | Iterable[str] = (), *, prompts: bool = False, download: bool = False
) -> Iterator[FileAtHand]:
    """Yield each published file with its state on this machine.

    Args:
        backbones: One or several, as ``'RN50'`` or, with a tag, ``'ViT-B/32:laion2b_s34b_b79k'``; default all.
        prompts: Add the published prompts of CLIP-IQA+.
        download: Download missing files into the caches.

    Raises:
        WeightsError: A backbone or tag is unknown. For a problem with a file, see its state.

    Example:
        >>> [file.state for file in weights_at_hand("mini")]
        ['found']
    """
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    everything = not named and not prompts
    parts = [name.partition(":") for name in (BACKBONES if everything else named)]
    wanted = [release(canonical_backbone(backbone), tag) for backbone, _, tag in parts]
    wanted += map(pyiqa_file, PYIQA_FILES if everything or prompts else ())
    return (_look(file, download) for file in wanted)


def _look(file: PublishedFile, download: bool) -> FileAtHand:
    damaged = None
    try:
        if download:
            find_file(file)
        for copy in copies(file):
            facts = (f"{copy.source}: {copy.path}", copy.path.stat().st_size, copy.sha256)
            problem = copy.problem
            try:
                if not problem and file.backbone:
                    weights_in(copy, file)
            except WeightsError as error:
                problem = str(error)
            if not problem:
                return FileAtHand(file.title, "found", *facts)
            damaged = damaged or FileAtHand(file.title, "damaged", f"{facts[0]}: {problem}", *facts[1:])
            if copy.source == VARIABLE:  # the user chose this folder, so no other copy is used instead
                break
    except WeightsError as error:
        return FileAtHand(file.title, "failed", str(error).splitlines()[0])
    state = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
    return damaged or FileAtHand(file.title, state, " or ".join(download_places(file)), sha256=file.sha256)
