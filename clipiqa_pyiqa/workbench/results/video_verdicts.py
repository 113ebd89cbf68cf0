"""Verdicts on videos: statistics of their frames and of their seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..images.formats import VIDEOS
from ..names.members import split_name
from .columns import Column
from .directions import find_direction
from .scores import Scores
from .video_scores import videos_of

if TYPE_CHECKING:
    import pandas


def verdicts_on_videos(scores: Scores) -> Scores:
    """Return a row per video, with five columns for each score NAME of its frames; ``frames`` counts scored ones.

    ``NAME``: the mean. ``NAME p5``: the 5th percentile; the 95th, ``NAME p95``, if low scores are good. ``NAME worst
    second``: the mean of the worst second, which begins at ``NAME worst at``. ``NAME flicker``: the median of
    ``|a - 2 b + c|`` over neighbouring scores a, b, c; left out if no video has three. A video with a frame or a part
    that has no score gets none, but an ``error``.
    """
    import pandas

    rows = dict[str, dict[str, Any]]()
    lower_better = {name: find_direction([scores], name).lower_better for name in scores.names}
    videos = pandas.Index(videos_of(scores.frame.index))  # pandas would take a list of one for a list of keys
    for video, frames in scores.frame.groupby(videos, sort=False):
        if not video.lower().endswith(VIDEOS):
            continue
        row: dict[str, Any] = {"frames": frames.notna().any(axis=1).sum()}
        for name in scores.names:
            if frames[name].notna().all():
                row |= _statistics(name, frames[name], lower_better[name])
        row["error"] = next(filter(None, map(scores.errors.get, frames.index)), None)
        rows[video] = row
    table = pandas.DataFrame.from_dict(rows, orient="index").rename_axis("path").dropna(axis=1, how="all")
    columns = _columns_of_statistics(scores, table)
    return Scores(table[[*columns]], table, columns, scores.reading)


def _statistics(name: str, values: pandas.Series, lower_better: bool) -> dict[str, float]:
    """Return the statistics of a video's frames, of which each has a score."""
    of_seconds = values.groupby(_second_of).mean()
    tail = 95 if lower_better else 5
    worst = of_seconds.idxmax() if lower_better else of_seconds.idxmin()
    return {
        name: values.mean(),
        f"{name} p{tail}": values.quantile(tail / 100),
        f"{name} worst second": of_seconds[worst],
        f"{name} worst at": worst,
        f"{name} flicker": values.diff().diff().abs().median(),
    }


def _second_of(frame: str) -> int:
    """Return the whole second of a frame, whose name ends with its time."""
    _, time = split_name(frame)
    return math.floor(float(time))


def _columns_of_statistics(scores: Scores, table: pandas.DataFrame) -> dict[str, Column]:
    """Return the columns of those statistics that a table has; the second at which the worst begins is no score."""
    columns = dict[str, Column]()
    for name in scores.names:
        record = scores.columns.get(name, Column(name)).record
        for statistic in (name, f"{name} p5", f"{name} p95", f"{name} worst second", f"{name} flicker"):
            if statistic in table:
                # the statistic is in the record, so that its fingerprint differs from that of the scores of frames
                record_of_statistic = {**record, "of_video": statistic}
                if statistic == f"{name} flicker":
                    record_of_statistic |= {"range": [0, None], "lower_better": True}
                columns[statistic] = Column(statistic, record_of_statistic)
    return columns
