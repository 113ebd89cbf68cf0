"""Stars that people gave their photos, from XMP beside or in the photos."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, first_of
from ..files.xmp import Rating, XMPError, find_rating
from ..sources.folders import images_in

if TYPE_CHECKING:
    import pandas

_IN_A_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
logger = logging.getLogger("clipiqa_pyiqa")


def listing(folder: str) -> dict[str, str]:
    return {name.lower(): name for name in os.listdir(folder or ".")}


def sidecars(photos: Sequence[str]) -> dict[str, str]:
    """Return photo -> its sidecar: ``a.jpg.xmp``, or else ``a.xmp`` if only one of the photos is called ``a``."""
    stems = {photo: os.path.splitext(photo)[0].lower() for photo in photos}
    sharing, found = Counter(stems.values()), dict[str, str]()
    here = {folder: listing(folder) for folder in set(map(os.path.dirname, photos))}
    for photo, stem in stems.items():
        folder, name = os.path.split(photo)
        for usual in (f"{name.lower()}.xmp", f"{os.path.basename(stem)}.xmp")[: 1 if sharing[stem] > 1 else 2]:
            if usual in here[folder]:
                found.setdefault(photo, os.path.join(folder, here[folder][usual]))
    return found


def stars_of(photo: str, sidecar: Rating | None) -> int:
    """Return 1 to 5, -1 (rejected) or 0 (none): of the sidecar, or else of the XMP in a JPEG. Raises ``XMPError``."""
    if sidecar is not None and sidecar.text is not None:
        return sidecar.stars
    with open(photo, "rb") as file:
        head = file.read(1 << 20)
    start = head.find(_IN_A_JPEG)
    if start < 2 or not head.startswith(b"\xff\xd8"):
        return 0
    size = int.from_bytes(head[start - 2 : start], "big")  # of the segment, with these two bytes
    return find_rating(head[start + len(_IN_A_JPEG) : start - 2 + size]).stars


def rated_photos(folder: Path) -> pandas.DataFrame:
    """Return ``path`` and ``score`` of a folder's photos with one to five stars.

    Photos with unreadable XMP are left out with a warning. Raises ``CLIPIQAError`` if no photo has stars.
    """
    import pandas

    photos = list(images_in(folder))
    beside, found, problems = sidecars(photos), list[tuple[str, int]](), list[str]()
    for photo in photos:
        place = beside.get(photo, photo)
        try:
            stars = stars_of(photo, find_rating(Path(place).read_bytes()) if photo in beside else None)
        except XMPError as error:
            problems.append(f"{place!r} {error.reason}")
        else:
            if stars > 0:
                found.append((os.path.abspath(photo), stars))
    if problems:
        logger.warning("left out: %s", first_of(problems))
    if not found:
        raise CLIPIQAError(
            f"no photo in {str(folder)!r} has one to five stars (xmp:Rating): rate some photos, or name a CSV file."
        )
    return pandas.DataFrame(found, columns=["path", "score"], dtype=object).astype({"score": float})
