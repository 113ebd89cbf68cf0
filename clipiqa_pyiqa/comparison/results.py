"""What a comparison of metrics on data sets came to: values only, read by the tables, the pictures and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..stats.correlation import Estimate, correlations, undefined
from .published import Published, find_published

if TYPE_CHECKING:
    import pandas

STATISTICS = ("SROCC", "PLCC", "KRCC", "PLCC fitted")


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
    lower_better: bool = False
    score_range: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    seconds_per_image: float = float("nan")
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
        plcc_fit: Whether PLCC after the logistic fit was asked for.
        prefer: ``'paper'`` or ``'pyiqa'``: whose value to show where both publish one; empty for the usual.
    """

    name: str
    scores: pandas.DataFrame
    mos: pandas.Series | None
    mos_lower_better: bool = False
    metrics: Mapping[str, MetricResult] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    published_as: str = ""
    bootstrap: int = 1000
    seed: int = 0
    plcc_fit: bool = False
    prefer: str = ""
    _cache: dict[str, dict[str, Estimate]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def correlations(self) -> dict[str, dict[str, Estimate]]:
        """Label -> SROCC, PLCC, KRCC (and PLCC fitted), signed so that a good metric is positive.

        Scores of lower-better metrics, and DMOS, are negated first. Empty where there is no opinion.
        """
        if self.mos is None:
            return {}
        for label, metric in self.metrics.items():
            if label not in self._cache:
                raw = self.scores[label].dropna()
                # Of the scores as they are, so that the reason does not speak of negated ones.
                why = metric.error if metric.error and raw.empty else undefined(raw, self.mos.loc[raw.index])
                self._cache[label] = (
                    dict.fromkeys(self.statistics, Estimate(float("nan"), reason=why))
                    if why
                    else correlations(
                        *self.oriented(label), bootstrap=self.bootstrap, seed=self.seed, fit=self.plcc_fit
                    )
                )
        return self._cache

    @property
    def statistics(self) -> tuple[str, ...]:
        """The keys of each metric's correlations."""
        return STATISTICS if self.plcc_fit else STATISTICS[:3]

    def oriented(self, label: str) -> tuple[pandas.Series, pandas.Series]:
        """A metric's scores and the opinion, both higher-better, on the images that have the score."""
        assert self.mos is not None
        scores = self.scores[label].dropna()
        mos = self.mos.loc[scores.index]
        return (
            -scores if self.metrics[label].lower_better else scores,
            -mos if self.mos_lower_better else mos,
        )

    def published(self, label: str) -> Published | None:
        """The published value for exactly this metric on exactly these images, if there is one."""
        return find_published(self.metrics[label].published_as, self.published_as, self.prefer)


@dataclass(frozen=True)
class Comparison:
    """Metrics side by side on data sets.

    Attributes:
        data_sets: In the order asked for.
        settings: Versions, machine, seeds, command: whatever else the numbers depend on.
    """

    data_sets: tuple[DataSetResult, ...]
    settings: Mapping[str, str] = field(default_factory=dict)

    def frame(self) -> pandas.DataFrame:
        """One row per data set and metric, in order.

        Columns: data_set, metric, n, direction, range; SROCC, SROCC low, SROCC high and so for PLCC, KRCC and, where
        asked for, PLCC fitted; seconds per image; published SROCC, SROCC difference (ours less published) and so for
        PLCC and KRCC; source; note, why a cell is empty.
        """
        import pandas

        return pandas.DataFrame([_row(data, label) for data in self.data_sets for label in data.metrics])


def _row(data: DataSetResult, label: str) -> dict[str, object]:
    metric = data.metrics[label]
    row: dict[str, object] = {
        "data_set": data.name,
        "metric": label,
        "n": int(data.scores[label].notna().sum()),
        "direction": metric.direction,
        "range": metric.score_range,
    }
    estimates = data.correlations().get(label, {})
    for statistic in data.statistics:
        estimate = estimates.get(statistic, Estimate(float("nan")))
        row |= {statistic: estimate.value, f"{statistic} low": estimate.low, f"{statistic} high": estimate.high}
    row["seconds per image"] = metric.seconds_per_image
    published = data.published(label)
    for statistic in STATISTICS[:3]:
        value = getattr(published, statistic.lower()) if published else float("nan")
        row[f"published {statistic}"] = value
        row[f"{statistic} difference"] = row[statistic] - value  # type: ignore[operator]
    row["source"] = published.source if published else ""
    reasons = [metric.error, metric.note, *(estimate.reason for estimate in estimates.values())]
    if data.mos is None:
        reasons.append("no opinion scores, so no correlation")
    row["note"] = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return row
