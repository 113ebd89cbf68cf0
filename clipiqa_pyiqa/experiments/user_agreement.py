"""Does the metric choose as people do? The paper's user study, Fig. 7."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from ..datasets.votes import Votes, read_votes
from ..errors import CLIPIQAError, ImageError, counted
from ..errors.arguments import checked
from ..files.names import below_common
from ..report.contact_sheet import contact_sheet, headed, wrapped
from ..stats.proportions import clustered_share, share
from .experiment import ExperimentResult, RunOptions, prepare, saved
from .scores import because, exif_applied, score_images

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from .experiment import Content

ALL = "all"
"""The row of a summary that takes all attributes together."""


@dataclass(frozen=True)
class Agreement(ExperimentResult):
    """The metric's choices beside people's.

    Attributes:
        frame: One row per attribute and pair: the votes' columns; ``score_first``, ``score_second``; ``majority``
            (``'first'``, ``'second'`` or ``''`` for a tie); ``metric`` (likewise); ``right``, whether the metric sides
            with the majority (None without a majority; equal scores side with nobody); ``votes`` and ``votes_right``,
            how many votes agree with the metric.
        failed: Images that could not be scored -> why; their pairs are left out.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        seed: Of the bootstrap.
        undecided: How many votes were for neither image.
        missing: Images that were left out with their pairs because their files are missing.
        count: How many contradictions to save.
    """

    frame: pandas.DataFrame
    failed: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    undecided: int = 0
    missing: tuple[str, ...] = ()
    count: int = 10
    intervals: ClassVar = {
        "majority accuracy": ("majority low", "majority high"),
        "vote accuracy": ("vote low", "vote high"),
    }

    def summary(self) -> pandas.DataFrame:
        """One row per attribute, and one for all if there are several.

        Columns: attribute; pairs (with a majority) and tied (without one); majority accuracy, the share of pairs where
        the metric sides with the majority, with Wilson's 95 % interval; votes; vote accuracy, the share of single votes
        that agree with the metric, with a 95 % interval from resampled pairs, since votes on one pair hang together
        (NaN for one pair); ceiling, the vote accuracy of always siding with the majority, which nothing can exceed.
        """
        import pandas

        groups = [(name, group) for name, group in self.frame.groupby("attribute", sort=False)]
        groups += [(ALL, self.frame)] if len(groups) > 1 else []
        return pandas.DataFrame([self._summary(str(name), group) for name, group in groups])

    def _summary(self, attribute: str, frame: pandas.DataFrame) -> dict[str, object]:
        decided = frame[frame["majority"] != ""]
        majority = share(int(decided["right"].astype(bool).sum()), len(decided))
        votes = frame["votes"].sum()
        single = clustered_share(frame["votes_right"], frame["votes"], seed=self.seed)
        return {
            "attribute": attribute,
            "pairs": len(decided),
            "tied": len(frame) - len(decided),
            "majority accuracy": majority.value,
            "majority low": majority.low,
            "majority high": majority.high,
            "votes": votes,
            "vote accuracy": single.value,
            "vote low": single.low,
            "vote high": single.high,
            "ceiling": frame[["votes_first", "votes_second"]].max(axis=1).sum() / votes if votes else np.nan,
        }

    def contents(self) -> dict[str, Content]:
        sheet = self.contradiction_sheet(self.count)
        return {"agreement.csv": self.frame, "agreement.png": self.figure(), "contradictions.png": sheet}

    def details(self) -> dict[str, Any]:
        return {"undecided": self.undecided, "missing": list(self.missing)}

    def notes(self) -> list[str]:
        tied = int((self.frame["majority"] == "").sum())
        counts = [
            (tied, "pair", "without a majority, counted vote by vote only"),
            (self.undecided, "vote", "for neither image, not counted"),
            (len(self.missing), "image", "missing, whose pairs were left out"),
        ]
        return [f"{counted(count, what)} {how}" for count, what, how in counts if count]

    def contradictions(self) -> pandas.DataFrame:
        """Return the pairs where the metric contradicts the majority, the most certain of its scores first."""
        wrong = self.frame[self.frame["right"].eq(False)]
        certainty = (wrong["score_first"] - wrong["score_second"]).abs()
        return wrong.loc[certainty.sort_values(ascending=False, kind="stable").index]

    def contradiction_sheet(self, count: int = 10, side: int = 256) -> Image.Image | None:
        """Draw those pairs, the two images of each side by side; return None if there are none."""
        wrong = self.contradictions().head(count)
        if wrong.empty:
            return None
        images, captions, names = [], [], below_common([*self.frame["first"], *self.frame["second"]])
        for _, row in wrong.iterrows():
            for which in ("first", "second"):
                images.append(Path(row[which]))
                votes = f"{row[f'votes_{which}']} of {counted(row['votes'], 'vote')}"
                captions.append(f"{row['attribute']} {row[f'score_{which}']:.4f}\n{votes}\n{names[row[which]]}")
        upright = exif_applied(self.provenance)
        sheet = contact_sheet(images, captions, columns=4 if len(wrong) > 1 else 2, side=side, apply_exif=upright)
        return headed({"The metric contradicts the majority, its clearest scores first": sheet})

    def figure(self) -> Figure:
        """Draw accuracy per attribute against the majority (bars) and against single votes (diamonds), with intervals.

        The grey line of each bar is the ceiling of the votes, the dashed one chance.
        """
        import matplotlib
        from matplotlib.figure import Figure

        from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS

        summary = self.summary()
        places = np.arange(len(summary), dtype=float)
        bars, dots = places - 0.15, places + 0.2
        labels = [
            f"{wrapped(name, 14)}\n{counted(count, 'pair')}"
            for name, count in zip(summary["attribute"], summary["pairs"], strict=True)
        ]
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(max(4.5, 1.0 * len(summary) + 1.6), 3.6), layout="constrained")
            axes = figure.subplots()
            axes.bar(bars, summary["majority accuracy"], 0.4, color=BLUE, alpha=0.6, label="majority of each pair")
            axes.vlines(bars, summary["majority low"], summary["majority high"], color=INK, linewidth=1.4)
            axes.vlines(dots, summary["vote low"], summary["vote high"], color=ORANGE, linewidth=1.4)
            style: dict[str, Any] = {"color": ORANGE, "markersize": 5, "clip_on": False}
            axes.plot(dots, summary["vote accuracy"], "D", label="single votes", **style)
            most: dict[str, Any] = {"color": "#7a7f87", "linewidth": 2, "label": "most that votes allow"}
            axes.hlines(summary["ceiling"], places + 0.08, places + 0.32, **most)
            axes.axhline(0.5, color=INK, linewidth=0.8, linestyle="--", label="chance")
            axes.set_xticks(places, labels, **WORDS)
            axes.tick_params(axis="x", length=0)
            axes.set(xlim=(-0.6, len(summary) - 0.4), ylim=(0, 1.02))  # also where nothing could be drawn
            axes.set_ylabel("share of choices as the metric's\n(lines: 95 % intervals)")
            place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
            axes.legend(frameon=False, fontsize=8, ncols=2, **place)
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
    count: int = 10,
    **options: Unpack[RunOptions],
) -> Agreement:
    """Score the images that people voted on, each once, and compare the choices.

    Args:
        metric: As for :func:`~.ranking.rank`.
        votes: A CSV file, read by :func:`~.votes.read_votes` with ``root``, ``attribute``, ``template`` and
            ``skip_missing``; or what that returned.
        root, attribute, template, skip_missing: As for :func:`~.votes.read_votes`.
        seed: Of the bootstrap.
        count: How many contradictions to show.
        options: As for :func:`~.ranking.rank`.

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    given: list[str] = []
    if not isinstance(votes, Votes):
        given = [os.fspath(votes)]
        votes = read_votes(votes, root=root, attribute=attribute, template=template, skip_missing=skip_missing)
    files = list(dict.fromkeys(votes.frame[["first", "second"]].to_numpy().ravel()))
    names = ("agreement.csv", "agreement.png", "contradictions.png", "summary.json")
    record, scoring = prepare(options, names, [*files, *given], len(files))
    scores = score_images(metric, files, votes.columns, record=record, **scoring)
    found = compare_choices(scores.frame, votes, scores.failed, scores.provenance, seed=seed, count=count)
    return saved(found, options)


