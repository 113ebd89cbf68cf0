"""CSV files of images and scores: lines, columns by their usual names, and numbers, checked and named in messages."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CLIPIQAError
from .split_file import SPLITS

PATH_COLUMNS = (
    *("path", "image", "image_path", "image_name", "img_name", "filename", "file_name", "file", "name", "img"),
    *("images", "img_path", "image_file", "photo", "picture", "image_id", "img_id", "dist_img", "dist_image"),
    *("key", "url"),
)
SCORE_COLUMNS = (
    *("score", "mos", "label", "rating", "quality", "mos_zscore", "mos_z_score", "mean_opinion_score"),
    *("quality_mos", "mos_quality", "mean_score", "average_score", "image_quality_score", "subjective_score"),
)
_MOST_PIPED = 64 << 20  # characters of what is no file on a disk: a device may have no end
Columns = tuple[str | int | None, str | int | None, str | int | None]


class TableError(CLIPIQAError):
    """A table of scores that cannot be used."""


@dataclass(frozen=True)
class NamedScores:
    """What a CSV file says, before any image is looked for.

    Attributes:
        files: the images, which may not exist.
        scores: as written.
        splits: one of ``SPLITS`` for each image, or None if no column says.
        lines: number of each image's line.
    """

    files: tuple[Path, ...]
    scores: tuple[float, ...]
    splits: tuple[str, ...] | None
    lines: tuple[int, ...]


def read_scores(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Columns = (None, None, None),
    option: str = "--columns",
    with_splits: bool = True,
) -> NamedScores:
    """Read the images and scores that a CSV file names; arguments and errors as for :func:`read_score_table`.

    ``option`` is how one says which columns are meant, for messages; a column of splits is read only ``with_splits``.
    """
    path = Path(path).expanduser()
    rows, header = read_rows(path)
    path_column = find_column(path, header, columns[0], PATH_COLUMNS, "path", option=option)
    score_column = find_column(path, header, columns[1], SCORE_COLUMNS, "score", option=option)
    split_column = (
        find_column(path, header, columns[2], ("split",), "split")
        if with_splits and (columns[2] is not None or "split" in header)
        else None
    )
    folder = Path(root).expanduser() if root is not None else path.parent
    return NamedScores(
        tuple(folder / row[path_column] for _, row in rows),
        tuple(_number(path, line, row[score_column]) for line, row in rows),
        None if split_column is None else tuple(_split(path, line, row[split_column]) for line, row in rows),
        tuple(line for line, _ in rows),
    )


def read_rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Line numbers and rows of a CSV file, and the names of its columns.

    Lines that start with ``#`` are comments before the header. Behind it they are rows, of images whose names begin
    so, unless they start with ``# `` and have another number of columns.

    Raises:
        TableError: it cannot be read, has no rows, or one has too few or too many columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            most = max(os.fstat(file.fileno()).st_size, _MOST_PIPED)
            text = file.read(most + 1)
            if len(text) > most:
                raise TableError(f"{str(path)!r} is no file on a disk and has no end: name a CSV file.")
            lines = list(io.StringIO(text, newline=""))
            first = next((number for number, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
            reader = csv.reader(lines[first:])
            header = next(reader, [])
            cells, start = [], first + 1 + reader.line_num
            for row in reader:
                if row and (len(row) == len(header) or (row[0] != "#" and not row[0].startswith("# "))):
                    cells.append((start, row))
                start = first + 1 + reader.line_num  # a quoted cell may go on over several lines
    except OSError as error:
        raise TableError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{str(path)!r} is no CSV file in UTF-8 ({error}).") from error
    if doubled := [name for name in header if name and header.count(name) > 1]:
        raise TableError(f"{str(path)!r} has two columns called {doubled[0]!r}: rename one.")
    if not cells:
        raise TableError(f"{str(path)!r} has no rows: expected a header line, then one line per image.")
    for number, row in cells:
        if len(row) != len(header):
            raise TableError(f"{path}, line {number}: expected {len(header)} columns ({', '.join(header)}).")
    return [(number, dict(zip(header, row, strict=True))) for number, row in cells], header


def find_column(
    path: Path,
    header: Sequence[str],
    asked: str | int | None,
    usual: Sequence[str],
    what: str,
    *,
    say: type[CLIPIQAError] = TableError,
    option: str = "--columns",
) -> str:
    """The column that was asked for, or else the first that is called as usual; case, spaces, _ and - do not count.

    Args:
        path: The file, for messages.
        header: Names of its columns.
        asked: A name or a number.
        usual: Names that tell, the most telling first, in :func:`plain`.
        what: What the column holds, for messages.
        say: The error to raise.
        option: How to say which column.
    """
    if isinstance(asked, int):
        asked = header[asked] if asked < len(header) else str(asked)
    found = [name for name in header if name == asked] if asked is not None else []
    if asked is None:
        known = {plain(name): name for name in reversed(header)}
        found = [known[plain(name)] for name in usual if plain(name) in known]
    if found:
        return found[0]
    wanted = f"called {asked!r}" if asked is not None else f"of {what}s (such as {usual[0]!r})"
    raise say(f"{path} has no column {wanted}: its columns are {', '.join(header)}; say which with {option}.")


def plain(name: str) -> str:
    """A column's name by which it is recognised: ``'Image Name'`` and ``'image_name'`` are one."""
    return "".join(c for c in name.lower() if c.isalnum())


def _number(path: Path, line: int, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TableError(f"{path}, line {line}: the score {text!r} is not a number.")
    return number


def _split(path: Path, line: int, text: str) -> str:
    split = {"training": "train", "validation": "val", "testing": "test"}.get(
        text.strip().lower(), text.strip().lower()
    )
    if split not in SPLITS:
        raise TableError(f"{path}, line {line}: the split {text!r} is none of {', '.join(SPLITS)}.")
    return split
