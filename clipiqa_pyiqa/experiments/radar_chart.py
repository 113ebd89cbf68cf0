"""Experiment of Fig. 1: the look and feel of images on radar charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CLIPIQAError
from ..errors.arguments import checked
from ..files.names import below_common, printable
from ..metric import net_of
from ..prompts.pairs import Prompts, known_names, parse_columns
from .experiment import ExperimentResult, Paths, RunOptions, find_images, saved, score_files
from .radar_drawing import FEEL, LOOK, MOST, radar_figure

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack


@dataclass(frozen=True)
class RadarCharts(ExperimentResult):
    """Scores for radar charts."""

    def summary(self) -> pandas.DataFrame:
        """Return the scores, with a row per question and a column per image."""
        table = self.frame.T
        table.columns = list(map(printable, below_common(list(self.frame.index)).values()))
        table.insert(0, "question", table.index)
        return table.reset_index(drop=True)

    def contents(self) -> dict[str, Any]:
        return {"radar.png": radar_figure(self)}


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
        metric, template, options: As for :func:`~.ranking.rank`.
        paths: Images, folders or globs that give up to 8 images.
        prompts: At least three questions; by default the paper's questions whose words the CLIP knows.
        kind: Ask only the look questions, or only the feel questions.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    files = find_images(paths, options.get("out"))
    if len(files) > MOST:
        raise CLIPIQAError(f"a radar chart shows at most {MOST} images; got {len(files)}.")
    if prompts is None:
        metric = net_of(metric)
        prompts = known_names(metric.clip, {"look": LOOK, "feel": FEEL, None: (*LOOK, *FEEL)}[kind], template)
    columns = parse_columns(prompts, template) if prompts else {}
    if len(columns) < 3:
        raise CLIPIQAError(f"a radar chart needs at least three questions; got {', '.join(columns) or 'none'}.")
    scores = score_files(metric, files, columns, ["radar.png"], options)
    return saved(RadarCharts(**vars(scores)), options)
