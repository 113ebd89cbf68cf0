"""Videos, judged by the scores of their frames."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from ..images.formats import VIDEOS
from ..sources.finding import split_name
from .columns import Column
from .scores import Scores, find_direction


def videos_of(names: Iterable[str]) -> list[str]:
    """Return the video of each frame; other images stand for themselves."""
    shards = [(name, split_name(name)[0]) for name in names]
    return [shard if shard.lower().endswith(VIDEOS) else name for name, shard in shards]


def per_video(scores: Scores) -> Scores:
    """Return scores with one row per video: the mean of its frames, missing if a frame or a part has no score."""
    videos = videos_of(scores.frame.index)
    if videos == [*scores.frame.index]:
        return scores
    frame = scores.frame.groupby(videos, sort=False).agg(lambda values: values.mean(skipna=False))
    errors = dict(zip(videos_of(scores.errors), scores.errors.values(), strict=True))
    return replace(scores, frame=frame, other=scores.other.groupby(videos, sort=False).first(), errors=errors)


def judge_videos(scores: Scores) -> Scores:
    """Return a row per video, with five columns for each score NAME of its frames; ``frames`` is their number.

    ``NAME``: the mean. ``NAME p5``: the 5th percentile; the 95th, ``NAME p95``, if low scores are good. ``NAME worst
    second``: the mean of the worst second, which begins at ``NAME worst at``. ``NAME flicker``: the median of
    ``|a - 2 b + c|`` over neighbouring scores a, b, c; left out if no video has three.
    """
    import pandas

    rows, columns = dict[str, dict[str, float]](), dict[str, Column]()
    directions = {name: find_direction([scores], name).lower_better for name in scores.names}
    for video, own in scores.frame.groupby(videos_of(scores.frame.index), sort=False):
        frames = own[own.index != video].dropna(how="all")
        if not len(frames):
            continue
        row = rows[video] = {"frames": len(frames)}
        for name, is_low in directions.items():
            record = scores.columns[name].record if name in scores.columns else {}
            values = frames[name].dropna()
            if not len(values):
                continue
            of_seconds = values.groupby(lambda frame: math.floor(float(split_name(frame)[1]))).mean()
            worst, tail = (of_seconds.idxmax(), 95) if is_low else (of_seconds.idxmin(), 5)
            found = {name: values.mean(), f"{name} p{tail}": values.quantile(tail / 100)}
            found |= {f"{name} worst second": of_seconds[worst], f"{name} worst at": worst}
            found[f"{name} flicker"] = values.diff().diff().abs().median()
            row |= found
            for each in found:
                ends = {"range": [0, None], "lower_better": True} if each == f"{name} flicker" else {}
                columns[each] = Column(each, {**record, **ends, "of_video": each})
            del columns[f"{name} worst at"]
    table = pandas.DataFrame.from_dict(rows, orient="index").rename_axis("path").dropna(axis=1, how="all")
    columns = {name: column for name, column in columns.items() if name in table}
    return Scores(table[[*columns]], table, columns, scores.reading)
