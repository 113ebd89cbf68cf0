"""Result rows, and how they are written: as csv, jsonl or parquet, or as an aligned table for people.

Each row says in short which CLIP-IQA made its scores. ``result_files`` puts them on disk.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from ..errors import Kind, OutputError
from ..files.names import one_line, printable
from ..prompts.provenance import in_short, in_words
from .scale import SCALE, differences, scale_text

if TYPE_CHECKING:
    import pandas

FIELDS = ("width", "height", "scored_width", "scored_height", "exif_orientation", "converted", "kind", "error")
METRIC = "metric"
ENDS = (SCALE, METRIC)
"""The last columns, the same in every row: what the scores mean, and which CLIP-IQA made them, in short."""
_NUMBERS = FIELDS[:5]
_PARQUET_KEY = b"clipiqa_pyiqa"
_PARQUET_GROUP = 50_000  # rows held in memory at a time


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


@dataclass(frozen=True)
class Row:
    """What one image file came to.

    Attributes:
        path: The file, as given; bytes that are not UTF-8 are written as ``\\xNN``.
        scores: One score in [0, 1] per column, or None if the file could not be scored.
        width: Width before any resizing, after orientation, in pixels; None if the file could not be read.
        height: Height, likewise.
        scored_width: Width as scored, in pixels.
        scored_height: Height, likewise.
        exif_orientation: The EXIF orientation in the file, 1 to 8.
        converted: How the file became 8-bit RGB, such as ``'grey->rgb'``; empty for a plain 8-bit RGB file.
        kind: Why there are no scores, for code; None if there are.
        error: Likewise, as a sentence; empty if there are.
    """

    path: str
    scores: tuple[float, ...] | None = None
    width: int | None = None
    height: int | None = None
    scored_width: int | None = None
    scored_height: int | None = None
    exif_orientation: int | None = None
    converted: str = ""
    kind: Kind | None = None
    error: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", printable(self.path))

    def as_dict(self, columns: Sequence[str]) -> dict[str, Any]:
        """Field name -> value, in the order of the files' columns."""
        scores = self.scores or (None,) * len(columns)
        return {"path": self.path, **dict(zip(columns, scores, strict=True))} | {f: getattr(self, f) for f in FIELDS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], columns: Sequence[str]) -> Row:
        """The inverse of ``as_dict``."""
        fields = {field: values[field] for field in FIELDS}
        fields["kind"] = Kind(fields["kind"]) if fields["kind"] else None
        scores = None if fields["kind"] else tuple(float(values[column]) for column in columns)
        return cls(values["path"], scores, **fields)


@dataclass(frozen=True)
class Header:
    """What all rows of a result file have in common.

    Attributes:
        columns: Names of the score columns.
        provenance: Which CLIP-IQA, which options and which versions made the scores, as JSON values; see
            :mod:`clipiqa_pyiqa.prompts.provenance`.
    """

    columns: tuple[str, ...]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        # As it will be read again, with lists for tuples.
        object.__setattr__(self, "provenance", json.loads(json.dumps(self.provenance)))
        names = ["path", *self.columns, *FIELDS, *ENDS]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ResultsError(f"no score can be called {doubled!r}: it is the name of another column.")

    @property
    def metric(self) -> str:
        """Which CLIP-IQA in short: backbone, weights with their hash, prompts (or their hash) and version."""
        return in_short(self.provenance)

    @property
    def ends(self) -> dict[str, str]:
        """The cells that all rows share, by column."""
        return {SCALE: scale_text(self.provenance), METRIC: self.metric}


def header_changes(before: Header, now: Header, but: Collection[str] = ()) -> str:
    """Return in which fields two headers differ, as a clause; empty if they do not."""
    old, new = ({**header.provenance, "columns": ", ".join(header.columns)} for header in (before, now))
    return "; ".join(f"{key} was {was} and is now {is_now}" for key, was, is_now in differences(old, new, but))


def csv_line(values: Iterable[Any]) -> str:
    """One line of a CSV file; text that holds a ``#`` is quoted, so that ``comment='#'`` does not cut it."""
    cells = ("" if value is None else printable(str(value)) for value in values)
    quoted = (
        '"' + cell.replace('"', '""') + '"' if any(c in cell for c in '",#\r\n') or cell != cell.strip() else cell
        for cell in cells
    )
    return ",".join(quoted) + "\n"


def frame_csv(frame: pandas.DataFrame) -> str:
    """A frame as CSV, with its index if that has a name; NaN is left empty, as pandas leaves it."""
    cells = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    if frame.index.name is None:
        return "".join(map(csv_line, [frame.columns, *cells]))
    named = ((name, *row) for name, row in zip(frame.index.tolist(), cells, strict=True))
    return "".join(map(csv_line, [(frame.index.name, *frame.columns), *named]))


class RowLayout(Protocol):
    """How a header and rows are written as text; every text ends with a line break."""

    def head(self) -> str: ...
    def row(self, row: Row) -> str: ...
    def foot(self) -> str: ...


