"""People's votes on pairs of images, from CSV files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CLIPIQAError, nearest
from ..prompts.pairs import PromptPair, parse_columns, parse_prompt_argument
from .csv_files import missing_images, read_rows

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Votes:
    """A table with a row per attribute and image pair, the attributes' prompts, and missing images."""

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
    """Return the votes in a CSV file with a row per vote or image pair.

    Columns: ``attribute,first,second,choice``, where the choice is ``first``, ``second``, a file name or ``tie``; or
    ``attribute,first,second,votes_first,votes_second``.

    Args:
        path: The CSV file, with a header line.
        root: Folder of the images; default the CSV file's folder.
        attribute: A named pair or ``'positive|negative'``, if the file has no column ``attribute``.
        template: Wording of the attributes' prompts.
        skip_missing: Leave out pairs with missing files; otherwise raise an error.
    """
    import pandas

    path = Path(path).expanduser()
    rows, header = read_rows(path)
    has_counts = {"votes_first", "votes_second"} <= set(header)
    needed = ["first", "second"]
    if not attribute:
        needed.append("attribute")
    if not has_counts:
        needed.append("choice")
    if lacking := [column for column in needed if column not in header]:
        raise CLIPIQAError(
            f"{str(path)!r} has no column {lacking[0]!r}: expected attribute,first,second,choice, or votes_first and "
            f"votes_second in place of choice; got {', '.join(header)}. One attribute for all rows may be passed, as "
            "attribute='sharpness'."
        )
    folder = path.parent if root is None else Path(root).expanduser()
    columns: dict[str, tuple[PromptPair, ...]] = {}
    tallied: dict[tuple[str, str, str], list[int]] = {}
    for line, row in rows:
        try:
            question = parse_columns([parse_prompt_argument(attribute or row["attribute"].strip())], template)
            first, second = (os.fspath(folder / row[side].strip()) for side in ("first", "second"))
            if first == second:
                raise CLIPIQAError(f"both images are {first!r}, but a pair has two different images.")
            votes = _counts(row) if has_counts else _choice(row)
        except CLIPIQAError as error:
            raise type(error)(f"{path}, line {line}: {error}") from error
        columns |= question
        (name,) = question
        key = (name, first, second)
        if (swapped := (name, second, first)) in tallied:
            key, votes = swapped, [votes[1], votes[0], votes[2]]
        tallied[key] = [before + more for before, more in zip(tallied.get(key, [0, 0, 0]), votes, strict=True)]
    missing = missing_images(path, {file for _, *pair in tallied for file in pair}, skip_missing)
    table = [(*key, *votes) for key, votes in tallied.items() if not missing & {*key[1:]}]
    if not table:
        raise CLIPIQAError(f"{str(path)!r} has no pair whose two images exist: correct the paths or `root`.")
    head = ["attribute", "first", "second", "votes_first", "votes_second", "undecided"]
    return Votes(pandas.DataFrame(table, columns=head), columns, tuple(sorted(missing)))


def _counts(row: Mapping[str, str]) -> list[int]:
    counts = [row[side].strip() for side in ("votes_first", "votes_second")]
    if not all(text.isdecimal() for text in counts):
        raise CLIPIQAError(
            f"votes_first and votes_second must be whole numbers; got {' and '.join(map(repr, counts))}."
        )
    return [*map(int, counts), 0]


def _choice(row: Mapping[str, str]) -> list[int]:
    choice = row["choice"].strip()
    known = [("first", row["first"].strip()), ("second", row["second"].strip()), ("tie", "")]
    if not any(choice in names for names in known):
        raise CLIPIQAError(
            f"choice must be one of the two images or a tie; got {choice!r}: {nearest(choice, sum(known, ()))}"
        )
    return [int(choice in names) for names in known]
