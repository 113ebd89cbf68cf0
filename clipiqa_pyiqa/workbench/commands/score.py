"""``clipiqa score``: score photos, or shards of images."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ...checks import check_whole_or_none
from ...errors import ImageError, OptionError
from ...files import check_output, write_text
from ...text import counted
from ..files.streams import output_as_messages
from ..metrics.description import Takes
from ..results.output import Output
from ..results.printing import printing
from ..results.storage_options import check_storage
from ..scoring.row_counts import RowCounts, is_scored
from ..sources.shards import TABLES
from .options.console_tables import frame_as_text
from .options.continuing import saying_where_results_are
from .options.flags import RAY, group_of_command
from .options.groups import OutputOptions, ScoreFile, Scoring, Settings, Strictness
from .options.messages import note, tell
from .options.metric_options import MetricOptions
from .options.progress import progress
from .options.running import start

if TYPE_CHECKING:
    from ..metrics.kinds import AnyMetric
    from ..results.scores import Scores
    from ..scoring.scoring_run import ScoringRun
    from ..sources.found_sources import FoundSources


@Parameter(name="*", group=group_of_command("Shards (tar archives and Parquet files)"))
@dataclass(frozen=True)
class Shards:
    """Shards (tar archives and Parquet files).

    Args:
        keep: values to add: Parquet columns, .json keys, or suffixes of sidecar files
        image_column: column of images in Parquet files; default: detected
    """

    keep: Annotated[Sequence[str], Parameter(metavar="NAME")] = ()
    image_column: str | None = None


@Parameter(name="*", group=RAY)
@dataclass(frozen=True)
class Cluster:
    """Ray (--engine ray --out DIR: a folder of Parquet files).

    Args:
        engine: score in this process, or on a Ray cluster
        actors: Ray processes that score; default: as many as possible
        gpus_per_actor: GPUs per Ray process; default: 1, or 0 without GPUs
        cpus_per_actor: cores per Ray process
    """

    engine: Literal["local", "ray"] = "local"
    actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: float = 1.0

    def keywords(self) -> dict[str, Any]:
        """Return the options as functions take them that score on Ray."""
        return {
            "actors": self.actors,
            "gpus_per_actor": self.gpus_per_actor,
            "cpus_per_actor": self.cpus_per_actor,
        }


@Parameter(name="*", group=group_of_command("Videos (default: one frame a second)"))
@dataclass(frozen=True)
class Videos:
    """Videos (default: one frame a second).

    Args:
        every: seconds from one frame to the next, such as 0.5s
        frames: score N frames of each video, evenly spread
        videos: write a table of videos (csv): mean, 5th percentile, worst second, flicker
    """

    every: Annotated[str | None, Parameter(metavar="SECONDS")] = None
    frames: int | None = None
    videos: Annotated[Path | None, Parameter(metavar="FILE")] = None

    @property
    def sampling(self) -> dict[str, str]:
        """The option ``sampling`` of functions; nothing if it is not given."""
        if self.every is not None and self.frames is not None:
            raise OptionError("--every and --frames exclude each other: give one of them.")
        check_whole_or_none("frames", self.frames)
        sampling = self.every if self.frames is None else f"{self.frames} frames"
        return {} if sampling is None else {"sampling": sampling}

    def show_and_save_verdicts(self, scores: Scores) -> None:
        """Show each video's verdict, and write the table."""
        from ..report.csv_text import csv_table
        from ..results.scales import scale_text
        from ..results.video_verdicts import verdicts_on_videos
        from ..sources.sampling import Sampling

        judged = verdicts_on_videos(scores)
        table = judged.other.reset_index()
        if table.empty:
            return
        frames = Sampling.of(scores.reading["sampling"]).words
        note(f"{counted(len(table), 'video')}, {frames}\n\n{frame_as_text(table)}")
        if self.videos:
            write_text(self.videos, csv_table(table.assign(scale=scale_text(judged.columns.values()))))


