"""Options that public functions and commands share: names, kinds, defaults and documentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..checks import MIN_SIDE, check_one_of, check_truth, check_whole, check_whole_or_none
from ..errors import OptionError
from ..text import hint_for

if TYPE_CHECKING:
    import torch


LARGEST_BATCH = 65_536
_CURES = {
    **dict.fromkeys(
        ("backbone", "clip_weights", "pos_embedding", "precision", "prompts"),
        "it belongs to the metric, as in CLIPIQA(backbone='mini') or 'clipiqa:backbone=mini'.",
    ),
    **dict.fromkeys(("best", "worst"), "ask the result, as in rank('mini', 'photos').best(10)."),
}
"""Option that functions do not have -> what to do instead."""


@dataclass(frozen=True)
class Machine:
    """The machine.

    Args:
        device: cpu, cuda, cuda:N or mps; default: cuda if there is a GPU, else cpu
        workers: threads that decode; default: one per core, at most 8
        threads: images scored at once, each on a thread; default: one per usable core
        memory: memory for decoding, such as 2G; default: half of all memory
        huge: also decode images above PIL's limit, 179 megapixels
    """

    device: str | None = None
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    huge: bool = False

    def __post_init__(self) -> None:
        check_workers(self.workers)
        check_whole_or_none("threads", self.threads, 1, 256)


@dataclass(frozen=True)
class Batches(Machine):
    """Batches.

    Args:
        batch_size: images of equal size that are scored together
        processes: processes in which named metrics of pyiqa score, each with a thread
    """

    batch_size: int = 8
    processes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("batch_size", self.batch_size, 1, LARGEST_BATCH)
        check_whole("processes", self.processes, 0, 256)


@dataclass(frozen=True)
class Sizes:
    """Sizes of images.

    Args:
        max_side: longest allowed side; larger images are shrunk
        max_pixels: most allowed pixels; larger images are shrunk
    """

    max_side: int | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        check_whole_or_none("max_side", self.max_side, MIN_SIDE)
        check_whole_or_none("max_pixels", self.max_pixels, MIN_SIDE**2)

    @property
    def limits(self) -> dict[str, int]:
        """Those of both limits that are set."""
        limits = {"max_side": self.max_side, "max_pixels": self.max_pixels}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def limits_text(self) -> str:
        """The limits that are set in words, such as 'to at most 512 px a side'."""
        limits = []
        if self.max_side is not None:
            limits.append(f"{self.max_side:,} px a side")
        if self.max_pixels is not None:
            limits.append(f"{self.max_pixels:,} pixels")
        return f"to at most {' and '.join(limits)}"


@dataclass(frozen=True)
class Reading(Sizes):
    """Images.

    Args:
        apply_exif: turn images upright as their EXIF orientation says
        damaged: JPEGs with lost or overwritten bytes: 'refuse' reports an error, 'keep' scores the image
    """

    apply_exif: bool = True
    damaged: Literal["refuse", "keep"] = "refuse"
    min_side = MIN_SIDE  # no option: smallest height and width of images

    def __post_init__(self) -> None:
        super().__post_init__()
        check_truth("apply_exif", self.apply_exif)
        check_one_of("damaged", self.damaged, ("refuse", "keep"))


class AnySize(Reading):
    """Reading where each metric has a smallest size of its own, or none."""

    min_side = 1


@dataclass(frozen=True)
class SharedOptions(Reading, Batches):
    """Options of reading and scoring."""

    def __post_init__(self) -> None:
        Reading.__post_init__(self)
        Batches.__post_init__(self)


class BatchOptions(TypedDict, total=False):
    """Options of scoring in Python, as in :class:`Batches`."""

    device: str | torch.device | None
    batch_size: int
    workers: int | None
    processes: int


class ComparisonOptions(BatchOptions, total=False):
    """Options of scoring and the sizes of images in Python, as in :class:`Batches` and :class:`Sizes`."""

    max_side: int | None
    max_pixels: int | None


class ScoringOptions(ComparisonOptions, total=False):
    """Options of reading and scoring in Python, as in :class:`SharedOptions`."""

    apply_exif: bool
    damaged: Literal["refuse", "keep"]


class RunOptions(ScoringOptions, total=False):
    """Also options of the metrics, as for :func:`~clipiqa_pyiqa.score_paths`."""

    trust_weights: bool
    strict: bool


def check_workers(workers: int | None) -> None:
    check_whole_or_none("workers", workers, 1, 256)


def check_options(options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise for an unknown option, and tell what to do."""
    for name in options:
        if name not in known:
            cure = _CURES.get(name) or hint_for(name, known)
            raise OptionError(f"there is no option {name!r}: {cure}")
