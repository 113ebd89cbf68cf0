"""Do scores follow an attribute that is changed in steps? The paper's Fig. 4."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ..clip.device import find_device
from ..errors import CLIPIQAError, ImageError, nearest
from ..images.batches import prefetch
from ..images.reader import ImageRecord, read_image
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..scoring.rows import Header, Row, printable
from ..scoring.score import provenance, rows_of_images
from ..stats.correlation import MIN_IMAGES, srocc
from .changes import CHANGES, Change
from .scores import Record, check_metric, files_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Version:
    """One picture, scaled and changed.

    Attributes:
        path: The file.
        scale: By which its sides are multiplied first.
        change: What is changed; None for the picture as it is, which belongs to every change.
        amount: By how much.
    """

    path: str
    scale: float
    change: Change | None = None
    amount: float = 0.0

    @property
    def name(self) -> str:
        """What rows and messages call it."""
        said = "as it is" if self.change is None else f"{self.change.question} {self.amount:g}"
        return f"{self.path} [scale {self.scale:g}, {said}]"


@dataclass(frozen=True)
class Sweep:
    """Scores of pictures that were changed in steps.

    Attributes:
        frame: One row per picture, scale, change and step: ``path``, ``scale``, ``width`` and ``height`` as scored,
            ``change``, ``step`` (0 has least of the attribute), ``amount``, then a column per question.
        questions: What was asked; the changes' own come first.
        failed: Pictures left out -> why.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        seed: Of the noise.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    @property
    def changes(self) -> list[str]:
        """What was changed, in the order asked for."""
        return list(dict.fromkeys(self.frame["change"]))

    @property
    def scales(self) -> list[float]:
        """The input scales, in the order asked for."""
        return list(dict.fromkeys(self.frame["scale"]))

    def spearman(self) -> pandas.DataFrame:
        """Spearman's correlation of score with step: one row per picture, scale and change, a column per question.

        NaN where the score does not change at all, such as the colourfulness of a grey picture.
        """
        import pandas

        rows = []
        frame = self.frame.assign(path=[printable(path) for path in self.frame["path"]])
        for (path, scale, change), steps in frame.groupby(["path", "scale", "change"], sort=False):
            found = {question: srocc(steps["step"], steps[question]) for question in self.questions}
            rows.append({"path": path, "scale": scale, "change": change, **found})
        return pandas.DataFrame(rows)

    def summary(self) -> pandas.DataFrame:
        """One row per change and scale, of the change's own question.

        Columns: change; scale; images (whose score changes); constant (whose score does not, and which have no
        correlation); mean Spearman, its standard deviation over images, lowest Spearman; mean score at the first and
        the last step.
        """
        import pandas

        spearman = self.spearman()
        rows = []
        for change, scale in itertools.product(self.changes, self.scales):
            mine = spearman[(spearman["change"] == change) & (spearman["scale"] == scale)][change]
            steps = self._steps(change, scale)[change]
            rows.append(
                {
                    **{"change": change, "scale": scale},
                    **{"images": int(mine.notna().sum()), "constant": int(mine.isna().sum())},
                    **{"mean Spearman": mine.mean(), "spread": mine.std(), "lowest": mine.min()},
                    **{"first step": steps.loc[0].mean(), "last step": steps.loc[steps.index.max()].mean()},
                }
            )
        return pandas.DataFrame(rows)

    def crosstalk(self) -> pandas.DataFrame:
        """How each question answers each change: mean Spearman over pictures and scales; changes by questions."""
        return self.spearman().groupby("change", sort=False)[list(self.questions)].mean()

    def _steps(self, change: str, scale: float) -> pandas.DataFrame:
        """The rows of a change at a scale, by step."""
        frame = self.frame
        return frame[(frame["change"] == change) & (frame["scale"] == scale)].set_index("step")


