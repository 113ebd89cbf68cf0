"""What a folder of results holds after a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...text import counted, few
from ..results.header import Header
from .absent_values import sentence_about_absent


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
            why = "are gone, of which an earlier run left rows; to remove these, resume it and drop what has vanished"
            sentences.append(f"{counted(len(self.gone), 'image or shard')} {why}: {few(self.gone)}")
        for name, shards in self.absent.items():
            sentences.append(sentence_about_absent(name, shards))
        return sentences
