"""``clipiqa score``: score photos."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from ..errors import ImageError, OptionError
from ..errors.arguments import SharedOptions
from ..scoring.result_files import Output, ResultWriter, format_of
from . import score_shards
from .options.model import Kept, LearnedQuestions, Model, build_metrics, start
from .options.progress import Bar, note, tell
from .options.signals import on_interrupt
from .score_shards import Shards

if TYPE_CHECKING:
    from ..scoring.score import ScoringRun


def run(
    questions: LearnedQuestions,
    model: Model,
    images: SharedOptions,
    shards: Shards,
    kept: Kept,
    paths: Sequence[str] = (),
    *,
    metrics: list[str] | None = None,
    null: bool = False,
    all_attributes: bool = False,
    format: Literal["csv", "jsonl", "parquet", "table"] | None = None,
    progress: bool = False,
) -> int:
    """Score photos: files, folders, globs or a list on standard input.

    One score in [0, 1] per image and prompt; a high score is good. A file that cannot be scored gets a row with the
    reason. Exit code: 0 all files scored, 1 some files failed, 2 bad usage or nothing to score.

    examples:
      clipiqa score photos/ holiday.jpg
      clipiqa score photos/ --prompts quality sharpness 'Crisp photo.|Hazy photo.' --out scores.csv
      find . -name '*.png' -print0 | clipiqa score -0 - --out scores.parquet --resume
      clipiqa score photos/ --metrics clipiqa laion_aes maclip --out scores.csv
      clipiqa score 'shards/{000..099}.tar' --keep caption --out results/
      clipiqa score --merge results/ --out scores.parquet

    Args:
        paths (PATH): file, folder, quoted glob or pattern of shards, Parquet file, s3://…, or - for a list on stdin
        metrics (-m METRIC): CLIP-based metrics of pyiqa: [COLUMN=]NAME[:KEY=VALUE,…]
        null (-0): file names on stdin end with a NUL byte
        all_attributes: one column for every named pair whose words the CLIP knows
        format: output format; default: the suffix of --out, or a table
        progress: show the progress bar even without a terminal
    """
    from ..sources.finding import find_shards

    if shards.merge is not None:
        return score_shards.merge(shards.merge, paths, kept)
    by_shard = score_shards.is_folder(kept.out, format)
    if not paths:
        raise ImageError("no PATH given: name files or folders before --prompts, or after a separate --.")
    kept.check()
    if metrics and (questions != LearnedQuestions() or model.given() or all_attributes):
        raise OptionError(
            "metrics have options of their own, such as clipiqa:prompts=sharpness: leave out the options of the "
            "model, the questions and all_attributes."
        )
    columns = None if metrics else questions.columns()
    if all_attributes and columns is None:
        raise OptionError("learned_prompts excludes all_attributes: leave out one of the two.")
    shards.check(by_shard)
    output = None
    if kept.out and not by_shard:
        output = Output(kept.out, format or format_of(kept.out), kept.resume, kept.overwrite)
    if kept.out is None and format == "parquet":
        raise OptionError("parquet results are not text: name a file with --out.")
    found = find_shards(
        paths, null_separated=null, keep=shards.keep, image_column=shards.image_column, features=shards.embeddings
    )
    if found.is_empty:
        raise ImageError(f"{found.problem}: there is nothing to score.")

    # torch takes seconds to load, so all cheap checks come first
    device = start(images, model.backbone)
    from ..images.formats import skipped_note
    from ..images.reader import check_limits
    from ..prompts.pairs import NAMED_PAIRS, known_names, parse_columns, parse_prompt_argument
    from ..scoring.rows import printable
    from ..scoring.score import score_paths

    check_limits(images.max_side, images.max_pixels, images.damaged)
    metric: Any = build_metrics(metrics, device) if metrics else questions.metric(model, device)
    if all_attributes:
        names = known_names(metric.clip, NAMED_PAIRS, questions.template)
        columns = parse_columns([*map(parse_prompt_argument, questions.prompts), *names], questions.template)
    hint = on_interrupt("--resume continues from here") if output else contextlib.nullcontext()
    with hint, Bar(shown=progress or None) as bar:
        if by_shard:
            return shards.score(found, metric, columns, device, images, kept, bar)
        run = score_paths(metric, found.items, columns, device=device, out=output, **images.keywords())
        todo = [printable(item.name) for item in found.items] if run.names is None else run.names
        if run.kept:
            note(f"{run.kept:,} done before{'' if found.has_shards else f', {len(todo):,} to go'}")
        writer = None if output else ResultWriter(_raw_stdout(), format or "table", run.header, todo)
        code = _follow(run, writer, None if found.has_shards else len(todo), bar)
    if skipped := skipped_note(found.skipped):
        note(skipped)
    return code


def _follow(run: ScoringRun, writer: ResultWriter | None, total: int | None, bar: Bar) -> int:
    scored, failed, start_time = 0, 0, time.monotonic()

    def summary() -> str:
        seconds = time.monotonic() - start_time
        speed = f" in {seconds:.1f} s ({scored / seconds:.2f} images/s)" if scored else ""
        earlier = f", {run.kept} done before" if run.kept else ""
        return f"{scored} scored, {failed} failed{speed}{earlier}"

    try:
        with writer or contextlib.nullcontext(), contextlib.closing(run):
            for row in run:
                if writer is not None:
                    writer.write(row)
                if row.kind is None:
                    scored += 1
                else:
                    failed += 1
                    tell(row.error)
                bar.show("", scored + failed, total)
    except KeyboardInterrupt as error:
        rest = "some" if total is None else total - scored - failed
        hint = () if writer is not None else ("--resume continues from here",)
        raise type(error)(f"{summary()}, {rest} left", *hint) from error
    note(summary())
    return 1 if failed else 0


def _raw_stdout() -> IO[bytes]:
    try:
        return open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)
    except OSError:  # standard output is an object without a file descriptor
        return sys.stdout.buffer
