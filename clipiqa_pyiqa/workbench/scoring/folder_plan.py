"""What a run into a folder has to score, as the rows in the folder tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Kind
from ...text import counted
from ..images.image import File, Image
from ..images.stamp import MISSING, UNKNOWN, Stamp
from ..results.failures import is_final
from ..results.header import Header
from ..results.parquet_folder import IMAGES, SOURCE
from ..sources.shards import Shard
from .folder_rows import FolderRows, gone
from .shard_task import ShardTask

if TYPE_CHECKING:
    import pandas

LOOSE = 500  # files outside of shards in one task


@dataclass(frozen=True)
class StaleRows:
    """Rows of an earlier run that a run does not keep.

    Attributes:
        rows: These rows.
        images: Image to be scored again -> its shard, or itself.
        lost_shards: Shards that do not exist now, but whose rows are kept.
        kept, of_others: Number of rows that stay: of this run's images, and of others.
    """

    rows: pandas.DataFrame
    images: Mapping[str, str]
    lost_shards: Set[str]
    kept: int
    of_others: int

    def sentence(self) -> str:
        """Return how many rows are kept, and how many images are scored again."""
        return (
            f"{counted(self.kept, 'row')} kept; {counted(len(self.images), 'image')} to be scored again; "
            f"{counted(self.of_others, 'row')} of other images"
        )


@dataclass(frozen=True)
class FolderPlan:
    """The images and shards of a run into a folder: which rows are stale, and what lacks rows."""

    rows: FolderRows
    header: Header

    @property
    def unknown_columns(self) -> list[str]:
        """The columns whose metrics cannot tell whether they have changed; they score all images again."""
        return [column.name for column in self.header.columns if not column.fingerprint]

    def stale_rows(self, before: Header, drop_vanished: bool) -> StaleRows:
        """Return the rows of images that have changed, and of failures that may pass.

        Args:
            before: The header of the earlier run.
            drop_vanished: Rows of files and shards that do not exist any more are stale, too.
        """
        rows = self.rows.table("path", SOURCE, "stamp", "kind")
        is_of_run = rows["item"].isin(self.rows.sources)
        stamps = rows["item"].map(self._stamps(rows["item"]))
        is_lost = (stamps == MISSING) & (rows["path"] != rows["item"])  # a member of a shard, which may come back
        has_other_stamp = (stamps == UNKNOWN) | (stamps != rows["stamp"])
        is_scored_again = is_of_run & ~is_lost & (has_other_stamp | self._may_change(rows, before))
        is_stale = is_scored_again
        lost_shards = set(rows["item"][is_lost])
        if drop_vanished:
            is_stale = is_stale | is_lost | rows["item"].isin(gone(rows["item"][~is_of_run]))
            lost_shards = set()
        return StaleRows(
            rows[is_stale],
            images=rows[is_scored_again].set_index("path")["item"].to_dict(),
            lost_shards=lost_shards,
            kept=int((is_of_run & ~is_stale).sum()),
            of_others=int((~is_of_run & ~is_stale).sum()),
        )

    def repeated_rows(self) -> pandas.DataFrame:
        """Return the rows of images that have another row, which lost processes left."""
        rows = self.rows.table("path", SOURCE, IMAGES).sort_values(IMAGES)  # rows without it come last
        return rows[rows.duplicated("path")]

    def missing(self) -> list[ShardTask]:
        """Return what lacks rows."""
        rows = self.rows.table("path", SOURCE, IMAGES)
        is_member = rows[SOURCE].notna()
        scored_files = set(rows["path"][~is_member])
        files = list[Image]()
        for name, source in self.rows.sources.items():
            if not isinstance(source, Shard) and name not in scored_files:
                files.append(source)
        tasks_of_files = [ShardTask(files[first : first + LOOSE]) for first in range(0, len(files), LOOSE)]
        return self._missing_shards(rows[is_member]) + tasks_of_files

    def _missing_shards(self, members: pandas.DataFrame) -> list[ShardTask]:
        """Return the shards that lack rows; a row of a finished shard holds the number of its images."""
        paths_by_shard = members.groupby("item")["path"]
        finished = set(members["item"][members[IMAGES] == paths_by_shard.transform("size")])
        scored_images = paths_by_shard.agg(frozenset)
        tasks = list[ShardTask]()
        for name, source in self.rows.sources.items():
            if isinstance(source, Shard) and name not in finished:
                tasks.append(ShardTask(source, scored_images.get(name, frozenset())))
        return tasks

    def _may_change(self, rows: pandas.DataFrame, before: Header) -> pandas.Series:
        """Return which rows another run may fill in another way, though their images are the same."""
        if self.unknown_columns:
            return rows["path"].notna()
        has_same_decoders = before.reading.get("decoders") == self.header.reading.get("decoders")
        return rows["kind"].isin([str(kind) for kind in Kind if not is_final(kind, has_same_decoders)])

    def _stamps(self, names: Iterable[str]) -> dict[str, Stamp]:
        """Return the present stamps of those files and shards that this run has."""
        sources = {name: self.rows.sources[name] for name in set(names) if name in self.rows.sources}
        if all(isinstance(source, File) for source in sources.values()):
            return {name: source.stamp() for name, source in sources.items()}
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            return dict(zip(sources, pool.map(lambda source: source.stamp(), sources.values()), strict=True))
