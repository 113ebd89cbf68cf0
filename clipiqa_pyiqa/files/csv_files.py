"""CSV files of images and scores."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, FilePath, counted, few, log, reason, twice_in
from .reading import open_file

if TYPE_CHECKING:
    import pandas

PATH_COLUMNS = "path image image_path image_name img_name filename file name images image_id dist_img key url"
_SCORE_COLUMNS = (
    "mos mean_opinion_score mos_quality quality_mos opinion opinions opinion_score opinion_scores dmos label rating "
    "mean_score score"
)
_GROUP_COLUMNS = "ref_img ref_name ref_path ref_image reference ref"
SPLITS = ("train", "val", "test")
ColumnNames = tuple[str | int | None, str | int | None, str | int | None]


def read_opinions(
    path: FilePath,
    *,
    root: FilePath | None = None,
    columns: ColumnNames = (None, None, None),
    lower_better: bool | None = None,
    with_splits: bool = True,
    group: str | int | None = None,
) -> pandas.DataFrame:
    """Return a CSV file's images: ``path``, ``score``, and ``split`` and ``group`` if the file has them.

    Arguments as for :func:`read_score_table`.
    """
    import pandas

    path = Path(path).expanduser()
    rows, header = read_rows(path)
    name = find_column(path, header, columns[0], PATH_COLUMNS)
    score = find_column(path, header, columns[1], _SCORE_COLUMNS)
    split = find_column(path, header, columns[2], "split", needed=False) if with_splits else ""
    groups = find_column(path, header, group, _GROUP_COLUMNS, option="group or within", needed=False)
    if columns[1] is None and score == "score" and {"scale", "metric"} <= set(header):
        raise CLIPIQAError(
            f"{path} holds results of clipiqa score, not opinions: add people's scores in a column 'mos', "
            "or name their column with `columns`."
        )
    if lower_better is None and _plain(score) == "dmos":
        raise CLIPIQAError(
            f"{path} has the column {score!r}, but in some data sets a low DMOS is good, in others a high one: say "
            "which with `lower_better`."
        )
    folder = path.parent if root is None else Path(root).expanduser()
    found = list[dict[str, Any]]()
    for line, row in rows:
        try:
            value = float(row[score])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise CLIPIQAError(f"{path}, line {line}: the score {row[score]!r} is not a number.")
        found.append({"path": os.path.abspath(folder / row[name]), "score": value})
        if groups:
            found[-1]["group"] = row[groups]
        if split:
            found[-1]["split"] = part = row[split].strip().lower()
            if part not in SPLITS:
                raise CLIPIQAError(f"{path}, line {line}: the split {part!r} must be one of {', '.join(SPLITS)}.")
    # objects, since pandas' own texts must be UTF-8
    return pandas.DataFrame(found, dtype=object).astype({"score": float})


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line below the header. Raises ``ValueError`` for anything but a table."""
    with open_file(path, "r", newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if name := twice_in(header):
            raise ValueError(f"it has two columns called {name!r}: rename one")
        for cells in filter(any, lines):  # spreadsheets write rows of empty cells
            if len(cells) != len(header):
                raise ValueError(
                    f"line {lines.line_num}: expected {len(header)} columns, separated by commas ({', '.join(header)})"
                )
            yield lines.line_num, dict(zip(header, cells, strict=True))


def read_rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Return the numbered rows of a CSV file, and its column names."""
    try:
        rows = list(csv_rows(path))
    except (OSError, ValueError, csv.Error) as error:
        raise CLIPIQAError(f"{str(path)!r} cannot be read as a CSV file in UTF-8: {reason(error)}.") from error
    if not rows:
        raise CLIPIQAError(f"{str(path)!r} has no rows: expected a header line, then one line per image.")
    return rows, list(rows[0][1])


def check_images(path: Path, files: Collection[str], way_out: str = "") -> None:
    """Raise ``CLIPIQAError`` if files are missing."""
    if missing := sorted({file for file in files if not os.path.isfile(file)}):
        raise CLIPIQAError(
            f"{len(missing)} of {counted(len(files), 'image')} named in {str(path)!r} cannot be found "
            f"({few(missing)}): correct the paths or `root`{way_out}."
        )


def find_column(
    path: Path,
    header: Sequence[str],
    given: str | int | None,
    usual: str,
    *,
    option: str = "columns",
    needed: bool = True,
) -> str:
    """Return the given column (a name or number), or the first with a usual name, in any case and punctuation.

    ``usual`` holds such names, separated by spaces. If there is none and it is not needed, return an empty text.
    """
    if isinstance(given, int):
        given = header[given] if given < len(header) else str(given)
    known = {_plain(name): name for name in reversed(header)}
    names = [given] if given is not None else [known[name] for name in map(_plain, usual.split()) if name in known]
    found = next(iter(names), None)
    if others := names[1:]:
        log.info(f"{path}: the column {found!r} is read, not {few(others)}; choose with `{option}`")
    if found in header or (given is None and not needed):
        return found or ""
    wanted = f"called {given!r}" if given is not None else f"such as {usual.split()[0]!r}"
    raise CLIPIQAError(
        f"{path} has no column {wanted}: its columns are {', '.join(map(repr, header))}; say which with `{option}`."
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
