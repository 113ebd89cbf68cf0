"""``table``: several methods, test sets and metrics, scored and put side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from ...checks import FilePath, check_list, check_number, check_whole_or_none
from ...options import lists_options
from ...text import log, printable
from ..compare.metric_result import MetricResult
from ..compare.settings import run_settings
from ..metrics.file_scores import with_scores_of_methods
from ..metrics.kinds import AnyMetric, FileMetric
from ..metrics.view import WIDEST_BORDER
from ..options import ComparisonOptions, SharedOptions, Sizes
from ..progress import Progress, silent
from ..results.output import Output
from ..scoring.options import Options
from ..scoring.result_files import create_result_files
from .chosen_metrics import table_metrics
from .differences import differences
from .expected import earlier_tables, read_expected
from .explain import explain as try_changes
from .method_images import MethodImages, match_images, parse_methods
from .method_scores import TRIALS, MethodScorer
from .method_table import IMAGES, OTHERS, SETS, MethodTable
from .option_checks import (
    check_border,
    check_has_published,
    check_names,
    check_references,
    check_scores_are_explained,
    check_sizes,
)
from .protocols import NO_PROTOCOL, Protocol, read_protocol
from .published_numbers import published_numbers, with_published
from .sources import sources_of_table


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
    describes_only = describe and out is None
    check_scores_are_explained(explain, describes_only)
    folders = parse_methods(methods)
    formula_values = dict(values or {})
    rules = read_protocol(protocol) if protocol is not None else NO_PROTOCOL
    chosen = table_metrics(metrics, rules, crop_border, trust_weights, only=only)
    rules = rules.without(chosen.left_out)
    options = Options.of(batches, seed=seed)
    baseline_name = baseline or next(iter(folders))
    check_names(folders, baseline_name, formula_values, rules)
    check_references(chosen.metrics, reference)
    check_border(chosen.metrics, crop_border)
    check_sizes(options, rules, chosen.metrics)
    images = match_images(folders, reference, rules, skip_missing=skip_missing)
    for line in images.left_out:
        log.warning(line)
    if describes_only:
        expect = None
        images = replace(images, files=images.files[:0])
    chosen_metrics = _with_scores_in_files(chosen.metrics, images)
    files = _output_files(out, images, resume, overwrite)
    expected = {} if expect is None else read_expected(expect)
    published = None if expect is None else published_numbers(expected, images)
    earlier = earlier_tables(expected)
    check_has_published(explain, published)
    scorer = MethodScorer(images, baseline_name, files, options, progress, rules.unequal)
    method_table = scorer.table(chosen_metrics, strict=strict)
    method_table = replace(
        _with_protocol(method_table, rules, formula_values, chosen.off_protocol),
        settings=run_settings(options),
        sources=sources_of_table(folders, reference, protocol, expected),
        sizes=Sizes(**options.limits),
        sd=sd,
    )
    if published is not None:
        method_table = with_published(method_table, published)
        if method_table.unknown:
            log.warning(f"published, but not in this table: {method_table.unknown}")
    if explain:
        method_table = replace(method_table, explained=try_changes(method_table, scorer))
    return replace(method_table, changed=differences(method_table, earlier)) if earlier else method_table


def _with_scores_in_files(metrics: Sequence[AnyMetric], images: MethodImages) -> list[AnyMetric]:
    """Return the metrics; those whose scores are in files have the scores of these images."""
    paths = images.files.map(printable).to_dict("list")
    return [with_scores_of_methods(metric, paths) if isinstance(metric, FileMetric) else metric for metric in metrics]


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
    """Return a table with its protocol's score and sentences; ``off_protocol``: what differs from it, in words."""
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
