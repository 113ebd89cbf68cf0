"""What the images of the new run show whatever their scores say: equal pixels, other sizes, new flags."""

from collections.abc import Mapping, Sequence

import numpy as np
from pandas import DataFrame, to_numeric

from ...text import counted, few
from ..results.scores import Scores
from .accepted import BAND, Accepted
from .equal_images import equal_findings
from .findings import Finding
from .pairing import Pairing

_EXPLAINED = {
    BAND: "more than an eighth of the rows or columns has one colour, as if the image had ended early, and the base "
    "image has no such band",
}


def image_findings(
    pairing: Pairing, judged: Sequence[str], runs: Sequence[Scores], accepted: Accepted, has_new_images: bool
) -> tuple[list[Finding], list[str]]:
    """Return what the new images show: equal pixels, other sizes and flags; and notes."""
    notes = []
    flagged = _newly_flagged(runs, pairing.paths)
    if has_new_images:
        from .bands import cut_rows  # imports torch

        cut, unknown = cut_rows(pairing.paths.drop(index=[*flagged]))
        flagged |= dict.fromkeys(cut, BAND)
        if unknown:
            images = counted(len(unknown), "image")
            notes.append(
                f"{images} with a band of one colour, perhaps cut, as the base images cannot be read: {few(unknown)}"
            )
    findings = [
        *equal_findings(pairing.rows, pairing.paths, judged, runs),
        *size_findings(_resized(runs, pairing.paths), accepted),
        *flag_findings(flagged, accepted),
    ]
    return findings, notes


def _newly_flagged(runs: Sequence[Scores], paths: DataFrame) -> dict[str, str]:
    """Return the rows that have a flag in the new run alone."""
    flags_of_base = paths["base"].map(runs[0].flags)
    flags_of_new = paths["new"].map(runs[1].flags)
    return dict(flags_of_new[flags_of_base.isna()].dropna())


def _resized(runs: Sequence[Scores], paths: DataFrame) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Return row -> both sizes, of images whose known sizes differ."""
    sizes = []
    for side, run in zip(("base", "new"), runs, strict=True):
        size = run.other.reindex(columns=["width", "height"]).loc[paths[side]]
        sizes.append(size.apply(to_numeric, errors="coerce").to_numpy())
    are_known = np.isfinite(sizes[0]).all(axis=1) & np.isfinite(sizes[1]).all(axis=1)
    resized = {}
    for row, is_known, base, new in zip(paths.index, are_known, *sizes, strict=True):
        if is_known and tuple(base) != tuple(new):
            resized[row] = ((int(base[0]), int(base[1])), (int(new[0]), int(new[1])))
    return resized


def flag_findings(flagged: Mapping[str, str], accepted: Accepted) -> list[Finding]:
    """Return a finding of newly flagged images, and one of those whose flag is accepted."""
    findings = []
    for is_accepted in (False, True):
        rows = {row: flag for row, flag in flagged.items() if (flag in accepted.flags) == is_accepted}
        if rows:
            names = dict.fromkeys(rows.values())
            explained = [f"{name} ({_EXPLAINED[name]})" if name in _EXPLAINED else name for name in names]
            images = f"{counted(len(rows), 'image')} newly flagged"
            reason = f"{images} ({', '.join(names)})"
            findings.append(Finding("flag", reason, f"{images}: {', '.join(explained)}", rows, (), is_accepted))
    return findings


def size_findings(resized: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], accepted: Accepted) -> list[Finding]:
    """Return a finding of images that have another size in the new run: row -> the base's size, and the new one's."""
    if not resized:
        return []
    rows = {}
    other_aspects = 0
    for row, (base, new) in resized.items():
        rows[row] = f"{base[0]} × {base[1]} to {new[0]} × {new[1]}"
        if not _is_same_aspect(base, new):
            other_aspects += 1
    images = counted(len(rows), "image")
    aspects = f", {other_aspects:,} of them of another aspect" if other_aspects else ""
    reason = f"{images} of another size{aspects}"
    return [Finding("size", reason, f"{images} of another size than in the base{aspects}", rows, (), accepted.resize)]


def _is_same_aspect(base: tuple[int, int], new: tuple[int, int]) -> bool:
    """Return whether the shapes agree within one pixel, to which a size is rounded."""
    width = new[1] * base[0] / base[1]
    height = new[0] * base[1] / base[0]
    return abs(width - new[0]) <= 1 or abs(height - new[1]) <= 1
