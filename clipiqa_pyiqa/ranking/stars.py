"""Stars for photos by their scores, written as ``xmp:Rating`` into sidecars."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.ratings import sidecars, stars_of
from ..files.writing import write_bytes
from ..files.xmp import NEW, XMPError, find_rating
from .picking import Photos, PickError, is_local
from .transfers import undoable

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

    Only the property ``xmp:Rating`` of a sidecar changes. Photos that have 1 to 5 stars, or are rejected (-1), stay.

    Args:
        photos: The photos. Photos without a score get no stars.
        shares: The shares of photos with one, two, three, four and five stars, in percent.
        overwrite: Replace the stars that photos have.

    Raises:
        PickError: A photo is not a file on this machine, or the shares are not five with a sum of 100.
    """
    if len(shares) != 5 or not (min(shares) >= 0 and abs(sum(shares) - 100) < 1e-6):
        raise PickError(f"star_shares must be five shares with a sum of 100; got {','.join(map(str, shares))}.")
    paths = [os.path.abspath(photos.path(str(name))) for name in photos.ends()[0].index]
    if missing := [path for path in paths if not is_local(path)]:
        raise PickError(f"{missing[0]!r} is not a file in a folder: nothing was done; if it has moved, pass `root`.")
    middles = (np.arange(len(paths)) + 0.5) * 100 / len(paths)  # in percent, from the worst photo
    stars = dict(zip(paths, 1 + np.searchsorted(np.cumsum(shares)[:4], middles), strict=True))
    beside = sidecars(paths)
    given, kept, problems = 0, 0, list[str]()
    with undoable(Path(os.path.commonpath(list(map(os.path.dirname, paths))))) as (undo_list, note):
        for path in paths:
            place = beside.get(path, f"{path}.xmp")
            try:
                before = Path(place).read_bytes() if path in beside else NEW
                rating = find_rating(before)
                if stars_of(path, rating) and not overwrite:
                    kept += 1
                    continue
                text = str(stars[path])
                after = rating.changed(before, text)
                write_bytes(place, after)
            except XMPError as error:
                problems.append(f"{place!r} {error.reason}: it is left alone.")
                continue
            step = {"action": "rating", "from": path, "to": place, "sha256": hashlib.sha256(after).hexdigest()}
            old = before.decode() if path in beside else None
            note({**step, "rating": rating.text, "stars": text, "old": old})
            given += 1
    if not given:
        undo_list.unlink()
    return Stars(given, kept, problems, undo_list)


def take_back(step: Mapping[str, Any]) -> str:
    """Undo a step of :func:`give_stars`; return the problem, or an empty text."""
    place, old = Path(step["to"]), step["old"]
    now = place.read_bytes()
    if hashlib.sha256(now).hexdigest() == step["sha256"]:
        if old is None:
            place.unlink()
        else:
            write_bytes(place, old.encode())
        return ""
    try:
        rating = find_rating(now)
    except XMPError as error:
        return f"stays, because it {error.reason}"
    if rating.text != step["stars"]:
        return "stays, because its stars have changed since"
    write_bytes(place, rating.changed(now, step["rating"]))
    return ""
