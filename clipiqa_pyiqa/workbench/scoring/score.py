"""Scores of files and shards, one row per image, in input order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Unpack

from ...checks import FilePath, check_list
from ...errors import CLIPIQAError
from ...files import check_output
from ...options import lists_options
from ...text import printable
from ..images.image import Image
from ..metrics.description import Takes
from ..metrics.parsing import AnyPrompts
from ..options import RunOptions, SharedOptions
from ..results.header import Header
from ..results.output import Output
from ..results.storage_options import check_storage
from ..results.store import Results, open_results
from ..sources.finding import find_sources, tell_skipped
from ..sources.found_sources import Source
from ..sources.sampling import SAMPLING
from ..sources.shard_images import images_in
from ..sources.shards import Shard
from .engine import Rows, scored_rows
from .joining import join_scores_in_files
from .plan import Plan, plan
from .scored_image import ImageTask
from .scoring_run import ScoringRun
from .setup import ScoringSetup
from .tally import log_tally

Paths = FilePath | Image | Shard | Iterable[FilePath | Image | Shard]


@lists_options(RunOptions, of=SharedOptions)
def score_paths(
    metric: Any,
    paths: Paths,
    prompts: AnyPrompts = None,
    *,
    out: FilePath | Output | None = None,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    format: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    drop_vanished: bool = False,
    sampling: str = SAMPLING,
    **options: Unpack[RunOptions],
) -> ScoringRun:
    """Score images and yield their rows in input order, as ``clipiqa score`` does.

    An image that cannot be read or scored gets a row with an ``error``.

    Args:
        metric: A ``CLIPIQA``, or the result of ``pyiqa.create_metric``; or a list of pyiqa's names (``'niqe'``,
            ``'mine=niqe:pretrained_model_path=FILE'``), such objects and files of scores, one column each.
        paths: Paths as for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_sources`, or images.
        prompts: Questions for the (first) metric, a column each, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_questions`; None means the metric's questions.
        out: File for the rows.
        keep: Values to add: Parquet columns, keys of ``.json`` sidecars, suffixes of other sidecars.
        image_column: Column of images in Parquet files; None finds it.
        format: ``'csv'``, ``'jsonl'`` or ``'parquet'``; None means by the suffix.
        resume: Score what the file lacks: new and changed images, new columns, and failures that may pass.
        overwrite: Replace an existing file; with ``resume``, only columns made in another way.
        drop_vanished: Leave out earlier rows whose images no longer exist.
        sampling: Which frames of videos: one every ``'0.5s'``, or ``'16 frames'``.
        trust_weights: Let pyiqa load files and URLs that could run code.
        strict: Raise before scoring if a metric cannot be built.
        options: As in :class:`~clipiqa_pyiqa.workbench.options.SharedOptions`.

    Returns:
        An iterator of rows, which scores while the caller iterates; ``run()`` scores all images.
    """
    check_list("keep", keep)
    if not isinstance(out, Output):
        check_storage(out, resume, overwrite, drop_vanished)
    setup = ScoringSetup(metric, prompts, also=(Takes.NAME,), sampling=sampling, **options)
    header = setup.header_with(keep)
    if not isinstance(out, Output | None):
        out = Output(Path(out), format or "", resume, overwrite, drop_vanished)
    sources = find_sources(paths, keep=keep, image_column=image_column, sampling=sampling)
    tell_skipped(sources)
    names = None if sources.has_shards else tuple(printable(source.name) for source in sources.sources)
    files = setup.metrics.files
    if files and names is None and out is None:
        raise CLIPIQAError(
            f"the scores of {files[0].label!r} are joined to those of shards in a file: pass `out`.",
            options=("out",),
        )
    if out is not None:
        inputs = [*(source.name for source in sources.sources), *(metric.path for metric in files)]
        check_output(out.path, overwrite=True, inputs=inputs)
    with ExitStack() as until_it_begins:  # an error before the run has begun leaves no lock
        results = until_it_begins.enter_context(open_results(out, header.columns, header.reading))
        if names is None:
            run = _run_over_shards(setup, header, sources.sources, results)
        else:
            join_scores_in_files(results, files, names)
            run = _run_over_images(setup, header, sources.sources, len(names), results)
            log_tally(results, run.tally)
        until_it_begins.pop_all()  # the run closes the results
    return run


def _run_over_images(
    setup: ScoringSetup, header: Header, images: Iterable[Source], count: int, results: Results
) -> ScoringRun:
    """Return a run over ``count`` images, to whose results the scores in files are joined."""
    header = header.with_columns(metric.columns[0] for metric in setup.metrics.files)
    planned = plan(results.images.claiming(images_in(images)), setup.metrics, setup.options, results.earlier)
    tasks: Iterable[ImageTask] = planned.tasks
    left = count
    if results.earlier:
        tasks = list(tasks)
        left = len(tasks)
    rows = scored_rows(tasks, setup.metrics, setup.options, count)
    return ScoringRun(setup.metrics, header, rows, results, planned.tally, left)


def _run_over_shards(setup: ScoringSetup, header: Header, sources: Iterable[Source], results: Results) -> ScoringRun:
    """Return a run over shards, and images among them, whose number is not known."""
    planned = plan(results.images.claiming(images_in(sources)), setup.metrics, setup.options, results.earlier)
    return ScoringRun(setup.metrics, header, _rows_of_shards(setup, planned, results), results, planned.tally)


def _rows_of_shards(setup: ScoringSetup, planned: Plan, results: Results) -> Rows:
    """Yield the rows of images in shards; scores in files are joined at the end, when all images are known."""
    yield from scored_rows(planned.tasks, setup.metrics, setup.options)
    join_scores_in_files(results, setup.metrics.files)
    log_tally(results, planned.tally)
