"""The published weights and prompts on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from ..errors import WeightsError
from ..errors.arguments import checked
from ..files.writing import check_output, replacing, write_text
from .architecture import BACKBONES, canonical_backbone
from .published import PYIQA_FILES, PublishedFile, pyiqa_file, release
from .selection import VARIABLE, Copy, copies, copies_in_folder, download_places, find_file, read_sums, weights_in


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state, on this machine or in a folder."""

    title: str  # such as 'RN50 (openai)'
    state: str
    where: str  # the place and path of the file, the address to download from, or the problem
    size: int | None = None  # in bytes; None if the file is not on this machine
    sha256: str = ""  # of the file on this machine, or the known first digits of the published file's


@dataclass(frozen=True)
class WeightsAtHand:
    """The state of several published files."""

    files: tuple[FileAtHand, ...]

    @property
    def complete(self) -> bool:
        """Whether no file is damaged or failed."""
        return not any(file.state in ("damaged", "failed") for file in self.files)


@checked
def weights_at_hand(
    backbones: str | Iterable[str] = (),
    *,
    prompts: bool = False,
    download_to: str | Path | None = None,
    report: Callable[[FileAtHand], object] = lambda file: None,
) -> WeightsAtHand:
    """Return the state of the published files on this machine, or fill a folder with them.

    Args:
        backbones: One or several, as ``'RN50'`` or, with a tag, ``'ViT-B/32:laion2b_s34b_b79k'``; default all.
        prompts: Add the published prompts of CLIP-IQA+.
        download_to: A folder for ``CLIPIQA_WEIGHTS_DIR`` that gets the files; None downloads nothing.
        report: Receives each file with its state.

    Raises:
        WeightsError: A backbone or tag is unknown. For a problem with a file, see its state.

    Example:
        >>> [file.state for file in weights_at_hand("mini").files]
        ['found']
    """
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    everything, found = not named and not prompts, []
    parts = [name.partition(":") for name in (BACKBONES if everything else named)]
    wanted = [release(canonical_backbone(backbone), tag) for backbone, _, tag in parts]
    for file in [*wanted, *map(pyiqa_file, PYIQA_FILES if everything or prompts else ())]:
        found.append(_look(file) if download_to is None else _fetch(Path(download_to), file))
        report(found[-1])
    return WeightsAtHand(tuple(found))


def _look(file: PublishedFile) -> FileAtHand:
    """Return a good copy, else a damaged copy, else the places to download from."""
    damaged = None
    for copy in copies(file):
        where, size, problem = f"{copy.source}: {copy.path}", copy.path.stat().st_size, _problem(copy, file)
        if not problem:
            return FileAtHand(file.title, "found", where, size, copy.sha256)
        damaged = damaged or FileAtHand(file.title, "damaged", f"{where}: {problem}", size, copy.sha256)
        if copy.source == VARIABLE:  # the user chose this folder, so no other copy is used instead
            break
    state = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
    return damaged or FileAtHand(file.title, state, " or ".join(download_places(file)), sha256=file.sha256)


def _problem(copy: Copy, file: PublishedFile) -> str:
    try:
        if not copy.problem and file.backbone:
            weights_in(copy, file)
        return copy.problem
    except WeightsError as error:
        return str(error)


def _fetch(folder: Path, file: PublishedFile) -> FileAtHand:
    if not download_places(file):
        return FileAtHand(file.title, "not copied", "the file is part of this package")
    try:
        state = "already there"
        copy = next((copy for copy in copies_in_folder(folder, file) if not _problem(copy, file)), None)
        path = copy.path if copy else folder
        if copy is None:
            state, copy = "copied", find_file(file)
            if problem := _problem(copy, file):
                raise WeightsError(problem)
            name = next((name for name in file.names if Path(name).suffix == copy.path.suffix), file.names[-1])
            folder.mkdir(parents=True, exist_ok=True)
            sums = read_sums(folder)
            way_out = "move it away, or name another folder"
            path = check_output(folder / name, overwrite=name in sums, way_out=way_out)
            with replacing(path) as partial:
                shutil.copyfile(copy.path, partial)
            sums[name] = copy.sha256
            write_text(folder / "SHA256SUMS", "".join(f"{sums[key]}  {key}\n" for key in sorted(sums)))
        return FileAtHand(file.title, state, str(path), path.stat().st_size, copy.sha256)
    except (WeightsError, OSError) as error:
        return FileAtHand(file.title, "failed", str(error).splitlines()[0])
