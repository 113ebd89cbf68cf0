"""Votes of people on pairs of images ("which of the two is happier?"), read from a CSV file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, counted, nearest
from ..prompts.pairs import PromptPair, parse_columns, parse_prompt_argument
from ..sources.naming import few
from .csv_files import read_rows, usual_column

if TYPE_CHECKING:
    import pandas

_COLUMNS = {
    "attribute": ("attribute", "question", "prompt"),
    "first": ("first", "image_a", "image_1", "left", "a"),
    "second": ("second", "image_b", "image_2", "right", "b"),
    "choice": ("choice", "vote", "chosen"),
    "votes_first": ("votes_first", "votes_a", "votes_1", "votes_left"),
    "votes_second": ("votes_second", "votes_b", "votes_2", "votes_right"),
}
_FIRST, _SECOND = ("first", "a", "1", "left", "image_a", "image_1"), ("second", "b", "2", "right", "image_b", "image_2")
_NEITHER = ("", "tie", "equal", "same", "both", "neither", "none", "undecided")


class VotesError(CLIPIQAError):
    """A CSV file of votes that cannot be used."""


@dataclass(frozen=True)
class Votes:
    """What people chose.

    Attributes:
        frame: One row per attribute and pair of images: ``attribute``, ``first`` and ``second`` (files), how many
            votes each got, ``votes_first`` and ``votes_second``, and ``undecided``, votes for neither.
        columns: The attributes as questions: name -> prompt pairs.
        missing: Images that were left out with their pairs because their files are missing.
    """

    frame: pandas.DataFrame
    columns: dict[str, tuple[PromptPair, ...]]
    missing: tuple[str, ...] = ()


def read_votes(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    attribute: str | None = None,
    template: str | None = None,
    skip_missing: bool = False,
) -> Votes:
    """Read votes: one row per vote, or one row per pair with the number of votes.

    The columns are ``attribute,first,second,choice``, where the choice is ``first``, ``second``, one of the two file
    names, or ``tie`` (also empty); or ``attribute,first,second,votes_first,votes_second``. ``image_a``/``image_b``,
    ``left``/``right`` and the like are understood too, other columns ignored. Rows about the same two images, in
    whichever order, are added up.

    Args:
        path: The CSV file, with a header line.
        root: Folder of the images; default the CSV file's own.
        attribute: What was asked, where the file has no such column: a named pair, or ``'positive|negative'``.
        template: Re-words the attributes.
        skip_missing: Leave out pairs whose files are missing, in place of an error.

    Raises:
        VotesError: The file or a column is missing, a choice or a count cannot be read, or images are missing; the
            message says where.
        PromptError: An unknown attribute, with the nearest known.
    """
    import pandas

    path = Path(path).expanduser()
    rows, header = read_rows(path)
    names = {what: usual_column(header, usual) for what, usual in _COLUMNS.items()}
    by_count = bool(names["votes_first"] and names["votes_second"])
    needed = ["first", "second", *["choice"] * (not by_count), *["attribute"] * (not attribute)]
    if lacking := [what for what in needed if names[what] is None]:
        hint = {"attribute": " (or pass attribute)", "choice": " (or votes_first and votes_second)"}
        raise VotesError(
            f"{str(path)!r} has no column {lacking[0]!r}{hint.get(lacking[0], '')}: expected "
            f"attribute,first,second,choice, but it has {', '.join(header)}."
        )
    folder = path.parent if root is None else Path(root).expanduser()
    asked: dict[str, str] = {}  # an attribute as written -> the column that it is asked in
    columns: dict[str, tuple[PromptPair, ...]] = {}
    tallied: dict[tuple[str, str, str], list[int]] = {}
    for line, row in rows:
        said = {what: row[name].strip() for what, name in names.items() if name is not None}
        try:
            question = attribute or said["attribute"]
            if question not in asked:
                found = parse_columns([parse_prompt_argument(question)], template)
                columns |= found
                asked[question] = next(iter(found))
            first, second = (os.fspath(folder / said[side]) for side in ("first", "second"))
            if first == second:
                raise VotesError(f"both images are {first!r}, but a choice is between two.")
            votes = _counts(said) if by_count else _choice(said)
        except CLIPIQAError as error:
            raise type(error)(f"{path}, line {line}: {error}") from error
        key = (asked[question], first, second)
        if (swapped := (asked[question], second, first)) in tallied:
            key, votes = swapped, [votes[1], votes[0], votes[2]]
        tallied[key] = [before + more for before, more in zip(tallied.get(key, [0, 0, 0]), votes, strict=True)]
    files = sorted({file for _, *pair in tallied for file in pair})
    missing = [file for file in files if not os.path.isfile(file)]
    if missing and not skip_missing:
        raise VotesError(
            f"{len(missing)} of {counted(len(files), 'image')} named in {str(path)!r} cannot be found "
            f"({few(missing)}): correct the names or root, or leave their pairs out (skip_missing)."
        )
    table = [(*key, *votes) for key, votes in tallied.items() if not {*missing} & {*key[1:]}]
    if not table:
        raise VotesError(f"{str(path)!r} leaves no pair whose two images are there.")
    head = ["attribute", "first", "second", "votes_first", "votes_second", "undecided"]
    return Votes(pandas.DataFrame(table, columns=head), columns, tuple(missing))


def _counts(said: Mapping[str, str]) -> list[int]:
    counts = [said[side] for side in ("votes_first", "votes_second")]
    if not all(text.isdecimal() for text in counts):
        raise VotesError(f"{' and '.join(map(repr, counts))} are no numbers of votes.")
    return [*map(int, counts), 0]


def _choice(said: Mapping[str, str]) -> list[int]:
    choice = said["choice"]
    for place, words in enumerate((_FIRST, _SECOND, _NEITHER)):
        if choice.lower() in words or (place < 2 and choice == said[("first", "second")[place]]):
            return [int(place == other) for other in range(3)]
    known = ["first", "second", "tie", said["first"], said["second"]]
    raise VotesError(f"the choice {choice!r} is neither of the two images nor a tie: {nearest(choice, known)}")
