"""Which published weights and prompts this machine has, where the others would come from, and folders of them."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import WeightsError
from ..files.writing import check_output, write_text
from . import search
from .folder import VARIABLE, add_to_folder
from .published import PublishedFile, Release, release, usual_tag
from .published_prompts import PROMPT_FILES, prompt_file
from .selection import BACKBONES, canonical_backbone, weights_in

State = (
    Literal["found", "would be downloaded", "missing (offline)", "damaged"]
    | Literal["copied", "already there", "not copied", "failed"]
)
_COLUMNS = ("file", "state", "size", "sha256", "where")


@dataclass(frozen=True)
class FileAtHand:
    """A published file and what this machine has of it.

    Attributes:
        title: Which one, such as ``'RN50 (openai)'``.
        state: ``'found'``, ``'damaged'``, ``'would be downloaded'`` or ``'missing (offline)'``; of a folder that is
            filled ``'copied'``, ``'already there'``, ``'not copied'`` (since every installation has it) or
            ``'failed'``.
        where: The place and the path, or where it would be downloaded, or what is wrong.
        size: In bytes; None if it is not here.
        sha256: Of what is here; or else what is known of the published file's, which may be its beginning or nothing.
    """

    title: str
    state: State
    where: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class WeightsAtHand:
    """Published files, one after another."""

    files: tuple[FileAtHand, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is damaged, and nothing failed to come into the folder."""
        return not any(file.state in ("damaged", "failed") for file in self.files)

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write a CSV file of ``file``, ``state``, ``size`` (in bytes), ``sha256`` and ``where``.

        Raises:
            OutputError: It cannot be written, or exists already.
        """
        target, text = check_output(path, overwrite=overwrite), io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((file.title, file.state, file.size, file.sha256, file.where) for file in self.files)
        write_text(target, text.getvalue())
        return target


def weights_at_hand(
    backbones: str | Iterable[str] = (),
    *,
    prompts: bool = False,
    revision: str | None = None,
    download_to: str | Path | None = None,
    report: Callable[[FileAtHand], object] = lambda file: None,
) -> WeightsAtHand:
    """What this machine has of the published files, or a folder of them: all that ``clipiqa weights`` does.

    Args:
        backbones: ``'RN50'``, or ``'ViT-B/32:laion2b_s34b_b79k'`` with a tag of open_clip; one or several. Without any,
            and without ``prompts``, every file.
        prompts: The published prompts of CLIP-IQA+: only these, or beside the backbones that are named.
        revision: Of the hub's repository, in place of the one that is known by its hash.
        download_to: Put the files into this folder, for ``CLIPIQA_WEIGHTS_DIR``: what is on this machine is copied, the
            rest downloaded. Without it nothing is downloaded.
        report: Told of each file as soon as it is known what became of it.

    Raises:
        WeightsError: There is no such backbone, tag or revision. What goes wrong with a file is its state.

    Example:
        >>> [file.state for file in weights_at_hand("mini").files]
        ['found']
    """
    wanted = _wanted([backbones] if isinstance(backbones, str) else list(backbones), prompts)
    if revision:
        wanted = [(_at_revision(file, revision), known) for file, known in wanted]
    found = []
    for file, known in wanted:
        found.append(_look(file, known) if download_to is None else _fetch(Path(download_to), file, known))
        report(found[-1])
    return WeightsAtHand(tuple(found))


def _wanted(backbones: list[str], prompts: bool) -> list[tuple[PublishedFile, Release | None]]:
    """What the arguments name, everything if they name nothing; the release is None for prompt files."""
    everything = not backbones and not prompts
    wanted: list[tuple[PublishedFile, Release | None]] = []
    for name in BACKBONES if everything else backbones:
        backbone, _, tag = name.partition(":")
        name = canonical_backbone(backbone)
        known = release(name, tag or usual_tag(name))
        wanted.append((known.file, known))
    if everything or prompts:
        wanted += [(prompt_file(name), None) for name in PROMPT_FILES]
    return wanted


def _at_revision(file: PublishedFile, revision: str) -> PublishedFile:
    """A file as it is at another revision of its repository on the hub, of which no hash is known."""
    if not file.hub:
        raise WeightsError(f"--revision is one of a repository on the hub, and {file.title} is in none: leave it out.")
    return dataclasses.replace(file, revision=revision, hub_sha256="", caches=(), urls=())


def _look(file: PublishedFile, known: Release | None) -> FileAtHand:
    """The copy that would be used; or else the first damaged one; or else where it would be downloaded."""
    damaged = None
    for copy in search.copies(file):
        problem = _problem(copy, known)
        where = f"{copy.source}: {copy.path}"
        here = FileAtHand(file.title, "found", where, copy.path.stat().st_size, copy.sha256)
        if not problem:
            return here
        damaged = damaged or dataclasses.replace(here, state="damaged", where=f"{where}: {problem}")
        if copy.source == VARIABLE:  # the user chose that folder: nothing is used in its place
            break
    state: State = "missing (offline)" if search.is_offline() else "would be downloaded"
    return damaged or FileAtHand(file.title, state, " or ".join(search.download_places(file)), sha256=file.sha256)


def _problem(copy: search.Copy, known: Release | None) -> str:
    """Why a copy cannot be used, in words; empty if it can."""
    if copy.damage or known is None:
        return copy.damage
    try:
        weights_in(copy, known)
    except WeightsError as error:
        return str(error)
    return ""


def _fetch(folder: Path, file: PublishedFile, known: Release | None) -> FileAtHand:
    """A file in the folder of weights, put there unless it was already."""
    if file.bundled:
        return FileAtHand(file.title, "not copied", "every installation of this package has it")
    try:
        for copy in search.copies_in_folder(folder, file):
            if not _problem(copy, known):
                size = copy.path.stat().st_size
                return FileAtHand(file.title, "already there", str(copy.path), size, copy.sha256)
        copy = search.find(file)
        if problem := _problem(copy, known):
            raise WeightsError(problem)
        target = add_to_folder(folder, copy.path, file.folder_name(copy.path))
        return FileAtHand(file.title, "copied", str(target), target.stat().st_size, copy.sha256)
    except (WeightsError, OSError) as error:
        reason = str(error).splitlines()[0].removeprefix(file.title).lstrip()
        return FileAtHand(file.title, "failed", reason)
