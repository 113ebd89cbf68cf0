"""``table``: several methods, test sets and metrics side by side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...errors import CLIPIQAError
from ...errors.arguments import SharedOptions, checked
from ...files.writing import locked as hold_lock
from ...files.writing import write_text
from ...images.batches import default_workers
from ...metric import find_device
from ...scoring.engine import Options
from ...scoring.metric_specs import check_weights
from ..compare import Progress, run_settings
from ..data_set_results import MetricResult
from .lock import compare_locks, make_lock, read_lock
from .matching import Place, match_images, parse_methods
from .protocols import CERTAINTY, FORMULA_OF, NO_PROTOCOL, UNEQUAL, Protocol, make_protocol, read_protocol
from .published import explain as try_changes
from .published import read_expected, with_published
from .results import MethodTable, check_table_folder
from .scoring import Memory, score_images
from .table_metrics import parse_table_metrics

_LOCKED = ("metrics", "crop_border", "values", "seed")  # arguments that a lock stores


@checked
def table(
    methods: Mapping[str, Place] | Iterable[str],
    metrics: str | Iterable[str] | Mapping[str, Any] | None = None,
    *,
    reference: Place | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    expect: str | Path | Sequence[str] | None = None,
    explain: bool = False,
    lock: str | Path | None = None,
    locked: str | Path | None = None,
    skip_missing: bool = False,
    out: str | Path | None = None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
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
        reference: Folder or pattern of the reference images.
        baseline: Method to compare other methods with; by default the first.
        protocol: Name or file of a protocol; ``metrics`` add to its metrics, or replace metrics of the same label.
        values: Numbers for the protocol's formula, such as ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics; default the protocol's, or 0.
        expect: Published numbers; see :func:`~.published.read_expected`.
        explain: Try changes that may explain differences from published numbers.
        lock: Lock file to write, with everything that the numbers depend on.
        locked: Lock file to compute again; ``changed`` of the result lists the differences.
        skip_missing: Leave out images that a method or the reference lacks; otherwise raise.
        out: Folder for scores; None stores nothing.
        resume: Compute only the scores that ``out`` lacks; changed files are scored again.
        overwrite: Start again; with ``resume``, score again only by metrics that have changed.
        sd: Show standard deviations beside the means.
        seed, trust_weights, strict, progress: As for ``compare``.
        device, batch_size, workers: as in :class:`~clipiqa_pyiqa.errors.arguments.SharedOptions`.

    Returns:
        The table, which also names metrics and images that failed.

    Raises:
        CLIPIQAError: An argument is unknown, missing or contradictory.
    """
    folders, inputs = parse_methods(methods), dict(values or {})
    chosen = read_protocol(protocol) if protocol is not None else NO_PROTOCOL
    before = read_lock(locked) if locked is not None else None
    if before is not None:
        if metrics or protocol or inputs or crop_border is not None:
            raise CLIPIQAError("the lock already sets metrics, protocol and options: do not give them with `locked`.")
        try:
            metrics, crop_border, inputs, seed = (before["asked"][name] for name in _LOCKED)
            chosen = make_protocol(**before["protocol"])
        except (KeyError, TypeError) as error:
            raise CLIPIQAError(f"the lock is damaged: {error}.") from error
    given = [metrics] if isinstance(metrics, str) else list(metrics or ())
    if lock is not None and (isinstance(metrics, Mapping) or not all(isinstance(each, str) for each in given)):
        raise CLIPIQAError("a lock needs the names of metrics: a metric object cannot be built again from a lock.")
    wanted, changed = parse_table_metrics(metrics, chosen, crop_border)
    if explain and expect is None:
        raise CLIPIQAError("`explain` needs published numbers in `expect`.")
    needing = [each.spec.label for each in wanted if each.needs_reference]
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
    check_weights([each.spec for each in wanted], trust_weights)
    options = Options(find_device(device), batch_size, workers or default_workers(), seed)
    images = match_images(folders, reference, chosen, skip_missing=skip_missing)
    folder = None
    if out is not None:
        folder = check_table_folder(out, images.inputs, overwrite=overwrite, resume=resume)
    published = None if expect is None else read_expected(expect, images)
    with contextlib.nullcontext() if folder is None else hold_lock(folder):
        memory = Memory(folder, resume, overwrite)
        score = partial(score_images, images, baseline_name, memory, options, progress, chosen.unequal)
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
            found = replace(found, explained=try_changes(found, wanted, score))
    if lock is not None or before is not None:
        here = make_lock(found, dict(zip(_LOCKED, (given, crop_border, inputs, seed), strict=True)))
        if before is not None:
            found = replace(found, changed=compare_locks(before, here))
        if lock is not None:
            write_text(Path(lock).expanduser(), json.dumps(here, indent=1, ensure_ascii=False) + "\n")
    return found


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
