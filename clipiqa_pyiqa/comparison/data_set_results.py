"""Results of metrics on one data set."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

from pandas import DataFrame, Series

from ..datasets.data_sets import ENSEMBLE, find_published, variant
from ..errors import counted, few
from ..files.names import printable
from ..images.image import Image
from ..metric import CLIPIQA
from ..metrics.metric import Metric, MetricSet
from ..prompts.pairs import PRESETS
from ..results.columns import Column
from ..results.results import Output, Results
from ..scoring.engine import Options, Progress, score_missing
from ..scoring.score import circumstances
from ..stats.correlation import FITTED, STATISTICS, TOP, WITHIN, correlations, paired_differences, undefined, within
from ..stats.intervals import LEVEL, Estimate, holm

CORRELATIONS = ("SROCC", "PLCC", "KRCC")
_RESAMPLES, _PER_PAIR = 4000, 80
"""Least numbers of resamples: of all, so that another metric changes no difference, and for each pair.

The lowest possible corrected p-value is 0.005 for ten pairs, and at most LEVEL / 2.
"""


@dataclass(frozen=True)
class MetricResult:
    """The result of one metric on one data set.

    Attributes:
        seconds_per_image: Median time without decoding, or NaN.
        published_as: Name of the metric in the published correlations, or empty.
    """

    column: Column = field(default=Column(""))
    seconds_per_image: float = math.nan
    error: str = ""
    published_as: str = ""
    note: str = ""

    @property
    def direction(self) -> Literal["higher", "lower"]:
        return "lower" if self.column.lower_better else "higher"

    @property
    def range(self) -> str:
        ends = ["…" if end is None else f"{end:g}" for end in self.column.ends]
        return "" if ends == ["…", "…"] else " to ".join(ends)


def score_all(
    title: str,
    images: Sequence[Image],
    built: Sequence[Metric],
    ready: MetricSet,
    output: Output | None,
    options: Options,
    progress: Progress,
    joined: Mapping[str, Iterable[Any]],
    noun: str = "image",
    **how: Any,
) -> tuple[DataFrame, dict[str, MetricResult], dict[str, str], Results]:
    """Return scores by those metrics that are ``ready``, each metric's result, unread images, and the results."""
    names = [image.name for image in images]
    shown = list(map(printable, names))
    with Results(output, ready.columns, {**how, **circumstances(options.device)}) as results:
        for column, values in joined.items():
            results.join(column, dict(zip(shown, values, strict=True)))
        ready.join(results, shown)
        seconds = score_missing(title, images, ready, results, options, progress)
    found = results.scores().under(names)
    of_metrics, scores = {}, found.frame.reindex(columns=[metric.label for metric in built])
    for metric in built:
        error, note = metric.error, ""
        if not error:
            read = scores[metric.label].drop(index=[*found.unread])
            failed = read.index[read.isna()]
            if len(failed):
                without = f"the file has no number for {few(map(printable, failed))}."
                why = without if metric.mode == "file" else found.errors.get(failed[0])
                note = f"no score for {len(failed)} of {counted(len(read), noun)}: {why}"
            if len(failed) == len(read) and len(scores):
                error, note = note or "no image could be read.", ""
        each = seconds.get(metric.label, math.nan)
        of_metrics[metric.label] = MetricResult(metric.columns[0], each, error, published_name(metric), note)
    return scores, of_metrics, found.unread, results


def published_name(metric: Metric) -> str:
    """Return the metric's name in the published correlations (all of OpenAI's weights), or ``''``."""
    net = metric.net
    if not isinstance(net, CLIPIQA):
        return "" if metric.options else metric.name
    weights = net.clip.weights
    if weights.tag != "openai":
        return ""
    if net.prompt_learner is not None:
        return metric.name if set(metric.options) <= {"precision", "clip_weights"} and metric.instance is None else ""
    if net.prompts == PRESETS["pyiqa"] and weights.backbone == "RN50" and net.pos_embedding == "none":
        return ENSEMBLE
    if len(net.prompts) == 1:
        return variant(weights.backbone, net.pos_embedding, net.prompts[0].positive, net.prompts[0].negative)
    return ""


