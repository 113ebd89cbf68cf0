"""``gate``: check whether a second run is worse by more than chance."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack

from pandas import DataFrame

from ...checks import FilePath, check_list, check_one_of
from ...errors import CLIPIQAError, OptionError
from ...files import write_text
from ...options import lists_options
from ...text import hint_for
from ...version import __version__
from ..files.folders import check_folder, make_folder
from ..options import RunOptions, SharedOptions, check_options
from ..progress import Progress, silent
from ..results.directions import find_direction
from ..results.output import Output
from ..results.score_files import is_score_file, read_scores
from ..results.scores import Scores
from ..results.storage_options import check_storage
from ..results.video_scores import per_video
from ..sources.finding import find_sources, tell_skipped
from ..sources.found_sources import FoundSources
from .absent import absent_rows
from .accepted import Accepted
from .comparable import comparable_runs
from .earlier_verdict import remove_earlier_verdict
from .findings import Finding
from .gate_report import PAGE, SCORES, WRITTEN
from .gate_result import GateResult
from .image_findings import image_findings
from .notes import notes_on_scores
from .pairing import Pairing, pair_rows
from .verdicts import judge, shortage


@lists_options(RunOptions, of=SharedOptions)
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
    allow_new: bool = False,
    allow_missing: int | str = 0,
    allow_resize: bool = False,
    allow_flag: Collection[str] = (),
    unclear: Literal["fail", "warn"] = "fail",
    out: FilePath | None = None,
    page: FilePath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Unpack[RunOptions],
) -> GateResult:
    """Return the comparison of two runs over the same inputs.

    Whatever the scores say, the gate fails if new images have equal pixels where the base's differ, have another size,
    are newly flagged, cannot be read or are missing.

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
        allow_new: Accept images that only the new run has.
        allow_missing: Accept so many images, or such a share of the base's (``'5%'``), that the new run lacks or that
            have no score in one run. Images that cannot be read are never accepted, nor a column without any score in
            a run, nor fewer than 90 % of the base's images.
        allow_resize: Accept images of another size in the new run.
        allow_flag: Flags that images of the new run alone may have: ``'cut'``, ``'almost black'``, ….
        unclear: ``'warn'``: a column with a margin that so few rows cannot decide does not fail the gate.
        out: Folder for ``base.parquet``, ``new.parquet`` (scores of folders) and the files of :meth:`GateResult.save`.
        page: Folder for ``gate.html``, a page with pictures.
        progress: Called with the run (``'base'`` or ``'new'``) and the numbers of finished and of all images.
        options: As for :func:`~clipiqa_pyiqa.score_paths`, but ``strict`` is true by default.

    Raises:
        CLIPIQAError: The runs share no columns or too few rows, or were scored in different ways; or a metric cannot be
            built.
    """
    check_options(options, inspect.signature(gate).parameters)
    _check_unclear(unclear, has_margin=margin not in (None, {}))
    for name, columns in {"by": by or (), "lower_better": lower_better, "higher_better": higher_better}.items():
        check_list(name, columns)
    accepted = Accepted(allow_new, allow_missing, allow_resize, allow_flag)
    places = {"base": os.fspath(base), "new": os.fspath(new)}
    folders = {side: find_sources(place) for side, place in places.items() if not is_score_file(place)}
    tell_skipped(*folders.values())
    _check_runs(places, folders, has_metrics=metrics is not None, has_options=bool(options))
    _check_directions(lower_better, higher_better)
    check_storage(out, resume, overwrite and page is None)
    out = None if out is None else make_folder(out, WRITTEN, overwrite=overwrite or resume, inputs=places.values())
    page = None if page is None else check_folder(page, [PAGE], overwrite=overwrite or resume)
    remove_earlier_verdict(out, page)
    options.setdefault("strict", True)  # that a metric cannot be built tells nothing about the images
    # files come first, as one that cannot be read is told before images are scored
    scores = {side: read_scores(place, columns=by, key=key) for side, place in places.items() if side not in folders}
    for side, images in folders.items():
        output = None if out is None else Output(out / SCORES[side], resume=resume, overwrite=overwrite)
        scores_of_folder = _scores_of_images(images, metrics, output, partial(progress, side), options)
        scores[side] = replace(scores_of_folder, file=places[side])
    runs, names, notes = comparable_runs(per_video(scores["base"]), per_video(scores["new"]), by, folders)
    stated_losses = {"margin": margin, "worst_loss": worst_loss}
    limits = {option: _allowed_losses(option, loss, names) for option, loss in stated_losses.items()}
    _check_names({**limits, "lower_better": lower_better, "higher_better": higher_better}, names)
    pairing = pair_rows(runs, names, key is not None)
    findings = _findings(pairing, names, runs, accepted, limits["margin"], "new" in folders)
    stated_directions = dict.fromkeys(lower_better, True) | dict.fromkeys(higher_better, False)
    directions = {name: find_direction(runs, name, stated_directions.get(name)) for name in findings.judged}
    result = GateResult(
        pairs=judge(pairing.rows, directions, limits, runs),
        rows=pairing.rows,
        base=places["base"],
        new=places["new"],
        notes=[*notes, *findings.notes],
        findings=findings.findings,
        paths=pairing.paths,
        metrics={name: column.record for name, column in runs[1].columns.items() if name in names},
        about=_about(runs[1]),
        unpaired=pairing.unpaired,
        can_be_unclear=unclear == "warn",
    )
    _save(result, out, page, overwrite=overwrite or resume)
    return result


class _Findings(NamedTuple):
    """The columns that can be judged, what was found in the runs, and notes."""

    judged: list[str]
    findings: list[Finding]
    notes: list[str]


def _save(result: GateResult, out: Path | None, page: Path | None, overwrite: bool) -> None:
    """Write the files and the page that are asked for."""
    if out is not None:
        result.save(out, overwrite=overwrite)
    if page is not None:
        write_text(make_folder(page) / PAGE, result.report().text("html"))


def _scores_of_images(
    images: FoundSources,
    metrics: Any,
    output: Output | None,
    progress: Callable[[int, int], object],
    options: Mapping[str, Any],
) -> Scores:
    """Return the scores of a folder's images, which are stored in ``output`` if there is one."""
    from ..scoring.score import score_paths  # loads torch

    return score_paths(metrics, images.sources, out=output, **options).scores(progress)


