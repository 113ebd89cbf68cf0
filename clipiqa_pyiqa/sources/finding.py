"""What arguments stand for, shards and stores included: files, folders, globs, brace patterns, lists, addresses."""

from __future__ import annotations

import glob
import os
import posixpath
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..errors import Kind, first_of
from ..images.formats import image_suffixes, unreadable_suffixes
from ..images.source import FileSource, ImageSource, NoImage
from . import embeddings, parquet, tar
from .folders import images_in
from .members import LOOSE, FilesShard, Shard, ShardError
from .patterns import expanded, has_braces
from .stores import StoreSource, answered, local_path, scheme, store

Item = ImageSource | Shard


@dataclass
class Found:
    """What was found, each once and in the order given.

    Attributes:
        items: Files, shards as wholes, and in its place what is none.
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
        """:attr:`skipped`, and what was passed over in shards that have been read."""
        total = Counter(self.skipped)
        for item in self.items:
            total.update(getattr(item, "skipped", {}))
        return total

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
    """Resolve what was given.

    A file counts whatever its name; ``.tar`` (also compressed) and ``.parquet`` are shards. A folder stands for the
    images in it and its sub-folders; one without images for its tar archives, or else its Parquet files. What does not
    exist may be a pattern with braces, ``{000..099}`` or ``{a,b}``, or a glob. ``-`` reads names from standard input.

    Args:
        given: A path, an address, a source of images, a shard, or several of these.
        null_separated: Names on standard input end with a NUL byte.
        keep: Columns and sidecars to keep beside the scores.
        image_column: Of Parquet files; None finds it.
        features: Files of image features are meant, not images: clip-retrieval's or DataComp's.

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
    """What names stand for, each once, found one after the other; arguments as for :func:`find_shards`.

    Attributes:
        problems: What was given -> why there is nothing to score in it, as far as has been looked.
        skipped: Suffix -> photos in folders in formats that are not read.
    """

    def __init__(self, keep: Sequence[str] = (), image_column: str | None = None, features: bool = False) -> None:
        self.problems: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()
        self._keep, self._image_column, self._features = tuple(keep), image_column, features
        self._seen: set[str] = set()
        self._met = 0  # files and shards, also those that were there already

    def items(self, given: Any, null_separated: bool = False) -> Iterator[Item]:
        """Files, shards as wholes, and in its place what is none."""
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
        before = self._met
        path = local_path(name)
        if path is None:
            yield from self._remote(name, patterns)
        elif os.path.lexists(path):
            yield from self._existing(name, path)
        elif patterns and has_braces(name):
            if any(os.path.lexists(str(local_path(each))) or glob.has_magic(each) for each in expanded(name)):
                for each in expanded(name):
                    yield from self._named(each)
                return
        elif patterns and glob.has_magic(path):
            prefix = name[: len(name) - len(path)]
            for match in sorted(glob.glob(path, recursive=True)):
                yield from self._existing(prefix + match, match)
        if self._met == before:
            if path is not None and os.path.isdir(path):
                found = NoImage(name, "is a folder without image files", Kind.EMPTY)
            elif path is None or glob.has_magic(path) or (patterns and has_braces(name)):
                found = NoImage(name, "matches nothing")
            else:
                found = NoImage(name, "does not exist")
            yield from self._nothing(found)

    def _nothing(self, found: NoImage) -> Iterator[Item]:
        """Note why there is nothing to score in what was given."""
        if found.name not in self.problems:
            self.problems[found.name] = found.problem
            yield found

    def _existing(self, name: str, path: str) -> Iterator[Item]:
        """A file on disk, or the images in a folder, or else the shards in it."""
        if not os.path.isdir(path):
            yield from self._file(name)
            return
        prefix = name[: len(name) - len(path)]
        if self._features:
            yield from self._feature_files([prefix + each for each in _files_below(path)])
            return
        unreadable: list[NoImage] = []
        before = self._met
        for image in images_in(path, unreadable, self.skipped):
            yield from self._file(prefix + image)
        for folder in unreadable:
            yield from self._nothing(replace(folder, name=prefix + folder.name))
        if self._met == before:
            for each in _shards_among([prefix + each for each in _files_below(path)]):
                yield from self._file(each)

    def _remote(self, name: str, patterns: bool) -> Iterator[Item]:
        if patterns and has_braces(name):
            there, missing = self._listed(list(expanded(name)), name)
            for found in missing:
                yield from self._nothing(found)
            for each in there:
                yield from self._named(each)
            return
        fs, path = store(name)
        kind = str(scheme(name))
        if patterns and glob.has_magic(path) and kind not in ("http", "https"):
            for match in sorted(answered(lambda: fs.glob(path), name)):
                yield from self._file(fs.unstrip_protocol(match))
            return
        if kind in ("http", "https") or _is_known(name) or posixpath.splitext(path)[1].lower() in image_suffixes():
            yield from self._file(name)  # asked for when its turn comes
            return
        if not answered(lambda: fs.exists(path), name):
            yield from self._nothing(NoImage(name, "does not exist"))
            return
        if not answered(lambda: fs.isdir(path), name):
            yield from self._file(name)
            return
        files = [fs.unstrip_protocol(each) for each in sorted(answered(lambda: fs.find(path), name))]
        files = [each for each in files if not _is_hidden(each[len(name.rstrip("/")) :])]
        if self._features:
            yield from self._feature_files(files)
            return
        readable, unreadable = image_suffixes(), unreadable_suffixes()
        suffixes = [posixpath.splitext(each)[1].lower() for each in files]
        images = [each for each, suffix in zip(files, suffixes, strict=True) if suffix in readable]
        self.skipped.update(suffix for suffix in suffixes if suffix in unreadable)
        for each in images or _shards_among(files):
            yield from self._file(each)

    def _listed(self, names: list[str], pattern: str) -> tuple[list[str], list[NoImage]]:
        """Those of a pattern's names that exist, by one listing a folder, and what is to be said of the others."""
        fs, _ = store(names[0])
        if scheme(names[0]) in ("http", "https"):  # cannot be listed
            return names, []
        there, listed = [], dict[str, set[str]]()
        for name in names:
            folder = fs._parent(fs._strip_protocol(name))
            if folder not in listed:
                listed[folder] = set(answered(partial(_listing, fs, folder), pattern))
            if fs._strip_protocol(name) in listed[folder]:
                there.append(name)
        if not there:
            return [], [NoImage(pattern, "matches nothing")]
        missing = set(names) - set(there)
        return there, [NoImage(name, "does not exist") for name in names if name in missing]

    def _feature_files(self, files: list[str]) -> Iterator[Item]:
        for shard in embeddings.pair(files, self._keep):
            if self._is_new(shard.name):
                yield shard

    def _file(self, name: str) -> Iterator[Item]:
        if not self._is_new(name):
            return
        lower = name.lower()
        if self._features:
            if not lower.endswith(embeddings.SUFFIXES):
                raise ShardError(
                    f"{name!r} is no file of features: --embeddings takes .npy, .npz, and folders of these."
                )
            yield from embeddings.pair([name], self._keep)
        elif lower.endswith(tar.SUFFIXES):
            yield tar.TarShard(name, self._keep)
        elif lower.endswith(parquet.SUFFIXES):
            yield parquet.ParquetShard(name, self._keep, self._image_column)
        elif lower.endswith(embeddings.SUFFIXES):
            yield embeddings.EmbeddingsShard(name)  # which says what to do
        else:
            path = local_path(name)
            yield StoreSource(name) if path is None else FileSource(path)

    def _is_new(self, name: str) -> bool:
        path = local_path(name)
        identity = name if path is None else os.path.abspath(path)
        new = identity not in self._seen
        self._seen.add(identity)
        self._met += 1
        return new


def _stdin_names(null_separated: bool) -> list[str]:
    names = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(name.rstrip(b"\r")) for name in names if name.strip()]


def _listing(fs: Any, folder: str) -> list[str]:
    try:
        return fs.ls(folder, detail=False)
    except FileNotFoundError:
        return []


def _shards_among(files: Sequence[str]) -> list[str]:
    archives = [name for name in files if name.lower().endswith(tar.SUFFIXES)]
    return archives or [name for name in files if name.lower().endswith(parquet.SUFFIXES)]


def _is_known(name: str) -> bool:
    return name.lower().endswith((*tar.SUFFIXES, *parquet.SUFFIXES, *embeddings.SUFFIXES))


def _is_several(name: str) -> bool:
    return name == "-" or _is_known(name) or has_braces(name) or glob.has_magic(name) or os.path.isdir(name)


def _is_hidden(below: str) -> bool:
    return any(part.startswith(".") for part in below.split("/"))


def _files_below(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for each in sorted(files):
            if not each.startswith("."):
                yield os.path.join(parent, each)
