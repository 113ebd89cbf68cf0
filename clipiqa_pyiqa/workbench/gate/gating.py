"""``gate``: check whether a second run is worse by more than chance."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Unpack

import numpy as np
from pandas import DataFrame, to_numeric

from ...checks import FilePath, checked
from ...errors import CLIPIQAError
from ...files.writing import write_text
from ...text import counted, few, nearest
from ...version import __version__
from ..files.folders import check_folder
from ..images.formats import VIDEOS
from ..images.image import File
from ..options import AnySize, Progress, RunOptions, check_storage, silent
from ..results.columns import changes, column_changes
from ..results.directions import find_direction
from ..results.output import Output
from ..results.scores import Scores, is_score_file, read_scores
from ..results.video_scores import per_video
from ..sources.finding import Found, find_shards
from .gate_result import PAGE, WRITTEN, Gate
from .pairing import lost_rows, pair_rows
from .verdicts import judge


@checked
def gate(
    base: FilePath,
    new: FilePath,
    *,
    by: Sequence[str] | None = None,
    key: str | None = None,
    metrics: Any = None,
    margin: float | Mapping[str, float] | None = None,
    worst_loss: float | Mapping[str, float] | None = None,
    lower_better: Collection[str] = (),
    higher_better: Collection[str] = (),
    skip_missing: bool = False,
    out: FilePath | None = None,
    page: FilePath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Unpack[RunOptions],
) -> Gate:
    """Return the comparison of two runs over the same inputs.

    Videos are paired by the mean of their frames.

    Args:
        base, new: The runs, each a score file of any tool, a folder of results on Ray, or a folder of images.
        by: Columns to compare; by default those of ``metrics``, or all numeric columns.
        key: Column that pairs rows; by default the path below each run's common folder, or, if no path is in both
            runs, the number before the first hyphen of each file's name.
        metrics: Metric that scores folders of images, as for :func:`~clipiqa_pyiqa.score_paths`.
        margin: Largest allowed loss, in the column's units: for all columns, or by name (``''``: all others).
        worst_loss: Largest allowed loss of one image, likewise.
        lower_better, higher_better: Columns with a known direction; by default the file or the column's name decides.
        skip_missing: Leave out rows that one run lacks (otherwise raise), and rows without a score (otherwise
            ``missing``). A column without any score in a run is always missing.
        out: Folder for ``base.parquet``, ``new.parquet`` (scores of folders) and the files of :meth:`Gate.save`.
        page: Folder for ``gate.html``, a page with pictures.
        progress: Called with the run (``'base'`` or ``'new'``) and the numbers of finished and of all images.
        options: As for :func:`~clipiqa_pyiqa.score_paths`.

    Raises:
        CLIPIQAError: The runs share no columns or too few rows, or were scored in different ways.
    """
    places = {"base": os.fspath(base), "new": os.fspath(new)}
    folders = {side: find_shards(path) for side, path in places.items() if not is_score_file(path)}
    _check_runs(places, folders, has_metrics=metrics is not None, has_options=bool(options))
    _check_directions(lower_better, higher_better)
    check_storage(out, resume, overwrite and page is None)
    replaces = overwrite or resume
    out = None if out is None else check_folder(out, WRITTEN, overwrite=replaces, inputs=places.values())
    page = None if page is None else check_folder(page, [PAGE], overwrite=replaces)
    scores = {side: read_scores(path, columns=by, key=key) for side, path in places.items() if side not in folders}
    for side, images in folders.items():
        from ..scoring.score import score_paths  # loads torch

        output = out and Output(out / f"{side}.parquet", resume=resume, overwrite=overwrite)
        scoring = score_paths(metrics, images.items, out=output, **options)
        scores[side] = replace(scoring.scores(partial(progress, side)), file=places[side])
    runs, names, notes = _alike(per_video(scores["base"]), per_video(scores["new"]), by, folders)
    limits = {"margin": _limits("margin", margin, names), "worst_loss": _limits("worst_loss", worst_loss, names)}
    _check_names({**limits, "lower_better": lower_better, "higher_better": higher_better}, names)
    rows, left_out, paths = pair_rows(runs, names, key is not None, skip_missing)
    judged = [name for name in names if rows[[f"{name} base", f"{name} new"]].notna().any().all()]
    lost = {name: list(lost_rows(name, rows, paths, runs)) for name in names}
    missing = [line for name, lines in lost.items() if name not in judged or not skip_missing for line in lines]
    for name in names:
        if name in judged and skip_missing:
            left_out += lost[name]
        left_out += _note_on_infinite(name, rows)
    lows = dict.fromkeys(lower_better, True) | dict.fromkeys(higher_better, False)
    pairs = judge(rows, {name: find_direction(runs, name, lows.get(name)) for name in judged}, limits, runs)
    flagged = _newly_flagged(runs, paths)
    if "new" in folders:
        flagged |= _newly_cut(paths.drop(index=[*flagged]))
    notes += [f"left out: {line}" for line in left_out]
    if resized := _count_resized(runs, paths):
        notes.append(f"{resized:,} of {counted(len(rows), 'image')} have another size in the new run")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"time": time, "version": __version__, **runs[1].reading}
    records = {name: column.record for name, column in runs[1].columns.items() if name in names}
    verdict = Gate(pairs, rows, places["base"], places["new"], notes, missing, flagged, paths, records, about)
    if out is not None:
        verdict.save(out, overwrite=replaces)
    if page is not None:
        write_text(page / PAGE, verdict.report().text("html"))
    return verdict


def _check_runs(places: Mapping[str, str], folders: Mapping[str, Found], has_metrics: bool, has_options: bool) -> None:
    """Raise for a folder without images or metrics to score them, and for options that files of scores cannot use."""
    for side, images in folders.items():
        if images.is_empty:
            raise CLIPIQAError(f"{images.problem}: there is nothing to compare.")
        if not has_metrics:
            raise CLIPIQAError(f"{places[side]!r} is a folder of images: name the metrics that score them (`metrics`).")
    if (has_metrics or has_options) and not folders:
        raise CLIPIQAError(
            "both runs are files of scores, but `metrics` and the options of reading and scoring are for folders of "
            "images: leave them out."
        )


def _check_directions(lower_better: Collection[str], higher_better: Collection[str]) -> None:
    in_both = {*lower_better} & {*higher_better}
    if in_both:
        raise CLIPIQAError(f"lower_better and higher_better both name {min(in_both)!r}: name it in only one of them.")


def _limits(option: str, limit: float | Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float]:
    """Return the limit of each column that has one; ``''`` stands for all columns without a limit of their own."""
    stated = dict(limit) if isinstance(limit, Mapping) else {"": limit}
    stated = dict.fromkeys(names, stated.pop("", None)) | stated
    limits = {name: loss for name, loss in stated.items() if loss is not None}
    for loss in limits.values():
        if not 0 < loss < math.inf:
            raise CLIPIQAError(f"`{option}` must be above 0, in the column's units; got {loss!r}.")
    return limits


def _check_names(options: Mapping[str, Collection[str]], names: Collection[str]) -> None:
    for option, columns in options.items():
        for name in columns:
            if name not in names:
                raise CLIPIQAError(f"`{option}` names {name!r}, which is not compared: {nearest(name, names)}")


def _note_on_infinite(name: str, rows: DataFrame) -> list[str]:
    """Return a sentence if scores are the same infinite number in both runs."""
    scores = rows[f"{name} new"]
    count = int(((rows[f"{name} base"] == scores) & np.isinf(scores)).sum())
    return [f"{name!r} is infinite in both runs for {counted(count, 'row')}: not in its mean"] if count else []


def _newly_flagged(runs: Sequence[Scores], paths: DataFrame) -> dict[str, str]:
    """Return the rows that have a flag in the new run alone."""
    flags_of_base = paths["base"].map(runs[0].flags)
    flags_of_new = paths["new"].map(runs[1].flags)
    return dict(flags_of_new[flags_of_base.isna()].dropna())


def _count_resized(runs: Sequence[Scores], paths: DataFrame) -> int:
    """Return the number of rows whose images have different sizes in both runs."""
    sizes = []
    for side, run in zip(("base", "new"), runs, strict=True):
        size = run.other.reindex(columns=["width", "height"]).loc[paths[side]]
        sizes.append(size.apply(to_numeric, errors="coerce").to_numpy())
    return int(np.nan_to_num(sizes[1] - sizes[0]).any(axis=1).sum())


def _alike(
    base: Scores, new: Scores, by: Sequence[str] | None, scored: Collection[str]
) -> tuple[list[Scores], list[str], list[str]]:
    """Return both runs, the columns to compare, and notes; raise if the runs were scored in different ways.

    A new column takes the name of the base's column with the same fingerprint. If this call ``scored`` a run, only its
    columns are compared.
    """
    known = {column.fingerprint: name for name, column in base.columns.items() if column.fingerprint}
    renamed = {
        name: was
        for name, column in new.columns.items()
        if name in new.names and (was := known.get(column.fingerprint, name)) not in new.names
    }
    notes = [f"{name!r} of {new.file!r} is {was!r} of {base.file!r}: one metric" for name, was in renamed.items()]
    columns = {renamed.get(name, name): column for name, column in new.columns.items()}
    new = replace(new, frame=new.frame.rename(columns=renamed), columns=columns)

    both = [name for name in base.names if name in new.names]
    sides = {"base": base.names, "new": new.names}
    names = [*dict.fromkeys(by or [name for side in scored or sides for name in sides[side]])]
    if others := {*base.names, *new.names}.difference(names):
        notes.append(f"not compared, as not asked for: {few(sorted(others))}")
    if lacking := [name for name in names if name not in both]:
        raise CLIPIQAError(
            f"not in both runs: {few(lacking)}; score both by the same metrics, or name columns that both have, with "
            f"`by` ({', '.join(both) or 'there are none'})."
        )

    found = changes(base.reading, new.reading) if base.reading and new.reading else []
    for name in names:
        before = base.columns.get(name)
        after = new.columns.get(name)
        if before and after and before.fingerprint != after.fingerprint:
            whole = (f"the hash of everything that {name!r} depends on", before.fingerprint, after.fingerprint)
            found += [whole] if "hash" in {*before.record, *after.record} else column_changes(before, after)
    if found:
        text = "; ".join(f"{what} is {was} in {base.file!r} and {now} in {new.file!r}" for what, was, now in found)
        raise CLIPIQAError(f"the runs were scored in different ways: {text}; score both runs in the same way.")

    versions = ({**run.reading.get("versions", {}), **run.reading.get("decoders", {})} for run in (base, new))
    if base.reading and new.reading and (found := changes(*versions)):
        text = ", ".join(f"{what} {was} and {now}" for what, was, now in found)
        notes.append(f"base and new run were scored by different versions: {text}")
    return [base, new], names, notes


def _newly_cut(paths: DataFrame) -> dict[str, str]:
    """Return the rows whose new image alone has a band of one colour; videos are left out."""
    from ..images.prefetch import prefetch
    from ..images.uniform import has_band

    photos = paths[~paths["new"].str.lower().str.endswith(VIDEOS)]

    def is_cut(path: str) -> bool:
        return has_band(File(path).load(AnySize(damaged="keep")).pixels)

    found = prefetch(lambda row: is_cut(row.new) and not is_cut(row.base), photos.itertuples())
    return {row.Index: "cut" for row, is_newly in found if is_newly is True}  # or the error of reading
