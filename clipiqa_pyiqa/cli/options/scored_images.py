"""Options of the commands that learn from human scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ...errors.arguments import Machine
from .model import start
from .terminal import note

if TYPE_CHECKING:
    from ...datasets.score_table import ScoreTable


@dataclass(frozen=True)
class OpinionOptions:
    """Scores.

    Args:
        root (DIR): folder of the images; default: the CSV file's folder
        data_root (DIR): folder of pyiqa's data sets
        columns: the columns of paths and scores, and perhaps of splits
        range (LOW HIGH): lowest and highest possible score
        lower_better: low scores are good; --no-lower-better: high scores are good, though the column is called dmos
        val_fraction: share of images to hold out if there is no split column; default: 0.2
        skip_missing: leave out missing images
        group (COLUMN): column of groups that splits and folds keep together; default: a column of references
    """

    root: str | None = None
    data_root: str = "datasets"
    columns: list[str] | None = None
    range: Sequence[float] | None = None
    lower_better: bool | None = None
    val_fraction: float | None = None
    skip_missing: bool = False
    group: str | None = None

    def table(self, scores: str, seed: int, **more: Any) -> ScoreTable:
        from ...datasets.score_table import find_score_table

        if len(self.columns or ()) > 3:
            raise OptionError(f"--columns takes up to three columns; got {', '.join(self.columns or ())}.")
        columns = self.columns and (*self.columns, None, None)[:3]
        options = {**vars(self), "score_range": self.range, "columns": columns}
        del options["range"]
        stated = {name: value for name, value in options.items() if value is not None}
        return find_score_table(scores, **{**more, **stated}, seed=seed)


@dataclass(frozen=True)
class Store(Machine):
    """Features.

    Args:
        features (DIR): folder of the feature store; default: ~/.cache/clipiqa/features
        quiet (-q): show no progress
    """

    features: str | None = None
    quiet: bool = False

    def start(self) -> dict[str, Any]:
        """Load PyTorch; return the options of functions that learn."""
        return {"device": start(self), "features": self.features, "workers": self.workers, "say": note}


def creation(name: str, **options: Any) -> str:
    arguments = [f"{key}={value!r}" for key, value in options.items()]
    return f"pyiqa.create_metric({', '.join([repr(name), *arguments])})"
