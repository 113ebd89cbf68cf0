"""Which published weights and prompts this machine has, where the others would come from, and folders of them."""

from __future__ import annotations

import csv
import io
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
    """A published file and what this machine has of it.

    ``state`` is ``'found'``, ``'damaged'``, ``'would be downloaded'`` or ``'missing (offline)'``; of a folder that is
    filled ``'copied'``, ``'already there'``, ``'not copied'`` (since every installation has it) or ``'failed'``.
    """

    title: str  # such as 'RN50 (openai)'
    state: str
    where: str  # the place and the path, or where it would be downloaded, or what is wrong
    size: int | None = None  # in bytes; None if it is not here
    sha256: str = ""  # of what is here; or else what is known of the published file's, which may be its beginning


@dataclass(frozen=True)
class WeightsAtHand:
    """Published files, one after another."""

    files: tuple[FileAtHand, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is damaged, and nothing failed to come into the folder."""
        return not any(file.state in ("damaged", "failed") for file in self.files)

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write a CSV file of ``file``, ``state``, ``size`` (in bytes), ``sha256`` and ``where``."""
        target, text = check_output(path, overwrite=overwrite), io.StringIO()
        rows = [(file.title, file.state, file.size, file.sha256, file.where) for file in self.files]
        csv.writer(text, lineterminator="\n").writerows([("file", "state", "size", "sha256", "where"), *rows])
        write_text(target, text.getvalue())
        return target


@checked
def weights_at_hand(
    backbones: str | Iterable[str] = (),
    *,
    prompts: bool = False,
    download_to: str | Path | None = None,
    report: Callable[[FileAtHand], object] = lambda file: None,
) -> WeightsAtHand:
    """Return what this machine has of the published files, or fill a folder with them, as ``clipiqa weights`` does.

    Args:
        backbones: ``'RN50'``, or ``'ViT-B/32:laion2b_s34b_b79k'`` with a tag of open_clip; one or several. Without any,
            and without ``prompts``, every file.
        prompts: The published prompts of CLIP-IQA+: only these, or beside the backbones that are named.
        download_to: Put the files into this folder, for ``CLIPIQA_WEIGHTS_DIR``: what is on this machine is copied, the
            rest downloaded. Without it nothing is downloaded.
        report: Called with each file as soon as it is known what became of it.

    Raises:
        WeightsError: There is no such backbone or tag. What goes wrong with a file is its state.

    Example:
        >>> [file.state for file in weights_at_hand("mini").files]
        ['found']
    """
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    everything, wanted, found = not named and not prompts, [], []
    for backbone, _, tag in (name.partition(":") for name in (BACKBONES if everything else named)):
        wanted.append(release(canonical_backbone(backbone), tag))
    if everything or prompts:
        wanted += map(pyiqa_file, PYIQA_FILES)
    for file in wanted:
        found.append(_look(file) if download_to is None else _fetch(Path(download_to), file))
        report(found[-1])
    return WeightsAtHand(tuple(found))


def _look(file: PublishedFile) -> FileAtHand:
    """The copy that would be used; or else the first damaged one; or else where it would be downloaded."""
    damaged = None
    for copy in copies(file):
        where, size, problem = f"{copy.source}: {copy.path}", copy.path.stat().st_size, _problem(copy, file)
        if not problem:
            return FileAtHand(file.title, "found", where, size, copy.sha256)
        damaged = damaged or FileAtHand(file.title, "damaged", f"{where}: {problem}", size, copy.sha256)
        if copy.source == VARIABLE:  # the user chose that folder: nothing is used in its place
            break
    state = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
    return damaged or FileAtHand(file.title, state, " or ".join(download_places(file)), sha256=file.sha256)


def _problem(copy: Copy, file: PublishedFile) -> str:
    """Why a copy cannot be used, in words; empty if it can."""
    try:
        if not copy.problem and file.backbone:
            weights_in(copy, file)
        return copy.problem
    except WeightsError as error:
        return str(error)


def _fetch(folder: Path, file: PublishedFile) -> FileAtHand:
    """A file in the folder of weights, put there unless it was already."""
    if not download_places(file):
        return FileAtHand(file.title, "not copied", "every installation of this package has it")
    try:
        there = next((copy for copy in copies_in_folder(folder, file) if not _problem(copy, file)), None)
        copy = there or find_file(file)
        if problem := _problem(copy, file):
            raise WeightsError(problem)
        path = copy.path if there else _add_to_folder(folder, copy, file)
        state = "already there" if there else "copied"
        return FileAtHand(file.title, state, str(path), path.stat().st_size, copy.sha256)
    except (WeightsError, OSError) as error:
        return FileAtHand(file.title, "failed", str(error).splitlines()[0])


def _add_to_folder(folder: Path, copy: Copy, file: PublishedFile) -> Path:
    """Copy a file into the folder, list its hash in ``SHA256SUMS``, and return its path there."""
    name = next((name for name in file.names if Path(name).suffix == copy.path.suffix), file.names[-1])
    folder.mkdir(parents=True, exist_ok=True)
    sums = read_sums(folder)
    target = check_output(folder / name, overwrite=name in sums, way_out="move it away, or name another folder")
    with replacing(target) as partial:
        shutil.copyfile(copy.path, partial)
    sums[name] = copy.sha256
    write_text(folder / "SHA256SUMS", "".join(f"{sums[key]}  {key}\n" for key in sorted(sums)))
    return target