def compare_choices(
    scores: pandas.DataFrame,
    votes: Votes,
    failed: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    count: int = 10,
) -> Agreement:
    """Compare votes with images that are scored already: ``scores`` has index ``path``, a column per attribute."""
    if unknown := [name for name in votes.columns if name not in scores.columns]:
        raise CLIPIQAError(f"the votes are about {', '.join(unknown)}, of which there are no scores.")
    there = votes.frame[["first", "second"]].isin(list(scores.index)).all(axis=1)
    frame = votes.frame[there].reset_index(drop=True)
    if frame.empty:
        raise ImageError("no pair has both of its images scored: there is nothing to compare" + because(failed))
    for side in ("first", "second"):
        places = zip(frame[side], frame["attribute"], strict=True)
        frame[f"score_{side}"] = [scores.at[path, attribute] for path, attribute in places]
    frame["majority"] = _larger(frame["votes_first"], frame["votes_second"])
    frame["metric"] = _larger(frame["score_first"], frame["score_second"])
    frame["right"] = (frame["majority"] == frame["metric"]).astype(object).where(frame["majority"] != "", None)
    frame["votes"] = frame["votes_first"] + frame["votes_second"]
    frame["votes_right"] = sum(frame[f"votes_{side}"] * (frame["metric"] == side) for side in ("first", "second"))
    undecided = int(votes.frame["undecided"].sum())
    return Agreement(frame, failed or {}, provenance or {}, seed, undecided, votes.missing, count)


def _larger(first: pandas.Series, second: pandas.Series) -> Any:
    return np.select([first > second, first < second], ["first", "second"], "")
