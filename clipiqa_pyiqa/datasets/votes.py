"""Votes of people on pairs of images ("which of the two is happier?"), read from a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, counted, nearest
from ..prompts.pairs import PromptPair, parse_columns, parse_prompt_argument
from .csv_files import read_rows

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
_SHOWN = 5


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
    missing: tuple[str, ...] = field(default=())


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
    names = {what: _column(header, usual) for what, usual in _COLUMNS.items()}
    by_count = names["votes_first"] is not None and names["votes_second"] is not None
    needed = ["first", "second", *([] if by_count else ["choice"]), *([] if attribute else ["attribute"])]
    for what in needed:
        if names[what] is None:
            hint = " (or pass --attribute)" if what == "attribute" else ""
            hint = " (or votes_first and votes_second)" if what == "choice" else hint
            raise VotesError(
                f"{str(path)!r} has no column {what!r}{hint}: expected attribute,first,second,choice, but it has "
                f"{', '.join(header)}."
            )
    folder = path.parent if root is None else Path(root).expanduser()
    questions: dict[str, str] = {}
    columns: dict[str, tuple[PromptPair, ...]] = {}
    tallied: dict[tuple[str, str, str], list[int]] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        asked = attribute or row[names["attribute"] or ""].strip()
        if asked not in questions:
            questions[asked] = _question(asked, template, where, columns)
        pair = [os.fspath(folder / row[names[side] or ""].strip()) for side in ("first", "second")]
        if pair[0] == pair[1]:
            raise VotesError(f"{where}: both images are {pair[0]!r}, but a choice is between two.")
        votes = _counts(row, names, where) if by_count else _choice(row, names, where)
        key = (questions[asked], pair[0], pair[1])
        if (swapped := (key[0], pair[1], pair[0])) in tallied:
            key, votes = swapped, [votes[1], votes[0], votes[2]]
        tallied[key] = [before + more for before, more in zip(tallied.get(key, [0, 0, 0]), votes, strict=True)]
    missing = _missing(path, tallied, skip_missing)
    table = [(*key, *votes) for key, votes in tallied.items() if not missing & set(key[1:])]
    if not table:
        raise VotesError(f"{str(path)!r} leaves no pair whose two images are there.")
    head = ["attribute", "first", "second", "votes_first", "votes_second", "undecided"]
    return Votes(pandas.DataFrame(table, columns=head), columns, tuple(sorted(missing)))


def _column(header: Sequence[str], usual: Iterable[str]) -> str | None:
    lower = {name.lower().strip(): name for name in reversed(header)}
    return next((lower[name] for name in usual if name in lower), None)


def _question(asked: str, template: str | None, where: str, columns: dict[str, tuple[PromptPair, ...]]) -> str:
    """The column that an attribute is asked in."""
    try:
        found = parse_columns([parse_prompt_argument(asked)], template)
    except CLIPIQAError as error:
        raise type(error)(f"{where}: {error}") from error
    columns.update(found)
    return next(iter(found))


def _counts(row: dict[str, str], names: dict[str, str | None], where: str) -> list[int]:
    counts = []
    for side in ("votes_first", "votes_second"):
        text = row[names[side] or ""].strip()
        if not text.isdecimal():
            raise VotesError(f"{where}: {text!r} in the column {names[side]!r} is no number of votes.")
        counts.append(int(text))
    return [*counts, 0]


def _choice(row: dict[str, str], names: dict[str, str | None], where: str) -> list[int]:
    choice, files = row[names["choice"] or ""].strip(), [row[names[side] or ""].strip() for side in ("first", "second")]
    said = choice.lower()
    for place, words in enumerate((_FIRST, _SECOND, _NEITHER)):
        if said in words or (place < 2 and choice == files[place]):
            return [int(place == other) for other in range(3)]
    known = ["first", "second", "tie", *files]
    raise VotesError(f"{where}: the choice {choice!r} is neither of the two images nor a tie: {nearest(choice, known)}")


def _missing(path: Path, tallied: Iterable[tuple[str, str, str]], skip: bool) -> set[str]:
    files = {file for _, *pair in tallied for file in pair}
    missing = {file for file in files if not os.path.isfile(file)}
    if missing and not skip:
        shown = ", ".join(sorted(missing)[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise VotesError(
            f"{len(missing)} of {counted(len(files), 'image')} named in {str(path)!r} cannot be found "
            f"({shown}): correct the names, "
            "give their folder with --root, or pass --skip-missing to leave their pairs out."
        )
    return missing
