"""What an earlier run left: the rows of its file or journal, and which of their cells a run keeps."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from ...errors import Kind
from ..files.journal import Cells
from .failures import is_final


class CellPlan(Enum):
    """What a run does with the cell of an image and a column.

    Attributes:
        KEPT: It keeps the score, or a failure that would come again.
        SCORED_AGAIN: It scores the image, as it is new or has changed, or as its failure may pass.
        NOT_REACHED: It scores the image, to which the earlier run had not come.
    """

    KEPT = auto()
    SCORED_AGAIN = auto()
    NOT_REACHED = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no score.

    Attributes:
        kind: The reason for code.
        error: The reason for people.
        is_of_all_metrics: Whether no metric can score the image, as it could not be read.
    """

    kind: Kind
    error: str
    is_of_all_metrics: bool


@dataclass(frozen=True, slots=True)
class EarlierRow:
    """What an earlier run left of an image.

    Attributes:
        stamp: The state of the image.
        scores: Asked column -> score, or None where it failed; without the columns that the run had not reached.
    """

    stamp: str
    scores: Mapping[str, float | None]
    failure: Failure | None

    @property
    def has_failed(self) -> bool:
        """Whether an asked column has no score because of a failure, other than a metric that could not be built."""
        has_failure = self.failure is not None and self.failure.kind is not Kind.NOT_ASKED
        return has_failure and None in self.scores.values()


def lasting_stamp(stamp: str, other: str) -> str:
    """Return the longer of two compatible stamps, or ``''`` if they disagree.

    One of them may also include the stamp of a reference.
    """
    if stamp == other:
        return stamp
    shorter, longer = sorted((stamp, other), key=len)
    return longer if shorter and f"{longer},".startswith(f"{shorter},") else ""


class EarlierRun:
    """The rows of an earlier run by the names of their images.

    The scores are in arrays, since a run may have millions of images.

    Args:
        names: Those of its columns.
        sources: Asked column -> the earlier column with the scores of the same metric, or None.
        is_interrupted: Whether it was, so that images without a row are those to which it had not come.
        has_same_decoders: Whether a damaged image would fail again.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        sources: Mapping[str, str | None] | None = None,
        *,
        is_interrupted: bool = False,
        has_same_decoders: bool = True,
    ) -> None:
        self.sources = dict(sources or {})
        self.is_interrupted = is_interrupted
        self._has_same_decoders = has_same_decoders
        self._places = dict[str, int]()  # of each image in the lists and arrays
        self._stamps = list[str]()
        self._scores = {name: array("d") for name in names}  # NaN where there is none
        self._is_reached = {name: bytearray() for name in self._scores}
        self._failures = dict[int, Failure]()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, cells: Cells) -> None:
        """Take a row as it was read; it replaces an older one of its image."""
        place = self._places.setdefault(cells["path"], len(self._stamps))
        if place == len(self._stamps):
            self._append_place()
        self._stamps[place] = cells["stamp"] or ""
        for name, scores in self._scores.items():
            score = cells.get(name)
            scores[place] = math.nan if score in (None, "") else float(score)
            self._is_reached[name][place] = name in cells
        self._failures.pop(place, None)
        if cells["kind"]:
            is_readable = bool(cells["width"]) or cells["kind"] == Kind.TOO_SMALL  # metrics of pyiqa take any size
            self._failures[place] = Failure(Kind(cells["kind"]), cells["error"], is_of_all_metrics=not is_readable)

    def _append_place(self) -> None:
        self._stamps.append("")
        for name, scores in self._scores.items():
            scores.append(math.nan)
            self._is_reached[name].append(False)

    def rename(self, name: str, new_name: str) -> None:
        """Let the row of an image have another name, which is another spelling of its path."""
        self._places[new_name] = self._places.pop(name)

    def place(self, name: str) -> int | None:
        """Return the number of an image, which stays when it is renamed; None if it has no row."""
        return self._places.get(name)

    def row(self, name: str) -> EarlierRow | None:
        """Return what is known of an image; None if it has no row."""
        place = self._places.get(name)
        if place is None:
            return None
        return EarlierRow(self._stamps[place], self.scores(name, self.sources), self._failures.get(place))

    def scores(self, image: str, names: Iterable[str]) -> dict[str, float | None]:
        """Return column -> score of an image that has a row, without columns that were not reached; None: it failed."""
        place = self._places[image]
        scores = dict[str, float | None]()
        for name in names:
            source = self.sources.get(name, name)
            if source in self._scores and self._is_reached[source][place]:
                score = self._scores[source][place]
                scores[name] = None if math.isnan(score) else score
        return scores

    def plans(self, row: EarlierRow | None, stamp: str) -> list[CellPlan]:
        """Return what a run does with each asked column of an image, which has this row and this stamp now."""
        if row is None:
            return [CellPlan.NOT_REACHED if self.is_interrupted else CellPlan.SCORED_AGAIN] * len(self.sources)
        if not lasting_stamp(stamp, row.stamp):
            return [CellPlan.SCORED_AGAIN] * len(self.sources)
        return [self._plan(row, column) for column in self.sources]

    def _plan(self, row: EarlierRow, column: str) -> CellPlan:
        """Return what a run does with a column of an image that is the same."""
        failure = row.failure
        is_reached = column in row.scores
        has_failed = is_reached and row.scores[column] is None
        if has_failed or (failure is not None and failure.is_of_all_metrics):
            kind = None if failure is None else failure.kind
            return CellPlan.KEPT if is_final(kind, self._has_same_decoders) else CellPlan.SCORED_AGAIN
        return CellPlan.KEPT if is_reached else CellPlan.NOT_REACHED
