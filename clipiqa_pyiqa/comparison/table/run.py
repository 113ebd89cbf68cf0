"""``table``: several methods, test sets and metrics side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...errors import CLIPIQAError, SharedOptions, checked, nearest
from ...images.batches import default_workers
from ...metric import find_device
from ...metrics.files import of_methods
from ...results.results import Output
from ...scoring.engine import Options, Progress, outputs
from ..compare import run_settings
from ..data_set_results import MetricResult
from .earlier import differences
from .matching import Place, match_images, parse_methods
from .protocols import CERTAINTY, FORMULA_OF, NO_PROTOCOL, UNEQUAL, Protocol, read_protocol, table_metrics
from .published import explain as try_changes
from .published import read_expected, with_published
from .results import IMAGES, OTHERS, SETS, MethodTable
from .scoring import TRIALS, score_versions


@checked
def table(
    methods: Mapping[str, Place] | Iterable[str],
    metrics: Any = None,
    *,
    reference: Place | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    only: Sequence[str] = (),
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    expect: str | Path | Sequence[str] | None = None,
    explain: bool = False,
    skip_missing: bool = False,
    out: str | Path | None = None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    processes: int = SharedOptions.processes,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    sd: bool = True,
    progress: Progress = lambda data_set, done, total: None,
) -> MethodTable:
    """Return scores of several methods on the same images, side by side.

    Args:
        methods: Name -> folder or pattern, or texts ``'NAME=FOLDER'``; see
            :func:`~clipiqa_pyiqa.sources.naming.named_images`.
        metrics: Metrics as for :func:`~clipiqa_pyiqa.comparison.compare.compare`, and ``psnr-y``, ``psnr-rgb``,
            ``ssim-y``, ``ssim-rgb``.
        baseline: Method to compare other methods with; by default the first.
        protocol: Name or file of a protocol; ``metrics`` add to its metrics, or replace metrics of the same label.
        values: Numbers for the protocol's formula, such as ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics; default the protocol's, or 0.
        expect: Published numbers, and ``images.csv`` of earlier tables; see :func:`~.published.read_expected`.
        explain: Try changes that may explain differences from published numbers.
        skip_missing: Leave out images that a method or the reference lacks; otherwise raise.
        resume: Compute only the scores that ``out`` lacks; changed files are scored again.
        seed, overwrite, trust_weights, strict, progress: As for ``compare``.
    """
    folders, inputs = parse_methods(methods), dict(values or {})
    chosen = read_protocol(protocol) if protocol is not None else NO_PROTOCOL
    wanted, changed = table_metrics(metrics, chosen, crop_border, trust_weights)
    if only:
        labels, asked = {m.label.lower(): m.label for m in wanted}, {name.lower() for name in only}
        for name in asked - labels.keys():
            raise CLIPIQAError(f"`only` names {name!r}: {nearest(name, labels)}")
        left_out = {label: "not asked for" for name, label in labels.items() if name not in asked}
        wanted = [metric for metric in wanted if metric.label not in left_out]
        chosen = replace(chosen, not_computed={**chosen.not_computed, **left_out})
    needing = [m.label for m in wanted if m.mode == "FR" or (m.mode == "set" and m.name != "inception_score")]
    if needing and reference is None:
        raise CLIPIQAError(
            f"{', '.join(needing)} cannot do without reference images: name their folder in `reference`."
        )
    baseline_name = baseline or next(iter(folders))
    if baseline_name not in folders:
        raise CLIPIQAError(
            f"the baseline {baseline_name!r} is not one of the methods: choose one of {', '.join(folders)}."
        )
    if unknown := [name for name in inputs if name not in chosen.values]:
        raise CLIPIQAError(f"the protocol's formula has no value {unknown[0]!r}.")
    options = Options(find_device(device), batch_size, workers or default_workers(), seed, processes)
    images = match_images(folders, reference, chosen, skip_missing=skip_missing)
    paths = {str(name): list(files) for name, files in images.files.items()}
    wanted = [of_methods(metric, paths) if metric.mode == "file" else metric for metric in wanted]
    files = outputs(out, (IMAGES, SETS), OTHERS, images.inputs, resume=resume, overwrite=overwrite)
    published, earlier = (None, {}) if expect is None else read_expected(expect, images)
    if explain and published is None:
        raise CLIPIQAError("`explain` needs published numbers in `expect`.")
    if files:  # columns of trials may have been made in another way
        files[TRIALS] = Output(files[IMAGES].path.with_name(TRIALS), resume=True, overwrite=True)
    score = partial(score_versions, images, baseline_name, files, options, progress, chosen.unequal)
    found = score(wanted, strict=strict)
    if chosen.per_picture:
        rows = found.scores[found.of_images].to_dict("records")
        found.scores[chosen.score] = [chosen.combine(row, inputs) for row in rows]
        found.columns[chosen.score] = MetricResult()
    notes = [
        *(_notes(chosen, changed) if chosen.name else ()),
        *(f"{line}." for line in images.left_out),
        *found.notes,
    ]
    known = run_settings(options)
    found = replace(found, protocol=chosen, inputs=inputs, settings=known, notes=notes, sd=sd)
    if published is not None:
        found = with_published(found, published)
    if explain:
        found = replace(found, explained=try_changes(found, score))
    return replace(found, changed=differences(found, earlier)) if earlier else found


def _notes(protocol: Protocol, changed: Sequence[str]) -> Iterable[str]:
    yield f"Protocol {protocol.name}: {protocol.title}; {CERTAINTY[protocol.certainty]} ({protocol.source})."
    if changed:
        yield f"This table does not follow protocol {protocol.name}: {', '.join(changed)} changed."
    if protocol.score:
        yield f"{protocol.score} = {protocol.formula}, of {FORMULA_OF[protocol.per_picture]}."
    if protocol.average != "images":
        yield f"Means are {protocol.averaging}; they are not compared image by image."
    if protocol.unequal:
        yield f"Images that are not of their reference's size: {UNEQUAL[protocol.unequal]}."
    yield from protocol.notes
