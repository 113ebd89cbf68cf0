"""What a run is made of: metrics, questions and options."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from ...checks import MIN_SIDE
from ...machine import find_device
from ..images.image import Image
from ..metrics.building import build_metrics
from ..metrics.description import Takes
from ..metrics.parsing import AnyPrompts
from ..metrics.remarks import log_remarks
from ..options import Reading, RunOptions, check_options
from ..results.header import Header
from ..sources.sampling import SAMPLING, Sampling
from .circumstances import circumstances
from .engine import Rows, scored_rows
from .options import Options
from .plan import plan


class ScoringSetup:
    """The checked metrics, questions and options of :func:`score_paths`.

    Args:
        also: What metrics may take besides single images, such as pairs of images.

    Attributes:
        factory: ``factory(device=…)`` makes them in another process; without ``sampling``, which stands only in the
            header.
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
        self.factory = partial(ScoringSetup, metric, prompts, also=also, **options)
        self.device = find_device(options.pop("device", None))
        of_run = dict[str, Any](options)
        of_metrics = {name: of_run.pop(name) for name in ("trust_weights", "strict") if name in of_run}
        self.metrics = build_metrics(metric, prompts, self.device, also=also, **of_metrics)
        log_remarks([*self.metrics.of_images, *self.metrics.files])
        self.metrics.check_any_usable()
        # a metric of pyiqa has a smallest side of its own
        self.options = Options(self.device, min_side=1 if self.metrics.one_by_one else MIN_SIDE, **of_run)
        reading = {name: getattr(self.options, name) for name in Reading.__dataclass_fields__}
        self.header = Header(
            self.metrics.columns, {**reading, "sampling": Sampling.of(sampling).text, **circumstances(self.device)}
        )

    def header_with(self, keep: Sequence[str]) -> Header:
        """Return the header of results to which values of shards are added, by their names."""
        if not keep:
            return self.header
        return replace(self.header, reading={**self.header.reading, "keep": list(keep)})

    def rows(self, images: Iterable[Image], count: int | None = None) -> Rows:
        """Yield the row of each image."""
        tasks = plan(images, self.metrics, self.options).tasks
        return scored_rows(tasks, self.metrics, self.options, count)