def run(
    *paths: Annotated[str, Parameter(metavar="PATH")],
    metrics: MetricOptions = MetricOptions(),
    output: ScoreFile = ScoreFile(),
    drop_vanished: bool = False,
    format: Literal["csv", "jsonl", "parquet", "table"] | None = None,
    null: Annotated[bool, Parameter(alias="-0")] = False,
    scoring: Scoring = Scoring(),
    shards: Shards = Shards(),
    videos: Videos = Videos(),
    cluster: Cluster = Cluster(),
    strictness: Strictness = Strictness(),
    settings: Settings = Settings(),
) -> int:
    """Score photos and videos: files, folders, globs or a list on standard input.

    Each image gets one score per prompt, in [0, 1], or in [-1, 1] for a single text, where high is good; and one per
    other metric, whose range and direction the results name. A file that cannot be scored gets a row with the reason,
    and the exit code is 1.

    examples:
      clipiqa score photos/ --prompts quality sharpness 'Crisp photo.|Hazy photo.' --out scores.csv
      clipiqa score photos/ --prompts quality -m niqe brisque 'mine=niqe:pretrained_model_path=FILE' --out scores.csv
      clipiqa score 'shards/{000..099}.tar' --keep caption --out scores.parquet --resume
      clipiqa score 's3://bucket/*.tar' --engine ray --out results/ --resume

    Args:
        paths: file, folder, video, quoted glob or pattern of shards, Parquet file, s3://…, or - for stdin
        null: file names on stdin end with a NUL byte
        format: output format; default: the suffix of --out, or a table
        drop_vanished: with --resume: leave rows out of the file if their image or shard is gone
    """
    from ..sources.addresses import address_of, is_remote

    if videos.videos:
        check_output(videos.videos, overwrite=output.overwrite or output.resume, inputs=paths)
    if not paths:
        raise ImageError("no PATH given: name files or folders before --prompts, or after a separate --.")
    if null and "-" not in paths:
        raise OptionError("-0 needs - (standard input).")
    check_storage(output.out, output.resume, output.overwrite and videos.videos is None, drop_vanished)
    is_on_ray = cluster.engine == "ray"
    if is_on_ray and (output.out is None or output.overwrite or format):
        raise OptionError("--engine ray needs a folder, --out DIR, and does not go with --overwrite or --format.")
    if not is_on_ray and output.out is not None and is_remote(address_of(output.out)):
        raise OptionError("only --engine ray writes to a store: name a file on a disk with --out.")
    chosen = metrics.chosen(also=(Takes.NAME,))
    sources = _find_sources(paths, shards, videos, output, null)
    # torch takes seconds to load, and weights may be downloaded, so all cheap checks come first
    results_file = None if is_on_ray else _results_file(output, format, drop_vanished)
    options = {
        **scoring.keywords(),
        **videos.sampling,
        "keep": shards.keep,
        "trust_weights": metrics.trust_weights,
        "strict": strictness.strict,
        "device": start(scoring.batches),
    }
    if is_on_ray:
        options |= {"image_column": shards.image_column, "drop_vanished": drop_vanished, **cluster.keywords()}
        return _score_on_ray(chosen, sources, videos, output, options)
    return _score_into_file(chosen, sources, videos, output, results_file, format, options)


def _find_sources(
    paths: Sequence[str], shards: Shards, videos: Videos, output: OutputOptions, null: bool
) -> FoundSources:
    """Return the images and shards that paths name. Raises ``CLIPIQAError`` if there are none."""
    from ..sources.finding import find_sources, tell_skipped

    reading: dict[str, Any] = {**vars(shards), **videos.sampling}
    sources = find_sources(paths, null_separated=null, **reading)
    tell_skipped(sources)
    if sources.is_empty:
        raise ImageError(f"{sources.problem}: there is nothing to score.")
    # a file of results keeps how videos are to be sampled, for those of a later run
    is_for_videos_only = videos.videos is not None or (bool(videos.sampling) and output.out is None)
    if is_for_videos_only and not _has_videos(sources):
        raise OptionError("--every, --frames and --videos are for videos, and there is none: leave them out.")
    if shards.image_column is not None and not any(item.name.lower().endswith(TABLES) for item in sources.sources):
        raise OptionError("--image-column is for Parquet files, and there is none: leave it out.")
    return sources


