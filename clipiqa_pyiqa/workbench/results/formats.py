"""Formats of result files: csv, jsonl and parquet as streams of rows; and rows printed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CLIPIQAError
from ...files.reading import hash_file, open_file
from ...files.writing import replacing, write_text
from ...text import first_of, reason, twice_in
from ..files.csv_files import csv_line, csv_rows
from ..files.journal import Cells, is_journal, read_journal
from .checks import check_head, check_row
from .columns import (
    Changes,
    Column,
    Record,
    ResultsError,
    changes,
    column_changes,
    lacks_parameters,
    scale_text,
    short_scale_text,
)
from .record_text import metric_line, shared_and_own
from .row import FIELDS, NUMBERS

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
SCALE, METRIC = "scale", "metric"
"""The last two columns of a CSV file, equal in every row: the meaning of the scores, and what made them.

Of other files, the head holds the meaning of the scores once.
"""
PARQUET_KEY = b"clipiqa_pyiqa"
"""A key in a Parquet file's metadata; its value holds the head as JSON."""
PANDAS_KEY = b"PANDAS_ATTRS"
"""A key in a Parquet file's metadata, which pandas reads, and writes into copies."""
RECORD = "_clipiqa.json"
"""Name of the head in a folder of Parquet files; Arrow and Spark take names with an underscore first for no data."""
JOURNAL = ".part.jsonl"  # added to the name of the result
GROUP = 10_000  # rows of a row group in a Parquet file, and in memory at a time


