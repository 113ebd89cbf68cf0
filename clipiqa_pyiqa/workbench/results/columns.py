"""Columns of scores: how they were made; and rows: the scores of images, now and in an earlier run."""

import functools
import hashlib
import itertools
import json
import logging
import math
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...errors import Kind, OutputError
from ...files.printable import on_disk, printable
from ...logger import log
from ...prompts.records import files_text, record_text, value_text
from ...text import counted, few
from ..files.journal import Cells
from ..names.members import file_of, spellings, split_name
from ..sources.stores import source_at

NOT_OF_SCORES = ("version", "versions", "device", "weights", "file", "files", "decoders")
"""Fields of a record that may differ between equal columns: hashes of weights and parameters are compared instead."""
_OF_ONE = ("range", "score_range", "lower_better", "questions", "learned", "head", "metric_version", "hash")
Record = Mapping[str, Any]
"""What scores depend on, or how images were read, as values of JSON."""
Changes = list[tuple[str, str, str]]
"""Fields that differ between two records, with both values as texts."""
_NOT_COME = -1.5e308  # among an earlier run's scores, where NaN means a failure: the run had not come to this one


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Column:
    """A column of scores.

    Attributes:
        record: Everything that the scores depend on, as values of JSON, with ``range`` and ``lower_better``; empty if
            it is unknown. ``metric_version: None`` means that changes of the metric cannot be seen; ``hash`` is the
            fingerprint, if nothing else is known.
    """

    name: str
    record: Record = field(default_factory=dict)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The lowest and the highest possible score; None: open or unknown."""
        low, high = self.record.get("range") or (None, None)
        return low, high

    @property
    def lower_better(self) -> bool | None:
        """Whether low scores are good; None: unknown."""
        return self.record.get("lower_better")

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything that the scores depend on, but not of the name; empty if it is unknown."""
        if not self.record or self.record.get("metric_version", "") is None:
            return ""
        if "hash" in self.record:
            return str(self.record["hash"])
        return hashlib.sha256(json.dumps(of_scores(self.record), sort_keys=True).encode()).hexdigest()[:16]


def of_scores(record: Record) -> dict[str, Any]:
    """Return the fields on which scores depend; learned prompts and heads are told by their hash."""
    return {
        key: value.get("sha256", value) if isinstance(value, Mapping) else value
        for key, value in record.items()
        if key not in NOT_OF_SCORES
    }


def changes(before: Record, now: Record) -> Changes:
    """Return the fields on which scores depend and that differ between two records, with both values as texts."""
    was, is_now = of_scores(before), of_scores(now)
    values = [(key, was.get(key), is_now.get(key)) for key in {**was, **is_now}]
    differing = [(key, value_text(old), value_text(new)) for key, old, new in values if old != new]
    if was.get("parameters") != is_now.get("parameters"):
        earlier_files = files_text(before) or "unknown"
        files = files_text(now) or "unknown"
        if files != earlier_files:
            differing.append(("files", earlier_files, files))
    return differing


def column_changes(before: Column, now: Column) -> Changes:
    """Return :func:`changes` of a column; each field is named with the column."""
    return [(f"{now.name!r} {key}", was, is_now) for key, was, is_now in changes(before.record, now.record)]


def lacks_parameters(column: Column, other: Column) -> bool:
    """Return whether only the other column tells the parameters of one metric of pyiqa, as this one was not built."""
    parameters = other.record.get("parameters")
    is_untold = parameters is not None and "parameters" not in column.record
    return is_untold and not changes({**column.record, "parameters": parameters}, other.record)


def changes_text(found: Changes) -> str:
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in found)


def scale_text(columns: Iterable[Column]) -> str:
    """Return the cell of the column ``scale``, such as ``{"quality":[0,1,"higher","3f2a9c01…"]}``."""
    scales = {}
    for column in columns:
        if column.lower_better is not None:
            ends = [int(end) if end is not None and float(end).is_integer() else end for end in column.ends]
            scales[column.name] = [*ends, "lower" if column.lower_better else "higher", column.fingerprint]
    return json.dumps(scales, ensure_ascii=False, separators=(",", ":")) if scales else ""


def read_scales(cells: Iterable[Any]) -> dict[str, Column]:
    """Return the columns in the cells of :func:`scale_text`. Raises ``ValueError`` if they differ."""
    found: dict[str, Column] = {}
    for cell in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
        try:
            columns = {
                name: Column(name, {"range": [low, high], "lower_better": better == "lower", "hash": str(made)})
                for name, (low, high, better, made) in json.loads(cell).items()
            }
        except (ValueError, TypeError, AttributeError):
            continue
        for name in columns:
            if found.get(name, columns[name]) != columns[name]:
                raise ValueError(f"rows of {name!r} were scored in different ways")
        found |= columns
    return found


