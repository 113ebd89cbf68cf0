"""The images that paths name: files, folders, globs, brace patterns, shards, lists and addresses in stores."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from ...checks import FilePath
from ...errors import ImageError, Kind
from ...logger import log
from ...text import first_of, shown
from ..images.formats import VIDEOS, image_suffixes, skipped_note, unreadable_suffixes
from ..images.image import File, Image, NoImage
from .addresses import address_of, is_remote, suffix_of
from .braces import expanded, has_braces
from .image_files import image_at
from .paths import each_of, matches_of
from .picture_folders import check_pictures_outside
from .shards import ARCHIVES, TABLES, Shard
from .stores import files_below, in_store
from .videos import SAMPLING, Sampling, VideoShard

Source = Image | Shard
"""What paths name: an image, or a shard of images."""


@dataclass
class FoundSources:
    """Images that paths name, in order, without duplicates.

    Attributes:
        can_be_archives: Whether archives and videos beside images are found, too.
        shard_options: ``keep``, ``image_column`` and ``sampling`` of shards.
        problems: Path -> why the path has no images.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    can_be_archives: bool
    shard_options: Mapping[str, Any]
    items: list[Source] = field(default_factory=list)
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
        return all(item.name in self.problems for item in self.items)

    @property
    def has_shards(self) -> bool:
        return any(isinstance(item, Shard) for item in self.items)

    @property
    def paths(self) -> list[str]:
        return [item.name for item in self.items if isinstance(item, File)]

    def add(self, name: str, patterns: bool = True) -> None:
        """Add what a name stands for: a file, the files of a folder, or, with ``patterns``, what matches it."""
        if is_remote(name):
            self._add_from_store(name, patterns)
        elif os.path.isdir(name):
            self._add_folder(name)
        elif os.path.lexists(name):
            self._add_files([name], name)
        elif patterns and (has_braces(name) or glob.has_magic(name)):
            self._add_pattern(name)
        elif shard_class(name):
            # its name is a shard's, though nothing is there: it cannot be read now, but the next run tries again
            self.problems[name] = NoImage(name, "does not exist").problem
            self._add_files([name], name)
        else:
            self.add_missing(name, "does not exist", Kind.MISSING)

    def _add_folder(self, folder: str) -> None:
        """Add the sources in a folder, on this machine or in a store."""
        files = files_below(folder, self.add_missing)
        usable_files = self._usable(files)
        skipped = _skipped_suffixes(files, usable_files)
        self.skipped.update(skipped)
        self._add_files(usable_files, folder)
        if usable_files:
            return
        if is_remote(folder):  # a store has no empty folders
            self.add_missing(folder, "does not exist", Kind.MISSING)
        else:
            why = ", ".join(filter(None, ["is a folder without image files", skipped_note(skipped)]))
            self.add_missing(folder, why, Kind.EMPTY)

    def _add_pattern(self, pattern: str) -> None:
        """Add what a pattern of braces or a glob stands for."""
        if has_braces(pattern):
            self._add_all(expanded(pattern), patterns=True)
            return
        matches = matches_of(pattern)
        self._add_all(matches, patterns=False)
        if not matches:
            self.add_missing(pattern, "matches nothing", Kind.MISSING)

    def _add_from_store(self, name: str, patterns: bool) -> None:
        """Add what an address of a store or a web server stands for."""
        if patterns and (has_braces(name) or (glob.has_magic(name) and not _is_web(name))):
            self._add_pattern(name)
            return
        with in_store(name):
            pass  # raises if the store's package is missing
        if _is_web(name) or suffix_of(name) in image_suffixes() or shard_class(name):
            self._add_files([name], name)  # a missing file is noticed when it is read
        else:
            self._add_folder(name)

    def _add_all(self, names: Iterable[str], patterns: bool) -> None:
        for name in names:
            self.add(name, patterns)

    def _add_files(self, files: Sequence[str], name: str) -> None:
        """Add the files that a name stands for, each once."""
        bare_name = name.rstrip(f"/{os.sep}")
        full = bare_name if is_remote(name) else os.path.abspath(name)
        for file in files:
            identity = full + file[len(bare_name) :]  # os.path.abspath for each file would take long
            if identity not in self._seen:
                self._seen.add(identity)
                shard = shard_class(file)
                self.items.append(shard(file, **self.shard_options) if shard else image_at(file))

    def add_missing(self, name: str, why: str, kind: Kind) -> None:
        """Let a ``NoImage`` stand for a path that names no image."""
        if name not in self.problems:
            missing = NoImage(name, why, kind)
            self.items.append(missing)
            self.problems[name] = missing.problem

    def _usable(self, files: Sequence[str]) -> list[str]:
        """Return the images and archives among a folder's files; without these, Parquet files, often results."""
        images = tuple(image_suffixes())
        archives: tuple[str, ...] = ARCHIVES
        if find_spec("av"):
            archives += VIDEOS
        kinds = [images + archives] if self.can_be_archives else [images, archives]
        alike = ([file for file in files if file.lower().endswith(kind)] for kind in (*kinds, TABLES))
        return next(filter(None, alike), [])


