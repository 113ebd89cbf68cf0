"""Findings of ``gate``: what fails two runs whatever their scores say, unless an option accepts it."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...checks import check_list, check_truth
from ...errors import OptionError
from ...text import counted, few, hint_for
from ..images.uniform import FLAGS

BAND = "cut"
_EXPLAINED = {
    BAND: "an eighth or more of the rows or columns has one colour, as if the image had ended early, and the base "
    "image has no such band",
}
FEWEST_COMPARED = 0.9
"""Share of the base's images that the new run must have scores of: below, nothing passes."""


@dataclass(frozen=True)
class Finding:
    """What was found, with the rows that it is about.

    Attributes:
        reason: Phrase for the line of the verdict.
        sentence: The reason with its explanation.
        rows: Row -> remark.
        details: Sentences to show in place of the remarks.
        is_accepted: Whether an option accepts it; then it does not fail the gate.
    """

    name: str
    reason: str
    sentence: str
    rows: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[str] = ()
    is_accepted: bool = False

    @property
    def verdict(self) -> str:
        return "accepted" if self.is_accepted else "failed"

    @property
    def line(self) -> str:
        return f"{self.name}: {self.verdict}: {self.sentence}"

    def lines(self, count: int) -> list[str]:
        """Return the details, or the remarks of the first rows and the number of other rows."""
        if self.details:
            return [*self.details]
        remarks = [f"{row}: {remark}" for row, remark in self.rows.items()]
        hidden = len(remarks) - count
        return [*remarks[:count], f"and {hidden:,} more"] if hidden > 0 else remarks

    @property
    def record(self) -> dict[str, Any]:
        return {"name": self.name, "verdict": self.verdict, "reason": self.reason, "sentence": self.sentence} | {
            "rows": dict(self.rows),
            "details": [*self.details],
        }


@dataclass(frozen=True)
class Accepted:
    """What a caller accepts.

    Attributes:
        missing: Number of images that the new run may lack, or their share of the base's as a text such as ``'5%'``.
        flags: Flags that new images may have.
    """

    new: bool = False
    missing: int | str = 0
    resize: bool = False
    flags: Collection[str] = ()

    def __post_init__(self) -> None:
        check_truth("allow_new", self.new)
        check_truth("allow_resize", self.resize)
        check_list("allow_flag", self.flags)
        self.count_of(1)
        if self.flags:
            known = (*FLAGS, BAND)
            for flag in self.flags:
                if flag not in known:
                    raise OptionError(
                        f"`{{allow_flag}}` names {flag!r}, which is no flag: {hint_for(flag, known)}",
                        options=("allow_flag",),
                    )

    def count_of(self, base: int) -> int:
        """Return how many images the new run may lack, of a base with so many."""
        text = str(self.missing).strip()
        if re.fullmatch(r"\d+", text):
            return int(text)
        percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
        if percent is None or float(percent[1]) > 100:
            raise OptionError(
                f"`{{allow_missing}}` must be a number of images or a share such as 5%; got {text!r}.",
                options=("allow_missing",),
            )
        return math.floor(base * float(percent[1]) / 100 + 1e-9)


def flag_findings(flagged: Mapping[str, str], accepted: Accepted) -> list[Finding]:
    """Return a finding of newly flagged images, and one of those whose flag is accepted."""
    findings = []
    for is_accepted in (False, True):
        rows = {row: flag for row, flag in flagged.items() if (flag in accepted.flags) == is_accepted}
        if rows:
            names = dict.fromkeys(rows.values())
            explained = [f"{name} ({_EXPLAINED[name]})" if name in _EXPLAINED else name for name in names]
            images = f"{counted(len(rows), 'image')} newly flagged"
            reason = f"{images} ({', '.join(names)})"
            findings.append(Finding("flag", reason, f"{images}: {', '.join(explained)}", rows, (), is_accepted))
    return findings


