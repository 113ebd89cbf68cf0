"""Scores of videos: the means of their frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..images.formats import VIDEOS
from ..names.members import split_name
from .scores import Scores


def videos_of(names: Iterable[str]) -> list[str]:
    """Return the video of each frame; other images stand for themselves."""
    videos = []
    for name in names:
        shard, _ = split_name(name)
        videos.append(shard if shard.lower().endswith(VIDEOS) else name)
    return videos


def per_video(scores: Scores) -> Scores:
    """Return scores with one row per video: the mean of its frames, missing if a frame or a part has no score."""
    videos = videos_of(scores.frame.index)
    if videos == [*scores.frame.index]:
        return scores
    frame = scores.frame.groupby(videos, sort=False).agg(lambda values: values.mean(skipna=False))
    return replace(scores, frame=frame, other=scores.other.groupby(videos, sort=False).first())
