"""What a run into a folder has to score, as the rows in the folder tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from .folder_result import FolderResult
from .shard_task import ShardTask

if TYPE_CHECKING:
    import pandas

LOOSE = 500  # files outside of shards in one task


class FolderPlan:
    """The images and shards of a run into a folder: which rows are stale, and what lacks rows."""

    def __init__(self, folder: ParquetFolder, header: Header, items: Sequence[Source]) -> None:
        self._folder, self._header = folder, header
        self._items = {printable(item.name): item for item in items}
        self._removed = dict[str, str]()  # image whose row was stale -> its shard, or itself
        self._lost_shards = set[str]()  # which do not exist now, but whose rows are kept

    def remove_stale(self, before: Header, drop_vanished: bool) -> None:
        """Remove rows of images that have changed, and of failures that may pass, and say how many.

        Args:
            before: The header of the earlier run.
            drop_vanished: Also remove rows of files and shards that do not exist any more.
        """
        self._folder.remove_cut_files()
        rows = self._rows("path", SOURCE, "stamp", "kind")
        is_of_run = rows["item"].isin(self._items)
        stamps = rows["item"].map(self._stamps(rows["item"]))
        is_lost = (stamps == MISSING) & (rows["path"] != rows["item"])  # a member of a shard, which may come back
        has_other_stamp = (stamps == UNKNOWN) | (stamps != rows["stamp"])
        is_stale = is_of_run & ~is_lost & (has_other_stamp | self._may_change(rows, before))
        self._tell(rows, is_of_run, is_stale)
        self._lost_shards = set(rows["item"][is_lost])
        self._removed = rows[is_stale].set_index("path")["item"].to_dict()
        if drop_vanished:
            is_stale |= is_lost | rows["item"].isin(_gone(rows["item"][~is_of_run]))
            self._lost_shards = set()
        self._folder.remove_rows(rows[is_stale])

    def remove_repeated(self) -> None:
        """Remove cut files, and rows of images that have another row: lost processes left them."""
        self._folder.remove_cut_files()
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

    def result(self, missing: Sequence[ShardTask]) -> FolderResult:
        """Return what the folder holds now of this run's images, but for what is missing."""
        unfinished = [name for task in missing for name in task.names]
        rows = self._rows("path", SOURCE, "kind", "error", *self._header.carried.values())
        is_here = rows["item"].isin(self._items)
        gone = self._lost_shards | _gone(rows["item"][~is_here])
        for image in self._removed.keys() - set(rows["path"]):  # members that their changed shards lack
            if self._removed[image] not in unfinished:
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

    def _tell(self, rows: pandas.DataFrame, is_of_run: pandas.Series, is_stale: pandas.Series) -> None:
        for name in self._unknown_columns()[:1]:
            log.warning(f"{name} scores all images again, since its changes cannot be seen.")
        others = counted(int((~is_of_run).sum()), "row")
        log.info(
            f"{counted(int((is_of_run & ~is_stale).sum()), 'row')} kept, {counted(int(is_stale.sum()), 'image')} to be "
            f"scored again, as they have changed or failed, and {others} of other images"
        )

    def _absent(self, rows: pandas.DataFrame) -> dict[str, list[str]]:
        is_member = rows[SOURCE].notna()
        is_sample = (rows["kind"] != Kind.MISSING) & ~(is_member & (rows["path"] == rows["item"]))
        by_shard = rows[is_sample].groupby(rows["item"].where(is_member, "loose photos"))
        absent = dict[str, list[str]]()
        for name, column in self._header.carried.items():
            counts = by_shard[column].count()
            if not counts.all():
                absent[name] = list(counts.index[counts == 0])
        return absent


def _gone(names: Collection[str]) -> set[str]:
    """Return those of these files and shards that do not exist any more; stores are not asked."""
    return {name for name in set(names) if "://" not in name and not os.path.exists(on_disk(name))}
