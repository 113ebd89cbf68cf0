"""Experiments of Figs. 5 and 7: whether the better of two images scores higher, by how they were made and by votes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Unpack

import matplotlib
import numpy as np
import pandas
from matplotlib.figure import Figure

from ..errors import CLIPIQAError, FilePath, checked, counted, few, nearest
from ..files.csv_files import check_images_exist, read_rows
from ..metric import find_device
from ..metrics.building import build
from ..prompts.pairs import Columns, Prompts, parse_columns
from ..report.pictures import COLOURS, INK, STYLE, WORDS, captioned, contact_sheet, wrapped
from ..sources.finding import check_pictures_outside
from ..sources.naming import in_all_folders, named_images
from ..stats.intervals import clustered_share, mean_difference, share
from .experiment import (
    ExperimentOptions,
    ExperimentResult,
    asked,
    checked_output,
    column_names,
    file_names,
    score_files,
    without_unknown,
)

_VERSIONS = ("low", "high")
_SHEETS = "pairs-{}.png"
_SHOWN = 10  # most pairs in the wrong order on a sheet
_CLEAREST = 4  # most pairs in the right order on a sheet
_SIDES = ("first", "second")
_AGREEMENT = ("agreement.csv", "agreement.*")


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """Scores of two versions of each image.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (files), then per question ``<question> low``, ``<question>
            high`` and ``<question> difference`` (high minus low).
        missing: ``low`` or ``high`` -> names of images that this side lacks.
    """

    missing: Mapping[str, list[str]]
    intervals: ClassVar = ("share right", "mean difference")

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        ``right`` counts the pairs whose high-quality image scores better. The share has Wilson's interval; the mean
        difference has the interval and ``p`` of :func:`~clipiqa_pyiqa.stats.intervals.mean_difference`.
        """
        return pandas.DataFrame(map(self._summary, self.questions))

    def _summary(self, question: str) -> dict[str, object]:
        low, high = (self.frame[f"{question} {side}"] for side in _VERSIONS)
        right, apart = int((self._gains(question) > 0).sum()), mean_difference(high, low)
        return {
            "question": question,
            "pairs": len(low),
            "right": right,
            "equal": int((high == low).sum()),
            **share(right, len(low)).named("share right"),
            "mean low": low.mean(),
            "mean high": high.mean(),
            **apart.named("mean difference"),
            "p": apart.p,
        }

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.sheet(question) for question, name in file_names(self.questions, _SHEETS).items()}
        return {"pairs.csv": self.frame, **sheets}

    def details(self) -> dict[str, Any]:
        return {"missing": dict(self.missing)}

    def notes(self) -> list[str]:
        return [f"left out: {side} lacks {few(names)}" for side, names in self.missing.items()]

    def _gains(self, question: str) -> pandas.Series:
        """Return how much better the high-quality images score."""
        return self.frame[f"{question} difference"] * (-1 if self.is_low_good(question) else 1)

    def sheet(self, question: str) -> Figure:
        """Return the pairs in the wrong order, the worst first, and the pairs with the clearest differences."""
        gains = self._gains(question).sort_values(kind="stable")
        parts = {
            "in the wrong order, the worst first": gains[gains <= 0][:_SHOWN],
            "with the clearest difference": gains[gains > 0][: -_CLEAREST - 1 : -1],
        }
        groups = {
            f"{question}: {counted(len(shown), 'pair')} {title}": [
                (row[side], f"{name}\n{side}: {row[f'{question} {side}']:.4f}")
                for name, row in self.frame.loc[shown.index].iterrows()
                for side in _VERSIONS
            ]
            for title, shown in parts.items()
        }
        return contact_sheet(groups, self.caption, columns=4, apply_exif=self.provenance.get("apply_exif", True))


@checked
def pairs(
    metric: Any,
    low: FilePath,
    high: FilePath,
    prompts: Prompts = None,
    *,
    template: str | None = None,
    skip_missing: bool = False,
    **options: Unpack[ExperimentOptions],
) -> PairScores:
    """Return scores of two versions of each image (Fig. 5).

    Args:
        metric, prompts, template, options: As for :func:`~.ranking.rank`.
        low: Folder or pattern of the low-quality images; see :func:`~clipiqa_pyiqa.sources.naming.named_images`.
        high: Folder or pattern of the high-quality images.
    """
    check_pictures_outside(options.get("out"), [low, high])
    named = {"low": named_images(os.fspath(low)), "high": named_images(os.fspath(high))}
    frame, missing = in_all_folders(named, skip_missing)
    metrics = asked(metric, prompts, template)
    scores = score_files(metrics, frame.to_numpy().ravel(), ["pairs.csv", _SHEETS], **options)
    frame = scores.of_pairs(frame, _VERSIONS).rename_axis("name")
    for question in scores.questions:
        for version in _VERSIONS:
            frame[f"{question} {version}"] = frame[version].map(scores.frame[question].get)
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    return PairScores(**{**vars(scores), "frame": frame}, missing=missing).saved(options)


