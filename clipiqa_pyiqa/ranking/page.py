"""A web page that sorts, filters and shows the photos of a score file."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from ..errors import CLIPIQAError, counted
from ..files.names import printable
from ..files.writing import check_folder, check_output, write_text
from ..prompts.provenance import metric_line
from ..report.html import render
from ..scoring.directions import find_direction
from .picking import Photos, file_of, is_local
from .thumbnails import thumbnails

PAGE, THUMBNAILS = "browse.html", "thumbnails"
_MARK = '<meta name="generator" content="clipiqa rank">'


def write_browser(
    photos: Photos,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Write ``browse.html`` and thumbnails into a folder, and return the page.

    Args:
        photos: The photos, and the column that orders them when the page opens.
        folder: The folder; a missing folder is made.
        overwrite: Replace a ``browse.html`` that another tool wrote.
        workers, progress: As for :func:`~.thumbnails.thumbnails`.

    Raises:
        CLIPIQAError: No photo exists at its path.
    """
    folder = check_folder(folder, ())
    check_output(folder / PAGE, overwrite=overwrite or _is_ours(folder / PAGE))
    paths = list(map(photos.path, photos.scores.frame.index))
    if not any(map(file_of, paths)):
        raise CLIPIQAError(
            f"none of {counted(len(paths), 'photo')} exists, such as {paths[0]!r}: pass their folder as `root`."
        )
    small = thumbnails(paths, folder / THUMBNAILS, workers=workers, progress=progress)
    provenance = photos.scores.provenance
    text = render(
        __package__,
        "browse.html.j2",
        title=f"{counted(len(paths), 'photo')} by {photos.by}",
        columns=photos.scores.columns,
        by=photos.by,
        metric=metric_line(provenance) or Path(photos.scores.file).name,
        direction=photos.direction,
        data={
            "by": photos.by,
            "lowIsGood": _low_is_good(photos),
            "names": list(map(printable, photos.scores.frame.index)),
            "paths": [printable(os.path.abspath(path)) for path in paths],
            "links": [_link(path, folder, name) for path, name in zip(paths, small, strict=True)],
            "small": small,
            "scores": {name: list(map(_plain, values)) for name, values in photos.scores.frame.items()},
        },
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def _low_is_good(photos: Photos) -> list[str]:
    found = {photos.by: photos.direction}
    for name in photos.scores.columns:
        with contextlib.suppress(CLIPIQAError):
            found.setdefault(name, find_direction([photos.scores], name))
    return [name for name, direction in found.items() if direction.lower_better]


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _link(path: str, folder: Path, small: str) -> str:
    """Return the page's link to the photo, or to its thumbnail."""
    if not is_local(path):
        return f"{THUMBNAILS}/{small}"
    relative = os.path.relpath(os.path.realpath(path), folder)
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def _is_ours(path: Path) -> bool:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return _MARK in file.read(2000)
    return False
