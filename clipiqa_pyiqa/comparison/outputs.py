"""The folder of results of ``compare`` and ``table``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import CLIPIQAError
from ..errors.arguments import check_resume
from ..files.writing import check_folder
from ..results.formats import format_of, journal_of, read_head


def check_result_folder(
    folder: str | os.PathLike[str],
    names: Iterable[str],
    stored: Iterable[Path],
    inputs: Iterable[str],
    *,
    overwrite: bool,
    resume: bool,
) -> Path:
    """Return the folder of results; raise if it has one of the files ``names``, unless a file of ``stored`` is ours."""
    folder = Path(folder).expanduser()
    check_resume(folder, resume, overwrite)
    if any(folder.glob("parts/*/*.jsonl")):
        raise CLIPIQAError(
            f"{str(folder)!r} was written by an earlier version: name another folder, or delete this one."
        )
    files = list(stored)
    is_ours = any(map(_is_ours, files))
    if is_ours and not (resume or overwrite):
        raise CLIPIQAError(
            f"{str(folder)!r} holds the scores of an earlier run: continue it (`resume`) or delete them (`overwrite`)."
        )
    every = [*names, *(str(path.relative_to(folder)) for path in files)]
    existing = [name for name in every if os.path.lexists(folder / name)]
    return check_folder(folder, existing, overwrite=overwrite or is_ours, inputs=inputs)


def _is_ours(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return journal_of(path).exists() or read_head(path, format_of(path)) is not None
    return False
