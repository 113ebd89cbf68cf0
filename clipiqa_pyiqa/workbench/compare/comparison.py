"""The result of ``compare``: tables with sentences, files and a page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas

from ..files.file_names import file_name
from ..images.stamp import MISSING
from ..report.labels import Relabelling, relabelling
from ..report.report import Report
from ..report.reported import PROVENANCE, Reported
from ..results.record_text import described
from ..results.store import Results
from .data_set_result import DataSetResult
from .tables import build_tables

_TEXTS = {
    "comparison.csv": "csv",
    "comparison.md": "markdown",
    "comparison.tex": "latex",
    "report.html": "html",
}
OTHERS = (*_TEXTS, "differences.csv", PROVENANCE)
"""Names of the results beside the scores."""


@dataclass(frozen=True)
class Comparison(Reported):
    """The results of metrics on data sets.

    Attributes:
        settings: Versions, the machine and the options of the run.
        stored: Name of a file of scores -> all that the run remembers of its images.
    """

    data_sets: tuple[DataSetResult, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, Results] = field(default_factory=dict, repr=False)

    @property
    def is_complete(self) -> bool:
        """Whether every metric has a score of every image, and no image of an earlier run is gone."""
        return all(map(_is_complete, self.data_sets)) and not any(map(_has_lost_images, self.stored.values()))

    def frame(self) -> pandas.DataFrame:
        """Return a row per data set and metric.

        Columns: data_set, metric, n, direction, range; SROCC, SROCC low, SROCC high (likewise each statistic); seconds
        per image; published SROCC, SROCC minus published (likewise each statistic); source; note.
        """
        return pandas.concat([data.frame for data in self.data_sets], ignore_index=True)

    def differences(self) -> pandas.DataFrame:
        """Return a row per data set, statistic and pair of metrics, with the first minus the second, and p-values."""
        with_pairs = [data for data in self.data_sets if len(data.pairs)] or self.data_sets
        return pandas.concat([data.pairs for data in with_pairs], ignore_index=True)

    def report(self, **look: Any) -> Report:
        """Return all tables with the sentences, plots and files that belong to them."""
        relabelled = relabelling(look.get("labels", {}))
        names = [relabelled(data.name) for data in self.data_sets]
        return Report(
            build_tables(self.data_sets),
            self.frame(),
            "compare",
            f"Image-quality metrics on {', '.join(names)}",
            metrics=self._metrics(),
            settings=self.settings,
            sources={f"data set {data.name}": data.source for data in self.data_sets if data.source},
            pictures=self._plots,
            texts=_TEXTS,
            files={"differences.csv": self.differences()},
            inputs=[path for data in self.data_sets for path in data.scores.index],
            **look,
        )

    def _metrics(self) -> dict[str, dict[str, str]]:
        """Return label -> what the metric is, of all data sets: an earlier run may have finished it on some only."""
        columns = {label: metric.column for data in self.data_sets for label, metric in data.metrics.items()}
        return {label: described([column]) for label, column in columns.items()}

    def _plots(self, relabelled: Relabelling) -> dict[str, Any]:
        """Return name of a data set -> HTML of its plots; only of data sets with opinions and scores."""
        from .plots import plots  # imports matplotlib

        return {data.name: plots(data, relabelled) for data in self.data_sets if len(data.mos) and data.scored}


def _is_complete(data: DataSetResult) -> bool:
    """Return whether every metric has a score of every image, and a correlation if there are opinions."""
    if data.skipped or data.unfinished or any(metric.note for metric in data.metrics.values()):
        return False
    return not any(estimate.reason for estimates in data.estimates.values() for estimate in estimates.values())


def _has_lost_images(results: Results) -> bool:
    """Return whether images of an earlier run are gone; images that never were there do not count."""
    earlier_rows = [results.earlier.row(name) for name in results.images.gone]
    return any(row is not None and row.stamp != MISSING for row in earlier_rows)


def scores_name(data_set: str) -> str:
    """Return the name of the file that holds the scores of a data set's images."""
    return f"scores/{file_name(data_set)}.parquet"
