"""How many images of a run an earlier run has scored."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...text import counted, few, log
from ..results.earlier import EarlierRow, lasting_stamp
from ..results.store import Results


@dataclass
class Tally:
    """Numbers of a run's images by what an earlier run left of them.

    Attributes:
        unchanged: Images with all their scores, or with failures that would come again.
        incomplete: Unchanged images that lack a score.
        failed: Those of ``unchanged`` that lack a score because of a failure.
        failed_by: Column -> how many of ``failed`` lack its score.
    """

    unchanged: int = 0
    changed: int = 0
    new: int = 0
    incomplete: int = 0
    failed: int = 0
    failed_by: Counter[str] = field(default_factory=Counter)

    def count(self, row: EarlierRow | None, stamp: str, is_complete: bool) -> None:
        """Count an image, which has this stamp now."""
        if row is None:
            self.new += 1
        elif not lasting_stamp(stamp, row.stamp):
            self.changed += 1
        elif not is_complete:
            self.incomplete += 1
        else:
            self.unchanged += 1
            if row.has_failed:
                self.failed += 1
                self.failed_by.update(name for name, score in row.scores.items() if score is None)

    def failed_before(self, columns: Sequence[str]) -> str:
        """Return how many images failed before, and in which columns if not in all alike; empty if none did."""
        if not self.failed:
            return ""
        text = f"{self.failed:,} failed in the earlier run and were not tried again"
        if self.failed == 1:
            text = "1 failed in the earlier run and was not tried again"
        if all(self.failed_by[name] == self.failed for name in columns):
            return f"{text}: only changed files are"
        lacking = ", ".join(f"{name}: {count:,}" for name, count in self.failed_by.items())
        return f"{text} (without a score of {lacking}): only changed files are"

    def __str__(self) -> str:
        counts = {"lacking scores": self.incomplete, "changed since": self.changed, "new": self.new}
        to_score = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return f"{counted(self.unchanged, 'image')} done in an earlier run; to score: {to_score or 'none'}"


def log_tally(results: Results, tally: Tally, title: str = "") -> None:
    """Log what is kept of an earlier run, if there was one; it is a warning if images are gone."""
    if not results.earlier:
        return
    gone = results.images.gone
    sentences = [f"{title}{tally}"]
    if gone:
        sentences.append(f"{counted(len(gone), 'row')} of images that are gone ({few(gone)})")
    names_of_gone = set(gone)
    others = [name for name in results.images.unmet if name not in names_of_gone]
    if others:
        sentences.append(f"{counted(len(others), 'row')} of images that this run lacks ({few(others)})")
    log.log(logging.WARNING if gone else logging.INFO, "; ".join(sentences))
