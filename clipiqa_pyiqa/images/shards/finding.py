"""What arguments stand for, shards and stores included: files, folders, globs, brace patterns, lists, addresses."""

from __future__ import annotations

import glob
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...errors import first_of
from ..formats import image_suffixes, unreadable_suffixes
from ..sources import FileSource, ImageSource, NoImage, images_in, nothing_in, stdin_names
from . import embeddings, parquet, tar
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


def means_shards(name: str) -> bool:
    """Whether a name is more than :func:`~clipiqa_pyiqa.images.find_inputs` understands."""
    return (
        local_path(name) is None
        or name.startswith("file://")
        or _is_known(name)
        or (has_braces(name) and not os.path.lexists(name))
    )


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
    finder = _Finder(Found(), tuple(keep), image_column, features)
    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        given = [given]
    for item in given:
        if not isinstance(item, str | os.PathLike):
            finder.found.items.append(item)
        elif (name := os.fspath(item)) == "-":
            names = stdin_names(null_separated)
            if not names:
                finder.nothing("-", "the list on standard input is empty")
            for listed in names:
                finder.add(listed, patterns=False)
        else:
            finder.add(name)
    return finder.found


class _Finder:
    """Adds what names stand for, each once."""

    def __init__(self, found: Found, keep: Sequence[str], image_column: str | None, features: bool) -> None:
        self.found, self._keep, self._image_column, self._features = found, keep, image_column, features
        self._seen: set[str] = set()
        self._met = 0  # files and shards, also those that were there already

    def add(self, name: str, patterns: bool = True) -> None:
        before = self._met
        path = local_path(name)
        if path is None:
            self._add_remote(name, patterns)
        elif os.path.isdir(path):
            self._add_folder(name, path)
        elif os.path.lexists(path):
            self._add_file(name)
        elif patterns and has_braces(name):
            there = [each for each in expanded(name) if os.path.lexists(str(local_path(each))) or glob.has_magic(each)]
            if not there:
                self.nothing(name, f"nothing matches {name!r}")
            for each in expanded(name) if there else ():
                self.add(each)
            return
        elif patterns and glob.has_magic(path):
            prefix = name[: len(name) - len(path)]
            for match in sorted(glob.glob(path, recursive=True)):
                self.add(prefix + match, patterns=False)
        if self._met == before and name not in self.found.problems:
            self.nothing(name, f"nothing matches {name!r}" if path is None else nothing_in(path))

    def nothing(self, name: str, problem: str) -> None:
        """Note why there is nothing to score in what was given."""
        if name not in self.found.problems:
            self.found.problems[name] = problem
            self.found.items.append(NoImage(name, f"{problem}."))

    def _add_folder(self, name: str, path: str) -> None:
        """The images in a folder on disk, or else the shards in it."""
        prefix = name[: len(name) - len(path)]
        if self._features:
            self._add_features([prefix + each for each in _files_below(path)])
            return
        unreadable: dict[str, str] = {}
        images = [prefix + image for image in images_in(path, unreadable, self.found.skipped)]
        for each, problem in unreadable.items():
            self.nothing(prefix + each, problem)
        others = [] if images else [prefix + each for each in _files_below(path)]
        for each in images or _shards_among(others):
            self._add_file(each)

    def _add_remote(self, name: str, patterns: bool) -> None:
        if patterns and has_braces(name):
            for each in self._existing(list(expanded(name)), name):
                self.add(each)
            return
        fs, path = store(name)
        kind = str(scheme(name))
        if patterns and glob.has_magic(path) and kind not in ("http", "https"):
            for match in sorted(answered(lambda: fs.glob(path), name)):
                self._add_file(fs.unstrip_protocol(match))
            return
        if kind in ("http", "https") or _is_known(name) or posixpath.splitext(path)[1].lower() in image_suffixes():
            self._add_file(name)  # asked for when its turn comes
            return
        if not answered(lambda: fs.exists(path), name):
            self.nothing(name, f"{name!r} does not exist")
            return
        if not answered(lambda: fs.isdir(path), name):
            self._add_file(name)
            return
        files = [fs.unstrip_protocol(each) for each in sorted(answered(lambda: fs.find(path), name))]
        files = [each for each in files if not _is_hidden(each[len(name.rstrip("/")) :])]
        if self._features:
            self._add_features(files)
            return
        readable, unreadable = image_suffixes(), unreadable_suffixes()
        suffixes = [posixpath.splitext(each)[1].lower() for each in files]
        images = [each for each, suffix in zip(files, suffixes, strict=True) if suffix in readable]
        self.found.skipped.update(suffix for suffix in suffixes if suffix in unreadable)
        for each in images or _shards_among(files):
            self._add_file(each)

    def _existing(self, names: list[str], pattern: str) -> list[str]:
        """Those of a pattern's names that exist, by one listing a folder; the others are problems."""
        fs, _ = store(names[0])
        if scheme(names[0]) in ("http", "https"):  # cannot be listed
            return names
        there, listed = [], dict[str, set[str]]()
        for name in names:
            folder = fs._parent(fs._strip_protocol(name))
            if folder not in listed:
                listed[folder] = set(answered(partial(_listing, fs, folder), pattern))
            if fs._strip_protocol(name) in listed[folder]:
                there.append(name)
        missing = set(names) - set(there)
        if not there:
            self.nothing(pattern, f"nothing matches {pattern!r}")
        for name in names if there else ():
            if name in missing:
                self.nothing(name, f"{name!r} does not exist")
        return there

    def _add_features(self, files: list[str]) -> None:
        for shard in embeddings.pair(files, self._keep):
            if self._is_new(shard.name):
                self.found.items.append(shard)

    def _add_file(self, name: str) -> None:
        if not self._is_new(name):
            return
        lower = name.lower()
        if self._features:
            if not lower.endswith(embeddings.SUFFIXES):
                raise ShardError(
                    f"{name!r} is no file of features: --embeddings takes .npy, .npz, and folders of these."
                )
            self.found.items += embeddings.pair([name], self._keep)
        elif lower.endswith(tar.SUFFIXES):
            self.found.items.append(tar.TarShard(name, self._keep))
        elif lower.endswith(parquet.SUFFIXES):
            self.found.items.append(parquet.ParquetShard(name, self._keep, self._image_column))
        elif lower.endswith(embeddings.SUFFIXES):
            self.found.items.append(embeddings.EmbeddingsShard(name))  # which says what to do
        else:
            path = local_path(name)
            self.found.items.append(StoreSource(name) if path is None else FileSource(path))

    def _is_new(self, name: str) -> bool:
        path = local_path(name)
        identity = name if path is None else os.path.abspath(path)
        new = identity not in self._seen
        self._seen.add(identity)
        self._met += 1
        return new


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
