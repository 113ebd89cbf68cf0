"""``clipiqa score``: score photos, or shards of images."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ImageError, Kind, OptionError, SharedOptions, check_storage, counted
from ..files.writing import check_output, write_text
from ..results.formats import printing
from ..results.results import Output
from .options.groups import Asked, OutputOptions, start
from .options.terminal import check_alone, frame_as_text, note, on_interrupt, progress, stored, tell

if TYPE_CHECKING:
    from ..results.folder import ShardedResult
    from ..results.scores import Scores
    from ..scoring.score import ScoringRun


@dataclass(frozen=True)
class Shards:
    """Shards (--out DIR: one Parquet file of results per shard).

    Args:
        keep: values to add: Parquet columns, .json keys, or suffixes of sidecar files
        image_column: column of images or features in Parquet files; default: detected
        embeddings: score stored image features (.npy, lists in Parquet)
        part (I/N): score part I of N parts of the shards; slurm: the part of this task of a SLURM array
        engine: score in this process, or on a Ray cluster
    """

    keep: Sequence[str] = ()
    image_column: str | None = None
    embeddings: bool = False
    part: str | None = None
    engine: Literal["local", "ray"] = "local"


@dataclass(frozen=True)
class Cluster:
    """Ray (--engine ray).

    Args:
        actors: Ray processes that score; default: as many as possible
        gpus_per_actor: GPUs per Ray process; default: 1, or 0 without GPUs
        cpus_per_actor: cores per Ray process
    """

    actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: float = 1.0


@dataclass(frozen=True)
class Videos:
    """Videos (default: one frame a second).

    Args:
        every (SECONDS): seconds from one frame to the next, such as 0.5s
        frames (N): score N frames of each video, evenly spread
        videos (FILE): write a table of videos (csv): mean, 5th percentile, worst second, flicker
    """

    every: str | None = None
    frames: int | None = None
    videos: Path | None = None

    @property
    def sampling(self) -> dict[str, str]:
        if self.every and self.frames:
            raise OptionError("--every and --frames exclude each other: give one of them.")
        sampling = f"{self.frames} frames" if self.frames else self.every
        return {"sampling": sampling} if sampling else {}

    def judge(self, scores: Scores) -> None:
        """Show each video's verdict, and write the table."""
        from ..report.table import csv_table
        from ..results.columns import scale_text
        from ..results.scores import judge_videos

        judged = judge_videos(scores)
        if not len(table := judged.other.reset_index()):
            return
        note(f"{counted(len(table), 'video')}, sampling: {scores.reading['sampling']}\n\n{frame_as_text(table)}")
        if self.videos:
            write_text(self.videos, csv_table(table.assign(scale=scale_text(judged.columns.values()))))


