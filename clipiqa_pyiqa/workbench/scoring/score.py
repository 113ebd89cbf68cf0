"""Scores of many images, one row per image, in input order: of files and shards, and of images in memory."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch

from ...checks import MIN_SIDE, FilePath, check_list
from ...clip.device import find_device
from ...errors import CLIPIQAError
from ...files.printable import printable
from ...files.writing import check_output
from ...logger import log
from ...options import lists_options
from ...version import __version__
from ..images.image import Image
from ..metrics.description import Takes
from ..metrics.metric_set import MetricSet
from ..metrics.parsing import AnyPrompts, metric_set
from ..options import Progress, Reading, RunOptions, SharedOptions, check_options, check_storage, silent
from ..results.header import Header
from ..results.output import Output
from ..results.row import Row
from ..results.store import Results, open_results
from ..sources.finding import find_shards
from ..sources.source_images import sources_of
from ..sources.stores import Shard
from ..sources.videos import SAMPLING
from .engine import Rows, score_items
from .options import Options
from .plan import ImageTask, Plan, Tally, plan, tell

if TYPE_CHECKING:
    import pandas

    from ..results.scores import Scores

Paths = FilePath | Image | Shard | Iterable[FilePath | Image | Shard]


class ScoringSetup:
    """The checked metrics, questions and options of :func:`score_paths`; ``elsewhere(device=…)`` makes them again."""

    def __init__(
        self,
        metric: Any,
        prompts: AnyPrompts = None,
        *,
        also: Collection[Takes] = (),
        sampling: str = SAMPLING,
        **options: Unpack[RunOptions],
    ) -> None:
        check_options(options, RunOptions.__annotations__)
        self.elsewhere = partial(ScoringSetup, metric, prompts, also=also, **options)
        self.device = find_device(options.pop("device", None))
        reading = dict[str, Any](options)
        building = {name: reading.pop(name) for name in ("trust_weights", "strict") if name in reading}
        self.metrics = metric_set(metric, prompts, self.device, also=also, **building)
        # a metric of pyiqa has a smallest side of its own
        self.options = Options(self.device, min_side=1 if self.metrics.others else MIN_SIDE, **reading)
        limits = {name: getattr(self.options, name) for name in Reading.__dataclass_fields__}
        self.header = Header(self.metrics.columns, {**limits, "sampling": sampling, **circumstances(self.device)})

    def rows(self, images: Iterable[Image], count: int | None = None) -> Rows:
        """Yield the row of each image."""
        tasks = plan(images, self.metrics, self.options).tasks
        return score_items(tasks, self.metrics, self.options, count)


class ScoringRun(Iterator[Row]):
    """An iterator that stores each row, then yields it with what is known from an earlier run.

    :meth:`scores` and :meth:`frame` give the whole result at any time and as often as asked, read from the file, or
    from memory if there is none.

    Attributes:
        header: The columns that the run fills, and how images are read.
        tally: How many of its images an earlier run has scored; complete when all have been planned.
        metrics: The built metrics, and the images whose score is not in a file.
        count: Number of images to score; None if unknown.
    """

    def __init__(
        self,
        metrics: MetricSet,
        header: Header,
        rows: Rows,
        results: Results,
        tally: Tally,
        count: int | None = None,
    ) -> None:
        self.metrics = metrics
        self.header = header
        self.count = count
        self.tally = tally
        self.results = results
        self._done = 0  # rows so far
        self._rows = _stored(rows, results)
        next(self._rows)  # opens the results, before the first row is asked for

    def __next__(self) -> Row:
        row: Row = next(self._rows)
        self._done += 1
        return row

    def run(self) -> None:
        """Score all images."""
        for _ in self:
            pass

    def close(self) -> None:
        """End the run; the results keep the rows so far."""
        self._rows.close()

    def __enter__(self) -> ScoringRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.results.output and self.results.is_open:
            log.warning("a run was dropped before its end: iterate over what score_paths returns, or call its run()")

    def scores(self, progress: Progress = silent) -> Scores:
        """Score the images that are left, and return all scores: this run's columns, then others of an earlier run."""
        total = None if self.count is None else self.tally.unchanged + self.count
        for _ in self:
            progress(self.tally.unchanged + self._done, total)
        scores = self._all_scores()
        columns = {**self.header.by_name, **scores.columns}
        frame = scores.frame[[*columns]].drop(index=self.results.images.unmet, errors="ignore")
        return replace(scores, frame=frame, columns=columns)

    def frame(self) -> pandas.DataFrame:
        """Score the images that are left, and return all rows.

        The index is ``path``; the columns are one for each question (NaN: no score), ``flag`` and ``error``.
        """
        self.run()
        scores = self._all_scores()
        texts = scores.other[["flag", "error"]].fillna("")
        rows = scores.frame[self.header.scores].assign(**{name: texts[name].to_numpy() for name in texts})
        return rows[~rows.index.isin(self.results.images.unmet)]

    def _all_scores(self) -> Scores:
        """Return the scores of a run that has scored its last image; raise ``CLIPIQAError`` if it ended before."""
        if not self.results.is_finished:
            raise CLIPIQAError(
                "the run ended before its last image: call score_paths again (with `{resume}`).", options=("resume",)
            )
        return self.results.scores()


