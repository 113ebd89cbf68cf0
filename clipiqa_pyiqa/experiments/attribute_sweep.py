"""Do scores follow an attribute that is changed in steps? The paper's Fig. 4."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ..errors import CLIPIQAError, ImageError, counted, nearest, shown
from ..errors.arguments import checked
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

LIMITS = ("apply_exif", "max_side", "max_pixels")
_MOST_STEPS = 1000  # finer than any picture of 8 bits can be changed
_MOST_SCALE = 8
_CHANGING = 20  # bytes that changing a picture takes for each pixel: of noise, three of fp32, and copies of 8 bits


@dataclass(frozen=True)
class _Version:
    """One picture, scaled and changed; ``change`` is None for the picture as it is, which belongs to every change."""

    path: str
    scale: float
    change: Change | None = None
    amount: float = 0.0

    @property
    def name(self) -> str:
        said = "as it is" if self.change is None else f"{self.change.question} {self.amount:g}"
        return f"{self.path} [scale {self.scale:g}, {said}]"


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
    """Change pictures in steps and score every version once.

    Args:
        metric: As for :func:`~.ranking.rank`.
        paths: Images, folders or globs.
        changes: Of :data:`~.picture_changes.CHANGES`; the score of each change's own question should grow with its
            steps.
        prompts: What to ask besides the changes' own questions, one column each.
        template: Re-words the questions.
        steps: From least to most of the attribute, 3 to 1000.
        scales: Factors for width and height, up to 8, applied first (Lanczos).
        sample: How many of the images to take, drawn at random; default all.
        seed: Of the sample and of the noise.
        options: As for :func:`~.ranking.rank`.

    Returns:
        The scores of every version.

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    import pandas

    asked = list(dict.fromkeys([changes] if isinstance(changes, str) else changes))
    for name in asked:
        if name not in CHANGES:
            raise CLIPIQAError(f"unknown change {name!r}: {nearest(name, CHANGES)}")
    if not asked:
        raise CLIPIQAError(f"changes must be at least one of {', '.join(CHANGES)}.")
    if not MIN_IMAGES <= steps <= _MOST_STEPS:
        raise CLIPIQAError(f"steps must be from {MIN_IMAGES} to {_MOST_STEPS}; got {steps}.")
    if not scales or not all(0 < scale <= _MOST_SCALE for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors up to {_MOST_SCALE}; got {shown(list(scales))}.")
    files = find_images(paths, options.get("out"))
    if sample is not None:
        if sample > len(files):
            raise CLIPIQAError(f"sample must be at most the {counted(len(files), 'image')} given; got {sample}.")
        files = sorted(random.Random(seed).sample(sorted(files), sample))
    columns = parse_columns(asked, template)
    columns = Columns(columns if prompts is None else columns | parse_columns(prompts, template))
    planned = [
        (_version(path, scale, change, amount), change, step, amount)
        for path, scale, change in itertools.product(files, dict.fromkeys(scales), [CHANGES[name] for name in asked])
        for step, amount in enumerate(change.amounts(steps))
    ]
    versions = {version.name: version for version, *_ in planned}
    record, scoring = prepare(options, (*TABLES, "sweep.png", "example.png", "summary.json"), files, len(versions))
    device, limits = find_device(scoring.get("device")), {name: scoring[name] for name in LIMITS if name in scoring}
    net = net_of(metric)
    cost = scoring_bytes(net, device)
    said = {**provenance(net, columns, device, **limits), "noise_seed": seed}

    def score(todo: Collection[str]) -> Iterator[Row]:
        return rows_of_images(
            net,
            prefetch(
                lambda item: _changed(*item, seed),
                _with_pictures([versions[name] for name in todo], cost, limits),
                scoring.get("workers"),
                scoring=cost,
            ),
            lambda item: item[0].name,
            columns,
            device,
            scoring.get("batch_size", 8),
            apart=lambda item: (item[0].path, item[0].scale),  # so that a resumed sweep's batches are alike
        )

    names = list(versions)
    rows = dict(zip(names, record.rows(Header(tuple(columns), said), names, score), strict=True))
    failed: dict[str, str] = {}
    for name, row in rows.items():
        if row.kind is not None:
            failed.setdefault(versions[name].path, row.error)
    if len(failed) == len(files):
        raise ImageError(f"none of {counted(len(files), 'image')} could be scored: {failed[files[0]]}")
    kept = [(rows[version.name], version, *step) for version, *step in planned if version.path not in failed]
    table = [
        (version.scale, row.scored_width, row.scored_height, change.question, step, amount, *(row.scores or ()))
        for row, version, change, step, amount in kept
    ]
    frame = pandas.DataFrame(table, columns=["scale", "width", "height", "change", "step", "amount", *columns])
    # pandas' own text type refuses names that are not UTF-8
    frame.insert(0, "path", pandas.Series([version.path for _, version, *_ in kept], dtype=object))
    return saved(Sweep(frame, tuple(columns), failed, said, seed, limits), options)


def _version(path: str, scale: float, change: Change, amount: float) -> _Version:
    return _Version(path, scale) if amount == change.plain else _Version(path, scale, change, amount)


def _with_pictures(
    versions: Iterable[_Version], cost: int, limits: Mapping[str, Any]
) -> Iterator[tuple[_Version, Image.Image | ImageError]]:
    """Yield each version with its picture at its scale, or with the reason why there is none."""
    for (path, scale), group in itertools.groupby(versions, key=lambda version: (version.path, version.scale)):
        picture: Image.Image | ImageError
        try:
            picture = read_scaled(path, scale, cost, **limits)
        except ImageError as error:
            picture = error
        yield from ((version, picture) for version in group)


def _changed(version: _Version, picture: Image.Image | ImageError, seed: int) -> ImageRecord:
    if isinstance(picture, ImageError):
        raise picture
    set_aside(version.path, picture.width, picture.height, decoding=_CHANGING)
    if version.change is not None:
        picture = version.change.apply(picture, version.amount, seed)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(version.name, pixels, picture.width, picture.height, 1, False, "")
