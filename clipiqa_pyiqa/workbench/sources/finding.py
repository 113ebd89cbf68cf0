"""The images that paths name: files, folders, globs, brace patterns, shards, lists and addresses in stores."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...checks import FilePath
from ...errors import ImageError, Kind, OutputError
from ...files.writing import resolved
from ...logger import log
from ...text import first_of, shown
from ..images.formats import VIDEOS, image_suffixes, skipped_note, unreadable_suffixes
from ..images.image import File, Image, NoImage
from .stores import (
    ARCHIVES,
    TABLES,
    Shard,
    address_of,
    files_below,
    in_store,
    is_remote,
    source_at,
    suffix_of,
)
from .videos import SAMPLING, VideoShard, parse_sampling

Source = Image | Shard
_BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d{1,18}\.\.\d{1,18})\}")
MOST = 1_000_000  # names that one pattern may have


@dataclass
class Found:
    """Images that paths name, in order, without duplicates.

    Attributes:
        problems: Path -> why the path has no images.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    archives: bool
    how: tuple[Any, ...]  # the shards' keep, image_column and sampling
    items: list[Source] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    @property
    def problem(self) -> str:
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

    def find(self, name: str, patterns: bool = True) -> None:
        why = "does not exist"
        kind = Kind.MISSING
        files = list[str]()
        is_here = not is_remote(name)
        if is_here and os.path.isdir(name):
            before = self.skipped.copy()
            files = self._files_in(name)
            why = ", ".join(filter(None, ["is a folder without image files", skipped_note(self.skipped - before)]))
            kind = Kind.EMPTY
        elif is_here and os.path.lexists(name):
            files = [name]
        elif patterns and _BRACES.search(name):
            self._find_all(expanded(name), patterns=True)
            return
        elif patterns and glob.has_magic(name) and not _is_web(name):
            why = "matches nothing"
            matches = _matches(name)
            self._find_all(matches, patterns=False)
            if matches:
                return
        elif not is_here:
            files = self._files_in_store(name)
        elif shard_class(name):
            self.problems[name] = NoImage(name, why).problem
            files = [name]  # the shard cannot be read now, but the next run tries again
        self._add(files, name, is_here)
        if not files:
            self.note(name, why, kind)

    def _find_all(self, names: Iterable[str], patterns: bool) -> None:
        for name in names:
            self.find(name, patterns)

    def _files_in_store(self, name: str) -> list[str]:
        """Return a file of a store or a web server, or the files of a store's folder."""
        with in_store(name):
            pass  # raises if the store's package is missing
        is_file = _is_web(name) or suffix_of(name) in image_suffixes() or shard_class(name)
        return [name] if is_file else self._files_in(name)  # a missing file is noticed when it is read

    def _add(self, files: Sequence[str], name: str, is_here: bool) -> None:
        """Add the files that a name stands for, each once."""
        bare_name = name.rstrip(f"/{os.sep}")
        full = os.path.abspath(name) if is_here else bare_name
        for file in files:
            identity = full + file[len(bare_name) :]  # os.path.abspath for each file would take long
            if identity not in self._seen:
                self._seen.add(identity)
                shard = shard_class(file)
                self.items.append(shard(file, *self.how) if shard else source_at(file))

    def note(self, name: str, why: str, kind: Kind) -> None:
        if name not in self.problems:
            missing = NoImage(name, why, kind)
            self.items.append(missing)
            self.problems[name] = missing.problem

    def _files_in(self, folder: str) -> list[str]:
        """Return a folder's images and ``archives``; without these, its Parquet files, which are often results."""
        files = files_below(folder, self.note)
        images = tuple(image_suffixes())
        archives: tuple[str, ...] = ARCHIVES
        if find_spec("av"):
            archives += VIDEOS
        kinds = [images + archives] if self.archives else [images, archives]
        alike = ([file for file in files if file.lower().endswith(kind)] for kind in (*kinds, TABLES))
        files_of_kind = next(filter(None, alike), [])
        stems = {os.path.splitext(file)[0] for file in files_of_kind}
        missed = unreadable_suffixes().union(VIDEOS)
        for file in files:
            stem, suffix = os.path.splitext(file)
            if suffix.lower() in missed and stem not in stems:  # not a RAW file or a video beside its JPEG
                self.skipped[suffix.lower()] += 1
        return files_of_kind


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


