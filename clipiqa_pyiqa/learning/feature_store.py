"""The image features of a data set, each encoded once and kept on disk.

A store is one SQLite file per setup: the backbone, its weights, the positional embedding and the precision are in the
file's name and in the file, so that a feature of another setup cannot be found. Within it the key is the image file's
content and the view of it (whole, flipped, cropped). SQLite keeps several writing processes apart, and a kill costs the
batch that was under way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..clip.device import scoring_bytes
from ..errors import CLIPIQAError, ImageError, Kind, counted
from ..files.hashes import hash_file
from ..images.batches import in_batches, prefetch
from ..images.reader import read_image
from ..metric import CLIPIQA
from .views import View, encode_views, refuse

logger = logging.getLogger("clipiqa_pyiqa")
Say = Callable[[str], object]
"""What is told, in sentences, how a run goes."""
FORMAT = 1  # of the store, and of the reading of images: raise it when either changes what a feature is
_CHUNK = 500  # keys per query
_ROW_BYTES = 700  # keys and what SQLite's pages add to a feature of 1,024 numbers, rounded up
_TABLES = """
CREATE TABLE IF NOT EXISTS setup (said TEXT);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, content TEXT);
CREATE TABLE IF NOT EXISTS checked (content TEXT, view TEXT, feature BLOB, crc INTEGER, PRIMARY KEY (content, view));
"""


class FeatureError(CLIPIQAError):
    """A feature store that cannot be written or read."""


@dataclass(frozen=True)
class Plan:
    """What a store still has to encode.

    Attributes:
        contents: the content hash of each path asked for.
        missing: path -> its content hash and the views that are not there yet.
        asked: number of features asked for.
        bytes: by how much the store will grow.
    """

    contents: tuple[str, ...]
    missing: Mapping[str, tuple[str, tuple[View, ...]]]
    asked: int
    bytes: int

    @property
    def to_encode(self) -> int:
        """Number of features to encode."""
        return sum(len(views) for _, views in self.missing.values())


class FeatureStore:
    """Features of one metric's image tower on disk.

    Args:
        metric: whose ``encode_image`` makes them; its prompts do not matter.
        folder: where the store lies; default ``$XDG_CACHE_HOME/clipiqa/features``.
        stages: keep the statistics of every stage behind each feature, as ``encode_stages`` gives them.

    Raises:
        FeatureError: the folder cannot be written, or the store in it is damaged.
    """

    def __init__(self, metric: CLIPIQA, folder: str | Path | None = None, stages: bool = False):
        self.metric, self.stages = metric, stages
        provenance = metric.provenance()
        names = ("backbone", "weights_sha256", "quick_gelu", "pos_embedding", "precision")
        setup = {"format": str(FORMAT), **{name: provenance[name] for name in names}}
        self.setup = json.dumps({**setup, "stages": str(FORMAT)} if stages else setup, sort_keys=True)
        self.dim = metric.clip.checkpoint.shapes["text_projection"][1]
        if stages:
            with torch.no_grad():
                self.dim = metric.encode_stages(torch.zeros(1, 3, 64, 64)).shape[1]
        folder = default_folder() if folder is None else Path(folder).expanduser()
        digest = hashlib.sha256(self.setup.encode()).hexdigest()
        self.path = folder / f"{provenance['backbone'].replace('/', '-')}-{digest[:16]}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FeatureError(f"features cannot be kept in {str(folder)!r}: {error.strerror}.") from error
        with self._database() as database:
            database.executescript(_TABLES)
            if database.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'features'"
            ).fetchone():  # of earlier versions
                database.create_function("crc", 3, _crc)
                database.execute("INSERT OR IGNORE INTO checked SELECT *, crc(content, view, feature) FROM features")
                database.execute("DROP TABLE features")
            database.execute("INSERT INTO setup SELECT ? WHERE NOT EXISTS (SELECT * FROM setup)", (self.setup,))
            (found,) = database.execute("SELECT said FROM setup").fetchone()
        if found != self.setup:
            raise FeatureError(f"{self.path} holds features of another setup ({found}): delete it.")

    def features(
        self,
        paths: Sequence[str | Path],
        views: Sequence[Sequence[View]],
        *,
        what: str = "features",
        device: str | torch.device = "cpu",
        workers: int | None = None,
        say: Say | None = None,
    ) -> Tensor:
        """The features of these views, ``(N, V, D)``, encoded where they are not in the store yet.

        Args:
            paths: N image files.
            views: V views for each of them.
            what: the name of these images in what is said.
            device: where to encode.
            workers: as for :meth:`fill`.
            say: told how much is to be done; then a terminal shows a progress bar, too.

        Raises:
            ImageError, FeatureError: as :meth:`fill`.
        """
        from tqdm import tqdm

        if not paths:
            return torch.empty(0, 1, self.dim)
        plan = self.plan(paths, views)
        if say is not None:
            say(
                f"{what}: {plan.to_encode:,} of {plan.asked:,} features to encode from "
                f"{counted(len(plan.missing), 'image')}; "
                f"{self.path} grows by {plan.bytes / 1e6:,.1f} MB"
            )
        with tqdm(total=plan.to_encode, unit="feature", disable=True if say is None else None) as bar:
            self.fill(plan, device=device, workers=workers, progress=bar.update)
        return self.read(plan, views)

    def plan(self, paths: Sequence[str | Path], views: Sequence[Sequence[View]]) -> Plan:
        """What is missing of these views (one sequence of them per path), found without decoding an image."""
        contents = self._contents([os.fspath(path) for path in paths])
        there = set(self._known(contents, keep=False))
        missing: dict[str, tuple[str, tuple[View, ...]]] = {}
        for path, content, wanted in zip(paths, contents, views, strict=True):
            new = tuple(view for view in wanted if (content, view.name) not in there)
            if new:
                missing[os.fspath(path)] = content, new
                there.update((content, view.name) for view in new)  # equal files are encoded once
        count = sum(len(new) for _, new in missing.values())
        return Plan(tuple(contents), missing, sum(map(len, views)), count * (4 * self.dim + _ROW_BYTES))

    def fill(
        self,
        plan: Plan,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 8,
        workers: int | None = None,
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        """Encode what a plan misses; what is encoded is kept whatever happens afterwards.

        Args:
            plan: of this store.
            device: where to encode.
            batch_size: views of equal size that are encoded at once, at most.
            workers: decoding threads; None is one per core, up to eight.
            progress: called with the number of features that were encoded since the last call.

        Raises:
            ImageError: an image cannot be read or encoded, or is too small for a view.
            FeatureError: there is not enough room, the store cannot be written, or an image changed meanwhile.
        """
        free = shutil.disk_usage(self.path.parent).free
        if plan.bytes > free:
            raise FeatureError(
                f"{plan.to_encode} features need {_megabytes(plan.bytes)}, but {str(self.path.parent)!r} has "
                f"{_megabytes(free)} left: make room, or keep them elsewhere."
            )
        views = self._views(plan, workers, torch.device(device))

        def work(keys: list[tuple[str, str, str]], pixels: list[Tensor]) -> list[None]:
            self._add(keys, encode_views(self.metric, pixels, device, self.stages))
            progress(len(keys))
            return [None] * len(keys)

        deque(in_batches(views, work, refuse, batch_size=batch_size), maxlen=0)

    def read(self, plan: Plan, views: Sequence[Sequence[View]]) -> Tensor:
        """The features asked for, ``(N, V, D)``: N paths with V views each, unit length, fp32.

        Raises:
            FeatureError: some of them are not in the store.
        """
        known = self._known(plan.contents)
        rows = [
            [known.get((content, view.name)) for view in wanted]
            for content, wanted in zip(plan.contents, views, strict=True)
        ]
        if any(row is None for wanted in rows for row in wanted):
            raise FeatureError(f"{self.path} lacks features that were asked for: fill it first.")
        data = np.frombuffer(b"".join(row for wanted in rows for row in wanted if row is not None), np.float32)
        return torch.from_numpy(data.copy()).view(len(rows), -1, self.dim)

    def _views(
        self, plan: Plan, workers: int | None, device: torch.device
    ) -> Generator[tuple[tuple[str, str, str], Tensor | ImageError], None, None]:
        """What a plan misses: path, content hash and name of each view, and its pixels."""
        is_whole = any(view.crop is None for _, views in plan.missing.values() for view in views)
        cost = scoring_bytes(self.metric, device, "stages" if self.stages else "score") if is_whole else 0
        read = prefetch(lambda path: read_image(path, sha256=True), plan.missing, workers, scoring=cost)
        with contextlib.closing(read) as images:
            for path, record in images:
                if isinstance(record, ImageError):
                    raise record
                content, views = plan.missing[path]
                if record.sha256 != content:  # the picture is not the file that was hashed
                    with self._database() as database:
                        database.execute("DELETE FROM files WHERE path = ?", (os.path.realpath(path),))
                    raise FeatureError(f"{path!r} was changed while features were made: run this again.")
                yield from (((path, content, view.name), view(record.pixels, path)) for view in views)

    def _add(self, keys: Sequence[tuple[str, str, str]], features: Tensor) -> None:
        named = zip(keys, features, strict=True)
        rows = [(content, view, row.numpy().tobytes()) for (_, content, view), row in named]
        with self._database() as database:
            database.executemany("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?)", [(*r, _crc(*r)) for r in rows])

    def _contents(self, paths: Sequence[str]) -> list[str]:
        """SHA-256 of each file; remembered by path, size and time of change."""
        with self._database() as database:
            found = {path: row for path, *row in database.execute("SELECT path, size, mtime_ns, content FROM files")}
        contents, new = [], []
        for path in paths:
            real = os.path.realpath(path)
            try:
                stat = os.stat(real)
                size, changed, content = found.get(real, (None, None, ""))
                if (size, changed) != (stat.st_size, stat.st_mtime_ns):
                    content = hash_file(Path(real))
                    new.append((real, stat.st_size, stat.st_mtime_ns, content))
            except OSError as error:
                raise ImageError(f"cannot be read: {error.strerror}", Kind.UNREADABLE, str(path)) from error
            contents.append(content)
        with self._database() as database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", new)
        return contents

    def _known(self, contents: Sequence[str], keep: bool = True) -> dict[tuple[str, str], bytes | None]:
        """(content, view) -> feature, or None unless ``keep``, of what is in the store and whole."""
        known: dict[tuple[str, str], bytes | None] = {}
        damaged = 0
        wanted = list(dict.fromkeys(contents))
        with self._database() as database:
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                marks = ", ".join("?" * len(chunk))
                query = f"SELECT content, view, feature, crc FROM checked WHERE content IN ({marks})"
                for content, view, feature, crc in database.execute(query, chunk):
                    if crc == _crc(content, view, feature):
                        known[content, view] = feature if keep else None
                    else:
                        damaged += 1
        if damaged:
            logger.warning("%s: %d features are damaged and are made again", self.path, damaged)
        return known

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A connection and a transaction, so that whatever is written is there in full or not at all."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=300)) as database, database:
                yield database
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            hint = "delete it" if _damaged(error) else "nothing was lost"
            raise FeatureError(f"the feature store {self.path} cannot be used ({error}): {hint}.") from error


def _damaged(error: Exception) -> bool:
    return not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error) or "UTF-8" in str(error)


def _crc(content: object, view: object, feature: object) -> int:
    """Checksum of a row, whatever damage made of it."""
    return zlib.crc32(feature if isinstance(feature, bytes) else b"", zlib.crc32(repr((content, view)).encode()))


def default_folder() -> Path:
    """Where features are kept if nobody says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clipiqa" / "features"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
