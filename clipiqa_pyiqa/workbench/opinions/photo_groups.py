"""Groups of rows that stay together in random splits: those of one scene, and those of one photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...files import FileHashes
from .learned_photos import short_digests

if TYPE_CHECKING:
    import pandas


def photos_in_files(paths: pandas.Series, hashes: FileHashes) -> list[str]:
    """Return the photo in each file: its digest, or the path of a file that cannot be read."""
    digests = short_digests(paths, hashes)
    return [digest or path for digest, path in zip(digests, paths, strict=True)]


def joined_groups(frame: pandas.DataFrame, photos: Sequence[str]) -> pandas.Series:
    """Return the group of each row: that in its column, or its photo without such a column.

    Groups that share a photo, which several people may have rated, are joined.
    """
    earlier = None
    first_rows = frame.index.to_series()  # the first row of each row's group
    while not first_rows.equals(earlier):
        earlier = first_rows
        for alike in (photos, frame.get("group", photos)):
            first_rows = first_rows.groupby(alike, sort=False).transform("min")
    return first_rows.map(frame["group"]) if "group" in frame else first_rows
