"""Experiment of Fig. 1: the look and feel of images on radar charts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CLIPIQAError
from ..errors.arguments import checked
from ..metric import net_of
from ..prompts.pairs import Prompts, known_names, parse_columns
from .experiment import ExperimentResult, Paths, RunOptions, find_images, prepare, saved, write_results
from .radar_drawing import FEEL, LOOK, MOST, named, radar_figure, radar_page
from .scores import Scores, score_images

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack


KINDS = (".png", ".svg", ".html")
CHARTS = (*KINDS, ".pdf")  # suffixes that out may have


@dataclass(frozen=True)
class RadarCharts(Scores, ExperimentResult):
    """Scores for radar charts."""

    def summary(self) -> pandas.DataFrame:
        """Return a row per question, a column per image."""
        table = self.frame.T
        table.columns = list(named(self).values())
        table.insert(0, "question", table.index)
        return table.reset_index(drop=True)

    def contents(self) -> dict[str, Any]:
        return {f"radar{kind}": self._chart(kind) for kind in KINDS}

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write charts and ``summary.json``, or only one chart if ``folder`` names a chart file.

        Raises:
            CLIPIQAError: A file cannot be written.
        """
        place = Path(folder).expanduser()
        if _is_chart(place):
            content = {place.name: self._chart(place.suffix.lower())}
            write_results(self, place.parent, content, f"{place.name}.json")
        else:
            super().save(place, pictures=pictures if pictures == "pdf" else "png")

    def _chart(self, kind: str) -> Any:
        return radar_page(self) if kind == ".html" else radar_figure(self)


@checked
def radar(
    metric: Any,
    paths: Paths,
    prompts: Prompts = None,
    *,
    kind: Literal["look", "feel"] | None = None,
    template: str | None = None,
    **options: Unpack[RunOptions],
) -> RadarCharts:
    """Return scores for radar charts of the look and feel (Fig. 1).

    Args:
        metric, template, options: As for :func:`~.ranking.rank`. ``out`` may also name one chart (``.png``, ``.svg``,
            ``.pdf``, ``.html``); scores are written beside it.
        paths: Images, folders or globs; up to 8 images.
        prompts: At least three questions; by default the paper's questions whose words the CLIP knows.
        kind: Ask only the look questions, or only the feel questions.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    out = options.get("out")
    files = find_images(paths, out)
    if len(files) > MOST:
        raise CLIPIQAError(f"a radar chart shows at most {MOST} images; got {len(files)}.")
    storage, names, scores_file = (
        options.copy(),
        [*(f"radar{suffix}" for suffix in KINDS), "summary.json"],
        "scores.csv",
    )
    if out is not None and _is_chart(chart := Path(out).expanduser()):
        storage["out"], names, scores_file = chart.parent, [chart.name, f"{chart.name}.json"], f"{chart.name}.csv"
    record, scoring = prepare(storage, names, files, len(files), scores_file)
    if prompts is None:
        metric = net_of(metric)
        prompts = known_names(metric.clip, {"look": LOOK, "feel": FEEL, None: (*LOOK, *FEEL)}[kind], template)
    columns = parse_columns(prompts, template) if prompts else {}
    if len(columns) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions; got {', '.join(columns) or 'none'}.")
    scores = score_images(metric, files, columns, record=record, **scoring)
    return saved(RadarCharts(**vars(scores)), options)


def _is_chart(path: Path) -> bool:
    return path.suffix.lower() in CHARTS and not path.is_dir()
