"""A metric, before and after it is built; its changes to images; and the metrics of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ...errors import ImageError
from ...logger import log
from ...pyiqa_package import keeps_pyiqas_classes
from ..files.named import Settings
from ..results.columns import Column

if TYPE_CHECKING:
    import torch

    from ..results.store import Results

Mode = Literal["NR", "FR", "set", "file"]
"""A metric scores an image, an image and its reference, a set of images, or has its scores in a file."""
_OURS = ("clipiqa", "maclip", "qualiclip", "liqe", "laion_aes", "clipscore")  # how names of our classes begin


@dataclass(frozen=True)
class Preprocess:
    """Changes to an image before a metric sees it, in this order; 0 makes no change.

    Attributes:
        crop: Pixels cut off each side.
        square: Both sides in pixels after PIL's bicubic resize.
        longest: Longest side in pixels; larger images are shrunk bilinearly, without antialiasing.
        center: Side in pixels of the middle square.
    """

    crop: int = 0
    square: int = 0
    longest: int = 0
    center: int = 0
    autocast: bool = False

    @property
    def words(self) -> str:
        words = {
            f"a border of {self.crop} px left out": self.crop,
            f"squashed to {self.square}×{self.square} px": self.square,
            f"longer sides shrunk to {self.longest} px": self.longest,
            f"only the middle {self.center}×{self.center} px": self.center,
        }
        return ", ".join(text for text, pixels in words.items() if pixels) or "whole images"

    def record(self, is_cuda: bool) -> dict[str, str]:
        """Return the fields of a column's record."""
        record = {"seen": self.words}
        if self.autocast:
            record["precision"] = "fp16 (autocast)" if is_cuda else "fp32 (in the source fp16, by autocast on CUDA)"
        return record

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return changed images, from images ``(N, 3, H, W)`` in [0, 1]."""
        import torch
        from torchvision.transforms.functional import (
            InterpolationMode,
            center_crop,
            pil_to_tensor,
            resize,
            to_pil_image,
        )

        height, width = x.shape[-2:]
        if min(height, width) <= 2 * self.crop:
            raise ImageError(f"no pixel is left of {width}×{height} px without a border of {self.crop} px")
        x = center_crop(x, [height - 2 * self.crop, width - 2 * self.crop])
        if self.square:
            pictures = [to_pil_image((each * 255).round().byte()) for each in x]
            size = [self.square, self.square]
            squares = [pil_to_tensor(resize(each, size, InterpolationMode.BICUBIC)) for each in pictures]
            x = torch.stack(squares).to(x) / 255
        if self.longest and max(x.shape[-2:]) > self.longest:
            x = resize(x, [int(side * self.longest / max(x.shape[-2:])) for side in x.shape[-2:]], antialias=False)
        if self.center:
            x = center_crop(x, [min(side, self.center) for side in x.shape[-2:]])
        return x.contiguous()


UNCHANGED = Preprocess()


@dataclass(frozen=True)
class Metric:
    """A metric of a run.

    Attributes:
        label: Name of its column; empty for a CLIP-IQA with a column for each question.
        options: Changes to pyiqa's ``metric_opts``.
        instance: The caller's metric object, or a function that makes a CLIP-IQA.
        questions: What a CLIP-IQA without label is asked, as for
            :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`; None means its own questions.
        columns: Names and records of its scores; records are complete once it is built.
        score: Function of images ``(N, 3, H, W)`` in [0, 1], in ``'FR'`` mode also of references; None before it is
            built. Of a file: name of an image -> score.
        net: CLIP metric of this package, or None.
    """

    label: str
    name: str = ""
    options: Settings = field(default_factory=dict)
    instance: Any = None
    mode: Mode = "NR"
    preprocess: Preprocess = UNCHANGED
    questions: Any = None
    columns: tuple[Column, ...] = ()
    score: Any = None
    net: Any = None
    error: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether this package's own class is built, without importing pyiqa."""
        is_known = self.instance is None and self.name.startswith(_OURS) and "type" not in self.options
        return is_known and not keeps_pyiqas_classes()

    @property
    def is_clipiqa(self) -> bool:
        return self.is_ours and self.name.startswith("clipiqa")

    def score_pixels(self, *images: torch.Tensor) -> Any:
        """Return what ``score`` returns for images and perhaps references as the metric sees them."""
        if self.preprocess == UNCHANGED:
            return self.score(*images)
        import torch

        kind = images[0].device.type
        with torch.autocast(kind, torch.float16, enabled=self.preprocess.autocast and kind == "cuda"):
            return self.score(*map(self.preprocess, images))

    def score_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the scores ``(N, P)`` of image features."""
        scores: torch.Tensor = self.net.score(features, self.questions)
        return scores


def scores_of(metric: Metric, images: Sequence[str]) -> dict[str, float]:
    """Return image -> score; names match below their common folders, without suffixes."""
    from ..names.matching import match  # many modules

    names_in_file = match(images, list(metric.score)).pairs
    return {image: metric.score[name] for image, name in names_in_file.items()}


class MetricSet:
    """The built metrics of a run.

    Attributes:
        groups: Places of CLIP metrics that share the encoding of images.
        others: Place -> metric, of other metrics that could be built, scored one image at a time.
        unmatched: Column of a file's scores -> images without a score.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        every = tuple(metrics)
        self.metrics = tuple(metric for metric in every if metric.mode != "file")
        self.files = tuple(metric for metric in every if metric.mode == "file")
        self.groups = dict[Any, list[int]]()
        self.processes: Any = None
        self.unmatched = dict[str, list[str]]()
        self.others = dict[int, Metric]()
        for place, metric in enumerate(self.metrics):
            if metric.error:
                continue
            if metric.net is None or metric.preprocess != UNCHANGED:
                self.others[place] = metric
            else:
                self.groups.setdefault(getattr(metric.net, "encoding", id(metric.net)), []).append(place)

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for metric in self.metrics for column in metric.columns)

    def join(self, results: Results, images: Sequence[str] = ()) -> None:
        """Join the scores in files to results of these images, or of all rows."""
        for metric in self.files:
            images = images or [cells["path"] for cells in results.cells()]
            scores = scores_of(metric, images)
            if not scores:
                theirs = f"no name in the file of {metric.label}, such as {next(iter(metric.score), '')!r}"
                log.warning(f"{theirs}, is that of an image.")
            results.join(metric.columns[0], scores)
            lost = [image for image in images if image not in scores]
            if lost:
                self.unmatched.setdefault(metric.label, []).extend(lost)

    def by_column(self, wanted: Sequence[bool]) -> tuple[bool, ...]:
        return tuple(each for metric, each in zip(self.metrics, wanted, strict=True) for _ in metric.columns)
