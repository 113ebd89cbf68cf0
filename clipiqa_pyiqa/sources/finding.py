"""The images that paths name: files, folders, globs, brace patterns, shards, lists and addresses in stores."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ImageError, Kind, first_of, shown
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import FileSource, ImageSource, NoImage
from . import embeddings, parquet, tar
from .folders import images_in
from .members import LOOSE, FilesShard, Shard, ShardError
from .stores import address_of, answered, files_below, is_remote, source_at, store

Item = ImageSource | Shard
_BRACES = re.compile(r"\{([^{}]*,[^{}]*|\d{1,18}\.\.\d{1,18})\}")
MOST = 1_000_000  # names that one pattern may have


@dataclass
class Found:
    """The images that paths name, in input order, without duplicates.

    Attributes:
        items: Images and shards; a ``NoImage`` for a path without images.
        problems: Path -> why the path has no images.
        skipped: Suffix -> number of photos in unreadable formats.
    """

    keep: Sequence[str] = ()
    image_column: str | None = None
    features: bool = False
    items: list[Item] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _count: int = 0  # files and shards, duplicates included

    @property
    def problem(self) -> str:
        """Return the first problem and the number of other problems."""
        return first_of(self.problems.values())

    @property
    def is_empty(self) -> bool:
        return all(isinstance(item, NoImage) or item.name in self.problems for item in self.items)

    @property
    def has_shards(self) -> bool:
        return any(isinstance(item, Shard) for item in self.items)

    @property
    def all_skipped(self) -> Counter[str]:
        return sum((item.skipped for item in self.items if isinstance(item, tar.TarShard)), self.skipped)

    @property
    def missing(self) -> dict[str, str]:
        """Return folder or pattern without images -> the reason."""
        return {item.name: item.problem for item in self.items if isinstance(item, NoImage) and not _is_file(item)}

    def shards(self) -> list[Shard]:
        """Return the shards, and numbered shards of the loose files."""
        shards = [item for item in self.items if isinstance(item, Shard)]
        files = [item for item in self.items if not isinstance(item, Shard) and _is_file(item)]
        return [*shards, *(FilesShard(n // LOOSE, files[n : n + LOOSE]) for n in range(0, len(files), LOOSE))]

    @property
    def paths(self) -> list[str]:
        return [item.name for item in self.items if isinstance(item, FileSource)]

    def note(self, missing: NoImage) -> None:
        """Record why a path has no images."""
        if missing.name not in self.problems:
            self.problems[missing.name] = missing.problem
            if missing.kind == Kind.MISSING and _has_shard_suffix(missing.name) and not _is_pattern(missing.name):
                self._add(missing.name)  # the shard cannot be read now, but the next run tries again
            else:
                self.items.append(missing)

    def find(self, name: str, patterns: bool = True) -> None:
        before, why, kind = self._count, "does not exist", Kind.MISSING
        if not is_remote(name) and os.path.isdir(name):
            why, kind = "is a folder without image files", Kind.EMPTY
            self._find_in_folder(name)
        elif not is_remote(name) and os.path.lexists(name):
            self._add(name)
        elif patterns and has_braces(name):
            why, names = "matches nothing", expanded(name)
            if any(is_remote(each) or glob.has_magic(each) or os.path.lexists(each) for each in names):
                for each in names:
                    self.find(each)
                return
        elif patterns and glob.has_magic(name) and not name.startswith(("http://", "https://")):
            why = "matches nothing"
            for match in _matches(name):
                self.find(match, patterns=False)
        elif is_remote(name):
            self._find_in_store(name)
        if self._count == before:
            self.note(NoImage(name, why, kind))

    def _find_in_folder(self, name: str) -> None:
        before, unreadable = self._count, list[ImageError]()
        if not self.features:
            for image in images_in(name, unreadable, self.skipped):
                self._add(image)
            for error in unreadable:
                self.note(NoImage(error.name, error.reason, error.kind))
        if self._count == before:
            self._add_shards(files_below(name))

    def _find_in_store(self, name: str) -> None:
        answered(lambda: store(name), name)  # raises if the store's package is missing
        if name.startswith(("http://", "https://")) or _has_shard_suffix(name) or _suffix(name) in image_suffixes():
            self._add(name)  # a missing file is noticed when it is read
            return
        files, readable, unreadable = files_below(name), image_suffixes(), unreadable_suffixes()
        images = [] if self.features else [each for each in files if _suffix(each) in readable]
        self.skipped.update(_suffix(each) for each in files if _suffix(each) in unreadable)
        for image in images or [each for each in files if each == name]:
            self._add(image)
        if not images:
            self._add_shards(files)

    def _add_shards(self, files: Sequence[str]) -> None:
        if self.features:
            for shard in embeddings.pair(files, self.keep, self.image_column):
                self._add(shard.name, shard)
            return
        archives = [name for name in files if name.lower().endswith(tar.SUFFIXES)]
        for name in archives or [name for name in files if name.lower().endswith(parquet.SUFFIXES)]:
            self._add(name)

    def _add(self, name: str, shard: Shard | None = None) -> None:
        self._count += 1
        identity = name if is_remote(name) else os.path.abspath(name)
        if identity not in self._seen:
            self._seen.add(identity)
            self.items.append(shard or self._item(name))

    def _item(self, name: str) -> Item:
        lower = name.lower()
        if self.features:
            if not lower.endswith((*embeddings.SUFFIXES, *parquet.SUFFIXES)):
                raise ShardError(f"{name!r} must be a .npy, .npz or .parquet file of features, or a folder of them.")
            return embeddings.pair([name], self.keep, self.image_column)[0]
        if lower.endswith(tar.SUFFIXES):
            return tar.TarShard(name, self.keep)
        if lower.endswith(parquet.SUFFIXES):
            return parquet.ParquetShard(name, self.keep, self.image_column)
        return embeddings.EmbeddingsShard(name) if lower.endswith(embeddings.SUFFIXES) else source_at(name)


def _is_file(item: ImageSource) -> bool:
    return not isinstance(item, NoImage) or (item.kind == Kind.MISSING and not _is_pattern(item.name))


def _is_pattern(name: str) -> bool:
    return has_braces(name) or glob.has_magic(name)


def find_shards(
    given: Any,
    *,
    null_separated: bool = False,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    features: bool = False,
) -> Found:
    """Return the images and shards that paths name.

    ``.tar`` (also compressed) and ``.parquet`` files are shards. A folder means its images; without images, its tar
    archives; without archives, its Parquet files. A path may be a glob or a brace pattern, ``{000..099}`` or ``{a,b}``;
    ``-`` reads names from standard input.

    Args:
        given: A path, an address, a source of images, a shard, or several of these.
        null_separated: Names on standard input end with a NUL byte.
        keep: Columns and sidecars to keep beside the scores.
        image_column: The image column of Parquet files; None finds the column.
        features: Find stored features instead of images.

    Raises:
        ShardError: A store cannot be used.
    """
    found = Found(tuple(keep), image_column, features)
    for item in each_of(given):
        if isinstance(item, ImageSource | Shard):
            found.items.append(item)
        elif not isinstance(item, str | os.PathLike):
            raise ImageError(f"sources must be paths, images or shards; got {shown(item)}.")
        elif os.fspath(item) == "-":
            names = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
            if not any(map(bytes.strip, names)):
                found.note(NoImage("-", "is a list on standard input, which is empty", Kind.EMPTY))
            for name in names:
                if name.strip():
                    found.find(os.fsdecode(name.rstrip(b"\r")), patterns=False)
        else:
            found.find(address_of(item))
    return found


def each_of(given: Any) -> Iterable[Any]:
    """Return an iterable, or a list of one item."""
    return [given] if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable) else given


def _matches(name: str) -> list[str]:
    if not is_remote(name):
        return sorted(glob.glob(name, recursive=True))

    def ask() -> list[str]:
        fs, path = store(name)
        return [fs.unstrip_protocol(match) for match in sorted(fs.glob(path))]

    return answered(ask, name)


def _has_shard_suffix(name: str) -> bool:
    return name.lower().endswith((*tar.SUFFIXES, *parquet.SUFFIXES, *embeddings.SUFFIXES))


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def has_braces(name: str) -> bool:
    return _BRACES.search(name) is not None


def expanded(pattern: str) -> list[str]:
    """Return the names that a pattern stands for. Raises ``ImageError`` beyond a million names."""
    names = [""]
    for place, text in reversed(list(enumerate(_BRACES.split(pattern)))):  # text, content of braces, text, …
        choices: Sequence[Any] = [text]
        width = 0
        if place % 2 and "," in text:
            choices = text.split(",")
        elif place % 2:
            first, last = text.split("..")
            width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
            step = 1 if int(first) <= int(last) else -1
            choices = range(int(first), int(last) + step, step)
        if len(choices) * len(names) > MOST:
            raise ImageError(f"{shown(pattern)} must stand for at most {MOST:,} names.")
        names = [f"{str(choice).zfill(width)}{name}" for choice in choices for name in names]
    return names
