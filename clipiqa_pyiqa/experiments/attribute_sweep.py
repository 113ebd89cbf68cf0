"""Do scores follow an attribute that is changed in steps? The paper's Fig. 4."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ..arguments import checked
from ..clip.device import find_device, scoring_bytes
from ..errors import CLIPIQAError, ImageError, counted, nearest, shown
from ..images.batches import prefetch
from ..images.memory import DECODING, check_memory, set_aside
from ..images.reader import ImageRecord, read_image
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..scoring.rows import Header, Row, printable
from ..scoring.score import provenance, rows_of_images
from ..stats.correlation import MIN_IMAGES, srocc
from .experiment import ExperimentResult, Paths, ResultFolder, RunOptions, find_images
from .picture_changes import CHANGES, Change
from .scores import ready_metric

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

    from .experiment import Content

TABLES = ("sweep.csv", "spearman.csv", "crosstalk.csv")
LIMITS = ("apply_exif", "max_side", "max_pixels")
_MOST_STEPS = 1000  # finer than any picture of 8 bits can be changed
_MOST_SCALE = 8
_CHANGING = 20  # bytes that changing a picture takes for each pixel: of noise, three of fp32, and copies of 8 bits


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
class Sweep(ExperimentResult):
    """Scores of pictures that were changed in steps.

    Attributes:
        frame: One row per picture, scale, change and step: ``path``, ``scale``, ``width`` and ``height`` as scored,
            ``change``, ``step`` (0 has least of the attribute), ``amount``, then a column per question.
        questions: What was asked; the changes' own come first.
        failed: Pictures left out -> why.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        seed: Of the noise.
        limits: How pictures were read: ``apply_exif``, ``max_side``, ``max_pixels``.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    limits: Mapping[str, Any] = field(default_factory=dict)

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

    def contents(self) -> Iterator[tuple[str, Content]]:
        from .sweep_pictures import curves, example

        yield from zip(TABLES, (self.frame, self.spearman(), self.crosstalk()), strict=True)
        yield "sweep.png", curves(self)
        yield "example.png", example(self)

    def _steps(self, change: str, scale: float) -> pandas.DataFrame:
        """The rows of a change at a scale, by step."""
        frame = self.frame
        return frame[(frame["change"] == change) & (frame["scale"] == scale)].set_index("step")


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
    """Change pictures in steps and score every version, each encoded once, also the unchanged one.

    Args:
        metric: As for :func:`~.ranking.rank`.
        paths: Images, folders or globs.
        changes: Of :data:`~.changes.CHANGES`; the score of each change's own question should grow with its steps.
        prompts: What to ask besides the changes' own questions, one column each.
        template: Re-words the questions.
        steps: From least to most of the attribute, 3 to 1000.
        scales: Factors for width and height, up to 8, applied first (Lanczos).
        sample: How many of the images to take, drawn at random; default all.
        seed: Of the sample and of the noise.
        options: As for :func:`~.ranking.rank`.

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    import pandas

    chosen = [_change(name) for name in dict.fromkeys([changes] if isinstance(changes, str) else changes)]
    if not MIN_IMAGES <= steps <= _MOST_STEPS:
        raise CLIPIQAError(f"a correlation needs {MIN_IMAGES} to {_MOST_STEPS} steps, but {steps} came.")
    if not scales or not all(0 < scale <= _MOST_SCALE for scale in scales):
        raise CLIPIQAError(
            f"scales must be positive factors up to {_MOST_SCALE}, such as 1 and 0.5; got {shown(list(scales))}."
        )
    if not chosen:
        raise CLIPIQAError(f"no change was asked for: choose of {', '.join(CHANGES)}.")
    scales, files = list(dict.fromkeys(scales)), find_images(paths, "sweep", options.get("out"))
    if sample is not None:
        if sample > len(files):
            raise CLIPIQAError(f"--sample {sample}, but only {counted(len(files), 'image')} came: ask for fewer.")
        files = sorted(random.Random(seed).sample(sorted(files), sample))
    folder = ResultFolder(options, (*TABLES, "sweep.png", "example.png", "summary.json"), files)
    others = {} if prompts is None else parse_columns(prompts, template)
    columns = Columns(parse_columns([change.question for change in chosen], template) | others)
    device = find_device(options.get("device"))
    limits = {name: folder.scoring[name] for name in LIMITS if name in folder.scoring}

    versions = {
        (path, scale, change.question, step): _version(path, scale, change, amount)
        for path, scale, change in itertools.product(files, scales, chosen)
        for step, amount in enumerate(change.amounts(steps))
    }
    by_name = {version.name: version for version in versions.values()}
    record = folder.record(len(by_name))
    metric = ready_metric(metric)
    net = getattr(metric, "net", metric)
    cost = scoring_bytes(net, device)
    said = {**provenance(metric, columns, device, **limits), "noise_seed": seed}

    def score(todo: Collection[str]) -> Iterator[Row]:
        return rows_of_images(
            net,
            prefetch(
                lambda item: _record(*item, seed),
                _with_pictures([by_name[name] for name in todo], limits, cost),
                options.get("workers"),
                scoring=cost,
            ),
            lambda item: item[0].name,
            columns,
            device,
            options.get("batch_size", 8),
            apart=lambda item: (item[0].path, item[0].scale),  # so that a resumed sweep's batches are alike
        )

    names = list(by_name)
    rows = dict(zip(names, record.rows(Header(tuple(columns), said), names, score), strict=True))
    failed: dict[str, str] = {}
    for name, row in rows.items():
        if row.kind is not None:
            failed.setdefault(by_name[name].path, row.error)
    if len(failed) == len(files):
        raise ImageError(f"none of {counted(len(files), 'image')} could be scored: {failed[files[0]]}")
    table = []
    for (path, scale, change, step), version in versions.items():
        if path not in failed:
            row, amount = rows[version.name], CHANGES[change].amounts(steps)[step]
            table.append((path, scale, row.scored_width, row.scored_height, change, step, amount, *(row.scores or ())))
    head = ["scale", "width", "height", "change", "step", "amount", *columns]
    frame = pandas.DataFrame([row[1:] for row in table], columns=head)
    # pandas' own text type refuses names that are not UTF-8
    frame.insert(0, "path", pandas.Series([row[0] for row in table], dtype=object))
    return folder.saved(Sweep(frame, tuple(columns), failed, said, seed, limits))


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
    return picture if scale == 1 else picture.resize(_size(picture.size, scale), Image.Resampling.LANCZOS)


def _size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def _change(name: str) -> Change:
    if name not in CHANGES:
        raise CLIPIQAError(f"unknown change {name!r}: {nearest(name, CHANGES)}")
    return CHANGES[name]


def _version(path: str, scale: float, change: Change, amount: float) -> Version:
    return Version(path, scale) if amount == change.plain else Version(path, scale, change, amount)


def _with_pictures(
    versions: Iterable[Version], limits: Mapping[str, Any], cost: int
) -> Iterator[tuple[Version, Image.Image | ImageError]]:
    """Versions, picture by picture, each with its picture at its scale; the next picture is read meanwhile."""
    of_picture: dict[str, list[Version]] = {}
    for version in versions:
        of_picture.setdefault(version.path, []).append(version)
    read = prefetch(lambda path: read_image(path, **limits), of_picture, workers=1, ahead=1)
    with contextlib.closing(read) as records:
        for path, record in records:
            for scale, group in itertools.groupby(of_picture[path], key=lambda version: version.scale):
                picture = record if isinstance(record, ImageError) else _checked(record, scale, cost)
                yield from ((version, picture) for version in group)


def _checked(record: ImageRecord, scale: float, cost: int) -> Image.Image | ImageError:
    """Return the picture at that scale, or why there is not enough memory to score it; ``cost`` in bytes per pixel."""
    width, height = _size(record.size, scale)
    try:
        check_memory(record.path, width, height, DECODING * width * height, cost * width * height, scale > 1)
    except ImageError as error:
        return error
    return _scaled(_picture(record), scale)


def _record(version: Version, picture: Image.Image | ImageError, seed: int) -> ImageRecord:
    if isinstance(picture, ImageError):
        raise picture
    set_aside(version.path, picture.width, picture.height, decoding=_CHANGING)
    pixels = torch.from_numpy(np.array(changed(version, picture, seed))).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    return ImageRecord(version.name, pixels, picture.width, picture.height, 1, False, "")
