"""Results of metrics on one data set: scores, correlations with opinion, and how the metrics differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas

from ..datasets.published_correlations import PublishedCorrelations, find_published
from ..files.names import file_name
from ..files.writing import check_folder, replacing
from ..stats.bootstrap import Estimate
from ..stats.correlation import correlations, undefined
from .differences import Disagreement, MetricPair, disagreements, metric_pairs

CORRELATIONS = ("SROCC", "PLCC", "KRCC")
FITTED = ("PLCC fitted", "RMSE fitted")


@dataclass(frozen=True)
class MetricResult:
    """One metric on one data set.

    Attributes:
        label: As shown, such as ``'niqe'``; the name of its column in the scores.
        lower_better: Whether a lower score means a better image.
        score_range: As pyiqa states it, such as ``'0, 1'`` or ``'~0, ~100'``; empty if unknown.
        provenance: Which metric exactly: name, options, weights.
        seconds_per_image: Time in the metric, without decoding; NaN if unknown.
        error: Why there are no scores, one sentence; empty if there are some.
        published_as: The name under which :mod:`.published` knows exactly this metric; empty if it is none of those.
        note: What else to know, such as images that only this metric could not score.
    """

    label: str
    _: KW_ONLY
    lower_better: bool = False
    score_range: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_image: float = math.nan
    error: str = ""
    published_as: str = ""
    note: str = ""

    @property
    def direction(self) -> str:
        """``'higher'`` or ``'lower'`` is better."""
        return "lower" if self.lower_better else "higher"


@dataclass(frozen=True)
class DataSetResult:
    """All metrics on one data set.

    Attributes:
        name: As shown, such as ``'koniq10k-1024'``.
        scores: Index ``path`` (absolute); one column per metric label, as the metric gave them; NaN where it failed.
        mos: Opinion scores, same index, in the data set's own scale; None for a folder without scores.
        mos_lower_better: Whether a lower opinion score means a better image (DMOS).
        metrics: Label -> what is known of the metric here, in the order of the columns.
        skipped: Images left out of all metrics -> why.
        note: What was evaluated: split, size, crop, seed.
        published_as: The name under which :mod:`.published` knows exactly these images; empty if it is none of those.
        bootstrap: Resamples for the intervals.
        seed: Of the resamples.
        plcc_fit: Whether PLCC and RMSE after the logistic fit were asked for.
        fit_parameters: Of the logistic curve, 4 or 5.
        prefer: ``'paper'`` or ``'pyiqa'``: whose value to show where both publish one; empty for the usual.
    """

    name: str
    scores: pandas.DataFrame
    mos: pandas.Series | None
    _: KW_ONLY
    mos_lower_better: bool = False
    metrics: Mapping[str, MetricResult] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    published_as: str = ""
    bootstrap: int = 1000
    seed: int = 0
    plcc_fit: bool = False
    fit_parameters: int = 4
    prefer: str = ""

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label -> statistic -> its estimate, signed so that a good metric's correlation is positive.

        Scores of lower-better metrics, and DMOS, are negated first. Empty where there is no opinion.
        """
        return {} if self.mos is None else {label: self._estimates(label) for label in self.metrics}

    def _estimates(self, label: str) -> dict[str, Estimate]:
        assert self.mos is not None and self.oriented_mos is not None
        raw, error = self.scores[label].dropna(), self.metrics[label].error
        # Of the scores as they are, so that the reason does not speak of negated ones.
        if why := error if error and raw.empty else undefined(raw, self.mos.loc[raw.index]):
            return dict.fromkeys(self.statistics, Estimate(math.nan, reason=why))
        oriented, mos = self.oriented_scores[label].loc[raw.index], self.oriented_mos.loc[raw.index]
        fit = self.fit_parameters if self.plcc_fit else 0
        return correlations(oriented, mos, bootstrap=self.bootstrap, seed=self.seed, fit=fit)

    @cached_property
    def pairs(self) -> list[MetricPair]:
        """Every two metrics that have an SROCC, in their order; none where there is no opinion."""
        if self.oriented_mos is None:
            return []
        defined = [label for label, found in self.estimates.items() if not found["SROCC"].reason]
        return metric_pairs(self.oriented_scores[defined], self.oriented_mos, self.bootstrap, self.seed)

    def disagreements(self, count: int = 10) -> list[Disagreement]:
        """The images about which metrics disagree most; see :func:`~.differences.disagreements`."""
        return disagreements(self.oriented_scores, self.oriented_mos, count)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The keys of each metric's estimates."""
        return CORRELATIONS + FITTED * self.plcc_fit

    @property
    def scored(self) -> list[str]:
        """The metrics that have scores."""
        return [label for label in self.metrics if self.scores[label].notna().any()]

    @property
    def oriented_mos(self) -> pandas.Series | None:
        """The opinion, high is good; None where there is none."""
        return -self.mos if self.mos is not None and self.mos_lower_better else self.mos

    @property
    def oriented_scores(self) -> pandas.DataFrame:
        """The scores, high is good."""
        return self.scores[list(self.metrics)] * [-1.0 if m.lower_better else 1.0 for m in self.metrics.values()]

    def published(self, label: str) -> PublishedCorrelations | None:
        """The published value for exactly this metric on exactly these images, if there is one."""
        return find_published(self.metrics[label].published_as, self.published_as, self.prefer)

    def reason(self, label: str) -> str:
        """Why a metric's cells are empty, and what else to know; empty if there is nothing."""
        metric = self.metrics[label]
        estimates = self.estimates.get(label, {}).values()
        said = (metric.error, metric.note, *(line for e in estimates for line in (e.reason, e.caveat)))
        return "; ".join(dict.fromkeys(filter(None, said)))

    def save_scores(self, folder: Path) -> None:
        """Write path, opinion and scores of each image as a Parquet file; its ``attrs`` say what they are."""
        frame = self.scores.copy()
        if self.mos is not None:
            frame.insert(0, "mos", self.mos)
        frame.attrs = {
            "data_set": self.name,
            "note": self.note,
            "mos_lower_better": self.mos_lower_better,
            "metrics": {
                label: {**metric.provenance, "lower_better": metric.lower_better, "error": metric.error}
                for label, metric in self.metrics.items()
            },
            "skipped": dict(self.skipped),
        }
        with replacing(check_folder(folder, ()) / f"{file_name(self.name)}.parquet") as partial:
            frame.to_parquet(partial)
