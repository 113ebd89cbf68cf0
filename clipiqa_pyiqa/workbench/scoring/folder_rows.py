"""The rows in a folder of results, as a run sees them: each with its image or shard, spelled as in this run."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ...text import on_disk, printable
from ..names.spellings import spellings
from ..results.parquet_folder import SOURCE, ParquetFolder
from ..sources.addresses import is_remote
from ..sources.found_sources import Source

if TYPE_CHECKING:
    import pandas


class FolderRows:
    """The rows in a folder of results.

    Attributes:
        sources: Name -> file or shard of this run.
    """

    def __init__(self, folder: ParquetFolder, sources: Sequence[Source]) -> None:
        self.folder = folder
        self.sources = {printable(source.name): source for source in sources}

    def table(self, *columns: str) -> pandas.DataFrame:
        """Return columns of all rows, with the file or shard of each in ``item``; paths are spelled as in this run."""
        rows = self.folder.rows(columns)
        rows["item"] = rows[SOURCE].fillna(rows["path"])
        new_names = self._new_names(set(rows["item"]))
        is_renamed = rows["item"].isin(new_names)
        renamed = rows[is_renamed]
        items_and_paths = zip(renamed["item"], renamed["path"], strict=True)
        rows.loc[is_renamed, "path"] = [new_names[item] + path.removeprefix(item) for item, path in items_and_paths]
        rows.loc[is_renamed, "item"] = renamed["item"].map(new_names)
        return rows

    def _new_names(self, names: Collection[str]) -> dict[str, str]:
        """Return file or shard as the folder spells it -> as this run does, where both differ."""
        new_names = dict[str, str]()
        for name in set(names) - self.sources.keys():
            for spelling in spellings(name):
                if spelling in self.sources:
                    new_names[name] = spelling
        return new_names


def gone(names: Collection[str]) -> set[str]:
    """Return those of these files and shards that do not exist any more; stores are not asked."""
    return {name for name in set(names) if not is_remote(name) and not os.path.exists(on_disk(name))}
