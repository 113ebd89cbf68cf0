"""The look and feel of images as one experiment: scored, drawn on radar charts, saved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..arguments import checked
from ..errors import CLIPIQAError
from ..prompts.pairs import Prompts, known_names, parse_columns
from .experiment import ExperimentResult, Paths, ResultFolder, RunOptions, check_kinds, find_images
from .radar_drawing import FEEL, LOOK, charts_of, check_count, named, radar_figure
from .radar_page import radar_page
from .scores import Scores, ready_metric

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

    from .experiment import Content

KINDS = (".png", ".svg", ".html")
CHARTS = (*KINDS, ".pdf")  # that --out may name


@dataclass(frozen=True)
class RadarCharts(Scores, ExperimentResult):
    """Scores that are drawn on radar charts."""

    def summary(self) -> pandas.DataFrame:
        """A row per question, a column per image."""
        table = self.frame.T
        table.columns = list(named(self).values())
        table.insert(0, "question", table.index)
        return table.reset_index(drop=True)

    def contents(self) -> Iterator[tuple[str, Content]]:
        yield from ((f"radar{kind}", self._chart(kind)) for kind in KINDS)

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write the chart as PNG, SVG and HTML, and ``summary.json``; or one chart, if the name is that of such a file.

        With ``pictures='pdf'`` as PDF in place of PNG.

        Raises:
            CLIPIQAError: It cannot be written.
        """
        place = Path(folder).expanduser()
        if not _is_chart(place):
            return super().save(place, pictures=pictures if pictures == "pdf" else "png")
        self._save(place.parent, [(place.name, self._chart(place.suffix.lower()))], f"{place.name}.json")

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

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    out = options.get("out")
    files = find_images(paths, "radar", out)
    check_count(len(files))
    folder = _folder(options, files)
    if prompts is None:
        metric = ready_metric(metric)
        asked = [*(() if kind == "feel" else LOOK), *(() if kind == "look" else FEEL)]
        prompts = known_names(getattr(metric, "net", metric).clip, asked, template)
        if len(prompts) < 3:
            raise CLIPIQAError("a radar chart needs at least three questions: use another backbone, such as RN50.")
    columns = parse_columns(prompts, template)
    if len(columns) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions, but {', '.join(columns)} came.")
    scores = folder.score(metric, files, columns)
    charts = RadarCharts(**vars(scores))
    charts_of(charts)
    if out is not None:
        charts.save(out)
    return charts


def _is_chart(place: Path) -> bool:
    return place.suffix.lower() in CHARTS and not place.is_dir()


def _folder(options: RunOptions, images: list[str]) -> ResultFolder:
    """Where scores are kept: in the folder, or beside the chart, that ``out`` names."""
    check_kinds(**options)  # type: ignore[arg-type]
    place = Path(options.get("out") or "").expanduser()
    if not _is_chart(place):
        return ResultFolder(options, [f"radar{kind}" for kind in KINDS] + ["summary.json"], images)
    if place.exists() and not (options.get("resume") or options.get("overwrite")):
        raise CLIPIQAError(f"{str(place)!r} exists already: pass --overwrite, or another --out.")
    if any(place.exists() and place.samefile(path) for path in images):
        raise CLIPIQAError(f"--out {str(place)!r} is one of the images: name another file.")
    options["out"] = place.parent
    return ResultFolder(options, [place.name, f"{place.name}.json"], images, f"{place.name}.csv")