class Csv:
    """A line of names, then one line per image."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._ends = header.ends.values()

    def head(self) -> str:
        return csv_line(["path", *self.header.columns, *FIELDS, *ENDS])

    def row(self, row: Row) -> str:
        return csv_line([*row.as_dict(self.header.columns).values(), *self._ends])

    def foot(self) -> str:
        return ""

    @staticmethod
    def read(lines: Iterator[str]) -> tuple[Header, Iterator[Row]]:
        """Read such a file, without its provenance."""
        records = csv.reader(lines)
        names = next(records, [])
        columns = tuple(names[1 : -len(FIELDS) - len(ENDS)])
        if names != ["path", *columns, *FIELDS, *ENDS]:
            raise ValueError("its header line is not the one expected")
        return Header(columns, {}), Csv._rows(records, names, columns)

    @staticmethod
    def _rows(records: Iterator[list[str]], names: list[str], columns: tuple[str, ...]) -> Iterator[Row]:
        for record in records:
            values: dict[str, Any] = dict(zip(names, record, strict=True))
            values |= {field: int(values[field]) if values[field] else None for field in _NUMBERS}
            yield Row.from_dict(values, columns)


class Jsonl:
    """One object per image."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._ends = header.ends

    def head(self) -> str:
        return ""

    def row(self, row: Row) -> str:
        return json.dumps(row.as_dict(self.header.columns) | self._ends, ensure_ascii=False) + "\n"

    def foot(self) -> str:
        return ""

    @staticmethod
    def read(lines: Iterator[str]) -> tuple[Header, Iterator[Row]]:
        """Read such a file, without its provenance."""
        first = json.loads(line := next(lines, ""))
        columns = tuple(first)[1 : -len(FIELDS) - len(ENDS)]
        if list(first) != ["path", *columns, *FIELDS, *ENDS]:
            raise ValueError("its names are not those expected")
        return Header(columns, {}), (
            Row.from_dict(json.loads(line), columns) for line in itertools.chain([line], lines)
        )


class AlignedText:
    """Aligned columns for people; not meant to be read back.

    Args:
        header: What to say first.
        path_width: Room for the paths, in characters.
    """

    def __init__(self, header: Header, path_width: int = 40) -> None:
        self.header = header
        self.widths = [max(len(name), 6) for name in header.columns]
        self.path_width = max(path_width, len("mean of 1000"))
        self._sums = [0.0] * len(header.columns)
        self._count = 0

    def head(self) -> str:
        said = ", ".join(f"{key} {value}" for key, value in in_words(self.header.provenance).items())
        return f"# {one_line(said)}\n" + self._line("path", self.header.columns, "size")

    def row(self, row: Row) -> str:
        if row.scores is None:
            return self._line(row.path, ["-"] * len(self.widths), "not scored")
        self._count += 1
        self._sums = [total + score for total, score in zip(self._sums, row.scores, strict=True)]
        size, scored = f"{row.width}×{row.height}", f"{row.scored_width}×{row.scored_height}"
        notes = [size if size == scored else f"{size} as {scored}", row.converted]
        return self._line(row.path, [f"{score:.4f}" for score in row.scores], ", ".join(filter(None, notes)))

    def foot(self) -> str:
        if self._count < 2:
            return ""
        return self._line(f"mean of {self._count}", [f"{total / self._count:.4f}" for total in self._sums], "")

    def _line(self, path: str, cells: Sequence[str], note: str) -> str:
        scores = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, self.widths, strict=True))
        return one_line(f"{path:<{self.path_width}}  {scores}  {note}".rstrip()) + "\n"


def read_parquet(path: Path) -> tuple[Header, list[Row]]:
    """The header and rows of a parquet file that ``write_parquet`` wrote."""
    from pyarrow import parquet  # not at the top: only parquet files should pay for its import

    check_row_count(path)
    with parquet.ParquetFile(path) as file:
        said = json.loads((file.schema_arrow.metadata or {}).get(_PARQUET_KEY, b"{}"))
        values = file.read().to_pylist()
    header = Header(tuple(said["columns"]), said["provenance"])
    rows = [Row.from_dict(value, header.columns) for value in values]
    if said.get("sha256", digest := _digest(header, rows)) != digest:
        raise ValueError("its rows are not those that were written")
    return header, rows


def check_row_count(path: Path) -> None:
    """Raise ``ValueError`` for a parquet file with more rows than bytes: equal rows cost it nothing, and us memory."""
    from pyarrow import parquet

    count, size = parquet.read_metadata(path).num_rows, path.stat().st_size
    if count > size:
        raise ValueError(f"it has {count:,} rows in {size:,} bytes, which names of images cannot have")


def write_parquet(file: IO[bytes], header: Header, rows: Callable[[], Iterator[Row]]) -> None:
    """Write a whole parquet file; its metadata holds the header, which pandas shows as ``DataFrame.attrs``.

    Args:
        file: Where to.
        header: What the metadata says.
        rows: Gives the rows from their beginning: once for their hash, once to write them.
    """
    import pyarrow
    from pyarrow import parquet

    provenance = dict(header.provenance)
    said = json.dumps({"columns": header.columns, "provenance": provenance, "sha256": _digest(header, rows())})
    text = pyarrow.string()
    types = {"path": text, **dict.fromkeys(header.columns, pyarrow.float64())}
    types |= {field: pyarrow.int32() if field in _NUMBERS else text for field in FIELDS} | dict.fromkeys(ENDS, text)
    schema = pyarrow.schema(types, metadata={_PARQUET_KEY: said, b"PANDAS_ATTRS": json.dumps(provenance)})
    dicts, ends = (row.as_dict(header.columns) for row in rows()), header.ends
    with parquet.ParquetWriter(file, schema) as writer:
        while group := [row | ends for row in itertools.islice(dicts, _PARQUET_GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def _digest(header: Header, rows: Iterable[Row]) -> str:
    """SHA-256 in hex of what a result file says, whatever its format."""
    layout, sha256 = Jsonl(header), hashlib.sha256()
    sha256.update(json.dumps([header.columns, dict(header.provenance)]).encode())
    for row in rows:
        sha256.update(layout.row(row).encode())
    return sha256.hexdigest()
