"""Votes of people on which of two images has more of an attribute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...prompts.pairs import QuestionsByColumn, parse_questions
from ...text import hint_for, on_disk
from ..files.csv_files import read_rows
from ..files.named_files import check_images_exist
from ..sources.paths import each_of
from .options import Paths

SIDES = ("first", "second")
_COUNTS = ("votes_first", "votes_second")
_COLUMNS = ["attribute", *SIDES, *_COUNTS, "undecided"]


class Votes(NamedTuple):
    """Numbers of votes for the first of two images, for the second, and for neither."""

    first: int
    second: int
    undecided: int


class _Tally:
    """Votes added up: attribute, first and second image -> their votes; a pair has the order of its first row.

    Attributes:
        questions: The attributes' prompts.
    """

    def __init__(self) -> None:
        self.questions = QuestionsByColumn()
        self.votes: dict[tuple[str, str, str], Votes] = {}
        self._choices: dict[tuple[str, str, frozenset[str]], str] = {}  # voter, attribute and images -> chosen image

    def add(self, attribute: str, first: str, second: str, votes: Votes) -> None:
        """Add votes on a pair of images, which may have been added in the other order."""
        if (attribute, second, first) in self.votes:
            first, second = second, first
            votes = Votes(votes.second, votes.first, votes.undecided)
        before = self.votes.get((attribute, first, second), Votes(0, 0, 0))
        self.votes[attribute, first, second] = Votes(
            before.first + votes.first, before.second + votes.second, before.undecided + votes.undecided
        )

    def add_ballot(self, voter: str, attribute: str, first: str, second: str, votes: Votes) -> None:
        """Add a person's vote, which counts once if it stands in two files. Raises if another vote contradicts it."""
        pair = (voter, attribute, frozenset((first, second)))
        choice = _chosen_image(first, second, votes)
        earlier_choice = self._choices.get(pair)
        if earlier_choice is None:
            self._choices[pair] = choice
            self.add(attribute, first, second, votes)
        elif earlier_choice != choice:
            raise CLIPIQAError(
                f"the voter {voter!r} has two different votes on {first!r} and {second!r}: leave out the older file."
            )

    def frame(self) -> pandas.DataFrame:
        """Return a row for each attribute and pair of images."""
        rows = [(*pair, *votes) for pair, votes in self.votes.items()]
        frame = pandas.DataFrame(rows, columns=_COLUMNS, dtype=object)  # pandas' texts refuse names that are not UTF-8
        return frame.astype(dict.fromkeys([*_COUNTS, "undecided"], int))


def read_votes(
    paths: Paths,
    *,
    root: FilePath | None = None,
    template: str | None = None,
) -> tuple[pandas.DataFrame, QuestionsByColumn]:
    """Return the votes in CSV files, with a row per attribute and image pair, and the attributes' prompts.

    The columns of a file are ``attribute,first,second,choice``, where the choice is ``first``, ``second``, a file name
    or ``tie``; or ``attribute,first,second,votes_first,votes_second``. With the columns ``choice`` and ``voter``, equal
    votes of one voter on the same images count once.

    Args:
        root: Folder of the images; default the CSV file's folder.
        template: As for :func:`~clipiqa_pyiqa.prompts.pairs.parse_questions`.
    """
    tally = _Tally()
    for path in dict.fromkeys(Path(path).expanduser() for path in each_of(paths)):
        folder = path.parent if root is None else Path(root).expanduser()
        _add_file(tally, path, folder, template)
    return tally.frame(), tally.questions


def _add_file(tally: _Tally, path: Path, folder: Path, template: str | None) -> None:
    """Add the votes in a CSV file. Raises ``CLIPIQAError``, which names the line."""
    rows, header = read_rows(path)
    has_counts = set(_COUNTS) <= set(header)
    _check_header(path, header, has_counts)
    images = set[str]()
    for line, cells in rows:
        row = {name: cell.strip() for name, cell in cells.items()}
        try:
            question = parse_questions([row["attribute"]], template)
            first, second = _images(row, folder)
            (attribute,) = question
            if has_counts:
                tally.add(attribute, first, second, _counted_votes(row))
            elif row.get("voter"):
                tally.add_ballot(row["voter"], attribute, first, second, _one_vote(row))
            else:
                tally.add(attribute, first, second, _one_vote(row))
        except CLIPIQAError as error:
            raise type(error)(f"{path}, line {line}: {error}") from error
        tally.questions |= question
        images |= {first, second}
    check_images_exist(path, images)


def _check_header(path: Path, header: list[str], has_counts: bool) -> None:
    """Raise ``CLIPIQAError`` if a needed column is missing."""
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
    first = on_disk(os.fspath(folder / row["first"]))
    second = on_disk(os.fspath(folder / row["second"]))
    if first == second:
        raise CLIPIQAError(f"both images are {first!r}, but a pair has two different images.")
    return first, second


def _chosen_image(first: str, second: str, votes: Votes) -> str:
    """Return the image that one vote is for; an empty text for neither."""
    if votes.first:
        return first
    return second if votes.second else ""


def _counted_votes(row: Mapping[str, str]) -> Votes:
    """Return the numbers of votes in a row."""
    counts = [row[column] for column in _COUNTS]
    if not all(count.isdecimal() for count in counts):
        raise CLIPIQAError(
            f"votes_first and votes_second must be whole numbers; got {' and '.join(map(repr, counts))}."
        )
    return Votes(int(counts[0]), int(counts[1]), 0)


def _one_vote(row: Mapping[str, str]) -> Votes:
    """Return the vote in a row's column ``choice``."""
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
            f"choice must be one of the two images or a tie; got {choice!r}: {hint_for(choice, by_choice)}"
        )
    return by_choice[choice]
