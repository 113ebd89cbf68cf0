"""Options of commands that learn from people's scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ....errors import OptionError
from ...options import Machine
from .flags import COLUMNS, MACHINE, RARE, group_of_command
from .groups import Quiet, stated
from .metric_options import Model
from .running import start

if TYPE_CHECKING:
    from ...opinions.score_table import ScoreTable


@Parameter(name="*", group=group_of_command("Scores"))
@dataclass(frozen=True)
class OpinionOptions:
    """Scores.

    Args:
        root: folder of the images; default: the CSV file's folder
        data_root: folder of pyiqa's data sets; default: ./datasets
        columns: columns of paths, scores and perhaps splits
        score_range: lowest and highest possible score
        lower_better: low scores are good; --no-lower-better: high scores are good, though the column is called dmos
        val_fraction: share of images to hold out if there is no split column; default: 0.2
        skip_missing: leave out missing images
        group: column of groups that splits and folds keep together; default: a column of references
    """

    root: Annotated[str | None, Parameter(metavar="DIR")] = None
    data_root: Annotated[str | None, Parameter(metavar="DIR")] = None
    columns: Annotated[Sequence[str], Parameter(metavar="COLUMN")] = ()
    score_range: Annotated[tuple[float, float] | None, Parameter(metavar="LOW HIGH")] = None
    lower_better: Annotated[bool | None, Parameter(negative_bool="no-")] = None
    val_fraction: Annotated[float | None, Parameter(group=COLUMNS)] = None
    skip_missing: Annotated[bool, Parameter(group=RARE)] = False
    group: Annotated[str | None, Parameter(metavar="COLUMN", group=COLUMNS)] = None

    def table(self, scores: str, seed: int, **more: Any) -> ScoreTable:
        from ...opinions.score_table import find_score_table

        if len(self.columns) > 3:
            raise OptionError(f"--columns takes up to three columns; got {', '.join(self.columns)}.")
        options = {**more, **stated(self)}
        del options["columns"]
        if self.columns:
            unnamed = [None] * (3 - len(self.columns))
            options["columns"] = (*self.columns, *unnamed)
        return find_score_table(scores, **options, seed=seed)


@Parameter(name="*", group=MACHINE)
@dataclass(frozen=True)
class Store:
    """The store of features.

    Args:
        features: folder of the feature store; default: ~/.cache/clipiqa/features
        quiet: show no progress
    """

    features: Annotated[str | None, Parameter(metavar="DIR")] = None
    quiet: Quiet = False


@Parameter(name="*")
@dataclass(frozen=True)
class Learning:
    """Options of commands that learn from people's scores."""

    opinions: OpinionOptions = OpinionOptions()
    model: Model = Model()
    machine: Machine = Machine()
    store: Store = Store()

    def start(self) -> dict[str, Any]:
        """Load PyTorch; return the options of functions that learn."""
        device = start(self.machine)
        return {"device": device, "features": self.store.features, "workers": self.machine.workers}


def creation(name: str, **options: Any) -> str:
    arguments = [f"{key}={value!r}" for key, value in options.items()]
    return f"pyiqa.create_metric({', '.join([repr(name), *arguments])})"