def _stored(rows: Rows, results: Results) -> Generator[Any, None, None]:
    """Open the results and yield None; then yield each row when it is stored. At the end, the results are closed."""
    with results, closing(rows):
        yield None
        for row in rows:
            results.append(row)
            yield results.completed(row)


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
        paths: Paths as for :func:`~clipiqa_pyiqa.workbench.sources.finding.find_shards`, or images.
        prompts: Questions for the (first) metric, a column each, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None means the metric's questions.
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
    header = setup.header
    if keep:
        header = replace(header, reading={**header.reading, "keep": list(keep)})
    if not isinstance(out, Output | None):
        out = Output(Path(out), format or "", resume, overwrite, drop_vanished)
    sources = find_shards(paths, keep=keep, image_column=image_column, sampling=sampling)
    names = None if sources.has_shards else tuple(printable(item.name) for item in sources.items)
    files = setup.metrics.files
    if files and names is None and out is None:
        raise CLIPIQAError(
            f"the scores of {files[0].label!r} are joined to those of shards in a file: pass `{{out}}`.",
            options=("out",),
        )
    if out is not None:
        inputs = [*(item.name for item in sources.items), *(metric.path for metric in files)]
        check_output(out.path, overwrite=True, inputs=inputs)
    with ExitStack() as until_it_begins:  # an error before the run has begun leaves no lock
        results = until_it_begins.enter_context(open_results(out, header.columns, header.reading))
        run = _begin(setup, header, sources.items, names, results)
        until_it_begins.pop_all()  # the run closes the results
    return run


def _begin(
    setup: ScoringSetup,
    header: Header,
    items: Sequence[Image | Shard],
    names: tuple[str, ...] | None,
    results: Results,
) -> ScoringRun:
    """Return a run over items; ``names`` are those of its images, or None if they come shard by shard."""
    if names is not None:
        setup.metrics.join(results, names)
        header = header.with_columns(metric.columns[0] for metric in setup.metrics.files)

    planned = plan(results.images.remembered(sources_of(items)), setup.metrics, setup.options, results.earlier)
    if names is None:
        rows = _rows_of_shards(setup, planned, results)
        return ScoringRun(setup.metrics, header, rows, results, planned.tally)
    tasks: Iterable[ImageTask] = planned.tasks
    count = len(names)
    if results.earlier:
        tasks = list(tasks)
        count = len(tasks)
        tell(results, planned.tally)
    rows = score_items(tasks, setup.metrics, setup.options, len(names))
    return ScoringRun(setup.metrics, header, rows, results, planned.tally, count)


def _rows_of_shards(setup: ScoringSetup, planned: Plan, results: Results) -> Rows:
    """Yield the rows of images in shards; scores in files are joined at the end, when all images are known."""
    yield from score_items(planned.tasks, setup.metrics, setup.options)
    setup.metrics.join(results)
    tell(results, planned.tally)


def circumstances(device: torch.device) -> dict[str, Any]:
    """Return the device and the versions of packages, on which scores should not depend."""
    packages = ("torch", "open_clip_torch", "pillow", *_installed("pyiqa"))
    decoders = ("pillow", "simplejpeg", *_installed("av"))
    return {
        "device": device_name(device),
        "versions": {"clipiqa-pyiqa": __version__, **{name: version(name) for name in packages}},
        "decoders": {name: version(name) for name in decoders},
    }


def _installed(package: str) -> list[str]:
    """Return a package's name if it is installed; otherwise no name."""
    return [package] if find_spec(package) else []


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
