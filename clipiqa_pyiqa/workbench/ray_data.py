"""Big runs: Ray Data hands out shards and files, actors score them, and Ray Data writes their rows as Parquet files.

The rows in the folder are the memory of a run. A shard's last row holds the number of its images, so that a finished
shard is not opened again. Ray drops what a lost process had not written, so after each pass the rows are counted, and
what is missing is scored in the next pass; in the last pass, each image is scored in a process of its own, so that an
image that kills its process becomes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from ..checks import FilePath, check_list, check_number, check_whole_or_none
from ..errors import CLIPIQAError
from ..options import lists_options
from ..text import log
from .metrics.description import Takes
from .metrics.metric_set import MetricSet
from .metrics.parsing import AnyPrompts
from .options import RunOptions, SharedOptions
from .ray_actors import ActorPool, connect
from .results.header import Header
from .results.parquet_folder import ParquetFolder
from .scoring.folder_plan import FolderPlan, StaleRows
from .scoring.folder_result import FolderResult
from .scoring.folder_rows import FolderRows
from .scoring.setup import ScoringSetup
from .sources.finding import find_sources, tell_skipped
from .sources.found_sources import FoundSources
from .sources.parquet import carried_types
from .sources.sampling import SAMPLING

PASSES = 3


@lists_options(RunOptions, of=SharedOptions)
def score_on_ray(
    metric: Any,
    sources: Any,
    out: FilePath,
    prompts: AnyPrompts = None,
    *,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    resume: bool = False,
    drop_vanished: bool = False,
    sampling: str = SAMPLING,
    actors: int | None = None,
    cpus_per_actor: float = 1.0,
    gpus_per_actor: float | None = None,
    progress: bool = False,
    **options: Unpack[RunOptions],
) -> FolderResult:
    """Score images on a Ray cluster into a folder of Parquet files, as ``clipiqa score --engine ray`` does.

    Rows have the columns of a file of :func:`~clipiqa_pyiqa.score_paths`, and two more: ``source``, the shard, and
    ``images``, in one row of a shard the number of its images. The cluster is that of ``RAY_ADDRESS``, or that of
    this machine, or a new one on this machine.

    Args:
        metric, prompts, keep, resume, drop_vanished, sampling, options: As for :func:`~clipiqa_pyiqa.score_paths`.
        sources: Paths as for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_sources`, images or shards.
        out: The folder, on a disk that all machines share or in a store; :func:`.read_scores` reads it.
        image_column: Column of images in Parquet files; None finds it.
        actors: Number of processes that score; None means as many as fit.
        cpus_per_actor: Cores of each process.
        gpus_per_actor: GPUs of each process; None means 1 if the cluster has GPUs and ``device`` is not ``'cpu'``.
        progress: Show Ray's bars of progress.

    Raises:
        CLIPIQAError: Ray or its cluster is missing, nothing can be scored, or ``out`` was made in another way.
    """
    check_list("keep", keep)
    check_whole_or_none("actors", actors, 1, 4096)
    check_number("cpus_per_actor", cpus_per_actor, least=0)
    check_number("gpus_per_actor", 0 if gpus_per_actor is None else gpus_per_actor, least=0)
    if not isinstance(sources, FoundSources):
        sources = find_sources(sources, keep=keep, image_column=image_column, sampling=sampling)
        tell_skipped(sources)
    if sources.is_empty:
        raise CLIPIQAError(f"{sources.problem or 'no source was given'}: there is nothing to score.")
    setup = ScoringSetup(metric, prompts, also=(Takes.NAME,), sampling=sampling, **options)
    _check_no_scores_in_files(setup.metrics)
    folder = ParquetFolder.at(out)
    # tuples become lists, as in the header in the folder, with which this one is compared
    header = Header.of(setup.header_with(keep).record)
    with folder.locked():
        before = folder.earlier_header(header, resume)
        if before is not None:
            header = header.with_scored_columns(before)
        rows = FolderRows(folder, sources.sources)
        plan = FolderPlan(rows, header)
        folder.remove_cut_files()
        stale = None if before is None else plan.stale_rows(before, drop_vanished)
        if stale is not None:
            _log_what_is_kept(stale, plan.unknown_columns)
            folder.remove_rows(stale.rows)
        folder.remove_rows(plan.repeated_rows())
        tasks = plan.missing()
        pool = None
        if tasks:  # otherwise Ray need not start, which takes seconds
            connect()
            pool = ActorPool.of(setup, actors, cpus_per_actor, _gpus(gpus_per_actor, options), progress)
        folder.save_header(header, is_new=before is None)
        schema = folder.schema(header, carried_types(sources.sources, keep))
        for number in range(1, PASSES + 1):
            if pool is None or not tasks:
                break
            pool.score(tasks, folder, header, schema, is_careful=number == PASSES)
            _remove_traces_of_lost_processes(plan)
            tasks = plan.missing()
        folder.save_header(header, is_finished=True)
        return FolderResult.of(rows, header, [name for task in tasks for name in task.names], stale)


def _check_no_scores_in_files(metrics: MetricSet) -> None:
    """Raise ``CLIPIQAError`` for a metric whose scores are in a file."""
    if metrics.files:
        label = metrics.files[0].label
        raise CLIPIQAError(f"the scores of {label!r} are in a file: join them with the results on Ray by `path`.")


def _remove_traces_of_lost_processes(plan: FolderPlan) -> None:
    """Remove the files that were not written to their end, and the rows of images that have another row."""
    plan.rows.folder.remove_cut_files()
    plan.rows.folder.remove_rows(plan.repeated_rows())


def _gpus(gpus_per_actor: float | None, options: RunOptions) -> float | None:
    """Return the GPUs of each process: none if the user asks for a CPU and says no number."""
    if gpus_per_actor is None and str(options.get("device")) == "cpu":
        return 0.0
    return gpus_per_actor


def _log_what_is_kept(stale: StaleRows, unknown_columns: Sequence[str]) -> None:
    """Log how many rows of an earlier run are kept, and whose scores are all made again."""
    if unknown_columns:
        log.warning(f"{unknown_columns[0]} scores all images again, since its changes cannot be seen.")
    log.info(stale.sentence())