def _about(run: Scores) -> dict[str, Any]:
    """Return the time, the version of this package, and how a run's images were read."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return {"time": time, "version": __version__, **run.reading}


def _findings(
    pairing: Pairing,
    names: Sequence[str],
    runs: Sequence[Scores],
    accepted: Accepted,
    margins: Collection[str],
    has_new_images: bool,
) -> _Findings:
    rows = pairing.rows
    scored = [name for name in names if rows[[f"{name} base", f"{name} new"]].notna().any().all()]
    findings = absent_rows(pairing, names, scored, runs).findings(accepted)
    has_failed = any(not finding.is_accepted for finding in findings)
    # a gate that fails anyway leaves out columns with too few rows; for another, they are an error
    shortages = _shortages(scored, rows, margins) if has_failed else {}
    judged = [name for name in scored if name not in shortages]
    findings_in_images, notes = image_findings(pairing, judged, runs, accepted, has_new_images)
    notes += [f"not judged: {sentence}" for sentence in shortages.values()]
    notes += notes_on_scores(names, rows, runs)
    return _Findings(judged, [*findings_in_images, *findings], notes)


def _shortages(names: Sequence[str], rows: DataFrame, margins: Collection[str]) -> dict[str, str]:
    """Return column -> sentence, of those with too few rows to be judged."""
    count = max(1, len([name for name in names if name not in margins]))
    sentences = {name: shortage(name, rows, has_margin=name in margins, count=count) for name in names}
    return {name: sentence for name, sentence in sentences.items() if sentence}


def _check_runs(
    places: Mapping[str, str], folders: Mapping[str, FoundSources], has_metrics: bool, has_options: bool
) -> None:
    """Raise for a folder without images or metrics to score them, and for options that files of scores cannot use."""
    for side, images in folders.items():
        if images.is_empty:
            raise CLIPIQAError(f"{images.problem}: there is nothing to compare.")
        if not has_metrics:
            raise CLIPIQAError(
                f"{places[side]!r} is a folder of images: name the metrics that score them (`metrics`).",
                options=("metrics",),
            )
    if (has_metrics or has_options) and not folders:
        raise CLIPIQAError(
            "both runs are files of scores, but `metrics` and the options of reading and scoring are for folders of "
            "images: leave them out.",
            options=("metrics",),
        )


def _check_unclear(unclear: str, has_margin: bool) -> None:
    check_one_of("unclear", unclear, ("fail", "warn"))
    if unclear == "warn" and not has_margin:
        raise OptionError(
            "`unclear` needs `margin`, without which no column is unclear.", options=("unclear", "margin")
        )


def _check_directions(lower_better: Collection[str], higher_better: Collection[str]) -> None:
    in_both = {*lower_better} & {*higher_better}
    if in_both:
        raise CLIPIQAError(
            f"lower_better and higher_better both name {min(in_both)!r}: name it in only one of them.",
            options=("higher_better", "lower_better"),
        )


def _allowed_losses(option: str, loss: float | Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float]:
    """Return column -> its allowed loss, of those that have one.

    Args:
        loss: That of all columns; or column -> loss, where ``''`` stands for all others.
    """
    losses = dict(loss) if isinstance(loss, Mapping) else {"": loss}
    loss_of_others = losses.pop("", None)
    losses = dict.fromkeys(names, loss_of_others) | losses
    allowed_losses = {name: allowed for name, allowed in losses.items() if allowed is not None}
    for allowed in allowed_losses.values():
        if not 0 < allowed < math.inf:
            raise CLIPIQAError(
                f"`{option}` must be above 0, in the column's units; got {allowed!r}.", options=(option,)
            )
    return allowed_losses


def _check_names(options: Mapping[str, Collection[str]], names: Collection[str]) -> None:
    for option, columns in options.items():
        for name in columns:
            if name not in names:
                raise CLIPIQAError(
                    f"`{option}` names {name!r}, which is not compared: {hint_for(name, names)}",
                    options=(option,),
                )
