"""Copies of published files on this machine: where they may lie, and whether their hashes are right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants

from ..errors import WeightsError
from ..files import remembered_sha256
from ..text import log
from .published_file import PublishedFile

VARIABLE = "CLIPIQA_WEIGHTS_DIR"


class Place(StrEnum):
    """Where a file was found, as users read it."""

    GIVEN = "given path"
    USERS_FOLDER = VARIABLE
    HUB_CACHE = "hub cache"
    CACHE = "cache"
    PACKAGE = "this package"
    DOWNLOAD = "download"


class Copy(NamedTuple):
    """A file on this machine."""

    path: Path
    place: Place
    sha256: str


class Candidate(NamedTuple):
    """A file that may be a copy of a published file."""

    path: Path
    place: Place
    hashes: tuple[str, ...]  # that are accepted, or their first digits; with none, any file is accepted


class Search(NamedTuple):
    """What a search of this machine for a published file gave."""

    copy: Copy | None  # the first good one
    problems: list[str]  # of the copies that come before it


def search(file: PublishedFile) -> Search:
    """Return what this machine has of a file; raise WeightsError if the copy in the user's folder is damaged."""
    problems = list[str]()
    for path, place, expected in candidates(file):
        sha256 = remembered_sha256(path)
        if not expected or sha256.startswith(expected):
            return Search(Copy(path, place, sha256), problems)
        hashes = " or ".join(f"{start[:8]}…" for start in expected)
        # The real path, not the hub's link: if a user deletes only the link, the hub links the same file again.
        problem = f"{path.resolve()} is damaged or another file: its SHA-256 is {sha256[:8]}…, not {hashes}"
        if place is Place.USERS_FOLDER:
            raise WeightsError(f"{problem}; copy it again, or delete the file.")
        problems.append(problem)
    return Search(None, problems)


def warn_of_left_out(file: PublishedFile, problems: Iterable[str]) -> None:
    """Log what a search left out: damaged copies, and a user's folder that does not exist."""
    folder = users_folder()
    if folder is not None and not folder.is_dir() and download_addresses(file):
        _warn_of_folder(folder)
    for problem in problems:
        log.warning(f"{problem}; this copy is not used: delete the file.")


def candidates(file: PublishedFile) -> Iterator[Candidate]:
    """Yield the files on this machine that may be copies, in the order in which they are preferred."""
    can_be_downloaded = bool(download_addresses(file))
    folder = users_folder()
    if folder is not None and can_be_downloaded:
        yield from _candidates_of_user(file, folder)
    yield from _candidates_in_hub_cache(file)
    place = Place.CACHE if can_be_downloaded else Place.PACKAGE
    for folder in file.caches:
        for name in file.names:
            path = folder / name
            if path.is_file():
                yield Candidate(path, place, file.hashes)


def _candidates_of_user(file: PublishedFile, folder: Path) -> Iterator[Candidate]:
    for name in file.names:
        path = folder / name
        if path.is_file():
            # Users convert weights to .safetensors; with an unknown hash, they count as unpublished.
            yield Candidate(path, Place.USERS_FOLDER, () if path.suffix == ".safetensors" else file.hashes)


def _candidates_in_hub_cache(file: PublishedFile) -> Iterator[Candidate]:
    for name in file.hub_names:
        for path in sorted(file.hub_folder.glob(f"snapshots/*/{name}")):
            blob = path.readlink().name if path.is_symlink() else ""
            expected = file.hub_hash(name, blob)
            yield Candidate(path, Place.HUB_CACHE, (expected,) if expected else ())


def users_folder() -> Path | None:
    """Return the folder of weights that the user names, which may not exist; None if none is named."""
    name = os.environ.get(VARIABLE)
    return Path(name).expanduser() if name else None


@cache
def _warn_of_folder(folder: Path) -> None:
    log.warning(f"{VARIABLE} names {folder}, which is not a folder and is ignored.")


def download_addresses(file: PublishedFile) -> list[str]:
    """Return the addresses to download a file from, the hub's repository first."""
    repositories = [f"{constants.ENDPOINT}/{file.hub}"] if file.hub else []
    return [*repositories, *file.urls]
