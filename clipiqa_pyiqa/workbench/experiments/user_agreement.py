"""Experiment of Fig. 7: whether a metric chooses between two images as people do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure

from ...checks import FilePath
from ...machine import find_device
from ...options import lists_options
from ...prompts.pairs import Prompts
from ...text import counted, few
from ..options import SharedOptions
from ..report.fitted_text import wrapped
from ..report.pictures import COLOURS, INK, STYLE, WORDS, add_caption
from ..sources.paths import each_of
from ..stats.shares import clustered_share, share
from .experiment_result import ExperimentResult
from .options import ExperimentOptions, Paths
from .questions import built_with_known_questions, column_names, is_asked_defaults, metrics_with_questions
from .scoring import check_results_can_be_written, scored_images
from .votes import SIDES, read_votes

_WRITTEN = ("agreement.csv", "agreement.*")


@dataclass(frozen=True)
class Agreement(ExperimentResult):
    """The metric's choices beside people's choices.

    Attributes:
        frame: One row per attribute, pair and question that chooses. Columns: those of the votes; ``question``, which
            is the attribute unless other questions are asked; ``score_first`` and ``score_second``; ``majority`` and
            ``metric``, the choices of people and metric (``'first'``, ``'second'``, or ``''``); ``right`` (None without
            a majority); ``votes``; ``votes_right``, those that agree with the metric.
        unknown: Attributes that are left out, as the CLIP never saw their words -> their number of pairs.
    """

    unknown: Mapping[str, int]
    intervals: ClassVar = ("majority accuracy", "vote accuracy")

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self.unknown

    @property
    def has_own_questions(self) -> bool:
        """Whether each attribute is its own question; if not, each question chooses for all attributes."""
        return bool((self.frame["question"] == self.frame["attribute"]).all())

    def summary(self) -> pandas.DataFrame:
        """Return one row per attribute and, if there are several attributes, one row for all.

        If other questions are asked than the attributes, these rows are repeated for each question.

        ``majority accuracy`` is the share of pairs in which the metric agrees with the majority (Wilson's interval).
        ``vote accuracy`` is the share of votes that agree with the metric (interval from resampled pairs). ``ceiling``
        is the highest possible vote accuracy.
        """
        if self.has_own_questions:
            return pandas.DataFrame(_summary_rows(self.frame))
        by_question = self.frame.groupby("question", sort=False)
        rows = [{"question": question, **row} for question, frame in by_question for row in _summary_rows(frame)]
        return pandas.DataFrame(rows)

    def contents(self) -> dict[str, Any]:
        return {"agreement.csv": self.frame, "agreement.*": self.figure()}

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        """Return bars of both accuracies with their intervals, and the ceilings, for each attribute."""
        table = self.summary()
        figure = Figure(figsize=(2 + 1.3 * max(len(table), 2), 3.4), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(table))
        for colour, shift, name in zip(COLOURS, (-0.2, 0.2), self.intervals, strict=False):
            shares = table[name]
            errors = [shares - table[f"{name} low"], table[f"{name} high"] - shares]
            axes.bar(places + shift, shares, 0.36, color=colour, label=name, yerr=errors, ecolor=INK, capsize=3)
        axes.hlines(table["ceiling"], places + 0.02, places + 0.38, INK, "dotted", label="ceiling of votes")
        names = table["attribute"] if self.has_own_questions else table["attribute"] + ", " + table["question"]
        axes.set_xticks(places, [wrapped(name, 18) for name in names], **WORDS)
        axes.set(ylim=(0, 1), ylabel="agreement with people")
        axes.axhline(0.5, color=INK, linewidth=0.6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False, fontsize=7.5)
        add_caption(figure, self.caption)
        return figure

    def details(self) -> dict[str, Any]:
        return {"unknown": dict(self.unknown)}

    def notes(self) -> list[str]:
        notes = []
        pairs = self.frame.drop_duplicates(["attribute", *SIDES])  # a pair has a row for each question
        tied = int((pairs["majority"] == "").sum())
        if tied:
            notes.append(f"{counted(tied, 'pair')} without a majority, counted vote by vote only")
        undecided = int(pairs["undecided"].sum())
        if undecided:
            notes.append(f"{counted(undecided, 'vote')} for neither image, not counted")
        if self.unknown:
            unknown_pairs = counted(sum(self.unknown.values()), "pair")
            notes.append(self.note_on_unknown(f"{few(self.unknown)} ({unknown_pairs})"))
        return notes


def _summary_rows(frame: pandas.DataFrame) -> list[dict[str, object]]:
    """Return the rows of the summary for each attribute, and for all of them."""
    rows = [_summary_row(str(attribute), rows) for attribute, rows in frame.groupby("attribute", sort=False)]
    if len(rows) > 1:
        rows.append(_summary_row("all", frame))
    return rows


def _summary_row(attribute: str, frame: pandas.DataFrame) -> dict[str, object]:
    """Return the row of an attribute in the summary."""
    decided = frame[frame["majority"] != ""]
    right = int(decided["right"].astype(bool).sum())
    votes = frame["votes"].sum()
    votes_of_majorities = frame[["votes_first", "votes_second"]].max(axis=1).sum()
    return {
        "attribute": attribute,
        "pairs": len(decided),
        "tied": len(frame) - len(decided),
        **share(right, len(decided)).named("majority accuracy"),
        "votes": votes,
        **clustered_share(frame["votes_right"], frame["votes"]).named("vote accuracy"),
        "ceiling": votes_of_majorities / votes if votes else np.nan,
    }


@lists_options(ExperimentOptions, of=SharedOptions)
def agreement(
    metric: Any,
    votes: Paths,
    prompts: Prompts = None,
    *,
    root: FilePath | None = None,
    template: str | None = None,
    **options: Unpack[ExperimentOptions],
) -> Agreement:
    """Return the metric's choices beside people's choices (Fig. 7).

    Args:
        metric, options: As for :func:`~clipiqa_pyiqa.workbench.rank.ranking.rank`.
        prompts: Questions in place of the attributes' own; these and named metrics choose for every attribute.
            Without them, attributes whose words the CLIP never saw are left out.
        votes: CSV files as for :func:`~.votes.read_votes`; :func:`~.user_study.make_pairs` makes a page to vote on.
        root, template: As for :func:`~.votes.read_votes`.
    """
    vote_files = [os.fspath(path) for path in each_of(votes)]
    tally, questions = read_votes(vote_files, root=root, template=template)
    metrics = metrics_with_questions(metric, prompts, template, questions)
    inputs = [*_images(tally), *vote_files]
    check_results_can_be_written(_WRITTEN, column_names(metrics), inputs, options)  # before weights are read
    unknown = list[str]()
    if is_asked_defaults(metrics, prompts, questions):
        clipiqa, unknown = built_with_known_questions(metrics[0], find_device(options.get("device")))
        metrics = [clipiqa]
    pair_counts = {attribute: int((tally["attribute"] == attribute).sum()) for attribute in unknown}
    tally = tally[~tally["attribute"].isin(unknown)]
    attributes = [name for name in questions if name not in unknown]
    scored = scored_images(metrics, _images(tally), _WRITTEN, options, vote_files)
    frame = _with_choices(_with_questions(tally, attributes, scored), scored)
    result = Agreement(frame, scored.failed, scored.provenance, scored.scores, pair_counts)
    result.save_if_asked(options)
    return result


def _images(tally: pandas.DataFrame) -> list[str]:
    return list(tally[list(SIDES)].to_numpy().ravel())


def _with_questions(tally: pandas.DataFrame, attributes: list[str], scored: ExperimentResult) -> pandas.DataFrame:
    """Return the votes on pairs with scores, with a column ``question``: the name of the score that chooses.

    Usually, each attribute is its own question. Other questions choose for all attributes, so each has all rows.
    """
    if list(scored.questions) == attributes:
        frame = tally.assign(question=tally["attribute"])
    else:
        frame = pandas.concat([tally.assign(question=name) for name in scored.questions], ignore_index=True)
    return scored.scored_pairs(frame, SIDES).reset_index(drop=True)


def _with_choices(frame: pandas.DataFrame, scored: ExperimentResult) -> pandas.DataFrame:
    """Return the votes with scores and choices."""
    frame = frame.copy()
    is_low_good = frame["question"].map(scored.is_low_good)
    for side in SIDES:
        places = zip(frame[side], frame["question"], strict=True)
        frame[f"score_{side}"] = [scored.frame.at[image, question] for image, question in places]
    score_gains = frame["score_first"] - frame["score_second"]
    frame["majority"] = _choices(frame["votes_first"] - frame["votes_second"])
    frame["metric"] = _choices(score_gains.where(~is_low_good, -score_gains))
    has_majority = frame["majority"] != ""
    frame["right"] = (frame["majority"] == frame["metric"]).astype(object).where(has_majority, None)
    frame["votes"] = frame["votes_first"] + frame["votes_second"]
    is_chosen = [frame["metric"] == side for side in SIDES]
    frame["votes_right"] = np.select(is_chosen, [frame["votes_first"], frame["votes_second"]], 0)
    return frame


def _choices(gains: pandas.Series) -> Any:
    """Return ``'first'`` where the first image's gain over the second is positive, ``'second'``, or ``''`` if equal."""
    return np.select([gains > 0, gains < 0], SIDES, "")