def read_votes(
    path: FilePath,
    *,
    root: FilePath | None = None,
    template: str | None = None,
) -> tuple[pandas.DataFrame, Columns]:
    """Return the votes in a CSV file, with a row per attribute and image pair, and the attributes' prompts.

    The file's columns: ``attribute,first,second,choice``, where the choice is ``first``, ``second``, a file name or
    ``tie``; or ``attribute,first,second,votes_first,votes_second``.

    Args:
        root: Folder of the images; default the CSV file's folder.
    """
    path = Path(path).expanduser()
    rows, header = read_rows(path)
    has_counts = {"votes_first", "votes_second"} <= set(header)
    needed = ["attribute", *_SIDES, *["choice"] * (not has_counts)]
    if lacking := [column for column in needed if column not in header]:
        raise CLIPIQAError(
            f"{str(path)!r} has no column {lacking[0]!r}: expected attribute,first,second,choice, or votes_first and "
            f"votes_second in place of choice; got {', '.join(header)}."
        )
    folder = path.parent if root is None else Path(root).expanduser()
    columns, tallied = Columns(), defaultdict[tuple[str, str, str], Any](lambda: np.zeros(3, int))
    for line, cells in rows:
        row = {name: cell.strip() for name, cell in cells.items()}
        try:
            question = parse_columns([row["attribute"]], template)
            first, second = (os.fspath(folder / row[side]) for side in _SIDES)
            if first == second:
                raise CLIPIQAError(f"both images are {first!r}, but a pair has two different images.")
            votes = _votes(row, has_counts)
        except CLIPIQAError as error:
            raise type(error)(f"{path}, line {line}: {error}") from error
        columns |= question
        (name,) = question
        if (name, second, first) in tallied:
            first, second, votes = second, first, votes[[1, 0, 2]]
        tallied[name, first, second] += votes
    check_images_exist(path, {file for _, *pair in tallied for file in pair})
    table = [(*key, *votes) for key, votes in tallied.items()]
    head = ["attribute", "first", "second", "votes_first", "votes_second", "undecided"]
    return pandas.DataFrame(table, columns=head), columns


def _votes(row: Mapping[str, str], has_counts: bool) -> Any:
    """Return the numbers of votes for the first image, for the second, and for neither."""
    if has_counts:
        counts = [row["votes_first"], row["votes_second"]]
        if not all(map(str.isdecimal, counts)):
            raise CLIPIQAError(
                f"votes_first and votes_second must be whole numbers; got {' and '.join(map(repr, counts))}."
            )
        return np.array([*map(int, counts), 0])
    known = {"first": 0, row["first"]: 0, "second": 1, row["second"]: 1, "tie": 2}
    if (choice := row["choice"]) not in known:
        raise CLIPIQAError(f"choice must be one of the two images or a tie; got {choice!r}: {nearest(choice, known)}")
    return np.eye(3, dtype=int)[known[choice]]


