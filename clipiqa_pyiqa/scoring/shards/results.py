"""The result of one shard, a Parquet file, and the file ``run.json``, which names the shards of a run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import Kind
from ...sources.parquet import opened_table
from ...sources.shards import ShardError
from ...sources.stores import files_below, joined, opened, write_whole
from ..rows import CONSTANT_COLUMNS, PARQUET_KEY, Header, ResultsError, Row
from ..scale import scale_text

if TYPE_CHECKING:
    import pyarrow

RUN = "run.json"


@dataclass
class Run:
    """The shards and the way of scoring that a folder of results is for.

    Attributes:
        shards: Path of a result -> the shard, and its stamp (None until its turn).
    """

    header: Header
    shards: dict[str, tuple[str, str | None]]

    def save(self, folder: str) -> None:
        """Write ``run.json`` whole; of several runs, one leaves its file."""
        record = {**self.header.record, "shards": self.shards}
        write_whole(joined(folder, RUN), json.dumps(record, indent=1).encode())


def read_run(folder: str) -> Run | None:
    """Return what a folder of results is for; None without ``run.json``. Raises ``ResultsError``."""
    path = joined(folder, RUN)
    try:
        with opened(path) as file:
            record = json.load(file)
        shards = {name: (str(shard), stamp) for name, (shard, stamp) in record["shards"].items()}
        return Run(Header(tuple(record["columns"]), dict(record["provenance"])), shards)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ShardError) and error.kind is Kind.MISSING:
            return None
        raise ResultsError(
            f"{path!r} cannot be read, or it is damaged: remove it, and run the command that scored the shards again."
        ) from error


def way_of_scoring(header: Header) -> str:
    """Return a text that is equal for results that belong together: equal scales and kept columns."""
    record = header.provenance
    return json.dumps([scale_text(record), record.get("keep"), record.get("image_column")])


@dataclass(frozen=True)
class ShardResult:
    """The metadata of a shard's result.

    Attributes:
        shard: Full path or address; for loose files, a name and a hash.
        stamp: The shard's stamp when it was scored.
        kind: The kind of shard.
        failures: Kind of failure -> number of images.
    """

    path: str
    header: Header
    schema: pyarrow.Schema
    shard: str
    stamp: str | None
    kind: str
    images: int
    failures: Mapping[str, int]


def save_shard(path: str, rows: Sequence[Row], header: Header, **about: Any) -> None:
    """Write a scored shard's file whole or not at all; ``about``: ``shard``, ``stamp`` and ``kind``."""
    import pyarrow
    from pyarrow import parquet

    constants = header.constants
    table = pyarrow.Table.from_pylist([row.as_dict(header.columns) | constants for row in rows], header.schema)
    for name in dict.fromkeys(name for row in rows for name in row.kept):
        values = _array([row.kept.get(name) for row in rows])
        free = f"kept_{name}" if name in table.column_names else name
        table = table.add_column(table.num_columns - len(CONSTANT_COLUMNS), free, values)
    failures = Counter(str(row.kind) for row in rows if row.kind)
    record = {**header.record, **about, "images": len(rows), "failures": failures}
    record["check"] = _check(record, table.schema)
    attrs = {**header.provenance, "shard": about["shard"]}
    metadata = {PARQUET_KEY: json.dumps(record), b"PANDAS_ATTRS": json.dumps(attrs)}
    file, table = io.BytesIO(), table.replace_schema_metadata(metadata)
    parquet.write_table(table, file, row_group_size=50_000, write_page_checksum=True)
    write_whole(path, file.getvalue())


def read_shard_result(path: str) -> ShardResult:
    """Return the metadata of a shard's result. Raises ``ResultsError`` if the file is damaged or not a result."""
    try:
        with opened_table(path) as table:
            schema = table.schema_arrow
            record = json.loads((schema.metadata or {})[PARQUET_KEY])
        if record.pop("check") != _check(record, schema):
            raise ValueError("its metadata has changed")
        header = Header(tuple(record.pop("columns")), record.pop("provenance"))
        return ShardResult(path, header, schema.remove_metadata(), **record)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path!r} is not the result of a shard that clipiqa score wrote, or it is damaged ({error}): remove it, "
            "or use another output folder."
        ) from error


def read_table(path: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    with opened_table(path, page_checksum_verification=True) as table:
        return table.read(columns=columns)


def results_in(folder: str) -> set[str]:
    files = (file for file in files_below(folder, []) if file.endswith(".parquet"))
    return {file.removeprefix(folder).replace(os.sep, "/").lstrip("/") for file in files}


def _check(record: Mapping[str, Any], schema: pyarrow.Schema) -> str:
    text = json.dumps(record, sort_keys=True) + str(schema.remove_metadata())
    return hashlib.sha256(text.encode()).hexdigest()


def _array(values: list[Any]) -> pyarrow.Array:
    """Return kept values as a column of one type; mixed types become JSON texts."""
    import pyarrow

    with contextlib.suppress(pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        if not any(isinstance(value, dict | list) for value in values):
            return pyarrow.array(values)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for value in values
    ]
    return pyarrow.array(texts, pyarrow.string())
