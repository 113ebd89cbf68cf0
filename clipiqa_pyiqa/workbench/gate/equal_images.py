"""New images that are the same picture where the base has different ones."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from ...text import counted
from ..results.scores import Scores
from .findings import Finding
from .row_images import pixel_digests
from .verdicts import rounding_of_rows

_FEWEST_EQUAL_SCORES = 3
"""Rows with the same scores that show a collapse without their images: two may agree by chance."""

_BATCHES = 0.01
"""Share of rounding by which equal images of one run may differ, which other batches may cause; on a CPU, none does."""


def equal_findings(rows: DataFrame, paths: DataFrame, names: Sequence[str], runs: Sequence[Scores]) -> list[Finding]:
    """Return a finding of rows whose new images have equal pixels, while their base images differ.

    Only images whose scores agree are read. Images that cannot be read are judged by their scores.
    """
    if not names:
        return []
    alike = _rows_with_alike_scores(rows, names[0], runs)
    digests = pixel_digests(paths["new"].loc[alike])
    groups = _groups(digests)
    if runs[1].is_ours:  # equal scores of another tool, such as stars, tell no equal images
        columns = [f"{name} new" for name in names]
        scores_of_unread = {row: tuple(rows.loc[row, columns]) for row in alike if row not in digests}
        groups += [members for members in _groups(scores_of_unread) if len(members) >= _FEWEST_EQUAL_SCORES]
    collapsed = dict[str, str]()
    for members in groups:
        if len(members) > 1 and _differs_in_base(members, rows, paths, names, runs):
            collapsed |= {row: f"equal to {members[0]!r}" for row in members[1:]}
            collapsed[members[0]] = f"equal to {counted(len(members) - 1, 'other image')}"
    if not collapsed:
        return []
    in_order = {row: collapsed[row] for row in rows.index if row in collapsed}
    are_seen = all(row in digests for row in in_order)
    what = "equal pixels" if are_seen else "equal pixels, or equal scores where the images cannot be read"
    images = f"{len(in_order):,} of {counted(len(rows), 'new image')}"
    return [Finding("equal images", f"{images} have {what}", f"{images} have {what}, but the base's differ", in_order)]


def _rows_with_alike_scores(rows: DataFrame, name: str, runs: Sequence[Scores]) -> list[str]:
    """Return rows whose new score agrees with that of another row."""
    scores = rows[f"{name} new"].dropna().sort_values(kind="stable")
    if scores.empty:
        return []
    values = scores.to_numpy(float)
    tolerance = _BATCHES * rounding_of_rows(name, runs, values, values)
    with np.errstate(invalid="ignore"):  # infinite minus infinite
        gaps = np.diff(values)
    is_close = (gaps <= tolerance[1:]) | (values[1:] == values[:-1])
    is_alike = np.append(is_close, False) | np.insert(is_close, 0, False)
    return list(scores.index[is_alike])


def _groups(keys: Mapping[str, object]) -> list[list[str]]:
    """Return the rows with each of the keys, given row -> key."""
    groups = dict[object, list[str]]()
    for row, key in keys.items():
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _differs_in_base(
    members: Sequence[str], rows: DataFrame, paths: DataFrame, names: Sequence[str], runs: Sequence[Scores]
) -> bool:
    """Return whether the base's images differ; where one cannot be read, the base's scores decide."""
    digests = pixel_digests(paths["base"].loc[[*members]])
    if len(digests) == len(members):
        return len(set(digests.values())) > 1
    for name in names:
        base_scores = rows.loc[[*members], f"{name} base"].dropna().to_numpy(float)
        if _are_different(base_scores, name, runs):
            return True
    return False


def _are_different(scores: NDArray[np.float64], name: str, runs: Sequence[Scores]) -> bool:
    """Return whether scores of one run differ by more than rounding, as a finite and an infinite one do."""
    is_finite = np.isfinite(scores)
    if not is_finite.all():
        return len(set(scores)) > 1
    if len(scores) < 2:
        return False
    tolerance = 2 * rounding_of_rows(name, runs, scores, scores).max()
    return bool(np.ptp(scores) > tolerance)
