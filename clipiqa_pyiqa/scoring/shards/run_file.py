"""The file ``run.json`` in a folder of results: which shards the folder is for, and how they are scored."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ...errors import Kind
from ...sources.shards import ShardError
from ...sources.stores import joined, opened, write_whole
from ..rows import Header, ResultsError
from ..scale import scale_text

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
