"""Results of experiments: scores of images, and what follows from them, as a report and in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas

from ...checks import FilePath
from ...errors import ImageError
from ...text import first_of
from ..files.file_names import file_name, free_names
from ..files.folders import make_folder
from ..files.locking import locked
from ..report.report import Report
from ..report.reported import save_files
from ..report.table import frame_table
from ..results.scores import Scores
from .options import ExperimentOptions


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment: scores of images, and what follows from them.

    Attributes:
        frame: Index ``path``, as the user wrote it; one column per question or named metric.
        failed: Path -> why the image has no scores.
        provenance: How the scores were made.
        scores: The same scores, with all else that is known of all images, such as flags; NaN for those left out.
        intervals: Columns of the summary with a 95 % interval, in columns of the same name with ``low`` and ``high``.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    scores: Scores
    intervals: ClassVar[Sequence[str]] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing that was asked for is left out."""
        return not self.failed

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(self.scores.columns)

    def is_low_good(self, question: str) -> bool:
        return bool(self.scores.columns[question].lower_better)

    def summary(self) -> pandas.DataFrame:
        """Return the table that the command prints."""
        return self.frame

    def contents(self) -> dict[str, Any]:
        """Return file name -> table, or figure; ``*`` in its name stands for the format of pictures."""
        return {}

    def scored_pairs(self, pairs: pandas.DataFrame, sides: Sequence[str]) -> pandas.DataFrame:
        """Return the pairs of images that both have scores; raise if there are none.

        Args:
            sides: The two columns of the images' paths.
        """
        has_failed = pairs[list(sides)].isin(list(self.failed)).any(axis=1)
        if has_failed.all():
            raise ImageError(
                "no pair has scores for both images: there is nothing to compare" + end_with_reasons(self.failed)
            )
        return pairs[~has_failed]

    @property
    def caption(self) -> str:
        """Return what made the scores, for pictures."""
        if "weights" not in self.provenance:
            return ""
        return "CLIP-IQA, {backbone}, {weights}".format(**self.provenance)

    def details(self) -> dict[str, Any]:
        """Return further fields of ``summary.json``."""
        return {}

    def notes(self) -> list[str]:
        """Return sentences about what else was left out, for the terminal."""
        return []

    def note_on_unknown(self, attributes: str) -> str:
        """Return the sentence about attributes that are left out, as the CLIP never saw their words."""
        return f"left out: {attributes}, as {self.provenance['backbone']} never saw their words"

    def report(self) -> Report:
        table = self.summary()
        return Report([frame_table(table, self.intervals)], table)

    def save(self, folder: FilePath, *, pictures: str = "png") -> None:
        """Write tables, figures (``'png'``, ``'svg'`` or ``'pdf'``), sheets (PNG) and ``summary.json``."""
        existing_folder = make_folder(folder)
        files = {name.replace("*", pictures): content for name, content in self.contents().items()}
        files["summary.json"] = self._summary_as_json()
        with locked(existing_folder):  # so that pictures and tables come from one run
            save_files(existing_folder, files)

    def save_if_asked(self, options: ExperimentOptions) -> None:
        """Save the result if the options have a folder ``out``."""
        out = options.get("out")
        if out is not None:
            self.save(out, pictures=options.get("pictures", "png"))

    def _summary_as_json(self) -> str:
        """Return the summary, what was left out and how the scores were made, as JSON."""
        table = self.summary().astype(object)
        fields = {
            # without pandas' to_json, which would round 1e-12 to 0
            "summary": table.where(table.notna(), None).to_dict(orient="records"),
            **self.details(),
            "left_out": dict(self.failed),
            "provenance": dict(self.provenance),
        }
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def end_with_reasons(failed: Mapping[str, str]) -> str:
    """Return the end of a sentence: why images could not be scored, if any could not."""
    reasons = list(dict.fromkeys(failed.values()))
    return f": {first_of(reasons, 5)}." if reasons else "."


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    """Return question -> name of its file; in ``form``, ``{}`` stands for the question."""
    questions = list(questions)
    names = free_names(file_name(question)[:60] for question in questions)
    return {question: form.format(name) for question, name in zip(questions, names, strict=True)}
