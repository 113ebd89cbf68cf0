"""Rows of results: the scores of one image, or why they are missing; and the rows of an earlier run."""

from __future__ import annotations

import functools
import itertools
import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import Kind, counted
from ..files.names import on_disk, printable
from ..sources.finding import file_of, split_name
from ..sources.stores import source_at

NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns after the scores; each is an attribute of ``Row``."""
_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE)
OF_THE_IMAGE = (*_OF_FILES, Kind.NOT_AN_IMAGE, Kind.TOO_SMALL, Kind.UNCLEAR_SCALE)
"""Kinds of failures that only the image decides: they are kept as long as the image stays the same."""


class Answer(NamedTuple):
    """The scores of one metric for one image, or None with a reason; ``seconds`` is the time of scoring."""

    values: tuple[float, ...] | None = None
    seconds: float = math.nan
    error: str = ""
    kind: Kind | None = None


def is_final(kind: Kind | None, same_decoders: bool) -> bool:
    """Return whether a failure is kept while the image stays the same; others are tried again."""
    return kind in OF_THE_IMAGE or (kind is Kind.DAMAGED and same_decoders)


def worst_kind(kinds: Sequence[Kind | None]) -> Kind | None:
    """Return the kind of several failures in a row: one that is tried again, if there is any."""
    found = [kind for kind in kinds if kind is not None]
    return next((kind for kind in found if kind not in (*OF_THE_IMAGE, Kind.DAMAGED)), found[0] if found else None)


@dataclass(frozen=True)
class Row:
    r"""The result of one image: a row of a result file.

    Attributes:
        path: The file, as given; a byte that is not UTF-8 becomes ``\\xNN``.
        scores: One score per column, or None where a metric failed; None if there is no score at all.
        scored_width, scored_height: The size of the scored image in pixels.
        kind, error: Why scores are missing: ``kind`` for code (:func:`worst_kind`), ``error`` for people.
        stamp: The state of the image, such as size and time of the file; empty if unknown.
        asked: Whether each column was asked for; empty: all.
        kept: Values that are kept beside the scores.
    """

    path: str
    scores: tuple[float | None, ...] | None = None
    width: int | None = None
    height: int | None = None
    scored_width: int | None = None
    scored_height: int | None = None
    exif_orientation: int | None = None
    converted: str = ""
    flag: str = ""
    kind: Kind | None = None
    error: str = ""
    stamp: str = ""
    asked: tuple[bool, ...] = field(default=(), compare=False, repr=False)
    seconds: tuple[float, ...] = field(default=(), compare=False, repr=False)
    kept: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))
        object.__setattr__(self, "error", printable(self.error))

    def facts(self) -> dict[str, Any]:
        """Return the values of ``FIELDS``."""
        return {name: getattr(self, name) for name in FIELDS}

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return column -> value."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True)), **self.facts()}


@dataclass
class Known:
    """The rows of an earlier run, in arrays.

    Attributes:
        sources: Asked column -> the earlier column whose values are its own; None: there is none.
        places: Image -> the place of its newest row.
        scores: Earlier column -> score of each place; NaN: none.
        came: Earlier column -> whether the earlier run had come to it, for each place.
        failures: Place -> kind and words of a failure, and whether it is one of the image for every metric.
        same_decoders: Whether a damaged image would be found damaged again.
        stamp: The stamp of images that have none of their own: their shard's.
    """

    sources: dict[str, str | None] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)
    scores: dict[str, array[float]] = field(default_factory=dict)
    came: dict[str, bytearray] = field(default_factory=dict)
    failures: dict[int, tuple[Kind, str, bool]] = field(default_factory=dict)
    seen: bytearray = field(default_factory=bytearray)
    interrupted: bool = False
    same_decoders: bool = True
    stamp: str = ""
    kept: int = 0
    changed: int = 0
    new: int = 0
    more: int = 0
    failed: int = 0

    def __bool__(self) -> bool:
        return bool(self.places)

    def add(self, cells: Mapping[str, Any]) -> int:
        """Take the newest row of an image, and return its place."""
        place = self.places.setdefault(cells["path"], len(self.stamps))
        if place == len(self.stamps):
            self.stamps.append("")
            self.seen.append(0)
            for name, scores in self.scores.items():
                scores.append(math.nan)
                self.came[name].append(0)
        self.stamps[place] = cells["stamp"] or ""
        for name, scores in self.scores.items():
            score = cells.get(name)
            scores[place] = math.nan if score in (None, "") else float(score)
            self.came[name][place] = name in cells
        self.failures.pop(place, None)
        if cells["kind"]:
            self.failures[place] = Kind(cells["kind"]), cells["error"], not cells["width"]
        return place

    def of(self, image: Any, able: Collection[bool] | None = None) -> list[bool | None]:
        """Return for each asked column whether the image's cell is kept; None: the earlier run had not come to it.

        False stands for a changed image and for a failure that is tried again. The image has ``name`` and ``stamp()``.
        Counted are the columns that are ``able`` to score; by default all.
        """
        place = self.places.get(printable(image.name))
        if place is None:
            self.new += 1
            return [None if self.interrupted else False] * len(self.sources)
        self.seen[place] = 1
        if not self.stamps[place] or (image.stamp() or self.stamp) != self.stamps[place]:
            self.changed += 1
            return [False] * len(self.sources)
        found = [self._is_kept(place, source) for source in self.sources.values()]
        is_done = all(itertools.compress(found, able or [True] * len(found)))
        self.more += not is_done
        if is_done:
            self.kept += 1
            self.failed += place in self.failures and any(math.isnan(self.score(place, name)) for name in self.sources)
        return found

    def _is_kept(self, place: int, source: str | None) -> bool | None:
        kind, _, of_image = self.failures.get(place, (None, "", False))
        if of_image:
            return is_final(kind, self.same_decoders)
        if source is None or not self.came[source][place]:
            return None
        return is_final(kind, self.same_decoders) or not math.isnan(self.scores[source][place])

    def has(self, place: int, column: str) -> bool:
        """Return whether an earlier run had come to a cell."""
        came = self.came.get(self.sources.get(column, column) or "")
        return came is not None and bool(came[place])

    def score(self, place: int, column: str) -> float:
        """Return the score of an asked or of another column; NaN if there is none."""
        scores = self.scores.get(self.sources.get(column, column) or "")
        return math.nan if scores is None else scores[place]

    @property
    def unseen(self) -> dict[str, int]:
        return {name: place for name, place in self.places.items() if not self.seen[place]}

    @property
    def gone(self) -> dict[str, int]:
        """Those of ``unseen`` whose file does not exist, or whose shard is another one now."""
        now, found = functools.cache(lambda shard: source_at(shard).stamp()), {}
        for name, place in self.unseen.items():
            shard = on_disk(split_name(name)[0])
            if now(shard) not in (None, self.stamps[place]) if shard else not file_of(on_disk(name)):
                found[name] = place
        return found

    @property
    def sentence(self) -> str:
        more = f"{self.more:,} to be completed, " if self.more else ""
        gone = f", {counted(count, 'row')} of images that are gone" if (count := len(self.gone)) else ""
        return f"{self.kept:,} done before, {more}{self.changed:,} changed since, {self.new:,} new{gone}"
