"""``table``: several methods, test sets and metrics, scored and put side by side."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from ...checks import FilePath, check_list, check_number, check_whole_or_none
from ...errors import CLIPIQAError
from ...files.hashes import hash_file
from ...files.printable import printable
from ...logger import log
from ...options import lists_options
from ...text import hint_for
from ..compare.compare import run_settings
from ..compare.metric_result import MetricResult
from ..files.shipped import shipped_protocols
from ..files.shown_paths import full_path
from ..metrics.description import Takes
from ..metrics.file_scores import with_scores_of_methods
from ..metrics.kinds import AnyMetric, FileMetric
from ..metrics.view import WIDEST_BORDER
from ..options import ComparisonOptions, Progress, SharedOptions, Sizes, silent
from ..report.report import About
from ..results.output import Output
from ..scoring.options import Options
from ..scoring.result_files import create_result_files
from .chosen_metrics import table_metrics
from .differences import differences
from .expected import earlier_tables, read_expected
from .explain import explain as try_changes
from .method_images import MethodImages, match_images, parse_methods
from .method_scores import TRIALS, score_methods
from .method_table import IMAGES, OTHERS, SETS, MethodTable
from .protocols import NO_PROTOCOL, Protocol, read_protocol
from .published_numbers import published_numbers, with_published


@lists_options(ComparisonOptions, of=SharedOptions)
def table(
    methods: Mapping[str, FilePath] | Iterable[str],
    metrics: Any = None,
    *,
    reference: FilePath | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    only: Sequence[str] = (),
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    expect: str | Path | Sequence[str] | None = None,
    explain: bool = False,
    skip_missing: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    sd: bool = True,
    describe: bool = False,
    progress: Progress = silent,
    **batches: Unpack[ComparisonOptions],
) -> MethodTable:
    """Return scores of several methods on the same images, side by side.

    Args:
        methods: Name -> folder or pattern, or texts ``'NAME=FOLDER'``; see
            :func:`~clipiqa_pyiqa.workbench.names.folder_images.images_by_name`.
        metrics: Metrics as for :func:`~clipiqa_pyiqa.workbench.compare.compare.compare`, and ``psnr-y``, ``psnr-rgb``,
            ``ssim-y``, ``ssim-rgb``.
        baseline: Method to compare others with; by default the first.
        protocol: Name or file of a protocol; ``metrics`` add to its metrics, or replace metrics of the same label.
        values: Numbers for the protocol's formula: ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics; default the protocol's, or 0.
        expect: As for :func:`~clipiqa_pyiqa.workbench.table.expected.read_expected`.
        explain: Try changes that may explain differences from published numbers.
        skip_missing: Leave out images that a method or the reference lacks; otherwise raise.
        describe: Build the metrics for :meth:`MethodTable.describe`, and without ``out`` score no image.
        resume: Compute only the scores that ``out`` lacks; changed files are scored again.
        seed, overwrite, trust_weights, strict, progress: As for ``compare``.
        batches: As for ``compare``; references shrink with their images. A protocol, and metrics of sets, take whole
            images only.
    """
    check_list("only", only)
    check_whole_or_none("crop_border", crop_border, 0, WIDEST_BORDER)
    for number in (values or {}).values():
        check_number("values", number)
    folders = parse_methods(methods)
    formula_values = dict(values or {})
    rules = read_protocol(protocol) if protocol is not None else NO_PROTOCOL
    wanted, off_protocol = table_metrics(metrics, rules, crop_border, trust_weights)
    if only:
        wanted, rules = _reduced(wanted, rules, only)
    options = Options.of(batches, seed=seed)
    baseline_name = baseline or next(iter(folders))
    _check_names(folders, baseline_name, formula_values, rules)
    _check_references(wanted, reference)
    _check_border(wanted, crop_border)
    _check_sizes(options, rules, wanted)
    images = match_images(folders, reference, rules, skip_missing=skip_missing)
    for line in images.left_out:
        log.warning(line)
    if describe and out is None:
        expect, images = None, replace(images, files=images.files[:0])
    paths = images.files.map(printable).to_dict("list")
    wanted = [with_scores_of_methods(metric, paths) if isinstance(metric, FileMetric) else metric for metric in wanted]
    files = _output_files(out, images, resume, overwrite)
    expected = None if expect is None else read_expected(expect)
    published = None if expected is None else published_numbers(expected, images)
    earlier = {} if expected is None else earlier_tables(expected)
    if explain and published is None:
        raise CLIPIQAError("`{explain}` needs published numbers in `{expect}`.", options=("explain", "expect"))
    score = functools.partial(score_methods, images, baseline_name, files, options, progress, rules.unequal)
    method_table = score(wanted, strict=strict)
    method_table = replace(
        _with_protocol(method_table, rules, formula_values, off_protocol),
        settings=run_settings(options),
        sources=_sources(folders, reference, protocol, expect),
        sizes=Sizes(**options.limits),
        sd=sd,
    )
    if published is not None:
        method_table = with_published(method_table, published)
        if method_table.unknown:
            log.warning(f"published, but not in this table: {method_table.unknown}")
    if explain:
        method_table = replace(method_table, explained=try_changes(method_table, score))
    return replace(method_table, changed=differences(method_table, earlier)) if earlier else method_table


def _reduced(metrics: Sequence[AnyMetric], protocol: Protocol, only: Sequence[str]) -> tuple[list[AnyMetric], Protocol]:
    """Return those metrics of a protocol that are asked for, and the protocol with the reason for the others."""
    labels = {metric.label.lower(): metric.label for metric in metrics}
    asked = {name.lower() for name in only}
    unknown = asked - labels.keys()
    if unknown:
        name = min(unknown)
        raise CLIPIQAError(f"`{{only}}` names {name!r}: {hint_for(name, labels)}", options=("only",))
    left_out = {label: "not asked for" for name, label in labels.items() if name not in asked}
    chosen = [metric for metric in metrics if metric.label not in left_out]
    return chosen, replace(protocol, not_computed={**protocol.not_computed, **left_out})


def _check_names(methods: Collection[str], baseline: str, values: Mapping[str, float], protocol: Protocol) -> None:
    if baseline not in methods:
        raise CLIPIQAError(f"the baseline {baseline!r} is not one of the methods: choose one of {', '.join(methods)}.")
    unknown = values.keys() - protocol.values
    if unknown:
        raise CLIPIQAError(f"the protocol's formula has no value {min(unknown)!r}.")


def _check_references(metrics: Iterable[AnyMetric], reference: FilePath | None) -> None:
    of_pairs = [metric.label for metric in metrics if metric.needs_reference]
    if of_pairs and reference is None:
        raise CLIPIQAError(
            f"{', '.join(of_pairs)} cannot do without reference images: name their folder in `{{reference}}`.",
            options=("reference",),
        )


def _check_border(metrics: Iterable[AnyMetric], crop_border: int | None) -> None:
    if crop_border is not None and all(metric.takes is not Takes.PAIR for metric in metrics):
        raise CLIPIQAError(
            "`{crop_border}` is for full-reference metrics such as psnr-y, and there is none: leave it out.",
            options=("crop_border",),
        )


def _output_files(out: FilePath | None, images: MethodImages, resume: bool, overwrite: bool) -> dict[str, Output]:
    """Return name -> file of scores in the folder of results; nothing without a folder."""
    files = create_result_files(out, (IMAGES, SETS), OTHERS, images.inputs, resume=resume, overwrite=overwrite)
    if files:
        files[SETS].drop_vanished = False  # their rows name no files
        # columns of trials may have been made in another way
        files[TRIALS] = Output(files[IMAGES].path.with_name(TRIALS), resume=True, overwrite=True)
    return files


def _with_protocol(
    method_table: MethodTable, protocol: Protocol, values: Mapping[str, float], off_protocol: Sequence[str]
) -> MethodTable:
    """Return a table with its protocol's score and sentences; ``off_protocol``: what does not follow the protocol."""
    scores = method_table.scores
    metrics = dict(method_table.metrics)
    if protocol.per_picture:
        rows = scores[method_table.of_images].to_dict("records")
        scores = scores.assign(**{protocol.score: [protocol.combine(row, values) for row in rows]})
    if protocol.score:
        metrics[protocol.score] = MetricResult()
    sentences = protocol.sentences(off_protocol) if protocol.name else ()
    notes = [*sentences, *method_table.matched.left_out, *method_table.notes]
    return replace(method_table, scores=scores, metrics=metrics, protocol=protocol, formula_values=values, notes=notes)


