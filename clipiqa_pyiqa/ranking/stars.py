"""Stars for photos by their scores, written as ``xmp:Rating`` into sidecars."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..datasets.score_table import sidecars, stars_of
from ..errors import CLIPIQAError
from ..files.writing import write_bytes
from ..files.xmp import NEW, XMPError, find_rating
from .picking import Photos, is_local
from .transfers import Step, undoable

SHARES = (10, 20, 40, 20, 10)


@dataclass(frozen=True)
class Stars:
    """What :func:`give_stars` did.

    Attributes:
        given: Number of photos with new stars.
        kept: Number of photos whose stars stayed.
        problems: A sentence for each photo that cannot get stars.
        undo_list: The file for :func:`~.transfers.undo`.
    """

    given: int
    kept: int
    problems: Sequence[str]
    undo_list: Path


def give_stars(photos: Photos, shares: Sequence[float] = SHARES, *, overwrite: bool = False) -> Stars:
    """Write one to five stars by quantile of the scores into sidecars (XMP files beside the photos).

    Only ``xmp:Rating`` changes. Photos that have 1 to 5 stars, or are rejected (-1), stay.

    Args:
        photos: The photos. Photos without a score get no stars.
        shares: The shares of photos with one, two, three, four and five stars, in percent.
        overwrite: Replace the stars that photos have.

    Raises:
        CLIPIQAError: A photo is not a file on this machine, or the shares are not five with a sum of 100.
    """
    if len(shares) != 5 or not (min(shares) >= 0 and abs(sum(shares) - 100) < 1e-6):
        raise CLIPIQAError(f"star_shares must be five shares with a sum of 100; got {','.join(map(str, shares))}.")
    paths = [os.path.abspath(photos.path(name)) for name in photos.ends()[0].index]
    if missing := [path for path in paths if not is_local(path)]:
        raise CLIPIQAError(f"{missing[0]!r} is not a file in a folder: nothing was done; if it has moved, pass `root`.")
    middles = (np.arange(len(paths)) + 0.5) * 100 / len(paths)  # in percent, from the worst photo
    stars = 1 + np.searchsorted(np.cumsum(shares)[:4], middles)
    beside = sidecars(paths)
    given, problems = 0, list[str]()
    with undoable(Path(os.path.commonpath(list(map(os.path.dirname, paths))))) as (undo_list, note):
        for path, text in zip(paths, map(str, stars), strict=True):
            place = beside.get(path, f"{path}.xmp")
            try:
                before = Path(place).read_bytes() if path in beside else NEW
                rating = find_rating(before)
                if overwrite or not stars_of(path, rating):
                    after = rating.changed(before, text)
                    write_bytes(place, after)
                    old = before.decode() if path in beside else None
                    note(Step("rating", path, place, sha256(after).hexdigest(), old, text))
                    given += 1
            except XMPError as error:
                problems.append(f"{place!r} {error.reason}: it is left alone.")
    if not given:
        undo_list.unlink()
    return Stars(given, len(paths) - given - len(problems), problems, undo_list)
