"""Votes of people on which of two images has more of an attribute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...prompts.pairs import Columns, parse_columns
from ...text import nearest
from ..files.csv_files import check_images_exist, read_rows

SIDES = ("first", "second")
_COUNTS = ("votes_first", "votes_second")
_COLUMNS = ["attribute", *SIDES, *_COUNTS, "undecided"]


class Votes(NamedTuple):
    """Numbers of votes for the first of two images, for the second, and for neither."""

    first: int
    second: int
    undecided: int


class _Tally:
    """Votes added up: attribute, first and second image -> their votes; a pair has the order of its first row."""

    def __init__(self) -> None:
        self.votes: dict[tuple[str, str, str], Votes] = {}

    def add(self, attribute: str, first: str, second: str, votes: Votes) -> None:
        if (attribute, second, first) in self.votes:
            first, second = second, first
            votes = Votes(votes.second, votes.first, votes.undecided)
        before = self.votes.get((attribute, first, second), Votes(0, 0, 0))
        self.votes[attribute, first, second] = Votes(
            before.first + votes.first, before.second + votes.second, before.undecided + votes.undecided
        )

    def images(self) -> set[str]:
        return {image for _, first, second in self.votes for image in (first, second)}

    def frame(self) -> pandas.DataFrame:
        rows = [(*pair, *votes) for pair, votes in self.votes.items()]
        return pandas.DataFrame(rows, columns=_COLUMNS)


def read_votes(
    path: FilePath,
    *,
    root: FilePath | None = None,
    template: str | None = None,
) -> tuple[pandas.DataFrame, Columns]:
    """Return the votes in a CSV file, with a row per attribute and image pair, and the attributes' prompts.

    The file's columns: ``attribute,first,second,choice``, where the choice is ``first``, ``second``, a file name or
    ``tie``; or ``attribute,first,second,votes_first,votes_second``.

    Args:
        root: Folder of the images; default the CSV file's folder.
    """
    path = Path(path).expanduser()
    rows, header = read_rows(path)
    has_counts = set(_COUNTS) <= set(header)
    _check_header(path, header, has_counts)
    folder = path.parent if root is None else Path(root).expanduser()
    columns = Columns()
    tally = _Tally()
    for line, cells in rows:
        row = {name: cell.strip() for name, cell in cells.items()}
        try:
            question = parse_columns([row["attribute"]], template)
            first, second = _images(row, folder)
            votes = _counted_votes(row) if has_counts else _one_vote(row)
        except CLIPIQAError as error:
            raise type(error)(f"{path}, line {line}: {error}") from error
        columns |= question
        (attribute,) = question
        tally.add(attribute, first, second, votes)
    check_images_exist(path, tally.images())
    return tally.frame(), columns


def _check_header(path: Path, header: list[str], has_counts: bool) -> None:
    needed = ["attribute", *SIDES]
    if not has_counts:
        needed.append("choice")
    missing = [column for column in needed if column not in header]
    if missing:
        raise CLIPIQAError(
            f"{str(path)!r} has no column {missing[0]!r}: expected attribute,first,second,choice, or votes_first and "
            f"votes_second in place of choice; got {', '.join(header)}."
        )


def _images(row: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """Return the paths of the two images of a row."""
    first = os.fspath(folder / row["first"])
    second = os.fspath(folder / row["second"])
    if first == second:
        raise CLIPIQAError(f"both images are {first!r}, but a pair has two different images.")
    return first, second


def _counted_votes(row: Mapping[str, str]) -> Votes:
    counts = [row[column] for column in _COUNTS]
    if not all(count.isdecimal() for count in counts):
        raise CLIPIQAError(
            f"votes_first and votes_second must be whole numbers; got {' and '.join(map(repr, counts))}."
        )
    return Votes(int(counts[0]), int(counts[1]), 0)


def _one_vote(row: Mapping[str, str]) -> Votes:
    for_first = Votes(1, 0, 0)
    for_second = Votes(0, 1, 0)
    by_choice = {
        "first": for_first,
        row["first"]: for_first,
        "second": for_second,
        row["second"]: for_second,
        "tie": Votes(0, 0, 1),
    }
    choice = row["choice"]
    if choice not in by_choice:
        raise CLIPIQAError(
            f"choice must be one of the two images or a tie; got {choice!r}: {nearest(choice, by_choice)}"
        )
    return by_choice[choice]
