"""What is known of a metric on a data set, but for its scores."""

import math
from dataclasses import dataclass, field
from typing import Literal

from ..results.columns import Column


@dataclass(frozen=True)
class MetricResult:
    """The result of one metric on one data set.

    Attributes:
        column: Its name, direction and bounds, and the record of how its scores were made.
        error: Why it has no score at all, or empty.
        note: Which images have no score, and why, or empty.
        seconds_per_image: Median time without decoding, or NaN.
        published_as: Name of the metric in the published correlations, or empty.
        unlike_published: In what its weights differ from those behind the published values, or empty.
    """

    column: Column = field(default=Column(""))
    seconds_per_image: float = math.nan
    error: str = ""
    published_as: str = ""
    unlike_published: str = ""
    note: str = ""

    @property
    def direction(self) -> Literal["higher", "lower", "unknown"]:
        """Which scores are better; correlations and tables take high ones as better if it is unknown."""
        if self.column.lower_better is None:
            return "unknown"
        return "lower" if self.column.lower_better else "higher"

    @property
    def range(self) -> str:
        """The bounds of its scores, such as ``'0 to 1'``; empty if none is known."""
        bounds = ["…" if end is None else f"{end:g}" for end in self.column.bounds]
        return "" if bounds == ["…", "…"] else " to ".join(bounds)
