"""The images and shards that names stand for: files, folders, patterns and addresses in stores."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from ...errors import Kind
from ...text import first_of
from ..images.formats import VIDEOS, image_suffixes, skipped_note, unreadable_suffixes
from ..images.image import File, Image, NoImage
from .addresses import is_remote, suffix_of
from .braces import expanded, has_braces
from .image_files import image_at
from .paths import matches_of
from .shard_classes import shard_class
from .shards import ARCHIVES, TABLES, Shard
from .stores import files_below, in_store

Source = Image | Shard
"""What paths name: an image, or a shard of images."""


@dataclass
class FoundSources:
    """The images and shards that names stand for, in order, without duplicates.

    Attributes:
        has_archives: Whether archives and videos beside images are found, too.
        shard_options: ``keep``, ``image_column`` and ``sampling`` of shards.
        problems: Path -> why the path has no images.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    has_archives: bool
    shard_options: Mapping[str, Any]
    sources: list[Source] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    @property
    def note(self) -> str:
        """What to do about skipped photos; empty if there are none."""
        return skipped_note(self.skipped)

    @property
    def problem(self) -> str:
        """The first problem, and the number of others; empty if there is none."""
        return first_of(self.problems.values())

    @property
    def is_empty(self) -> bool:
        return all(source.name in self.problems for source in self.sources)

    @property
    def has_shards(self) -> bool:
        return any(isinstance(source, Shard) for source in self.sources)

    @property
    def paths(self) -> list[str]:
        return [source.name for source in self.sources if isinstance(source, File)]

    def add(self, name: str) -> None:
        """Add what a name stands for: a file, the files of a folder, or what matches a pattern."""
        if not os.path.lexists(name) and _is_pattern(name):
            self._add_pattern(name)
        else:
            self.add_literal(name)

    def add_literal(self, name: str) -> None:
        """Add what a name stands for, in which braces and wildcards mean themselves: a file, or those of a folder."""
        if is_remote(name):
            self._add_from_store(name)
        elif os.path.isdir(name):
            self._add_folder(name)
        elif os.path.lexists(name):
            self._add_files([name], name)
        elif shard_class(name):
            # its name is a shard's, though nothing is there: it cannot be read now, but the next run tries again
            self.problems[name] = NoImage(name, "does not exist").problem
            self._add_files([name], name)
        else:
            self.add_missing(name, "does not exist", Kind.MISSING)

    def add_missing(self, name: str, why: str, kind: Kind) -> None:
        """Let a ``NoImage`` stand for a path that names no image."""
        if name not in self.problems:
            missing = NoImage(name, why, kind)
            self.sources.append(missing)
            self.problems[name] = missing.problem

    def _add_pattern(self, pattern: str) -> None:
        """Add what a pattern of braces or a glob stands for."""
        if has_braces(pattern):
            for name in expanded(pattern):
                self.add(name)
            return
        matches = matches_of(pattern)
        for name in matches:
            self.add_literal(name)
        if not matches:
            self.add_missing(pattern, "matches nothing", Kind.MISSING)

    def _add_from_store(self, name: str) -> None:
        """Add what an address of a store or a web server stands for."""
        with in_store(name):
            pass  # raises if the store's package is missing
        if _is_web(name) or suffix_of(name) in image_suffixes() or shard_class(name):
            self._add_files([name], name)  # a missing file is noticed when it is read
        else:
            self._add_folder(name)

    def _add_folder(self, folder: str) -> None:
        """Add the sources in a folder, on this machine or in a store."""
        below = files_below(folder)
        for unreadable_folder, why in below.unreadable.items():
            self.add_missing(unreadable_folder, f"is a folder that cannot be read: {why}", Kind.UNREADABLE)
        usable_files = self._usable(below.files)
        skipped = _skipped_suffixes(below.files, usable_files)
        self.skipped.update(skipped)
        self._add_files(usable_files, folder)
        if usable_files:
            return
        if is_remote(folder):  # a store has no empty folders
            self.add_missing(folder, "does not exist", Kind.MISSING)
        else:
            why = ", ".join(filter(None, ["is a folder without image files", skipped_note(skipped)]))
            self.add_missing(folder, why, Kind.EMPTY)

    def _add_files(self, files: Sequence[str], name: str) -> None:
        """Add the files that a name stands for, each once."""
        bare_name = name.rstrip(f"/{os.sep}")
        full = bare_name if is_remote(name) else os.path.abspath(name)
        for file in files:
            identity = full + file[len(bare_name) :]  # os.path.abspath for each file would take long
            if identity not in self._seen:
                self._seen.add(identity)
                shard = shard_class(file)
                self.sources.append(shard(file, **self.shard_options) if shard else image_at(file))

    def _usable(self, files: Sequence[str]) -> list[str]:
        """Return the images and archives among a folder's files; without these, Parquet files, often results."""
        images = tuple(image_suffixes())
        archives: tuple[str, ...] = ARCHIVES
        if find_spec("av"):
            archives += VIDEOS
        kinds = [images + archives] if self.has_archives else [images, archives]
        for suffixes in (*kinds, TABLES):
            files_of_kind = [file for file in files if file.lower().endswith(suffixes)]
            if files_of_kind:
                return files_of_kind
        return []


def _skipped_suffixes(files: Iterable[str], usable_files: Iterable[str]) -> Counter[str]:
    """Return the number of photos in unreadable formats by suffix; a RAW file or a video beside its JPEG is none."""
    usable_stems = {os.path.splitext(file)[0] for file in usable_files}
    unreadable = unreadable_suffixes().union(VIDEOS)
    skipped = Counter[str]()
    for file in files:
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in unreadable and stem not in usable_stems:
            skipped[suffix.lower()] += 1
    return skipped


def _is_pattern(name: str) -> bool:
    """Return whether a name has braces or wildcards; in a web address, ``?`` is none."""
    return has_braces(name) or (glob.has_magic(name) and not _is_web(name))


def _is_web(name: str) -> bool:
    return name.startswith(("http://", "https://"))
