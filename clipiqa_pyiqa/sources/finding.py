"""What arguments stand for: files, folders, globs, brace patterns, shards, lists and addresses in stores."""

from __future__ import annotations

import glob
import os
import posixpath
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Kind, first_of
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import ImageSource, NoImage
from . import embeddings, parquet, tar
from .folders import images_in
from .members import LOOSE, FilesShard, Shard, ShardError
from .patterns import expanded, has_braces
from .stores import answered, files_below, local_path, scheme, source_at, store

Item = ImageSource | Shard


@dataclass
class Found:
    """What was found, without duplicates and in the order given.

    Attributes:
        items: Files and shards; what is neither keeps its place as a ``NoImage``.
        problems: What was given -> why there is nothing to score in it.
        skipped: Suffix -> photos in folders in formats that are not read.
    """

    items: list[Item] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def problem(self) -> str:
        """The first problem and how many more there are, as the beginning of a sentence."""
        return first_of(self.problems.values())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to score."""
        return all(isinstance(item, NoImage) for item in self.items)

    @property
    def has_shards(self) -> bool:
        return any(is_shard(item) for item in self.items)

    @property
    def all_skipped(self) -> Counter[str]:
        """:attr:`skipped`, and what was skipped in shards that have been read."""
        shards = [item.skipped for item in self.items if isinstance(item, tar.TarShard)]
        return sum(shards, self.skipped)

    @property
    def missing(self) -> dict[str, str]:
        """What was given as more than a file -> why there is nothing in it."""
        return {name: problem for name, problem in self.problems.items() if _is_several(name)}

    def shards(self) -> list[Shard]:
        """The shards, and behind them the files in numbered ones; missing files are among them, missing shards not."""
        files: list[ImageSource] = [
            item
            for item in self.items
            if not isinstance(item, Shard) and not (isinstance(item, NoImage) and _is_several(item.name))
        ]
        numbered = [FilesShard(first // LOOSE, files[first : first + LOOSE]) for first in range(0, len(files), LOOSE)]
        return [*(item for item in self.items if isinstance(item, Shard)), *numbered]

    def check_keep(self) -> None:
        """Raise ``ShardError`` if a Parquet file, the first of each folder, lacks a column that is to be kept."""
        first = {os.path.dirname(item.name): item for item in reversed(self.items)
                 if isinstance(item, parquet.ParquetShard) and item.keep}  # fmt: skip
        for shard in first.values():
            shard.check_keep()


def is_shard(item: Any) -> bool:
    """Whether an item is many images, not one."""
    return isinstance(item, Shard)


def find_shards(
    given: Any,
    *,
    null_separated: bool = False,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    features: bool = False,
) -> Found:
    """Find out what was given.

    A file counts whatever its name; ``.tar`` (also compressed) and ``.parquet`` are shards. A folder stands for the
    images in it and its sub-folders; one without images for its tar archives, or else its Parquet files. What does not
    exist may be a pattern with braces, ``{000..099}`` or ``{a,b}``, or a glob. ``-`` reads names from standard input.

    Args:
        given: A path, an address, a source of images, a shard, or several of these.
        null_separated: Names on standard input end with a NUL byte.
        keep: Columns and sidecars to keep beside the scores.
        image_column: Of Parquet files; None finds it.
        features: Files of image features are meant, not images.

    Raises:
        ShardError: A store refuses, does not answer, or its package is missing.
    """
    finder = Finder(keep, image_column, features)
    items = list(finder.items(given, null_separated))
    return Found(items, finder.problems, finder.skipped)


def each_of(given: Any) -> Iterable[Any]:
    """One or several things, as several."""
    return [given] if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable) else given


class Finder:
    """Finds what names stand for, without duplicates; arguments as for :func:`find_shards`.

    Attributes:
        problems, skipped: As of :class:`Found`, as far as has been looked.
    """

    def __init__(self, keep: Sequence[str] = (), image_column: str | None = None, features: bool = False) -> None:
        self.problems: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()
        self._keep, self._image_column, self._features = tuple(keep), image_column, features
        self._seen: set[str] = set()
        self._met = 0  # files and shards, also those that were there already
        self._listed: dict[str, list[str]] = {}  # folder in a store -> what is in it

    def items(self, given: Any, null_separated: bool = False) -> Iterator[Item]:
        """Files and shards; what is neither keeps its place as a ``NoImage``."""
        for item in each_of(given):
            if not isinstance(item, str | os.PathLike):
                yield item
            elif (name := os.fspath(item)) == "-":
                names = _stdin_names(null_separated)
                if not names:
                    yield from self._nothing(NoImage("-", "is a list on standard input, which is empty", Kind.EMPTY))
                for listed in names:
                    yield from self._named(listed, patterns=False)
            else:
                yield from self._named(name)

    def _named(self, name: str, patterns: bool = True) -> Iterator[Item]:
        before, path = self._met, local_path(name)
        why, kind = "does not exist", Kind.MISSING
        if path is not None and os.path.isdir(path):
            why, kind = "is a folder without image files", Kind.EMPTY
            yield from self._folder(name, path)
        elif path is not None and os.path.lexists(path):
            yield from self._file(name)
        elif patterns and has_braces(name):
            yield from self._alternatives(name)
            return
        elif patterns and glob.has_magic(path or name) and scheme(name) not in ("http", "https"):
            why = "matches nothing"
            for match in self._matches(name):
                yield from self._named(match, patterns=False)
        elif path is None:
            yield from self._remote(name)
        if self._met == before:
            yield from self._nothing(NoImage(name, why, kind))

    def _nothing(self, found: NoImage) -> Iterator[Item]:
        """Note why there is nothing to score in what was given."""
        if found.name not in self.problems:
            self.problems[found.name] = found.problem
            yield found

    def _alternatives(self, name: str) -> Iterator[Item]:
        """What a pattern with braces stands for."""
        names = list(expanded(name))
        there = set(filter(self._is_there, names))
        if not there:
            yield from self._nothing(NoImage(name, "matches nothing"))
            return
        for each in names:
            yield from self._named(each) if each in there else self._nothing(NoImage(each, "does not exist"))

    def _is_there(self, name: str) -> bool:
        """Whether a name may exist; of a store, each folder is listed once."""
        path = local_path(name)
        if glob.has_magic(name) or scheme(name) in ("http", "https"):
            return True
        if path is not None:
            return os.path.lexists(path)
        folder = posixpath.dirname(name)
        if folder not in self._listed:
            self._listed[folder] = _files_of(folder, maxdepth=1)
        return name in self._listed[folder]

    def _matches(self, name: str) -> list[str]:
        path = local_path(name)
        if path is not None:
            return [name[: len(name) - len(path)] + match for match in sorted(glob.glob(path, recursive=True))]
        fs, path = store(name)
        return [fs.unstrip_protocol(match) for match in sorted(answered(lambda: fs.glob(path), name))]

    def _folder(self, name: str, path: str) -> Iterator[Item]:
        """The images in a folder on disk, or else the shards in it."""
        if self._features:
            yield from self._feature_files(files_below(name))
            return
        prefix, unreadable = name[: len(name) - len(path)], list[NoImage]()
        before = self._met
        for image in images_in(path, unreadable, self.skipped):
            yield from self._file(prefix + image)
        for folder in unreadable:
            yield from self._nothing(replace(folder, name=prefix + folder.name))
        if self._met == before:
            for each in _shards_among(files_below(name)):
                yield from self._file(each)

    def _remote(self, name: str) -> Iterator[Item]:
        """A file in a store, or the images in a folder there, or else the shards in it."""
        store(name)  # which says that its package is missing
        suffix = posixpath.splitext(name)[1].lower()
        if scheme(name) in ("http", "https") or _is_known(name) or suffix in image_suffixes():
            yield from self._file(name)  # asked for when its turn comes
            return
        files = _files_of(name)
        if self._features:
            yield from self._feature_files(files)
            return
        suffixes = {each: posixpath.splitext(each)[1].lower() for each in files}
        self.skipped.update(suffix for suffix in suffixes.values() if suffix in unreadable_suffixes())
        images = [each for each in files if suffixes[each] in image_suffixes()]
        for each in images or _shards_among(files) or [each for each in files if each == name]:
            yield from self._file(each)

    def _feature_files(self, files: list[str]) -> Iterator[Item]:
        for shard in embeddings.pair(files, self._keep, self._image_column):
            if self._is_new(shard.name):
                yield shard

    def _file(self, name: str) -> Iterator[Item]:
        if not self._is_new(name):
            return
        lower = name.lower()
        if self._features:
            if not lower.endswith((*embeddings.SUFFIXES, *parquet.SUFFIXES)):
                raise ShardError(f"{name!r} must be a .npy, .npz or .parquet file of features, or a folder of them.")
            yield from embeddings.pair([name], self._keep, self._image_column)
        elif lower.endswith(tar.SUFFIXES):
            yield tar.TarShard(name, self._keep)
        elif lower.endswith(parquet.SUFFIXES):
            yield parquet.ParquetShard(name, self._keep, self._image_column)
        elif lower.endswith(embeddings.SUFFIXES):
            yield embeddings.EmbeddingsShard(name)  # which says what to do
        else:
            yield source_at(name)

    def _is_new(self, name: str) -> bool:
        path = local_path(name)
        identity = name if path is None else os.path.abspath(path)
        new = identity not in self._seen
        self._seen.add(identity)
        self._met += 1
        return new


def _files_of(folder: str, **options: Any) -> list[str]:
    """The files of a folder in a store; none if it does not exist."""
    try:
        return files_below(folder, **options)
    except ShardError as error:
        if error.kind != Kind.MISSING:
            raise
        return []


def _stdin_names(null_separated: bool) -> list[str]:
    names = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(name.rstrip(b"\r")) for name in names if name.strip()]


def _shards_among(files: Sequence[str]) -> list[str]:
    archives = [name for name in files if name.lower().endswith(tar.SUFFIXES)]
    return archives or [name for name in files if name.lower().endswith(parquet.SUFFIXES)]


def _is_known(name: str) -> bool:
    return name.lower().endswith((*tar.SUFFIXES, *parquet.SUFFIXES, *embeddings.SUFFIXES))


def _is_several(name: str) -> bool:
    return name == "-" or _is_known(name) or has_braces(name) or glob.has_magic(name) or os.path.isdir(name)
