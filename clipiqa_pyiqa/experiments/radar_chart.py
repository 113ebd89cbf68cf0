"""The look and feel of images: scored, drawn on radar charts, saved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CLIPIQAError
from ..errors.arguments import checked
from ..files.writing import check_output
from ..metric import net_of
from ..prompts.pairs import Prompts, known_names, parse_columns
from .experiment import ExperimentResult, Paths, RunOptions, find_images, prepare, saved, write_results
from .radar_drawing import FEEL, LOOK, check_chart, named, radar_figure, radar_page
from .scores import Scores, score_images

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

    from .experiment import Content

KINDS = (".png", ".svg", ".html")
CHARTS = (*KINDS, ".pdf")  # that out may name


@dataclass(frozen=True)
class RadarCharts(Scores, ExperimentResult):
    """Scores that are drawn on radar charts."""

    def summary(self) -> pandas.DataFrame:
        """Return a row per question, a column per image."""
        table = self.frame.T
        table.columns = list(named(self).values())
        table.insert(0, "question", table.index)
        return table.reset_index(drop=True)

    def contents(self) -> dict[str, Content]:
        return {f"radar{kind}": self._chart(kind) for kind in KINDS}

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write the chart as PNG, SVG and HTML, and ``summary.json``; or one chart, if the name is that of such a file.

        With ``pictures='pdf'`` as PDF in place of PNG.

        Raises:
            CLIPIQAError: It cannot be written.
        """
        place = Path(folder).expanduser()
        if _is_chart(place):
            content = {place.name: self._chart(place.suffix.lower())}
            write_results(self, place.parent, content, f"{place.name}.json")
        else:
            super().save(place, pictures=pictures if pictures == "pdf" else "png")

    def _chart(self, kind: str) -> Content:
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
    """Score images and draw radar charts: each spoke a question, 0 in the middle and 1 at the rim.

    Args:
        metric: As for :func:`~.ranking.rank`.
        paths: Images, folders or globs, up to 8 images.
        prompts: At least three questions; default the paper's look and feel, less those whose words the metric's CLIP
            never saw.
        kind: Only one of these two.
        template, options: As for :func:`~.ranking.rank`.
            ``out`` may also name one chart (``.png``, ``.svg``, ``.pdf``, ``.html``), beside which its scores are kept.

    Returns:
        The scores.

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    out = options.get("out")
    files = find_images(paths, out)
    check_chart(len(files))
    keeping, names = options.copy(), [*(f"radar{kind}" for kind in KINDS), "summary.json"]
    scores_file = "scores.csv"
    if out is not None and _is_chart(place := Path(out).expanduser()):
        check_output(place, overwrite=bool(options.get("overwrite") or options.get("resume")), inputs=files)
        keeping["out"], names = place.parent, [place.name, f"{place.name}.json"]
        scores_file = f"{place.name}.csv"
    record, scoring = prepare(keeping, names, files, len(files), scores_file)
    if prompts is None:
        metric = net_of(metric)
        asked = [*(() if kind == "feel" else LOOK), *(() if kind == "look" else FEEL)]
        prompts = known_names(metric.clip, asked, template)
        if len(prompts) < 3:
            raise CLIPIQAError("the backbone knows the words of fewer than three questions: use another, such as RN50.")
    columns = parse_columns(prompts, template)
    check_chart(len(files), columns)
    scores = score_images(metric, files, columns, record=record, **scoring)
    return saved(RadarCharts(**vars(scores)), options)


def _is_chart(place: Path) -> bool:
    return place.suffix.lower() in CHARTS and not place.is_dir()