def shared_and_own(columns: Sequence[Column]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the fields that all columns share, without those that describe one column; column -> others."""
    records = [column.record for column in columns if column.record]
    shared = {
        key: value
        for key, value in (records[0] if records else {}).items()
        if key not in _OF_ONE and all(record.get(key) == value for record in records)
    }
    return shared, {each.name: {key: each.record[key] for key in each.record if key not in shared} for each in columns}


def described(columns: Sequence[Column], reading: Record | None = None) -> dict[str, str]:
    """Return what the columns share, what they ask, and how images were read, as texts."""
    shared, own = shared_and_own(columns)
    names = filter(None, (each.record.get("metric") for each in columns))
    texts = {"metric": ", ".join(dict.fromkeys(map(str, names)))}
    for key, value in {**shared, **(reading or {})}.items():
        is_group = isinstance(value, Mapping)
        texts |= {name: str(each) for name, each in value.items()} if is_group else {key: value_text(value)}
    texts["prompts"] = "; ".join(dict.fromkeys(filter(None, map(record_text, own.values()))))
    texts["files"] = ", ".join(dict.fromkeys(filter(None, map(files_text, own.values()))))
    return {name: text for name, text in texts.items() if text}


def metric_line(columns: Sequence[Column]) -> str:
    """Return metric, backbone, weights, prompts (long prompts as a hash) and version on one line.

    Several metrics follow one another, each with what its columns share.
    """
    by_metric = dict[tuple[str, ...], list[Column]]()
    for column in columns:
        key = tuple(str(column.record.get(name, "")) for name in ("metric", "backbone", "weights", "version"))
        by_metric.setdefault(key, []).append(column)
    return "; ".join(filter(None, map(_one_metric_line, by_metric.values())))


def _one_metric_line(columns: Sequence[Column]) -> str:
    texts = described(columns)
    prompts = texts.get("prompts", "")
    if len(prompts) > 60:
        texts["prompts"] = f"prompts {hashlib.sha256(prompts.encode()).hexdigest()[:8]}"
    names = ("metric", "backbone", "weights", "prompts", "version")
    return " ".join(", ".join(texts[name] for name in names if texts.get(name)).split())


NUMBERS = ("width", "height", "scored_width", "scored_height", "exif_orientation")
FIELDS = (*NUMBERS, "converted", "flag", "kind", "error", "stamp")
"""The columns after the scores; each is an attribute of ``Row``."""
_OF_FILES = (Kind.EMPTY, Kind.NOT_A_FILE, Kind.DAMAGED_ARCHIVE, Kind.OUTSIDE, Kind.NOT_AN_IMAGE, Kind.UNCLEAR_SCALE)
UNREAD = (*_OF_FILES, Kind.DAMAGED, Kind.UNREADABLE, Kind.MISSING)
"""Kinds of images that nobody can read."""
OF_THE_IMAGE = (*_OF_FILES, Kind.TOO_SMALL)
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
    """Return the kind of several failures in a row, if possible one that is tried again.

    That another tool's score is missing counts only if nothing else failed.
    """
    failures = [kind for kind in kinds if kind and kind != Kind.NOT_IN_FILE]
    for kind in failures:
        if not is_final(kind, same_decoders=True):
            return kind
    if failures:
        return failures[0]
    return Kind.NOT_IN_FILE if Kind.NOT_IN_FILE in kinds else None


def failure_with_lacks(path: str, kind: str | None, error: str | None, lacks: Mapping[str, bool]) -> Cells:
    """Return ``kind`` and ``error`` of a row, which also name the scores of other tools that it lacks.

    Args:
        kind, error: The row's, perhaps of an earlier run, whose sentences on the same columns no longer hold.
        lacks: Column of another tool's scores -> whether the row lacks one.
    """
    sentences = {name: f"{path!r} has no score in the file of {name!r}." for name in lacks}
    text = error or ""
    for sentence in sentences.values():
        text = text.replace(sentence, "").strip()
    missing = [sentence for name, sentence in sentences.items() if lacks[name]]
    if kind == Kind.NOT_IN_FILE and not text:
        kind = None
    if missing and not kind:
        kind = Kind.NOT_IN_FILE
    return {"kind": kind or None, "error": " ".join(filter(None, [text, *missing]))}


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
        kept: Values beside the scores.
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

    def facts(self) -> Cells:
        """Return the values of ``FIELDS``."""
        return {name: getattr(self, name) for name in FIELDS}

    def as_dict(self, columns: Sequence[str]) -> Cells:
        """Return column -> value."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True)), **self.facts()}


class Known:
    """The rows of an earlier run, in arrays.

    Attributes:
        sources: Asked column -> the earlier column with its values, or None.
        places: Image -> the place of its newest row.
        renamed: Name in the earlier rows -> another spelling of the same path, under which this run has the image.
        scores: Earlier column -> score of each place; NaN: none; ``_NOT_COME``: the earlier run had not reached it.
        failures: Place -> kind and words of a failure, and whether it holds for every metric.
        same_decoders: Whether a damaged image would fail again.
    """

    def __init__(self) -> None:
        self.sources = dict[str, str | None]()
        self.places = dict[str, int]()
        self.renamed = dict[str, str]()
        self.stamps = list[str]()
        self.scores: dict[str, array[float]] = {}
        self.failures = dict[int, tuple[Kind, str, bool]]()
        self.seen = bytearray()
        self.interrupted, self.same_decoders = False, True
        self.kept = self.changed = self.new = self.more = self.failed = 0

    def __bool__(self) -> bool:
        return bool(self.places)

    def add(self, cells: Cells) -> int:
        """Take the newest row of an image, and return its place."""
        place = self.places.setdefault(cells["path"], len(self.stamps))
        self.stamps[place : place + 1] = [cells["stamp"] or ""]
        self.seen[place : place + 1] = b"\0"
        for name, scores in self.scores.items():
            score = cells.get(name, _NOT_COME)
            scores[place : place + 1] = array("d", [math.nan if score in (None, "") else float(score)])
        self.failures.pop(place, None)
        if cells["kind"]:
            is_of_image = not cells["width"] and cells["kind"] != Kind.TOO_SMALL  # metrics of pyiqa take any size
            self.failures[place] = Kind(cells["kind"]), cells["error"], is_of_image
        return place

    def of(self, image: Any, able: Collection[bool] | None = None) -> list[bool | None]:
        """Return for each asked column whether the image's cell is kept; None: the earlier run had not reached it.

        False stands for a changed image and for a failure that is tried again. The image has ``name`` and ``stamp()``.
        Only columns that are ``able`` to score count; by default all do.
        """
        self._rename(printable(image.name))
        place = self.places.get(printable(image.name))
        if place is None:
            self.new += 1
            return [None if self.interrupted else False] * len(self.sources)
        self.seen[place] = 1
        if not self.lasting(place, image.stamp() or ""):
            self.changed += 1
            return [False] * len(self.sources)
        kind, _, of_image = self.failures.get(place, (None, "", False))
        is_settled, found = is_final(kind, self.same_decoders), list[bool | None]()
        for source in self.sources.values():
            score = self.scores[source][place] if source else _NOT_COME
            found.append(is_settled if of_image or math.isnan(score) else None if score == _NOT_COME else True)
        is_done = all(itertools.compress(found, able or [True] * len(found)))
        self.more += not is_done
        if is_done:
            self.kept += 1
            self.failed += place in self.failures and None in self.cells(place, self.sources).values()
        return found

    def _rename(self, name: str) -> None:
        """Let the row of an image under another spelling of its path have this name."""
        if name in self.places:
            return
        for other in spellings(name):
            place = self.places.get(other)
            if place is not None and not self.seen[place]:
                self.places[name] = self.places.pop(other)
                self.renamed[other] = name
                return

    def lasting(self, place: int, stamp: str) -> str:
        """Return the stamp of a row if its image is the same, else ``''``; only one stamp may include a reference's."""
        shorter, longer = sorted((stamp, self.stamps[place]), key=len)
        return longer if shorter and f"{longer},".startswith(f"{shorter},") else ""

    def cells(self, place: int, columns: Iterable[str]) -> dict[str, float | None]:
        """Return the scores of those columns that an earlier run had reached; None: it failed."""
        found = dict[str, float | None]()
        for column in columns:
            scores = self.scores.get(self.sources.get(column, column) or "")
            if scores and scores[place] != _NOT_COME:
                found[column] = None if math.isnan(scores[place]) else scores[place]
        return found

    @property
    def unseen(self) -> dict[str, int]:
        return {name: place for name, place in self.places.items() if not self.seen[place]}

    @functools.cached_property  # read when all images of the run are known, as it asks the disk for each
    def gone(self) -> dict[str, int]:
        """Those of ``unseen`` whose file does not exist, or whose shard is another one now."""
        now = functools.cache(lambda shard: source_at(on_disk(shard)).stamp())
        return {
            name: place
            for name, place in self.unseen.items()
            if (
                now(shard) not in (None, self.stamps[place])
                if (shard := split_name(name)[0])
                else not file_of(on_disk(name.partition(" [scale ")[0]))  # the file of a sweep's version
            )
        }

    def tell(self, title: str = "") -> None:
        """Log what is kept; it is a warning if images are gone."""
        more = f"{self.more:,} to be completed, " if self.more else ""
        gone, counts = self.gone, f"{self.kept:,} done before, {more}{self.changed:,} changed since, {self.new:,} new"
        others = {"are gone": gone, "this run lacks": [name for name in self.unseen if name not in gone]}
        rows = (
            f"{counted(len(each), 'row')} of images that {what} ({few(each)})" for what, each in others.items() if each
        )
        if self:
            log.log(logging.WARNING if gone else logging.INFO, title + ", ".join([counts, *rows]))
