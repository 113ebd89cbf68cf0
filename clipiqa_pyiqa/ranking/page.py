"""A page on which the photos of a score file can be browsed: sorted, filtered, looked at, and chosen from."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..errors import counted
from ..files.names import one_line, printable
from ..files.writing import check_folder, write_text
from ..prompts.provenance import in_short
from ..scoring.directions import find_direction
from ..scoring.score_files import ScoresError
from .picking import Photos, PickError
from .thumbnails import thumbnails

PAGE, THUMBNAILS = "browse.html", "thumbnails"
_HERE = Path(__file__).parent
_MARK = '<meta name="generator" content="clipiqa rank">'
_ATTRIBUTES = 12  # of the file's other columns, shown with the full photo


def write_browser(
    photos: Photos,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Write ``browse.html`` and the thumbnails beside it; the page shows the photos where they lie.

    Args:
        photos: All of them, and the column to begin with.
        folder: Made if need be. Thumbnails of an earlier page there are used again.
        overwrite: Replace a ``browse.html`` that is not ours.
        workers, progress: As for :func:`~.thumbnails.thumbnails`.

    Returns:
        The page.

    Raises:
        PickError: None of the photos is there.
        OutputError: The folder cannot be written.
    """
    folder = check_folder(folder, [PAGE], overwrite=overwrite, ours=_is_ours)
    names = [str(name) for name in photos.scores.frame.index]
    paths = [photos.path(name) for name in names]
    if not any(map(os.path.isfile, paths)):
        raise PickError(
            f"none of {counted(len(paths), 'photo')} is there, such as {paths[0]!r}: if they have "
            "moved, say so with --root."
        )
    small = thumbnails(paths, folder / THUMBNAILS, workers=workers, progress=progress)
    data = _data(photos, names, [_link(path, folder) for path in paths], paths, small)
    page = folder / PAGE
    write_text(page, _render(data, photos))
    return page


def _data(photos: Photos, names: list[str], links: list[str], paths: list[str], small: list[str]) -> dict[str, Any]:
    frame, other = photos.scores.frame, photos.scores.other
    extra = {}
    for column in list(other.columns)[:_ATTRIBUTES] if other is not None else ():
        values = [_plain(value) for value in other[column]]  # type: ignore[index]
        if any(value is not None for value in values):
            extra[str(column)] = values
    return {
        "by": photos.by, "lowIsGood": _low_is_good(photos), "names": list(map(printable, names)),
        "paths": [printable(os.path.abspath(path)) for path in paths], "links": links, "small": small,
        "scores": {name: [_plain(value) for value in frame[name]] for name in frame.columns}, "extra": extra,
    }  # fmt: skip


def _low_is_good(photos: Photos) -> list[str]:
    """The columns of which a low value is good, as far as that is known."""
    found = {}
    for name in photos.scores.columns:
        with contextlib.suppress(ScoresError):
            found[name] = find_direction([photos.scores], name)
    return [name for name, direction in {**found, photos.by: photos.direction}.items() if direction.lower_better]


def _plain(value: Any) -> Any:
    """A value for JSON: six digits tell all that a page shows, and what is none is null."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or value == "" or value != value:
        return None
    return value if isinstance(value, int | str | bool) else str(value)


def _link(path: str, folder: Path) -> str:
    """From the page to the photo: relative, so that both can move together, unless they lie on different drives."""
    from urllib.parse import quote

    absolute = os.path.abspath(path)
    try:
        relative = os.path.relpath(os.path.realpath(absolute), folder)
    except ValueError:
        return Path(absolute).as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def _render(data: dict[str, Any], photos: Photos) -> str:
    style, script = _assets()
    said = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script,)]
    provenance = photos.scores.provenance
    return _environment().get_template("browse.html.j2").render(
        mark=Markup(_MARK), style=Markup(style), script=Markup(script), digest=digests[0], data=Markup(said),
        title=f"{counted(len(data['names']), 'photo')} by {photos.by}", columns=photos.scores.columns, by=photos.by,
        metric=in_short(provenance) or Path(photos.scores.file).name, direction=photos.direction,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
    )  # fmt: skip


@cache
def _assets() -> tuple[str, str]:
    style, script = ((_HERE / "templates" / name).read_text(encoding="utf-8") for name in ("browse.css", "browse.js"))
    return style.strip(), script.strip()


def _is_ours(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(2000)
    except OSError:
        return False