def sweep(
    metric: Any,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    changes: str | Iterable[str] = tuple(CHANGES),
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    template: str | None = None,
    steps: int = 9,
    scales: Sequence[float] = (1.0, 0.5),
    seed: int = 0,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
    record: Record | None = None,
) -> Sweep:
    """Change pictures in steps and score every version, each encoded once, also the unchanged one.

    Args:
        metric: A ``CLIPIQA``, or what ``pyiqa.create_metric('clipiqa')`` returns.
        paths: The pictures' files, or one folder.
        changes: Of :data:`~.changes.CHANGES`; the score of each change's own question should grow with its steps.
        prompts: What to ask besides the changes' own questions, as for :func:`~clipiqa_pyiqa.prompts.parse_columns`.
        template: Re-words the questions.
        steps: From least to most of the attribute, at least 3.
        scales: Factors for width and height, applied first (Lanczos).
        seed: Of the noise.
        device, batch_size, workers, apply_exif, max_side, max_pixels: As for :func:`~.scores.score_images`.
        record: Where the rows are kept as they come; by default nowhere.

    Raises:
        CLIPIQAError: The metric is no CLIP-IQA; an unknown change, too few steps, or a scale that is not positive.
        ImageError: No picture could be scored.
    """
    import pandas

    check_metric(metric)
    chosen = [_change(name) for name in dict.fromkeys([changes] if isinstance(changes, str) else changes)]
    if steps < MIN_IMAGES:
        raise CLIPIQAError(f"a correlation needs at least {MIN_IMAGES} steps, but {steps} came.")
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise CLIPIQAError(f"scales must be positive factors, such as 1 and 0.5, but are {list(scales)}.")
    if not chosen:
        raise CLIPIQAError(f"no change was asked for: choose of {', '.join(CHANGES)}.")
    scales, files = list(dict.fromkeys(scales)), files_of(paths)
    others = {} if prompts is None else parse_columns(prompts, template)
    columns = Columns(parse_columns([change.question for change in chosen], template) | others)
    device = find_device(device)
    limits: dict[str, Any] = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels}
    said = {**provenance(metric, columns, device, **limits), "noise_seed": str(seed)}

    versions = {
        (path, scale, change.question, step): _version(path, scale, change, amount)
        for path, scale, change in itertools.product(files, scales, chosen)
        for step, amount in enumerate(change.amounts(steps))
    }
    by_name = {version.name: version for version in versions.values()}

    def score(todo: Collection[str]) -> Iterator[Row]:
        return rows_of_images(
            getattr(metric, "net", metric),
            prefetch(
                lambda item: _record(*item, seed),
                _with_pictures([by_name[name] for name in todo], limits),
                workers,
            ),
            lambda item: item[0].name,
            columns,
            device,
            batch_size,
            apart=lambda item: (item[0].path, item[0].scale),  # so that a resumed sweep's batches are alike
        )

    names = list(by_name)
    rows = dict(zip(names, (record or Record()).rows(Header(tuple(columns), said), names, score), strict=True))
    failed: dict[str, str] = {}
    for name, row in rows.items():
        if row.error:
            failed.setdefault(by_name[name].path, row.error)
    if len(failed) == len(files):
        raise ImageError(f"none of the {len(files)} images could be scored: {failed[files[0]]}")
    table = []
    for (path, scale, change, step), version in versions.items():
        if path not in failed:
            row, amount = rows[version.name], CHANGES[change].amounts(steps)[step]
            table.append((path, scale, row.scored_width, row.scored_height, change, step, amount, *(row.scores or ())))
    head = ["scale", "width", "height", "change", "step", "amount", *columns]
    frame = pandas.DataFrame([row[1:] for row in table], columns=head)
    # pandas' own text type refuses names that are not UTF-8
    frame.insert(0, "path", pandas.Series([row[0] for row in table], dtype=object))
    return Sweep(frame, tuple(columns), failed, said, seed)


def versions_of_one(changes: Iterable[str], steps: int, scales: Sequence[float]) -> int:
    """How many versions of each picture :func:`sweep` scores; those that change nothing count once per scale."""
    chosen = [_change(name) for name in dict.fromkeys(changes)]
    made = {_version("", 1, change, amount) for change in chosen for amount in change.amounts(steps)}
    return len(made) * len(set(scales))


def changed(version: Version, picture: Image.Image, seed: int = 0) -> Image.Image:
    """A picture in that version; ``picture`` is scaled already."""
    return picture if version.change is None else version.change.apply(picture, version.amount, seed)


def scaled(path: str, scale: float, **limits: Any) -> Image.Image:
    """The picture, read as for scoring, at that scale.

    Raises:
        ImageError: The file cannot be read.
    """
    return _scaled(_picture(read_image(path, **limits)), scale)


def _picture(record: ImageRecord) -> Image.Image:
    return Image.fromarray(record.pixels.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture if scale == 1 else picture.resize((width, height), Image.Resampling.LANCZOS)


def _change(name: str) -> Change:
    if name not in CHANGES:
        raise CLIPIQAError(f"unknown change {name!r}: {nearest(name, CHANGES)}")
    return CHANGES[name]


def _version(path: str, scale: float, change: Change, amount: float) -> Version:
    return Version(path, scale) if amount == change.plain else Version(path, scale, change, amount)


def _with_pictures(
    versions: Iterable[Version], limits: Mapping[str, Any]
) -> Iterator[tuple[Version, Image.Image | ImageError]]:
    """Versions, picture by picture, each with its picture at its scale; the next picture is read meanwhile."""
    of_picture: dict[str, list[Version]] = {}
    for version in versions:
        of_picture.setdefault(version.path, []).append(version)
    records = prefetch(lambda path: read_image(path, **limits), of_picture, workers=1, ahead=1)
    for path, record in records:
        for scale, group in itertools.groupby(of_picture[path], key=lambda version: version.scale):
            picture = record if isinstance(record, ImageError) else _scaled(_picture(record), scale)
            yield from ((version, picture) for version in group)


def _record(version: Version, picture: Image.Image | ImageError, seed: int) -> ImageRecord:
    if isinstance(picture, ImageError):
        raise picture
    pixels = torch.from_numpy(np.array(changed(version, picture, seed))).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(version.name, pixels, picture.width, picture.height, 1, False, "")