@dataclass(frozen=True)
class Agreement(ExperimentResult):
    """The metric's choices beside people's choices.

    Attributes:
        frame: One row per attribute and pair. Columns: those of the votes; ``score_first`` and ``score_second``;
            ``majority`` and ``metric``, the choices of people and metric (``'first'``, ``'second'``, or ``''``);
            ``right`` (None without a majority); ``votes``; ``votes_right``, those that agree with the metric.
        unknown: Attributes that are left out, as the CLIP never saw their words -> their number of pairs.
    """

    unknown: Mapping[str, int]
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
            **clustered_share(frame["votes_right"], frame["votes"]).named("vote accuracy"),
            "ceiling": frame[["votes_first", "votes_second"]].max(axis=1).sum() / votes if votes else np.nan,
        }

    def contents(self) -> dict[str, Any]:
        return {"agreement.csv": self.frame, "agreement.*": self.figure()}

    @matplotlib.rc_context(STYLE)
    def figure(self) -> Figure:
        """Return bars of both accuracies with their intervals, and the ceilings, for each attribute."""
        table = self.summary()
        figure = Figure(figsize=(2 + 1.3 * max(len(table), 2), 3.4), layout="constrained")
        axes, places = figure.subplots(), np.arange(len(table))
        for colour, side, name in zip(COLOURS, (-0.2, 0.2), self.intervals, strict=False):
            share, ends = table[name], (table[f"{name} low"], table[f"{name} high"])
            apart = [share - ends[0], ends[1] - share]
            axes.bar(places + side, share, 0.36, color=colour, label=name, yerr=apart, ecolor=INK, capsize=3)
        axes.hlines(table["ceiling"], places + 0.02, places + 0.38, INK, "dotted", label="ceiling of votes")
        axes.set_xticks(places, [wrapped(name, 18) for name in table["attribute"]], **WORDS)
        axes.set(ylim=(0, 1), ylabel="agreement with people")
        axes.axhline(0.5, color=INK, linewidth=0.6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False, fontsize=7.5)
        return captioned(figure, self.caption)

    def notes(self) -> list[str]:
        counts = [
            ((self.frame["majority"] == "").sum(), "pair", "without a majority, counted vote by vote only"),
            (self.frame["undecided"].sum(), "vote", "for neither image, not counted"),
        ]
        notes = [f"{counted(int(count), noun)} {remark}" for count, noun, remark in counts if count]
        if self.unknown:
            pairs = counted(sum(self.unknown.values()), "pair")
            backbone = self.provenance["backbone"]
            notes.append(f"left out: {few(self.unknown)} ({pairs}), as {backbone} never saw their words")
        return notes

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self.unknown

    def details(self) -> dict[str, Any]:
        return {"unknown": dict(self.unknown)}


@checked
def agreement(
    metric: Any,
    votes: FilePath,
    prompts: Prompts = None,
    *,
    root: FilePath | None = None,
    template: str | None = None,
    **options: Unpack[ExperimentOptions],
) -> Agreement:
    """Return the metric's choices beside people's choices (Fig. 7).

    Args:
        metric, options: As for :func:`~.ranking.rank`.
        prompts: Questions in place of the attributes' own; these and named metrics choose for every attribute.
            Without them, attributes whose words the CLIP never saw are left out.
        votes, root, template: As for :func:`read_votes`.
    """
    tally, columns = read_votes(votes, root=root, template=template)
    metrics = asked(metric, prompts, template, columns)
    images = tally[list(_SIDES)].to_numpy().ravel()
    checked_output(_AGREEMENT, column_names(metrics), [*images, os.fspath(votes)], **options)  # before weights are read
    unknown = dict[str, int]()
    if prompts is None and column_names(metrics) == [*columns]:
        first, names = without_unknown(build(metrics[0], find_device(options.get("device"))))
        if len(names) == len(columns):
            raise CLIPIQAError(
                f"{first.net.clip.weights.backbone} never saw the words of any attribute ({few(names)}): use another "
                "backbone."
            )
        metrics = [first]
        unknown = {name: int((tally["attribute"] == name).sum()) for name in names}
        columns = first.questions
        tally = tally[~tally["attribute"].isin(names)]
    files = tally[list(_SIDES)].to_numpy().ravel()
    scores = score_files(metrics, files, _AGREEMENT, [os.fspath(votes)], **options)
    frame = tally.assign(score=tally["attribute"])
    if tuple(columns) != scores.questions:
        frame = pandas.concat([tally.assign(score=name) for name in scores.questions], ignore_index=True)
        if len(scores.questions) > 1:
            frame["attribute"] += ", " + frame["score"]
    frame = scores.of_pairs(frame, _SIDES).reset_index(drop=True)
    for side in _SIDES:
        frame[f"score_{side}"] = [scores.frame.at[place] for place in zip(frame[side], frame["score"], strict=True)]
    sign = frame.pop("score").map(lambda name: -1 if scores.is_low_good(name) else 1)
    for choice, by, upright in (("majority", "votes", 1), ("metric", "score", sign)):
        apart = upright * (frame[f"{by}_first"] - frame[f"{by}_second"])
        frame[choice] = np.select([apart > 0, apart < 0], _SIDES, "")
    frame["right"] = (frame["majority"] == frame["metric"]).astype(object).where(frame["majority"] != "", None)
    frame["votes"] = frame["votes_first"] + frame["votes_second"]
    frame["votes_right"] = sum(frame[f"votes_{side}"] * (frame["metric"] == side) for side in _SIDES)
    return Agreement(**{**vars(scores), "frame": frame}, unknown=unknown).saved(options)