def run(
    asked: Asked,
    images: SharedOptions,
    shards: Shards,
    cluster: Cluster,
    videos: Videos,
    output: OutputOptions,
    paths: Sequence[str] = (),
    *,
    null: bool = False,
    format: Literal["csv", "jsonl", "parquet", "table"] | None = None,
    merge: Path | None = None,
    partial: bool = False,
    drop_vanished: bool = False,
) -> int:
    """Score photos and videos: files, folders, globs or a list on standard input.

    Each image gets one score in [0, 1] per prompt; a high score is good. A file that cannot be scored gets a row with
    the reason, and the exit code is 1.

    examples:
      clipiqa score photos/ --prompts quality sharpness 'Crisp photo.|Hazy photo.' --out scores.csv
      find . -name '*.png' -print0 | clipiqa score -0 - --out scores.parquet --resume
      clipiqa score photos/ --prompts quality -m niqe brisque 'mine=niqe:pretrained_model_path=FILE' --out scores.csv
      clipiqa score 'shards/{000..099}.tar' --keep caption --out results/
      clipiqa score --merge results/ --out scores.parquet

    Args:
        paths (PATH): file, folder, video, quoted glob or pattern of shards, Parquet file, s3://…, or - for stdin
        null (-0): file names on stdin end with a NUL byte
        format: output format; default: the suffix of --out, or a table
        merge (DIR): join the results by shard in this folder into the file --out
        partial: with --merge: accept results of a part of the shards
        drop_vanished: with --resume: leave rows out of the file if their image or shard is gone
    """
    from ..sources.finding import find_shards
    from ..sources.videos import VideoShard

    out, overwrite = output.out, output.overwrite
    if videos.videos:
        check_output(videos.videos, overwrite=overwrite or output.resume, inputs=paths)
    check_alone("merge", "out", "partial", "videos", "overwrite")
    if merge is not None:
        from ..results.folder import merge_shards

        merged = merge_shards(merge, out, overwrite=overwrite, partial=partial)
        _report(merged, videos)
        return int(bool(merged.left_out) and not partial)
    if not paths:
        raise ImageError("no PATH given: name files or folders before --prompts, or after a separate --.")
    if partial or (null and "-" not in paths) or (cluster != Cluster() and shards.engine != "ray"):
        raise OptionError("--partial needs --merge, -0 needs - (standard input), and --actors … need --engine ray.")
    check_storage(out, output.resume, overwrite and videos.videos is None, drop_vanished)
    metrics = asked.chosen(also=("file",))
    # os.path returns False for invalid names; the error follows when the file is written
    is_folder = out and (os.path.isdir(out) or not (out.suffix or os.path.exists(out)))
    by_shard = format is None and is_folder
    if not by_shard and replace(shards, image_column=None, keep=()) != Shards():
        raise OptionError("--embeddings, --part and --engine need results by shard: name a folder, --out DIR/.")
    if shards.engine == "ray":
        return _on_ray(paths, asked, images, shards, cluster, videos, output, null=null, drop_vanished=drop_vanished)
    if by_shard and drop_vanished:
        raise OptionError("--drop-vanished is for a file of results, not for results by shard.")
    if shards.keep and not out:
        raise OptionError("--keep needs --out.")
    if out is None and format == "parquet":
        raise OptionError("parquet results are not text: name a file with --out.")
    reading: dict[str, Any] = {"keep": shards.keep, "image_column": shards.image_column, **videos.sampling}
    found = find_shards(paths, null_separated=null, features=shards.embeddings, **reading)
    if found.is_empty:
        raise ImageError(f"{found.problem}: there is nothing to score.")
    has_videos = any(isinstance(item, VideoShard) for item in found.items)
    if not has_videos and (videos.videos or (videos.sampling and not out)):  # results keep the sampling
        raise OptionError("--every, --frames and --videos are for videos, and there is none: leave them out.")

    # torch takes seconds to load, and weights may be downloaded, so all cheap checks come first
    into = Output(out, format or "", output.resume, overwrite, drop_vanished) if out and not by_shard else out
    device = start(images)
    from ..scoring.score import score_paths

    options: dict[str, Any] = {"device": device, **images.keywords(), **asked.building()}
    options |= {"out": into, "overwrite": overwrite, **videos.sampling}
    again = "the same command continues"
    with on_interrupt(again) if by_shard else stored(out), progress("shard" if by_shard else "image") as show:
        if out and by_shard:
            from ..scoring.shards.run import score_sources

            options |= {name: value for name, value in vars(shards).items() if name != "engine"}
            options["progress"] = lambda images, done, total: show(done, total, detail=f"{images:,} images")
            done = score_sources(metrics, found, **options)
            unmatched, failed = done.unmatched, _report(done, videos)
        else:
            run = score_paths(metrics, found.items, keep=shards.keep, **options)
            run.results.keeps = has_videos
            failed = _follow(run, shards.keep, None if out else format or "table", show)
            if run.known.gone and not drop_vanished:
                tell("to leave out rows of images that are gone, pass drop_vanished, too")
                failed = True
            unmatched = run.metrics.unmatched
        for label, names in unmatched.items():
            tell(f"{label} has no score for {counted(len(names), 'image')}, such as {names[0]!r}")
    if has_videos and not by_shard:
        videos.judge(run.scores())
    return 1 if failed or unmatched else 0


