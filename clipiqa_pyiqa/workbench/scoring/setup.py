"""What a run is made of: metrics, questions and options, and what beside them is noted in its results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Unpack

import torch

from ...checks import MIN_SIDE
from ...clip.device import find_device
from ...version import __version__
from ..images.image import Image
from ..metrics.building import build_metrics
from ..metrics.description import Takes
from ..metrics.parsing import AnyPrompts
from ..options import Reading, RunOptions, check_options
from ..results.header import Header
from ..sources.videos import SAMPLING
from .engine import Rows, score_items
from .options import Options
from .plan import plan


class ScoringSetup:
    """The checked metrics, questions and options of :func:`score_paths`.

    Args:
        also: What metrics may take besides single images, such as pairs of images.

    Attributes:
        made_again: ``made_again(device=…)`` makes them again, in another process; without ``sampling``, which stands
            only in the header.
        header: The columns of the metrics, and how images are read.
    """

    def __init__(
        self,
        metric: Any,
        prompts: AnyPrompts = None,
        *,
        also: Collection[Takes] = (),
        sampling: str = SAMPLING,
        **options: Unpack[RunOptions],
    ) -> None:
        check_options(options, RunOptions.__annotations__)
        self.made_again = partial(ScoringSetup, metric, prompts, also=also, **options)
        self.device = find_device(options.pop("device", None))
        rest = dict[str, Any](options)
        building = {name: rest.pop(name) for name in ("trust_weights", "strict") if name in rest}
        self.metrics = build_metrics(metric, prompts, self.device, also=also, **building)
        # a metric of pyiqa has a smallest side of its own
        self.options = Options(self.device, min_side=1 if self.metrics.one_by_one else MIN_SIDE, **rest)
        reading = {name: getattr(self.options, name) for name in Reading.__dataclass_fields__}
        self.header = Header(self.metrics.columns, {**reading, "sampling": sampling, **circumstances(self.device)})

    def header_with(self, keep: Sequence[str]) -> Header:
        """Return the header of results to which values of shards are added, by their names."""
        if not keep:
            return self.header
        return replace(self.header, reading={**self.header.reading, "keep": list(keep)})

    def rows(self, images: Iterable[Image], count: int | None = None) -> Rows:
        """Yield the row of each image."""
        tasks = plan(images, self.metrics, self.options).tasks
        return score_items(tasks, self.metrics, self.options, count)


def circumstances(device: torch.device) -> dict[str, Any]:
    """Return the device and the versions of packages, on which scores should not depend."""
    packages = ("torch", "open_clip_torch", "pillow", *_installed("pyiqa"))
    decoders = ("pillow", "simplejpeg", *_installed("av"))
    return {
        "device": device_name(device),
        "versions": {"clipiqa-pyiqa": __version__, **{name: version(name) for name in packages}},
        "decoders": {name: version(name) for name in decoders},
    }


def _installed(package: str) -> list[str]:
    """Return a package's name if it is installed; otherwise no name."""
    return [package] if find_spec(package) else []


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