def _check_sizes(sizes: Sizes, protocol: Protocol, metrics: Sequence[AnyMetric]) -> None:
    """Raise ``CLIPIQAError`` if a size limit is set, but something takes whole images only."""
    if not sizes.limits:
        return
    option = next(iter(sizes.limits))
    if protocol.name:
        raise CLIPIQAError(
            f"protocol {protocol.name!r} says which size metrics see: leave out {{{option}}}, or write a protocol of "
            "your own with a `view`.",
            options=(option,),
        )
    if all(isinstance(metric, FileMetric) for metric in metrics):
        raise CLIPIQAError(
            f"all scores are in files, so that no image is shrunk: leave out {{{option}}}.", options=(option,)
        )
    of_sets = [metric.label for metric in metrics if metric.takes is Takes.FOLDERS]
    if of_sets:
        raise CLIPIQAError(
            f"{', '.join(of_sets)} reads whole images from their folders: leave it out, or {{{option}}}.",
            options=(option,),
        )


def _sources(
    methods: Mapping[str, str],
    reference: FilePath | None,
    protocol: FilePath | None,
    expect: FilePath | Sequence[FilePath] | None,
) -> dict[str, About]:
    """Return what a table is made from: places of images, and files with their SHA-256."""
    sources: dict[str, About] = {}
    for method, place in methods.items():
        sources[f"method {method}"] = {"images": full_path(place)}
    if reference is not None:
        sources["reference"] = {"images": full_path(reference)}
    if protocol is not None and str(protocol).lower() not in shipped_protocols():
        sources["protocol"] = _file_source(protocol)
    texts = [expect] if isinstance(expect, str | os.PathLike) else expect or ()
    for number, text in enumerate(texts, 1):
        is_file = os.path.isfile(os.path.expanduser(text))
        sources[f"published numbers {number}"] = _file_source(text) if is_file else str(text)
    return sources


def _file_source(path: FilePath) -> dict[str, str]:
    return {"file": full_path(path), "sha256": hash_file(Path(path).expanduser())}