def size_findings(resized: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], accepted: Accepted) -> list[Finding]:
    """Return a finding of images that have another size in the new run: row -> the base's size, and the new one's."""
    if not resized:
        return []
    rows = {}
    other_aspects = 0
    for row, (base, new) in resized.items():
        rows[row] = f"{base[0]} × {base[1]} to {new[0]} × {new[1]}"
        if not _is_same_aspect(base, new):
            other_aspects += 1
    images = counted(len(rows), "image")
    aspects = f", {other_aspects:,} of them of another aspect" if other_aspects else ""
    reason = f"{images} of another size{aspects}"
    return [Finding("size", reason, f"{images} of another size than in the base{aspects}", rows, (), accepted.resize)]


def _is_same_aspect(base: tuple[int, int], new: tuple[int, int]) -> bool:
    """Return whether the shapes agree within one pixel, to which a size is rounded."""
    width = new[1] * base[0] / base[1]
    height = new[0] * base[1] / base[0]
    return abs(width - new[0]) <= 1 or abs(height - new[1]) <= 1


@dataclass(frozen=True)
class Absent:
    """The rows that have no partner or no score.

    Attributes:
        base_only, new_only: Rows of one run alone.
        damaged: Row -> why an image of either run cannot be read.
        lacking: Row -> remark, of rows in both runs that lack a score.
        details: Sentences about missing scores.
        unscored: Sentences about columns without any score in a run.
        base_count: Number of images in the base.
    """

    base_only: Sequence[str]
    new_only: Sequence[str]
    damaged: Mapping[str, str]
    lacking: Mapping[str, str]
    details: Sequence[str]
    unscored: Sequence[str]
    base_count: int

    def findings(self, accepted: Accepted) -> list[Finding]:
        """Return what is missing; each finding says whether it is accepted."""
        findings = []
        if self.new_only:
            reason = f"{counted(len(self.new_only), 'image')} in the new run only"
            rows = dict.fromkeys(self.new_only, "not in the base")
            details = [f"the base lacks {few(self.new_only)}"]
            findings.append(Finding("new", reason, reason, rows, details, accepted.new))
        if self.damaged:
            reason = f"{counted(len(self.damaged), 'image')} cannot be read"
            findings.append(Finding("damaged", reason, f"{reason}: {few(self.damaged)}", self.damaged, self._damage()))
        if self.unscored:
            findings.append(Finding("scores", "a column has no scores", "a column has no scores", {}, self.unscored))
        count = len(self.base_only) + len(self.lacking)
        if count:
            findings.append(self._missing(count, accepted.count_of(self.base_count)))
        if not any(finding.name != "new" and not finding.is_accepted for finding in findings):
            findings += self._too_few()
        return findings

    def _damage(self) -> list[str]:
        first = list(self.damaged.values())[:5]
        hidden = len(self.damaged) - len(first)
        return [*first, f"and {hidden:,} more"] if hidden else first

    def _missing(self, count: int, most: int) -> Finding:
        phrases = []
        if self.base_only:
            phrases.append(f"{counted(len(self.base_only), 'image')} missing in the new run")
        if self.lacking:
            phrases.append(f"{counted(len(self.lacking), 'image')} without a score in one run")
        reason = " and ".join(phrases)
        sentence = f"{reason} (of {self.base_count:,} in the base; allowed: {most:,})"
        rows = {**dict.fromkeys(self.base_only, "missing in the new run"), **self.lacking}
        details = [*self.details]
        if self.base_only:
            details.insert(0, f"the new run lacks {few(self.base_only)}")
        return Finding("missing", reason, sentence, rows, details, count <= most)

    def _too_few(self) -> list[Finding]:
        compared = self.base_count - len(self.base_only) - len(self.lacking)
        share = compared / self.base_count
        if share >= FEWEST_COMPARED:
            return []
        reason = f"only {compared:,} of the base's {counted(self.base_count, 'image')} compared"
        return [Finding("compared", reason, f"{reason} ({share:.0%}): a verdict needs {FEWEST_COMPARED:.0%}")]
