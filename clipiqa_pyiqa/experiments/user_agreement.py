"""Experiment of Fig. 7: whether the metric chooses between two images as people do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure

from ..datasets.votes import Votes, read_votes
from ..errors import ImageError, counted
from ..errors.arguments import checked
from ..report.contact_sheet import wrapped
from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS
from ..stats.proportions import clustered_share, share
from .experiment import ExperimentResult, RunOptions, because, saved, score_files

if TYPE_CHECKING:
    from typing_extensions import Unpack


_SIDES = ("first", "second")


@dataclass(frozen=True)
class Agreement(ExperimentResult):
    """The metric's choices beside people's choices.

    Attributes:
        frame: One row per attribute and pair. Columns: those of the votes; ``score_first`` and ``score_second``;
            ``majority`` and ``metric``, the choices of people and metric (``'first'``, ``'second'``, or ``''``);
            ``right``, whether both choices are equal (None without a majority); ``votes``, the number of votes; and
            ``votes_right``, the number of votes that agree with the metric.
        votes: The compared votes.
    """

    votes: Votes
    seed: int = 0
    intervals: ClassVar = ("majority accuracy", "vote accuracy")

    def summary(self) -> pandas.DataFrame:
        """Return one row per attribute and, if there are several attributes, one row for all.

        ``majority accuracy`` is the share of pairs in which the metric agrees with the majority (Wilson's interval).
        ``vote accuracy`` is the share of votes that agree with the metric (interval from resampled pairs). ``ceiling``
        is the highest possible vote accuracy.
        """
        groups = dict(iter(self.frame.groupby("attribute", sort=False)))
        groups |= {"all": self.frame} if len(groups) > 1 else {}
        return pandas.DataFrame([self._summary(str(name), group) for name, group in groups.items()])

    def _summary(self, attribute: str, frame: pandas.DataFrame) -> dict[str, object]:
        decided, votes = frame[frame["majority"] != ""], frame["votes"].sum()
        return {
            "attribute": attribute,
            "pairs": len(decided),
            "tied": len(frame) - len(decided),
            **share(int(decided["right"].astype(bool).sum()), len(decided)).named("majority accuracy"),
            "votes": votes,
            **clustered_share(frame["votes_right"], frame["votes"], seed=self.seed).named("vote accuracy"),
            "ceiling": frame[["votes_first", "votes_second"]].max(axis=1).sum() / votes if votes else np.nan,
        }

    def contents(self) -> dict[str, Any]:
        return {"agreement.csv": self.frame, "agreement.png": self.figure()}

    def details(self) -> dict[str, Any]:
        return {"undecided": int(self.votes.frame["undecided"].sum()), "missing": list(self.votes.missing)}

    def notes(self) -> list[str]:
        counts = [
            ((self.frame["majority"] == "").sum(), "pair", "without a majority, counted vote by vote only"),
            (self.votes.frame["undecided"].sum(), "vote", "for neither image, not counted"),
            (len(self.votes.missing), "image", "missing, whose pairs were left out"),
        ]
        return [f"{counted(int(count), noun)} {remark}" for count, noun, remark in counts if count]

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        summary = self.summary()
        figure = Figure(figsize=(max(4.5, 1.0 * len(summary) + 1.6), 3.6), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(summary), dtype=float)
        kinds = (("majority of each pair", -0.2, BLUE), ("single votes", 0.2, ORANGE))
        for name, (label, shift, colour) in zip(self.intervals, kinds, strict=True):
            bars = places + shift
            axes.bar(bars, summary[name], 0.38, color=colour, alpha=0.6, label=label)
            axes.vlines(bars, summary[f"{name} low"], summary[f"{name} high"], color=INK, linewidth=1.4)
        axes.axhline(0.5, color=INK, linewidth=0.8, linestyle="--", label="chance")
        axes.set_xticks(places, [wrapped(name, 14) for name in summary["attribute"]], **WORDS)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("share that agrees with the metric\n(lines: 95 % intervals)")
        figure.legend(loc="outside upper left", ncols=3, fontsize=8, frameon=False)
        return figure


@checked
def agreement(
    metric: Any,
    votes: Votes | str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    attribute: str | None = None,
    template: str | None = None,
    skip_missing: bool = False,
    seed: int = 0,
    **options: Unpack[RunOptions],
) -> Agreement:
    """Return the metric's choices beside people's choices (Fig. 7).

    Args:
        metric, options: As for :func:`~.ranking.rank`.
        votes: A CSV file, or the result of :func:`~.votes.read_votes`.
        root, attribute, template, skip_missing: As for :func:`~.votes.read_votes`.
        seed: Seed for resampling the pairs.

    Raises:
        CLIPIQAError: An argument, the votes or an image cannot be used.
    """
    inputs: list[str] = []
    if not isinstance(votes, Votes):
        inputs = [os.fspath(votes)]
        votes = read_votes(votes, root=root, attribute=attribute, template=template, skip_missing=skip_missing)
    files = list(dict.fromkeys(votes.frame[list(_SIDES)].to_numpy().ravel()))
    scores = score_files(metric, files, votes.columns, ["agreement.csv", "agreement.png"], options, inputs)
    frame = votes.frame[~votes.frame[list(_SIDES)].isin(list(scores.failed)).any(axis=1)].reset_index(drop=True)
    if frame.empty:
        raise ImageError("no pair has scores for both images: there is nothing to compare" + because(scores.failed))
    for side in _SIDES:
        places = zip(frame[side], frame["attribute"], strict=True)
        frame[f"score_{side}"] = [scores.frame.at[path, question] for path, question in places]
    frame["majority"] = _larger(frame["votes_first"], frame["votes_second"])
    frame["metric"] = _larger(frame["score_first"], frame["score_second"])
    frame["right"] = (frame["majority"] == frame["metric"]).astype(object).where(frame["majority"] != "", None)
    frame["votes"] = frame["votes_first"] + frame["votes_second"]
    frame["votes_right"] = sum(frame[f"votes_{side}"] * (frame["metric"] == side) for side in _SIDES)
    return saved(Agreement(frame, scores.questions, scores.failed, scores.provenance, votes, seed), options)


def _larger(first: pandas.Series, second: pandas.Series) -> Any:
    return np.select([first > second, first < second], _SIDES, "")