def _has_videos(sources: FoundSources) -> bool:
    from ..sources.videos import VideoShard

    return any(isinstance(item, VideoShard) for item in sources.sources)


def _results_file(output: OutputOptions, format: str | None, drop_vanished: bool) -> Output | None:
    """Return the file of results; None if they are printed."""
    if output.out is None:
        if format == "parquet":
            raise OptionError("parquet results are not text: name a file with --out.")
        return None
    return Output(output.out, format or "", output.resume, output.overwrite, drop_vanished)


def _score_into_file(
    metrics: Sequence[AnyMetric],
    sources: FoundSources,
    videos: Videos,
    output: OutputOptions,
    results_file: Output | None,
    format: str | None,
    options: Mapping[str, Any],
) -> int:
    """Score into a file or on the terminal; return the exit code."""
    from ..scoring.score import score_paths

    with saying_where_results_are(output.out), progress() as show:
        scoring = score_paths(metrics, sources.sources, out=results_file, overwrite=output.overwrite, **options)
        if not _has_videos(sources):
            scoring.results.keep_no_rows()
        printed_format = None if results_file else (format or "table")
        counts = _score_rows(scoring, printed_format, show)
        note(counts.sentence(scoring.tally.failed_before(list(counts.by_column))))
        lacks = _lacks_of(scoring, options["keep"], results_file)
        tell(*lacks)
    if _has_videos(sources):
        videos.show_and_save_verdicts(scoring.scores())
    has_failed = bool(counts.failed or scoring.tally.failed or scoring.metrics.broken)
    return 1 if has_failed or lacks else 0


def _lacks_of(scoring: ScoringRun, keep: Sequence[str], results_file: Output | None) -> list[str]:
    """Return what the results of a finished run lack, in sentences."""
    from ..scoring.gaps import sentences_on_gaps

    lacks = list(sentences_on_gaps(scoring, keep))
    if scoring.results.images.gone and not (results_file and results_file.drop_vanished):
        lacks.append("to leave out rows of images that are gone, pass --drop-vanished, too")
    for label, names in scoring.results.unmatched.items():
        lacks.append(f"{label} has no score for {counted(len(names), 'image')}, such as {names[0]!r}")
    return lacks


def _score_on_ray(
    metrics: Sequence[AnyMetric],
    sources: FoundSources,
    videos: Videos,
    output: OutputOptions,
    options: Mapping[str, Any],
) -> int:
    """Score on Ray into a folder of Parquet files; return the exit code."""
    from ..ray_data import score_on_ray
    from ..results.score_files import read_scores

    storage: dict[str, Any] = {"out": output.out, "resume": output.resume}
    # Ray prints on standard output
    with saying_where_results_are(output.out), output_as_messages():
        result = score_on_ray(metrics, sources, **storage, progress=not output.quiet, **options)
    say = note if result.is_complete else tell
    for sentence in result.sentences():
        say(sentence)
    if _has_videos(sources) and result.images:
        videos.show_and_save_verdicts(read_scores(result.folder))
    return 0 if result.is_complete else 1


def _score_rows(run: ScoringRun, format: str | None, show: Callable[..., None]) -> RowCounts:
    """Score: print each row in a format (None: nowhere) and the reason of each failure; return the counts of rows."""
    counts = RowCounts(dict.fromkeys(run.header.score_names, 0))
    total = run.count
    no_printing = contextlib.nullcontext(lambda row: None)
    printed = printing(sys.stdout.buffer, format, run.header) if format else no_printing
    try:
        with printed as write, run:
            for row in run:
                write(row)
                counts.add(row)
                if not is_scored(row):
                    tell(row.error)
                show(counts.row_count, total)
    except KeyboardInterrupt as error:
        rest = "some" if total is None else total - counts.row_count
        raise type(error)(f"{counts.scored} scored, {counts.failed} failed, {rest} left") from error
    return counts
