"""A folder of results: Parquet files that Ray Data writes, and a record of how their scores were made."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow
from pyarrow import parquet

from ...checks import FilePath
from ...errors import Kind
from ...text import log
from ..files.folders import make_folder
from ..files.locking import locked
from ..sources.addresses import address_of, is_remote, joined
from ..sources.parquet import opened_table
from ..sources.shard_error import ShardError
from ..sources.stores import files_below, opened, remove, write_new, write_whole
from .columns import changes_text
from .companion_files import RECORD
from .header import Header, header_changes
from .parquet_file import metadata_of, schema_of
from .results_error import ResultsError

if TYPE_CHECKING:
    import pandas

SOURCE = "source"
"""The column of a row's shard, after the columns of a file of results."""
IMAGES = "images"
"""The last column: in one row of a shard, the number of its images."""


@dataclass(frozen=True)
class ParquetFolder:
    """The Parquet files of a folder, on disk or in a store, and its record.

    Attributes:
        path: The folder's full path or address.
    """

    path: str

    @classmethod
    def at(cls, place: FilePath) -> ParquetFolder:
        """Return the folder, which is made on a disk. Raises ``OutputError``."""
        address = address_of(place)
        return cls(address if is_remote(address) else str(make_folder(address)))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock a folder on a disk in this context. Raises ``LockedError`` if another run holds the lock."""
        if is_remote(self.path):
            log.warning(f"{self.path} lies in a store, which has no locks: let only one run write to it.")
            yield
            return
        with locked(self.path):
            yield

    def header(self) -> Header | None:
        """Return what the record says of all rows; None without a record. Raises ``ResultsError``."""
        record = self._record()
        return None if record is None else Header.of(record)

    def finished_header(self) -> Header:
        """Return what the record says of all rows. Raises ``ResultsError``, also if their run has not ended."""
        record = self._record()
        if record is None:
            raise ResultsError(f"{self.path!r} holds no {RECORD}, so it is no folder of results: name another folder.")
        if not record.get("finished"):
            raise ResultsError(
                f"{self.path!r} is not finished: run its command again, with `resume`.", options=("resume",)
            )
        return Header.of(record)

    def _record(self) -> dict[str, Any] | None:
        """Return what is in the record's file; None if there is none. Raises ``ResultsError`` if it is damaged."""
        path = joined(self.path, RECORD)
        try:
            with opened(path) as file:
                record: dict[str, Any] = json.load(file)
                Header.of(record)  # raises unless the record is that of a header
                return record
        except ShardError as error:
            if error.kind is Kind.MISSING:
                return None
            raise
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ResultsError(f"{path!r} is damaged: name another folder.") from error

    def earlier_header(self, header: Header, resume: bool) -> Header | None:
        """Return the header of an earlier run; None for a new folder. Raises ``ResultsError`` if it cannot go on."""
        before = self.header()
        if before is None:
            self._check_empty()
            return None
        if not resume:
            raise ResultsError(
                f"{self.path!r} exists already: pass `resume` to continue its run, or name another folder.",
                options=("resume",),
            )
        differing = header_changes(before, header)
        if before.score_names != header.score_names:
            differing.insert(0, ("columns", ", ".join(before.score_names), ", ".join(header.score_names)))
        if differing:
            raise ResultsError(
                f"{self.path!r} cannot be resumed, as its scores were made in another way: {changes_text(differing)}; "
                "use the earlier options, or name another folder."
            )
        return before

    def _check_empty(self) -> None:
        files = files_below(self.path).files
        if files:
            raise ResultsError(
                f"{self.path!r} holds {files[0]!r}, but no {RECORD}, so it is no folder of results: name a new or "
                "an empty folder."
            )

    def save_header(self, header: Header, *, is_new: bool = False, is_finished: bool = False) -> None:
        """Write the record. Raises ``ResultsError`` if another run has begun in the same new folder."""
        record = {"finished": is_finished, **header.record}
        path = joined(self.path, RECORD)
        text = json.dumps(record, indent=1, ensure_ascii=False).encode()
        if not is_new or not is_remote(self.path):
            write_whole(path, text)
            return
        try:
            write_new(path, text)
        except ShardError as error:
            if isinstance(error.__cause__, FileExistsError):
                raise ResultsError(f"another run has begun in {self.path!r}: name another folder.") from error
            raise

    def schema(self, header: Header, carried_types: Mapping[str, pyarrow.DataType]) -> pyarrow.Schema:
        """Return the schema of new files, whose metadata hold the header.

        Args:
            carried_types: Name to keep -> the type of its column. Files that are there decide.
        """
        types = {column: carried_types[name] for name, column in header.carried.items()}
        files = self.files()
        if files:
            with opened_table(files[0]) as table:
                types = {column: table.schema_arrow.field(column).type for column in types}
        schema = schema_of(header)
        for column in header.joined:
            schema = schema.insert(header.names.index(column), pyarrow.field(column, types[column]))
        schema = schema.append(pyarrow.field(SOURCE, pyarrow.string()))
        schema = schema.append(pyarrow.field(IMAGES, pyarrow.int64()))
        return schema.with_metadata({**schema.metadata, **metadata_of(header, schema)})

    def files(self) -> list[str]:
        """Return the Parquet files."""
        return [file for file in files_below(self.path).files if file.endswith(".parquet")]

    def remove_cut_files(self) -> None:
        """Remove files whose writing was cut when a process was killed; the images of their rows are scored again."""
        with ThreadPoolExecutor(16) as pool:
            files = self.files()
            is_whole = list(pool.map(_is_whole, files))
        for file, whole in zip(files, is_whole, strict=True):
            if not whole:
                log.warning(f"{file} is removed, since its writing was cut; its images are scored again.")
                remove(file)

    def table(self) -> pyarrow.Table:
        """Return all rows. Raises ``ShardError`` if a file is damaged."""
        tables = [table for _, table in self._tables(None)]
        return pyarrow.concat_tables(tables, promote_options="default") if tables else pyarrow.table({})

    def rows(self, columns: Sequence[str]) -> pandas.DataFrame:
        """Return columns of all rows, with each row's ``file``, and its ``number`` there."""
        import pandas

        frames = [pandas.DataFrame(columns=[*columns, "file", "number"])]
        for file, table in self._tables(columns):
            frames.append(table.to_pandas().assign(file=file, number=range(len(table))))
        filled = [frame for frame in frames if len(frame)]
        return pandas.concat(filled, ignore_index=True) if filled else frames[0]

    def remove_rows(self, rows: pandas.DataFrame) -> None:
        """Write the files of these rows again, without them."""
        for file, unwanted in rows.groupby("file"):
            table = _read(file)
            is_wanted = [True] * len(table)
            for number in unwanted["number"]:
                is_wanted[number] = False
            table = table.filter(pyarrow.array(is_wanted))
            if not len(table):
                remove(file)
                continue
            written = io.BytesIO()
            parquet.write_table(table, written, write_page_checksum=True)
            write_whole(file, written.getvalue())

    def _tables(self, columns: Sequence[str] | None) -> Iterable[tuple[str, pyarrow.Table]]:
        files = self.files()
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            yield from zip(files, pool.map(partial(_read, columns=columns), files), strict=True)


def _read(file: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    with opened_table(file, page_checksum_verification=True) as table:
        return table.read(columns=columns)


def _is_whole(file: str) -> bool:
    try:
        with opened_table(file):
            return True
    except ShardError as error:
        if error.kind is Kind.DAMAGED_ARCHIVE:
            return False
        raise
