"""Scores of many images: each encoded once, whatever is asked of it; one row each, in the order given."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from ..errors import ImageError, Kind
from ..errors.arguments import SharedOptions, checked
from ..files.writing import check_output
from ..images.batches import in_batches, prefetch, stacked
from ..images.reader import Damaged, ImageRecord, check_limits, read_image
from ..images.source import ImageSource
from ..metric import find_device, net_of, scoring_bytes
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..prompts.provenance import column_records
from ..sources.finding import find_shards
from ..sources.inputs import sources_of
from ..sources.members import Shard
from .map_columns import scores_with_map, with_map_stats
from .result_files import Output, ResultWriter, format_of, is_named, open_results
from .rows import Header, Row, printable

UNIFORM = "almost uniform"
Item = TypeVar("Item")
Paths = str | os.PathLike[str] | ImageSource | Shard | Iterable[str | os.PathLike[str] | ImageSource | Shard]


class Scorable(Protocol):
    """What of ``CLIPIQA`` scoring needs."""

    template: str | None

    @property
    def columns(self) -> tuple[str, ...]: ...
    def encode_image(self, x: torch.Tensor) -> torch.Tensor: ...
    def score(self, features: torch.Tensor, prompts: Any = None) -> torch.Tensor: ...
    def provenance(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ScoringRun(Iterator[Row]):
    """Scoring under way: an iterator of rows, each written to the file, if there is one, before it is handed out.

    Attributes:
        header: Names of the score columns, and everything that the scores depend on.
        names: What the rows to come are called; None without a file, where nothing is looked up beforehand, and where
            there are shards, which are read once.
        kept: Rows that an earlier run left in the file and that this run does not make again.
    """

    header: Header
    names: tuple[str, ...] | None
    kept: int
    _rows: Generator[Row, None, None]

    def __next__(self) -> Row:
        return next(self._rows)

    def close(self) -> None:
        """Stop here; what was written is kept, and ``resume`` goes on from there."""
        self._rows.close()


@checked
def score_paths(
    metric: Any,
    paths: Paths,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    *,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    apply_exif: bool = SharedOptions.apply_exif,
    max_side: int | None = SharedOptions.max_side,
    max_pixels: int | None = SharedOptions.max_pixels,
    damaged: Damaged = SharedOptions.damaged,
    map_stats: bool = False,
    out: str | Path | Output | None = None,
    format: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> ScoringRun:
    """Score images, each encoded once, and give their rows in order as they come: all that ``clipiqa score`` does.

    An image that cannot be read or scored gets a row whose ``error`` says why; the others are scored all the same.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        paths: Files, folders (with their sub-folders), globs, tar shards, Parquet files and addresses in stores, one
            or several, as for :func:`~clipiqa_pyiqa.sources.finding.find_shards`; or other sources of images.
        prompts: What to ask, one score column each: names, presets and pairs, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`. None asks what the metric was made to ask.
        map_stats: Add to each column what the map of local scores comes to (:mod:`clipiqa_pyiqa.maps`): its lowest
            place, 10th percentile and share of places below 0.5.
        out: A file to write the rows to as they come, too.
        format: Of that file: ``'csv'``, ``'jsonl'``, ``'parquet'`` or ``'table'``; None goes by its suffix.
        resume: Go on with the rows that an interrupted run left in the file; its failures are tried again.
        overwrite: Replace the file.

    Returns:
        The rows, by iteration: nothing is read before the first is asked for.

    Raises:
        ImageError: ``max_side`` or ``max_pixels`` is too small to score anything.
        PromptError: Questions that cannot be asked.
        OutputError: The file cannot be written, or is taken and neither ``resume`` nor ``overwrite`` is given, or is
            one of the images.
        CLIPIQAError: ``map_stats`` of a metric that has no maps.
    """
    limits: dict[str, Any] = {
        "apply_exif": apply_exif,
        "max_side": max_side,
        "max_pixels": max_pixels,
        "damaged": damaged,
    }
    check_limits(max_side, max_pixels, damaged)
    net: Scorable = net_of(metric)
    columns = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
    device = find_device(device)
    header = Header(net.columns if columns is None else tuple(columns), provenance(net, columns, device, **limits))
    if map_stats:
        said = with_map_stats(header.provenance, net, columns)
        header = Header(tuple(said["scores"]), said)
    sources, names, kept, writer = sources_of(paths), None, 0, None
    if out is not None:
        if not isinstance(out, Output):
            out = Output(Path(out), format or format_of(Path(out)), resume, overwrite)
        found = find_shards(paths)
        check_output(out.path, overwrite=True, inputs=(item.name for item in found.items))
        asked = frozenset(printable(item.name) for item in found.items)
        writer = open_results(out, header, asked)
        todo = [item for item in found.items if printable(item.name) not in writer.done]
        sources = (source for source in sources_of(todo) if printable(source.name) not in writer.done)
        names = None if found.has_shards else tuple(printable(source.name) for source in todo)
        kept = sum(is_named(name, asked) for name in writer.done)

    cost = scoring_bytes(net, device, "maps" if map_stats else "score")
    images = prefetch(lambda source: read_image(source, **limits), sources, workers, scoring=cost)
    rows = rows_of_images(net, images, lambda source: source.name, columns, device, batch_size, map_stats=map_stats)
    if writer is not None:
        rows = _written(rows, writer)
        next(rows)  # into the writer's context, which closing the run will leave
    return ScoringRun(header, names, kept, rows)


def rows_of_images(
    net: Scorable,
    images: Generator[tuple[Item, ImageRecord | ImageError], None, None],
    name_of: Callable[[Item], str],
    columns: Columns | None,
    device: torch.device,
    batch_size: int,
    apart: Callable[[Item], Hashable] | None = None,
    map_stats: bool = False,
) -> Generator[Row, None, None]:
    """Rows of images that are read already, in their order.

    Args:
        net: The metric.
        images: Items and their images, as :func:`~clipiqa_pyiqa.images.batches.prefetch` gives them.
        name_of: Item -> what its row is called.
        columns: What to ask; None asks the metric's own.
        device, batch_size: As for :func:`score_paths`.
        apart: As for :func:`~clipiqa_pyiqa.images.batches.in_batches`.
        map_stats: As for :func:`score_paths`.
    """

    def scored(items: list[Item], records: list[ImageRecord]) -> list[Row]:
        with torch.no_grad():  # not inference_mode: the metric keeps text features that a later backward may need
            x = stacked([record.pixels for record in records], device)
            scores = scores_with_map(net, x, columns) if map_stats else net.score(net.encode_image(x), columns)
        # The shortest digits that mean the same fp32 number, not those of its float64 neighbour.
        values = [tuple(float(str(value)) for value in row) for row in scores.float().cpu().numpy()]
        flags = [UNIFORM if is_almost_uniform(pixels) else "" for pixels in x]
        return list(map(_row, map(name_of, items), records, values, flags))

    def failed(item: Item, record: ImageRecord | None, error: ImageError) -> Row:
        if record is None:
            return Row(name_of(item), kind=error.kind, error=str(error))
        why = f"cannot be scored: {error.reason.rstrip('.')}"
        return _row(name_of(item), record, failure=ImageError(why, error.kind, name_of(item)))

    return in_batches(images, scored, failed, batch_size=batch_size, apart=apart)


def is_almost_uniform(x: torch.Tensor) -> bool:
    """Return whether there is nothing in an image ``(3, H, W)`` in [0, 1] to judge, as where a lens cap was on.

    In each channel, the means of the 16×16 blocks lie within 8 levels of 255, and the pixels deviate by less than 16
    levels from their mean: a pattern or text may be uniform in its blocks, but not in its pixels.
    """
    if x[:, ::8, ::8].flatten(1).std(1).max() > 24 / 255:  # far from it, as nearly every photo: a look at some pixels
        return False
    blocks = torch.nn.functional.avg_pool2d(x, 16).flatten(1)
    spread = (blocks.amax(1) - blocks.amin(1)).max()
    return bool(spread < 8 / 255 and x.flatten(1).std(1).max() < 16 / 255)


def provenance(
    metric: Any,
    columns: Columns | None,
    device: torch.device,
    *,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
    damaged: Damaged = "refuse",
) -> dict[str, Any]:
    """Return everything that scores depend on, as JSON values, for the header of the results."""
    net = net_of(metric)
    said = net.provenance()
    if device.type != "cpu":
        said.pop("cpu_arithmetic", None)
    usual = {"range": getattr(net, "score_range", (0.0, 1.0)), "lower_better": getattr(net, "lower_better", False)}
    own = said.get("scores") or dict.fromkeys(net.columns, usual)
    return {
        **said,
        "scores": own if columns is None else column_records(columns),
        "apply_exif": apply_exif,
        "max_side": max_side,
        "max_pixels": max_pixels,
        "damaged": damaged,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": {package: version(package) for package in ("pyiqa", "torch", "open_clip_torch", "pillow")},
    }


def _row(
    name: str,
    record: ImageRecord,
    scores: tuple[float, ...] | None = None,
    flag: str = "",
    failure: ImageError | None = None,
) -> Row:
    if scores is not None and not all(map(math.isfinite, scores)):
        found, scores = ", ".join(map(str, scores)), None
        why = f"cannot be scored: its score is not finite ({found}); try precision fp32"
        failure = ImageError(why, Kind.NOT_FINITE, name)
    size = (record.width, record.height, *record.size)
    said = (None, "") if failure is None else (failure.kind, str(failure))
    return Row(name, scores, *size, record.orientation, record.converted, flag, *said)


def _written(rows: Generator[Row, None, None], writer: ResultWriter) -> Generator[Any, None, None]:
    """First None, then the rows, each written before it is handed out."""
    with writer, closing(rows):
        yield None
        for row in rows:
            writer.write(row)
            yield row
