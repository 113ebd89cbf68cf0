"""Experiment of Fig. 4: whether scores follow an attribute that changes in steps."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..errors import CLIPIQAError, ImageError, counted, nearest, shown
from ..errors.arguments import SharedOptions, checked
from ..images.batches import prefetch
from ..images.memory import set_aside
from ..images.reader import ImageRecord
from ..metric import find_device, net_of, scoring_bytes
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..scoring.rows import Header, Row
from ..scoring.score import provenance, rows_of_images
from ..stats.correlation import MIN_IMAGES
from .experiment import Paths, RunOptions, find_images, prepare, saved
from .picture_changes import CHANGES, Change, read_scaled
from .sweep_results import TABLES, Sweep

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MOST_STEPS = 1000  # more steps than an 8-bit picture can show
_MOST_SCALE = 8
_CHANGING = 20  # bytes per pixel that a change takes: three of fp32 for noise, and 8-bit copies


class _Version(NamedTuple):
    name: str  # equal for all versions that leave the picture as it is
    path: str
    scale: float
    change: Change
    step: int
    amount: float


@checked
def sweep(
    metric: Any,
    paths: Paths,
    *,
    changes: str | Iterable[str] = tuple(CHANGES),
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    template: str | None = None,
    steps: int = 9,
    scales: Sequence[float] = (1.0, 0.5),
    sample: int | None = None,
    seed: int = 0,
    **options: Unpack[RunOptions],
) -> Sweep:
    """Return scores of pictures that are changed in steps (Fig. 4).

    Args:
        metric, paths, template, options: As for :func:`~.ranking.rank`.
        changes: Names in :data:`~.picture_changes.CHANGES`; each name is also a question.
        prompts: Further questions, one column each.
        steps: Number of steps, 3 to 1000.
        scales: Factors for width and height, up to 8, before the changes.
        sample: Number of images to draw at random; by default all.
        seed: Seed of sample and noise.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    import pandas

    names = list(dict.fromkeys([changes] if isinstance(changes, str) else changes))
    for name in names:
        if name not in CHANGES:
            raise CLIPIQAError(f"unknown change {name!r}: {nearest(name, CHANGES)}")
    if not names:
        raise CLIPIQAError(f"changes must name at least one of {', '.join(CHANGES)}.")
    if not MIN_IMAGES <= steps <= _MOST_STEPS:
        raise CLIPIQAError(f"steps must be from {MIN_IMAGES} to {_MOST_STEPS}; got {steps}.")
    if not scales or not all(0 < scale <= _MOST_SCALE for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors up to {_MOST_SCALE}; got {shown(list(scales))}.")
    files = find_images(paths, options.get("out"))
    if sample is not None:
        if sample > len(files):
            raise CLIPIQAError(f"sample must be at most the {counted(len(files), 'image')} given; got {sample}.")
        files = sorted(random.Random(seed).sample(sorted(files), sample))
    columns = parse_columns(names, template)
    columns = Columns(columns if prompts is None else columns | parse_columns(prompts, template))
    planned = [
        _version(path, scale, CHANGES[name], step, amount)
        for path, scale, name in itertools.product(files, dict.fromkeys(scales), names)
        for step, amount in enumerate(CHANGES[name].amounts(steps))
    ]
    versions = {version.name: version for version in planned}
    record, limits = prepare(options, (*TABLES, "sweep.png", "example.png", "summary.json"), files, len(versions))
    device, workers = find_device(limits.pop("device", None)), limits.pop("workers", None)
    batch_size = limits.pop("batch_size", SharedOptions.batch_size)
    net = net_of(metric)
    cost = scoring_bytes(net, device)
    made_by = {**provenance(net, columns, device, **limits), "noise_seed": seed}

    def read(item: tuple[_Version, Image.Image | ImageError]) -> ImageRecord:
        version, picture = item
        if isinstance(picture, ImageError):
            raise picture
        set_aside(version.path, picture.width, picture.height, decoding=_CHANGING)
        picture = version.change.apply(picture, version.amount, seed)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        return ImageRecord(version.name, pixels, picture.width, picture.height, 1, "")

    def score(todo: Collection[str]) -> Iterator[Row]:
        pictures = _with_pictures([versions[name] for name in todo], cost, limits)
        return rows_of_images(
            net,
            prefetch(read, pictures, workers, scoring=cost),
            lambda item: item[0].name,
            columns,
            device,
            batch_size,
            apart=lambda item: item[0][1:3],  # path and scale, so that a resumed sweep has the same batches
        )

    rows = dict(zip(versions, record.rows(Header(tuple(columns), made_by), list(versions), score), strict=True))
    failed: dict[str, str] = {}
    for name, row in rows.items():
        if row.kind is not None:
            failed.setdefault(versions[name].path, row.error)
    if len(failed) == len(files):
        raise ImageError(f"none of {counted(len(files), 'image')} could be scored: {failed[files[0]]}")
    scored = [version for version in planned if version.path not in failed]
    table = []
    for version in scored:
        row = rows[version.name]
        sizes = version.scale, row.scored_width, row.scored_height
        table.append((*sizes, version.change.question, version.step, version.amount, *(row.scores or ())))
    frame = pandas.DataFrame(table, columns=["scale", "width", "height", "change", "step", "amount", *columns])
    # pandas' own text type refuses names that are not UTF-8
    frame.insert(0, "path", pandas.Series([version.path for version in scored], dtype=object))
    return saved(Sweep(frame, tuple(columns), failed, made_by, seed, limits), options)


def _version(path: str, scale: float, change: Change, step: int, amount: float) -> _Version:
    words = "as it is" if amount == change.plain else f"{change.question} {amount:g}"
    return _Version(f"{path} [scale {scale:g}, {words}]", path, scale, change, step, amount)


def _with_pictures(
    versions: Iterable[_Version], cost: int, limits: Mapping[str, Any]
) -> Iterator[tuple[_Version, Image.Image | ImageError]]:
    for (path, scale), group in itertools.groupby(versions, key=lambda version: (version.path, version.scale)):
        picture: Image.Image | ImageError
        try:
            picture = read_scaled(path, scale, cost, **limits)
        except ImageError as error:
            picture = error
        yield from ((version, picture) for version in group)
