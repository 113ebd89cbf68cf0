"""The best and the worst images of a folder by any question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..errors.arguments import checked
from ..experiments.experiment import (
    ExperimentResult,
    ImageScores,
    Paths,
    RunOptions,
    exif_applied,
    file_names,
    find_images,
    saved,
    score_files,
)
from ..files.names import below_common
from ..prompts.pairs import Prompts, parse_columns
from ..report.contact_sheet import SIDE, contact_sheet, headed
from ..scoring.cuts import choose
from ..scoring.rows import printable

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Ranking(ExperimentResult):
    """Scores, and the number of best and worst images to show for each question."""

    count: int = 10

    def summary(self) -> pandas.DataFrame:
        """Return the best and the worst images, with columns question, rank, score and path."""
        import pandas

        tables = []
        for question in self.questions:
            for chosen in best_and_worst(self, question, self.count):
                found = chosen.sort_values("rank", kind="stable")
                paths = list(map(printable, found.index))
                tables.append(found[["rank"]].assign(question=question, score=found[question], path=paths))
        return pandas.concat(tables, ignore_index=True)[["question", "rank", "score", "path"]]

    def contents(self) -> dict[str, Any]:
        sheets = {name: rank_sheet(self, question, self.count) for question, name in _sheets(self.questions).items()}
        return {"ranking.csv": ranking(self, self.questions[0]), **sheets}

    def details(self) -> dict[str, Any]:
        return {"images": len(self.frame), "flags": dict(self.flags)}

    def notes(self) -> list[str]:
        names = list(map(printable, self.flags))
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        return [f"flagged, with nothing to judge: {', '.join(names[:3])}{more}"] if names else []


@checked
def rank(
    metric: Any,
    paths: Paths,
    prompts: Prompts = "quality",
    *,
    template: str | None = None,
    count: int = 10,
    **options: Unpack[RunOptions],
) -> Ranking:
    """Return the scores of images, ranked by each question.

    Args:
        metric: A ``CLIPIQA``, the result of ``pyiqa.create_metric('clipiqa')``, or a function that makes a metric.
        paths: Images, folders or globs.
        prompts: Questions as for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`.
        template: Wording of the pairs, such as ``'A photo of {}.'``.
        count: Number of best images to show, and of worst images.
        options: The fields of :class:`~.experiment.RunOptions`.

    Raises:
        CLIPIQAError: There are no images, or an argument cannot be used.
    """
    files = find_images(paths, options.get("out"))
    columns = parse_columns(prompts, template)
    scores = score_files(metric, files, columns, ["ranking.csv", *_sheets(columns).values()], options)
    return saved(Ranking(**vars(scores), count=count), options)


def ranking(scores: ImageScores, question: str) -> pandas.DataFrame:
    """Return the scores of all images, from the highest to the lowest score of a question, with a column ``rank``."""
    frame = scores.frame.sort_values(question, ascending=False, kind="stable")
    frame.insert(0, "rank", frame[question].rank(method="min", ascending=False).astype(int))
    return frame


def best_and_worst(scores: ImageScores, question: str, count: int) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Return the best and the worst ``count`` rows of :func:`ranking`; the most extreme row is first."""
    order = ranking(scores, question)
    worst = min(count, len(order) // 2)
    cuts = {"worst": worst or None, "best": min(count, len(order) - worst)}
    low, high = choose(list(map(printable, order.index)), order[question], False, cuts)
    return order.iloc[high], order.iloc[low]


def rank_sheet(scores: ImageScores, question: str, count: int) -> Image.Image:
    sheets, names = {}, below_common(list(scores.frame.index))
    for title, chosen in zip(("Highest", "Lowest"), best_and_worst(scores, question, count), strict=True):
        if len(chosen):
            captions = [f"{score:.4f}\n{names[path]}" for path, score in chosen[question].items()]
            heading = f"{title} of {len(scores.frame)}: {question}"
            files, upright = [Path(path) for path in chosen.index], exif_applied(scores.provenance)
            sheets[heading] = contact_sheet(files, captions, height=SIDE, apply_exif=upright)
    return headed(sheets)


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return file_names(questions, "rank-{}.png")