@dataclass(frozen=True)
class Head:
    """What a result file says of all its rows.

    Attributes:
        reading: How all images were read.
        joined: Column of other values -> hash of the values; empty if they come with the images.
    """

    columns: tuple[Column, ...]
    reading: Record = field(default_factory=dict)
    joined: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "joined", {**dict.fromkeys(self.carried.values(), ""), **self.joined})
        if name := twice_in(self.names):
            raise ResultsError(f"a score cannot be called {name!r}, because another column has this name.")

    @cached_property
    def scores(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def with_columns(self, columns: Iterable[Column], **fields: Any) -> Head:
        """Return the head with these columns; each replaces one of its name, or comes last."""
        by_name = self.by_name | {column.name: column for column in columns}
        return replace(self, columns=tuple(by_name.values()), **fields)

    @property
    def names(self) -> list[str]:
        """All columns of a CSV file; the last two are those of ``constants``."""
        return ["path", *self.scores, *FIELDS, *self.joined, SCALE, METRIC]

    @cached_property
    def carried(self) -> dict[str, str]:
        """Value that images bring -> its column, as the option ``keep`` names them."""
        others = {*self.names} - {*self.joined}
        return {name: f"kept_{name}" if name in others else name for name in self.reading.get("keep", ())}

    @property
    def constants(self) -> dict[str, str]:
        """The cells that are equal in every row of a file without a head, or whose head may get lost."""
        return {SCALE: short_scale_text(self.columns), METRIC: metric_line(self.columns)}

    @property
    def constants_beside_head(self) -> dict[str, str]:
        """The cells that are equal in every row of a JSON lines or Parquet file."""
        return {METRIC: metric_line(self.columns)}

    @property
    def record(self) -> dict[str, Any]:
        # with lists instead of tuples, to be equal to a head that is read from a file
        record = {
            "columns": {column.name: column.record for column in self.columns},
            "reading": self.reading,
            "joined": self.joined,
        }
        return dict(json.loads(json.dumps(record, default=dict)))

    @property
    def provenance(self) -> dict[str, Any]:
        """What all scores share, how images were read, and ``scores``: column -> other fields of its record."""
        shared, own = shared_and_own(self.columns)
        return {**shared, **self.reading, "scores": own}

    @classmethod
    def of(cls, record: Any) -> Head:
        """Return the head with this record. Raises ``ValueError`` if the record is not that of a head."""
        check_head(record)
        columns = tuple(Column(name, fields) for name, fields in record["columns"].items())
        return cls(columns, record["reading"], record["joined"])

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns of a Parquet file, but for joined values, whose types are not known."""
        import pyarrow

        types = {name: pyarrow.string() for name in self.names if name not in (*self.joined, SCALE)}
        types |= dict.fromkeys(self.scores, pyarrow.float64()) | dict.fromkeys(NUMBERS, pyarrow.int32())
        attributes = {**self.provenance, SCALE: scale_text(self.columns)}
        return pyarrow.schema(types, {PANDAS_KEY: json.dumps(attributes)})

    def metadata(self, schema: pyarrow.Schema, **counts: Any) -> dict[bytes, bytes]:
        """Return the metadata of a Parquet file of this schema: the record, and numbers such as that of its rows."""
        record = {**self.record, **counts}
        return {PARQUET_KEY: json.dumps({**record, "check": _check(record, schema)}).encode()}


def head_changes(before: Head, now: Head) -> Changes:
    """Return :func:`changes` of reading, and of the columns whose origin both heads record."""
    earlier = before.by_name
    found = changes(before.reading, now.reading)
    for column in now.columns:
        was = earlier.get(column.name, column)
        if not column.fingerprint or "error" in was.record:  # of a metric that could not be built
            continue
        if not lacks_parameters(was, column) and not lacks_parameters(column, was):
            found += column_changes(was, column)
    return found


def format_of(path: Path) -> str:
    if format := SUFFIXES.get(path.suffix.lower()):
        return format
    raise ResultsError(
        f"the suffix of {str(path)!r} names no known format: use one of {', '.join(SUFFIXES)}, or pass `{{format}}`.",
        options=("format",),
    )


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{JOURNAL}")


def provenance_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.provenance.json")


def unfinished(path: Path) -> str:
    """Return what an error says of a file whose run was interrupted; its option is ``resume``."""
    return f"{str(path)!r} is not finished, because its run was interrupted: pass `{{resume}}` to continue"


def read_head(path: Path, format: str) -> Head | None:
    """Return what a file or a journal says of its rows; None if nothing is known.

    Raises ``ResultsError``, also if a file has changed since its head was written.
    """
    record: Any = None
    with checked_reading(path, format):
        if format == "parquet":
            with _parquet(path) as file:
                record = parquet_record(file)
        elif is_journal(path):
            record = next(read_journal(path, []), {}).get("head")
            if record is None:
                raise ValueError("its first line is damaged")
        else:
            with contextlib.suppress(FileNotFoundError):
                record = json.loads(provenance_of(path).read_text(encoding="utf-8"))
            if record is not None:
                check_head(record)
                if record.get("sha256") != hash_file(path):
                    raise ValueError(
                        f"it has changed since it was written (to rank it so, delete {provenance_of(path).name})"
                    )
        return None if record is None else Head.of(record)


def parquet_record(file: Any) -> dict[str, Any] | None:
    """Return the record in an open Parquet file's metadata, or None. Raises ``ValueError`` if it has changed."""
    text = (file.metadata.metadata or {}).get(PARQUET_KEY)
    if text is None:
        return None
    record = dict(json.loads(text))
    if record.pop("check") != _check(record, file.schema_arrow):
        raise ValueError("its metadata has changed")
    return record


def scale_in_attributes(path: Path) -> str:
    """Return the scales in a Parquet file that pandas copied from a file of ours; empty if it has none."""
    with checked_reading(path, "parquet"), _parquet(path) as file:
        attributes = json.loads((file.metadata.metadata or {}).get(PANDAS_KEY, b"{}"))
        scale = attributes.get(SCALE) if isinstance(attributes, Mapping) else None
        return scale if isinstance(scale, str) else ""


def _check(record: Record, schema: pyarrow.Schema) -> str:
    return hashlib.sha256(f"{json.dumps(record, sort_keys=True)}{schema.remove_metadata()}".encode()).hexdigest()


def read_cells(
    path: Path,
    format: str,
    damage: list[str],
    names: Sequence[str] | None = None,
    scores: Sequence[str] | None = None,
) -> Iterator[Cells]:
    """Yield the rows of a file or a journal as column -> value; values of csv files are texts.

    Args:
        damage: Receives a journal's damaged lines.
        names: The columns that are needed; others may come too.
        scores: The columns of scores of a file of ours, whose rows are checked.
    """
    with checked_reading(path, format):
        if format != "parquet" and is_journal(path):
            yield from _journal_rows(path, damage)
            return
        for cells in _file_rows(path, format, names):
            if scores is not None:
                check_row(cells, scores)
            yield cells


def _file_rows(path: Path, format: str, names: Sequence[str] | None) -> Iterator[Cells]:
    if format == "parquet":
        with _parquet(path) as file:
            known = None if names is None else [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(GROUP, columns=known):
                yield from batch.to_pylist()
    elif format == "csv":
        for _, cells in csv_rows(path):
            yield cells
    else:
        with open_file(path, "r", encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                cells = json.loads(line)
                if not isinstance(cells, dict):
                    raise ValueError(f"a line is no JSON object: {line.strip()!r:.80}")
                yield cells


def _journal_rows(path: Path, damage: list[str]) -> Iterator[Cells]:
    """Yield the rows of a journal; ``damage`` receives those that are not rows of results."""
    lines = read_journal(path, damage)
    head = next(lines, {}).get("head")
    scores = head.get("columns", ()) if isinstance(head, Mapping) else ()
    for cells in lines:
        try:
            check_row(cells, scores)
        except ValueError as error:
            damage.append(str(error))
        else:
            yield cells


def publish(path: Path, format: str, head: Head, rows: Iterable[Cells]) -> None:
    """Write a csv, jsonl or parquet file of rows (column -> value, without the constant columns), and its head."""
    constants = head.constants_beside_head
    names = head.names
    of_row = names[:-2]
    end = csv_line(head.constants.values())
    with replacing(path) as partial:
        if format == "parquet":
            _write_parquet(partial, head, rows)
            return
        with open(partial, "w", encoding="utf-8", newline="") as file:
            if format == "csv":
                file.write(csv_line(names))
                file.writelines(f"{csv_line(map(row.get, of_row))[:-1]},{end}" for row in rows)
            else:
                for row in rows:
                    file.write(line_of(format, {**{name: row.get(name) for name in of_row}, **constants}))
        record = {"file": path.name, "sha256": hash_file(partial), **head.record}
    write_text(provenance_of(path), json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def absent_note(name: str, shards: Sequence[str]) -> str:
    """Return a sentence about a value to keep that no sample of some shards has."""
    return f"`keep` names {name!r}, but no sample of {first_of(map(repr, shards))} has it"


def line_of(format: str, cells: Cells) -> str:
    return csv_line(cells.values()) if format == "csv" else json.dumps(cells, ensure_ascii=False, default=str) + "\n"


def _write_parquet(path: Path, head: Head, rows: Iterable[Cells]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = head.schema
    constants = head.constants_beside_head
    images = 0
    failures = Counter[str]()
    rows = list(rows) if head.joined else rows  # the types of joined values are known once all have come
    joined = {name: _array([row.get(name) for row in rows]) for name in head.joined}
    for name, values in joined.items():
        schema = schema.insert(head.names.index(name), pyarrow.field(name, values.type))
    coming = iter(rows)
    with parquet.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        while group := list(itertools.islice(coming, GROUP)):
            columns = {name: [row.get(name) for row in group] for name in schema.names}
            columns |= {name: values.slice(images, GROUP) for name, values in joined.items()}
            columns |= {name: [text] * len(group) for name, text in constants.items()}
            writer.write_table(pyarrow.Table.from_pydict(columns, schema))
            images += len(group)
            failures.update(row["kind"] for row in group if row["kind"])
        writer.add_key_value_metadata(head.metadata(schema, images=images, failures=failures))


def _array(values: list[Any]) -> pyarrow.Array:
    """Return values as a column of one type; mixed types become JSON texts."""
    import pyarrow

    with contextlib.suppress(pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        if not any(isinstance(value, dict | list) for value in values):
            return pyarrow.array(values)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
    return pyarrow.array(texts, pyarrow.string())


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    # pre_buffer reads in a thread of Arrow, which aborts the process if it gives a buffer back after Python has ended
    with (
        open_file(path) as raw,
        parquet.ParquetFile(raw, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        count = file.metadata.num_rows
        size = os.path.getsize(path)
        if count > size:  # a small file with many equal rows would take all memory
            raise ValueError(f"it has {count:,} rows in {size:,} bytes, which cannot hold that many names")
        yield file


@contextlib.contextmanager
def checked_reading(path: Path, format: str) -> Iterator[None]:
    """Raise ``ResultsError`` if the file cannot be read or does not hold what this context expects."""
    try:
        yield
    except CLIPIQAError:
        raise
    except RecursionError as error:
        raise ResultsError(f"{str(path)!r} cannot be read as {format}: it is nested too deeply; {_WAY_OUT}.") from error
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, csv.Error) as error:
        if isinstance(error, FileNotFoundError) and journal_of(path).exists():
            raise ResultsError(f"{unfinished(path)}.", options=("resume",)) from error
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        why = f"{str(path)!r} cannot be read as {format}: {lacks}{reason(error)[:200]}"
        raise ResultsError(f"{why}; {_WAY_OUT}.") from error


_WAY_OUT = "name another file, or delete a damaged result to make it again"
