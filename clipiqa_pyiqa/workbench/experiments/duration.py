"""How long an experiment with many scores will take, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...text import log
from ..images.image import Image
from ..metrics.kinds import AnyMetric
from ..scoring.setup import ScoringSetup

MANY = 10_000  # with so many scores, users want to know how long it takes
_SECONDS_OF_A_UNIT = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


def tell_duration(metrics: Sequence[AnyMetric], images: Sequence[Image], probes: Sequence[Image], scoring: Any) -> None:
    """Log how long it will take to score many images, at the speed of a few of them; of fewer, log nothing.

    Args:
        probes: Images that stand for all.
        scoring: Options of :class:`~clipiqa_pyiqa.workbench.scoring.setup.ScoringSetup`.
    """
    if len(images) < MANY:
        return
    setup = ScoringSetup(metrics, strict=True, **scoring)
    list(setup.rows(probes[:1]))  # the first score takes longer: memory, threads, decoders
    start = time.monotonic()
    rows = list(setup.rows(probes))
    seconds = time.monotonic() - start
    if any(row.error for row in rows):
        log.warning(f"{len(images):,} images are to be scored; how long that takes is unknown, as a probe failed")
        return
    duration = words_of_seconds(seconds / len(probes) * len(images))
    log.info(f"{len(images):,} images are to be scored: about {duration}, at the speed of {len(probes)} of them")


def words_of_seconds(seconds: float) -> str:
    """Return a duration in the largest unit of which it has more than two, such as ``'41 hours'``."""
    units = _SECONDS_OF_A_UNIT.items()
    unit, length = next((unit for unit in units if seconds > 2 * unit[1]), ("second", 1))
    count = max(1, round(seconds / length))
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
