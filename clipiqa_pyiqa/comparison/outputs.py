"""Output of ``compare`` and ``table``: tables as text, and the folder of results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas

from ..errors import CLIPIQAError
from ..errors.arguments import check_resume
from ..files.names import one_line
from ..files.writing import check_folder
from ..report.table import Table, console_table, csv_table, latex_document, markdown_list, markdown_table
from ..results.formats import format_of, journal_of, read_head


def tables_as_text(
    format: str,
    tables: Sequence[Table],
    frame: pandas.DataFrame,
    *,
    reading: Sequence[str],
    marks: str,
    metrics: Sequence[str],
    settings: Mapping[str, str],
) -> str:
    """Return tables as text; ``reading`` has sentences about the tables, ``marks`` explains the signs on a console."""
    run = key_lines(settings)
    if format == "csv":
        return csv_table(frame, [*reading, *metrics, *run])
    if format == "latex":
        return latex_document(tables, [*reading, *metrics, *run])
    if format == "markdown":
        blocks = [*map(markdown_table, tables), markdown_list(reading)]
        blocks += ["## Which metrics exactly", markdown_list(metrics)]
        if run:
            blocks += ["## Settings", markdown_list(run)]
    else:
        head = "\n".join(f"# {one_line(line)}" for line in [*reading, *metrics, marks] if line)
        blocks = [head, *map(console_table, tables)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def key_lines(values: Mapping[str, str]) -> list[str]:
    return [f"{key}: {value}" for key, value in values.items()]


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