def _on_ray(
    paths: Sequence[str],
    asked: Asked,
    images: SharedOptions,
    shards: Shards,
    cluster: Cluster,
    videos: Videos,
    output: OutputOptions,
    **others: bool,
) -> int:
    """Score on Ray into a folder of Parquet files; return the exit code."""
    from ..sources.finding import find_shards

    if output.out is None or output.overwrite:
        raise OptionError("--engine ray needs a folder, --out DIR, and does not go with --overwrite.")
    reading: dict[str, Any] = {"keep": shards.keep, "image_column": shards.image_column, **videos.sampling}
    found = find_shards(paths, null_separated=others.pop("null"), **reading)
    metrics, device = asked.chosen(also=("file",)), start(images)
    from ..ray_data import score_on_ray
    from ..results.scores import read_scores

    options = {**reading, **vars(cluster), **images.keywords(), **asked.building(), **others}
    # Ray prints on standard output
    with stored(output.out), contextlib.redirect_stdout(sys.stderr):
        result = score_on_ray(
            metrics, found, output.out, device=device, resume=output.resume, progress=not output.quiet, **options
        )
    for sentence in result.sentences():
        (note if result.is_complete else tell)(sentence)
    if result.images:
        videos.judge(read_scores(output.out))
    return 0 if result.is_complete else 1


def _follow(run: ScoringRun, keep: Sequence[str], format: str | None, show: Callable[..., None]) -> Any:
    """Print rows in a format, and report what happens; return whether images or metrics failed."""
    from ..results.folder import absent_notes
    from ..sources.finding import split_name

    scored, failed, lacks = 0, 0, dict[str, set[str]]()  # source -> kept names
    by, total = dict.fromkeys(run.head.scores, 0), run.count
    printed = printing(sys.stdout.buffer, format, run.head) if format else contextlib.nullcontext(lambda row: None)
    try:
        with printed as write, run:
            for row in run:
                write(row)
                if row.kind in (None, Kind.NOT_ASKED, Kind.NOT_IN_FILE):  # the log names metrics and files
                    scored += 1
                else:
                    failed += 1
                    tell(row.error)
                for name, score in zip(by, row.scores or (), strict=False):
                    by[name] += score is not None
                show(scored + failed, total)
    except KeyboardInterrupt as error:
        rest = "some" if total is None else total - scored - failed
        raise type(error)(f"{scored} scored, {failed} failed, {rest} left") from error
    before = f", {run.known.failed:,} failed before" if run.known.failed else ""
    counts = ", ".join(f"{count:,} by {name}" for name, count in by.items())
    note(f"{scored} scored, {failed} failed{before}{f'; {counts}' if len(set(by.values())) > 1 else ''}")
    others = [name for name in run.results.head.scores if name not in by]  # of earlier runs
    unasked, columns, unseen = Counter[str](), run.head.kept, run.known.unseen
    for cells in run.results.cells() if others or keep or unseen else ():
        here = {name for name in (*by, *others, *columns.values()) if cells[name] not in (None, "")}
        if cells["kind"] == Kind.NOT_ASKED:
            unasked.update({*others, *(by if cells["path"] in unseen else ())} - here)
        if cells["kind"] != Kind.MISSING:
            lacking = lacks.setdefault(split_name(cells["path"])[0] or "loose photos", set(keep))
            lacking.difference_update(name for name, column in columns.items() if column in here)
    absent = {name: [source for source, lacking in lacks.items() if name in lacking] for name in keep}
    tell(*(notes := absent_notes(absent)))
    how = "not asked for; to fill them, score all images again with the metrics of all columns"
    tell(*(f"{counted(count, 'cell')} of {name} {how}" for name, count in unasked.items()))
    return failed or notes or unasked or run.known.failed or any(metric.error for metric in run.metrics.metrics)


def _report(found: ShardedResult, videos: Videos) -> bool:
    """Show a summary; return whether something failed or is missing."""
    from ..results.folder import read_table
    from ..results.scores import Scores

    is_odd = any((found.failures, found.unread, found.absent, found.notes()))
    for sentence in found.sentences():
        (tell if is_odd else note)(sentence)
    if found.images:
        note("\n" + frame_as_text(found.quantiles().reset_index(names="")))
    rows = (read_table(result.path).to_pylist() for result in found.results if result.kind == "video")
    unread = ({"path": name, "error": why} for name, why in found.unread.items())
    videos.judge(Scores.of(found.head, itertools.chain(*rows, unread)))
    return is_odd