@dataclass(frozen=True)
class DataSetResult:
    """The results of all metrics on one data set.

    Attributes:
        mos: Opinion scores on the data set's scale; empty without opinion scores.
        mos_lower_better: Whether low opinion scores are good (DMOS).
        published_as: Name of the data set in the published correlations, or empty.
        fit: Number of parameters of a logistic fit; 0 without a fit.
        groups: Image -> group; adds the mean SROCC within groups to the statistics.
    """

    name: str
    scores: DataFrame
    mos: Series
    metrics: Mapping[str, MetricResult]
    mos_lower_better: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    published_as: str = ""
    bootstrap: int = 1000
    seed: int = 0
    fit: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Label -> statistic -> estimate (positive for a good metric; NaN without opinion scores)."""
        found = {}
        for label, metric in self.metrics.items():
            scores = self.scores[label].dropna()
            names, reason = scores.index, metric.error
            if reason or self.mos.empty or (reason := undefined(scores, self.mos[names])):
                found[label] = dict.fromkeys(self.statistics, Estimate(math.nan, reason=reason))
                continue
            oriented, mos = self.oriented_scores.loc[names, label], self.oriented_mos[names]
            found[label] = correlations(oriented, mos, bootstrap=self.bootstrap, seed=self.seed, fit=self.fit)
            if self.groups:
                groups = [self.groups[name] for name in names]
                found[label] |= within(oriented, mos, groups, bootstrap=self.bootstrap, seed=self.seed)
        return found

    @cached_property
    def pairs(self) -> DataFrame:
        """A row per statistic and pair of metrics, with the first minus the second on the images that both scored."""
        defined = [label for label, each in self.estimates.items() if not math.isnan(each["SROCC"].value)]
        scores = self.oriented_scores[defined]
        pairs = list(itertools.combinations(scores, 2))
        resamples = max(self.bootstrap, _RESAMPLES, _PER_PAIR * len(pairs)) if self.bootstrap else 0
        complete = tuple(scores.dropna(axis=1))

        @cache  # metrics without gaps use the same resamples
        def apart(statistic: str, group: tuple[str, ...]) -> dict[Any, Any]:
            shared = scores[[*group]].dropna()
            mos = self.oriented_mos[shared.index]
            if any(undefined(shared[label], mos) for label in group):
                return {}
            found = paired_differences(shared.to_numpy().T, mos, statistic, bootstrap=resamples, seed=self.seed)
            return {(group[i], group[j]): (len(shared), *each.numbers) for (i, j), each in found.items()}

        rows = [
            (self.name, statistic, *pair, *found[pair])
            for statistic, pair in itertools.product(CORRELATIONS, pairs)
            if pair in (found := apart(statistic, complete if {*pair} <= {*complete} else pair))
        ]
        heads = ["data_set", "statistic", "first", "second", "n", "difference", "low", "high", "p"]
        frame = DataFrame(rows, columns=heads)
        frame["p Holm"] = frame.groupby("statistic")["p"].transform(holm)
        return frame.assign(significant=frame["p Holm"] < LEVEL, resamples=resamples)

    @cached_property
    def frame(self) -> DataFrame:
        """A row per metric; see :meth:`~.results.Comparison.frame`."""
        rows = []
        for label, metric in self.metrics.items():
            row: dict[str, Any] = {
                "data_set": self.name,
                "metric": label,
                "n": self.scores[label].count(),
                "direction": metric.direction,
                "range": metric.range,
            }
            for name, estimate in self.estimates[label].items():
                row |= estimate.named(name)
            row["seconds per image"] = metric.seconds_per_image
            published = find_published(metric.published_as, self.published_as)
            for name in CORRELATIONS:
                value = float(published.get(name) or math.nan)
                row |= {f"published {name}": value, f"{name} difference": row[name] - value}
            rows.append({**row, "source": published.get("source", ""), "note": self.reason(label)})
        return DataFrame(rows)

    @property
    def statistics(self) -> tuple[str, ...]:
        return (*STATISTICS, *(FITTED if self.fit else ()), *((WITHIN, TOP) if self.groups else ()))

    @property
    def scored(self) -> list[str]:
        return [label for label in self.metrics if self.scores[label].notna().any()]

    @property
    def oriented_mos(self) -> Series:
        return -self.mos if self.mos_lower_better else self.mos

    @property
    def oriented_scores(self) -> DataFrame:
        return self.scores[list(self.metrics)] * [-1.0 if m.column.lower_better else 1.0 for m in self.metrics.values()]

    def misjudged(self, label: str) -> Series:
        """Return how much higher a metric ranks each image than people do, as a share of all images, highest first."""
        scores = self.oriented_scores[label].dropna()
        apart = scores.rank(pct=True) - self.oriented_mos[scores.index].rank(pct=True)
        return apart.sort_values(ascending=False, kind="stable")

    def reason(self, label: str) -> str:
        metric, estimates = self.metrics[label], self.estimates[label].values()
        texts = (metric.error, metric.note, *(text for e in estimates for text in (e.reason, e.caveat)))
        return "; ".join(dict.fromkeys(filter(None, texts)))