def _skipped_suffixes(files: Iterable[str], usable_files: Iterable[str]) -> Counter[str]:
    """Return the number of photos in unreadable formats by suffix; a RAW file or a video beside its JPEG is none."""
    usable_stems = {os.path.splitext(file)[0] for file in usable_files}
    missed = unreadable_suffixes().union(VIDEOS)
    skipped = Counter[str]()
    for file in files:
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in missed and stem not in usable_stems:
            skipped[suffix.lower()] += 1
    return skipped


def _is_web(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def shard_class(name: str) -> Any:
    """Return the class of a shard with this name; None if it is no shard."""
    name = name.lower()
    if name.endswith(TABLES):
        from .parquet import ParquetShard  # imported here, so that photos do not wait for shards

        return ParquetShard
    if name.endswith(ARCHIVES):
        from .tar import TarShard

        return TarShard
    return VideoShard if name.endswith(VIDEOS) else None


def find_sources(
    paths: Any,
    *,
    null_separated: bool = False,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    archives: bool = True,
    sampling: str = SAMPLING,
) -> FoundSources:
    """Return the images and shards that paths name.

    A folder means its images, archives and videos, or else its Parquet files. A path may be a glob, a brace pattern
    (``{000..099}``, ``{a,b}``) or ``-``, names on standard input.

    Args:
        paths: A path, an address, an image, a shard, or several of these.
        null_separated: Names on standard input end with a NUL byte.
        archives: Also find archives and videos beside images.
        sampling: As for :func:`~clipiqa_pyiqa.score_paths`.

    Raises:
        ShardError: A store cannot be used.
    """
    Sampling.of(sampling)  # raises for another text
    shard_options = {"keep": tuple(keep), "image_column": image_column, "sampling": sampling}
    sources = FoundSources(archives, shard_options)
    for item in each_of(paths):
        if isinstance(item, Image | Shard):
            sources.items.append(item)
        elif not isinstance(item, str | os.PathLike):
            raise ImageError(f"sources must be paths, images or shards; got {shown(item)}.")
        elif os.fspath(item) == "-":
            _add_names(sources, _names_on_standard_input(null_separated))
        else:
            name = address_of(item)
            if is_remote(name):
                with in_store(name) as (fs, _):
                    fs.clear_instance_cache()  # of any thread: else a stamp could be that of an earlier listing
            sources.add(name)
    return sources


def _names_on_standard_input(null_separated: bool) -> list[str]:
    """Return the names that standard input lists; none if it is closed."""
    if sys.stdin is None:
        return []
    lines = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip()]


def _add_names(sources: FoundSources, names: Sequence[str]) -> None:
    """Add the names of a list, in which braces and wildcards mean themselves."""
    for name in names:
        sources.add(name, patterns=False)
    if not names:
        sources.add_missing("-", "is a list on standard input, which is empty", Kind.EMPTY)


def tell_skipped(*searches: FoundSources) -> None:
    """Log how many photos in unreadable formats each search has skipped."""
    for sources in searches:
        if sources.note:
            log.info(sources.note)


def find_inputs(paths: Any, out: FilePath | None = None) -> list[str]:
    """Return the image files on this machine that paths name, and tell of skipped ones.

    Raises ``ImageError`` for other paths, and for none.

    Args:
        out: As ``folder`` of :func:`check_pictures_outside`.
    """
    paths = list(each_of(paths))
    check_pictures_outside(out, paths)
    sources = find_sources(paths, archives=False)
    tell_skipped(sources)
    for item in sources.items:
        if not isinstance(item, File):
            sources.problems.setdefault(item.name, f"{item.name!r} is not an image file or a folder on this machine")
    if sources.problems or not sources.items:
        raise ImageError(f"{sources.problem or 'there are no images'}: name images or folders of images.")
    return sources.paths
