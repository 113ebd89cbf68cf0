"""What a run into a folder has to score, as the rows in the folder tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Kind
from ...files.printable import on_disk, printable
from ...logger import log
from ...text import counted
from ..images.image import File, Image
from ..images.stamp import MISSING, UNKNOWN, Stamp
from ..names.members import spellings
from ..results.failures import is_final
from ..results.header import Header
from ..results.parquet_folder import IMAGES, SOURCE, ParquetFolder
from ..sources.finding import Source
from ..sources.shards import Shard
from .absent_values import LOOSE_PHOTOS
from .folder_result import FolderResult
from .shard_task import ShardTask

if TYPE_CHECKING:
    import pandas

LOOSE = 500  # files outside of shards in one task


@dataclass(frozen=True)
class StaleRows:
    """Rows of an earlier run that a run does not keep.

    Attributes:
        rows: These rows.
        images: Image to be scored again, as it has changed or failed -> its shard, or itself.
        lost_shards: Shards that do not exist now, but whose rows are kept.
        kept, of_others: Number of rows that are kept, and of rows of images that this run has not.
    """

    rows: pandas.DataFrame
    images: Mapping[str, str]
    lost_shards: Set[str]
    kept: int
    of_others: int


class FolderPlan:
    """The images and shards of a run into a folder: which rows are stale, and what lacks rows."""

    def __init__(self, folder: ParquetFolder, header: Header, items: Sequence[Source]) -> None:
        self._folder, self._header = folder, header
        self._items = {printable(item.name): item for item in items}

    def stale_rows(self, before: Header, drop_vanished: bool) -> StaleRows:
        """Return the rows of images that have changed, and of failures that may pass.

        Args:
            before: The header of the earlier run.
            drop_vanished: Rows of files and shards that do not exist any more are stale, too.
        """
        rows = self._rows("path", SOURCE, "stamp", "kind")
        is_of_run = rows["item"].isin(self._items)
        stamps = rows["item"].map(self._stamps(rows["item"]))
        is_lost = (stamps == MISSING) & (rows["path"] != rows["item"])  # a member of a shard, which may come back
        has_other_stamp = (stamps == UNKNOWN) | (stamps != rows["stamp"])
        is_scored_again = is_of_run & ~is_lost & (has_other_stamp | self._may_change(rows, before))
        is_dropped = is_lost | rows["item"].isin(_gone(rows["item"][~is_of_run])) if drop_vanished else False
        return StaleRows(
            rows[is_scored_again | is_dropped],
            images=rows[is_scored_again].set_index("path")["item"].to_dict(),
            lost_shards=set() if drop_vanished else set(rows["item"][is_lost]),
            kept=int((is_of_run & ~is_scored_again).sum()),
            of_others=int((~is_of_run).sum()),
        )

    def remove_stale(self, stale: StaleRows) -> None:
        """Remove stale rows, and say how many."""
        unknown_columns = self._unknown_columns()
        if unknown_columns:
            log.warning(f"{unknown_columns[0]} scores all images again, since its changes cannot be seen.")
        log.info(
            f"{counted(stale.kept, 'row')} kept, {counted(len(stale.images), 'image')} to be scored again, "
            f"as they have changed or failed, and {counted(stale.of_others, 'row')} of other images"
        )
        self._folder.remove_rows(stale.rows)

    def remove_repeated(self) -> None:
        """Remove rows of images that have another row, which lost processes left."""
        rows = self._rows("path", SOURCE, IMAGES).sort_values(IMAGES)  # rows without it come last
        self._folder.remove_rows(rows[rows.duplicated("path")])

    def missing(self) -> list[ShardTask]:
        """Return what lacks rows."""
        rows = self._rows("path", SOURCE, IMAGES)
        scored_files = set(rows["path"][rows[SOURCE].isna()])
        members = rows[rows[SOURCE].notna()]
        by_shard = members.groupby("item")["path"]
        finished = set(members["item"][members[IMAGES] == by_shard.transform("size")])
        done = by_shard.agg(frozenset)
        tasks = list[ShardTask]()
        files = list[Image]()
        for name, item in self._items.items():
            if not isinstance(item, Shard):
                if name not in scored_files:
                    files.append(item)
            elif name not in finished:
                tasks.append(ShardTask(item, done.get(name, frozenset())))
        return tasks + [ShardTask(files[first : first + LOOSE]) for first in range(0, len(files), LOOSE)]

    def result(self, missing: Sequence[ShardTask], stale: StaleRows | None) -> FolderResult:
        """Return what the folder holds now of this run's images, but for what is missing.

        Args:
            stale: The rows of an earlier run that were removed; None: there was no run.
        """
        unfinished = [name for task in missing for name in task.names]
        rows = self._rows("path", SOURCE, "kind", "error", *self._header.carried.values())
        is_here = rows["item"].isin(self._items)
        gone = _gone(rows["item"][~is_here])
        if stale is not None:
            gone |= stale.lost_shards
            for image in stale.images.keys() - set(rows["path"]):  # members that their changed shards lack
                if stale.images[image] not in unfinished:
                    gone.add(image)
        rows = rows[is_here]
        failed = rows[rows["kind"].notna()]
        return FolderResult(
            self._folder.path,
            self._header,
            images=len(rows),
            failures=Counter(failed["kind"]),
            errors=list(failed["error"].iloc[:5]),
            unfinished=unfinished,
            gone=sorted(gone),
            absent=self._absent(rows),
        )

    def _rows(self, *columns: str) -> pandas.DataFrame:
        """Return columns of all rows, with the file or shard of each in ``item``; paths are spelled as in this run."""
        rows = self._folder.rows(columns)
        rows["item"] = rows[SOURCE].fillna(rows["path"])
        spelled = dict[str, str]()  # file or shard as in the folder -> as in this run
        for name in set(rows["item"]) - self._items.keys():
            for other in spellings(name):
                if other in self._items:
                    spelled[name] = other
        is_other = rows["item"].isin(spelled)
        others = rows[is_other]
        paths = [spelled[item] + path[len(item) :] for item, path in zip(others["item"], others["path"], strict=True)]
        rows.loc[is_other, "path"] = paths
        rows.loc[is_other, "item"] = others["item"].map(spelled)
        return rows

    def _may_change(self, rows: pandas.DataFrame, before: Header) -> pandas.Series:
        """Return which rows another run may fill in another way, though their images are the same."""
        if self._unknown_columns():
            return rows["path"].notna()
        has_same_decoders = before.reading.get("decoders") == self._header.reading.get("decoders")
        return rows["kind"].isin([str(kind) for kind in Kind if not is_final(kind, has_same_decoders)])

    def _unknown_columns(self) -> list[str]:
        """Return the columns whose metrics cannot tell whether they have changed."""
        return [column.name for column in self._header.columns if not column.fingerprint]

    def _stamps(self, names: Iterable[str]) -> dict[str, Stamp]:
        """Return the present stamps of those files and shards that this run has."""
        items = {name: self._items[name] for name in set(names) if name in self._items}
        if all(isinstance(item, File) for item in items.values()):
            return {name: item.stamp() for name, item in items.items()}
        with ThreadPoolExecutor(16) as pool:  # a store takes long to answer each request
            return dict(zip(items, pool.map(lambda item: item.stamp(), items.values()), strict=True))

    def _absent(self, rows: pandas.DataFrame) -> dict[str, list[str]]:
        is_member = rows[SOURCE].notna()
        is_sample = (rows["kind"] != Kind.MISSING) & ~(is_member & (rows["path"] == rows["item"]))
        by_shard = rows[is_sample].groupby(rows["item"].where(is_member, LOOSE_PHOTOS))
        absent = dict[str, list[str]]()
        for name, column in self._header.carried.items():
            counts = by_shard[column].count()
            if not counts.all():
                absent[name] = list(counts.index[counts == 0])
        return absent


def _gone(names: Collection[str]) -> set[str]:
    """Return those of these files and shards that do not exist any more; stores are not asked."""
    return {name for name in set(names) if "://" not in name and not os.path.exists(on_disk(name))}