def find_shards(
    paths: Any,
    *,
    null_separated: bool = False,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    archives: bool = True,
    sampling: str = SAMPLING,
) -> Found:
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
    parse_sampling(sampling)
    sources = Found(archives, (tuple(keep), image_column, sampling))
    for item in each_of(paths):
        if isinstance(item, Image | Shard):
            sources.items.append(item)
        elif not isinstance(item, str | os.PathLike):
            raise ImageError(f"sources must be paths, images or shards; got {shown(item)}.")
        elif os.fspath(item) == "-":
            names = _names_on_stdin(null_separated)
            for name in names:
                sources.find(name, patterns=False)
            if not names:
                sources.note("-", "is a list on standard input, which is empty", Kind.EMPTY)
        else:
            name = address_of(item)
            if is_remote(name):
                with in_store(name) as (fs, _):
                    fs.clear_instance_cache()  # of any thread: else a stamp could be that of an earlier listing
            sources.find(name)
    if note := skipped_note(sources.skipped):
        log.info(note)
    return sources


def _names_on_stdin(null_separated: bool) -> list[str]:
    """Return the names that standard input lists; none if it is closed."""
    if sys.stdin is None:
        return []
    lines = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip()]


def each_of(one_or_several: Any) -> Iterable[Any]:
    """Return several things as they are, and one thing, such as a path, in a list."""
    if isinstance(one_or_several, str | os.PathLike) or not isinstance(one_or_several, Iterable):
        return [one_or_several]
    return one_or_several


def _matches(name: str) -> list[str]:
    if not is_remote(name):
        return sorted(glob.glob(name, recursive=True))
    with in_store(name) as (fs, path):
        return [fs.unstrip_protocol(match) for match in sorted(fs.glob(path))]


def expanded(pattern: str) -> list[str]:
    """Return the names that a pattern stands for. Raises ``ImageError`` beyond a million names."""
    names = [""]
    for place, text in reversed(list(enumerate(_BRACES.split(pattern)))):  # text, content of braces, text, …
        choices: Sequence[Any] = text.split(",") if place % 2 else [text]
        width = 0
        if place % 2 and "," not in text:
            first, last = text.split("..")
            width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
            step = 1 if int(first) <= int(last) else -1
            choices = range(int(first), int(last) + step, step)
        if len(choices) * len(names) > MOST:
            raise ImageError(f"{shown(pattern)} must stand for at most {MOST:,} names.")
        names = [f"{str(choice).zfill(width)}{name}" for choice in choices for name in names]
    return names


def find_inputs(paths: Any, out: FilePath | None = None) -> list[str]:
    """Return the image files on this machine that paths name. Raises ``ImageError`` for other paths, and for none.

    Args:
        out: As ``folder`` of :func:`check_pictures_outside`.
    """
    paths = list(each_of(paths))
    check_pictures_outside(out, paths)
    sources = find_shards(paths, archives=False)
    for item in sources.items:
        if not isinstance(item, File):
            sources.problems.setdefault(item.name, f"{item.name!r} is not an image file or a folder on this machine")
    if sources.problems or not sources.items:
        raise ImageError(f"{sources.problem or 'there are no images'}: name images or folders of images.")
    return sources.paths


def check_pictures_outside(folder: FilePath | None, sources: Iterable[Any]) -> None:
    """Raise ``OutputError`` if pictures in a folder would be images of the next run over the same sources.

    Args:
        folder: Folder for a command's pictures; None for none.
        sources: Folders and patterns; others are ignored. Hidden folders in a folder hold no images.
    """
    if folder is None:
        return
    target = resolved(folder)
    for source in sources:
        if not isinstance(source, str | os.PathLike):
            continue
        name = os.path.expanduser(source)
        if os.path.isdir(name):
            root = resolved(name)
            is_inside = target.is_relative_to(root) and not _is_hidden(target.relative_to(root))
        else:
            matches = _matches(name) if glob.has_magic(name) and not is_remote(name) else []
            is_inside = target in {resolved(os.path.dirname(match) or ".") for match in matches}
        if is_inside:
            raise OutputError(
                f"{os.fspath(folder)!r} lies in {os.fspath(source)!r}, where the next run would take the pictures for "
                "photos: name a folder outside of it, or one whose name begins with a dot."
            )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
