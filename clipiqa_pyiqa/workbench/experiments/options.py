"""Options of all experiments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ...checks import FilePath
from ..options import ScoringOptions
from ..progress import Progress

Paths = FilePath | Iterable[FilePath]


class ExperimentOptions(ScoringOptions, total=False):
    """Options of all experiments.

    Attributes:
        out: Folder for the scores and the results.
        pictures: Format of figures; sheets of photos are always PNG.
        progress: Is called with the numbers of finished and of all images.
    """

    out: FilePath | None
    resume: bool
    overwrite: bool
    pictures: Literal["png", "svg", "pdf"]
    progress: Progress
    trust_weights: bool
