"""What a folder of results holds after a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Kind
from ...text import few
from ..results.header import Header
from ..results.parquet_folder import SOURCE
from .absent_values import LOOSE_PHOTOS, sentence_about_absent
from .folder_plan import StaleRows
from .folder_rows import FolderRows, gone

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class FolderResult:
    """What a folder holds after a run.

    Attributes:
        images: Number of this run's images that have a row.
        failures: Kind of failure -> number of these images.
        errors: The first failures, in words.
        unfinished: Shards and files without all rows, since their processes were lost in each pass.
        gone: Images and shards that do not exist any more, of which an earlier run left rows.
        absent: Name to keep -> shards none of whose samples has it.
    """

    folder: str
    header: Header
    images: int
    failures: Counter[str]
    errors: Sequence[str]
    unfinished: Sequence[str]
    gone: Sequence[str]
    absent: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, rows: FolderRows, header: Header, unfinished: Sequence[str], stale: StaleRows | None) -> FolderResult:
        """Return what a folder holds now of a run's images.

        Args:
            stale: The rows of an earlier run that were removed; None: there was no run.
        """
        table = rows.table("path", SOURCE, "kind", "error", *header.carried.values())
        is_of_run = table["item"].isin(rows.sources)
        names_of_gone = gone(table["item"][~is_of_run])
        if stale is not None:
            names_of_gone |= stale.lost_shards
            images_without_row = stale.images.keys() - set(table["path"])
            # members that their changed shards lack
            names_of_gone |= {image for image in images_without_row if stale.images[image] not in unfinished}
        rows_of_run = table[is_of_run]
        failed = rows_of_run[rows_of_run["kind"].notna()]
        return cls(
            rows.folder.path,
            header,
            images=len(rows_of_run),
            failures=Counter(failed["kind"]),
            errors=list(failed["error"].iloc[:5]),
            unfinished=unfinished,
            gone=sorted(names_of_gone),
            absent=_absent_values(rows_of_run, header.carried),
        )

    @property
    def is_complete(self) -> bool:
        """Whether every image has its scores and the values beside them, and none has gone."""
        return not (self.failures or self.unfinished or self.gone or self.absent)

    def sentences(self) -> list[str]:
        """Return what happened, one thing in a sentence."""
        failed = self.failures.total()
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.failures.most_common())
        sentences = [f"{self.images - failed:,} scored, {failed:,} failed{f' ({kinds})' if kinds else ''}"]
        sentences += self.errors
        if self.unfinished:
            why = "not finished, since their processes were lost each time; resume the run to try again"
            sentences.append(f"{why}: {few(self.unfinished)}")
        if self.gone:
            remedy = "to remove their rows, resume the run and drop what has vanished"
            sentences.append(f"{len(self.gone):,} gone since an earlier run: {few(self.gone)}; {remedy}")
        for name, shards in self.absent.items():
            sentences.append(sentence_about_absent(name, shards))
        return sentences


def _absent_values(rows: pandas.DataFrame, carried: Mapping[str, str]) -> dict[str, list[str]]:
    """Return name to keep -> shards none of whose samples has it."""
    is_member = rows[SOURCE].notna()
    is_sample = (rows["kind"] != Kind.MISSING) & ~(is_member & (rows["path"] == rows["item"]))
    by_shard = rows[is_sample].groupby(rows["item"].where(is_member, LOOSE_PHOTOS))
    absent = dict[str, list[str]]()
    for name, column in carried.items():
        counts = by_shard[column].count()
        if not counts.all():
            absent[name] = list(counts.index[counts == 0])
    return absent
