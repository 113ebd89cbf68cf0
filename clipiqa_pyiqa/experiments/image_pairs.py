"""Experiment of Fig. 5: whether the better of two versions of an image scores higher."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from ..errors import counted
from ..errors.arguments import checked
from ..prompts.pairs import Prompts, parse_columns
from ..report.contact_sheet import contact_sheet, fitted, headed
from ..sources.naming import PairingError, few, named_images
from ..stats.proportions import share
from .experiment import ExperimentResult, RunOptions, file_names, saved, score_files
from .scores import because, exif_applied

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


_SIDES = ("low", "high")


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """Scores of two versions of each image.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (files), then per question ``<question> low``, ``<question>
            high`` and ``<question> difference`` (high minus low).
        unpaired: ``only_low`` and ``only_high``: names of images without a partner.
    """

    unpaired: Mapping[str, list[str]]
    count: int = 10
    intervals: ClassVar = {
        "share right": ("share low", "share high"),
        "mean difference": ("difference low", "difference high"),
    }

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        ``right`` counts the pairs whose high-quality image scores higher. The share has Wilson's 95 % interval, and the
        mean difference has Student's. ``p`` is the p-value of Wilcoxon's two-sided signed-rank test.
        """
        import pandas

        return pandas.DataFrame(map(self._summary, self.questions))

    def _summary(self, question: str) -> dict[str, object]:
        from scipy.stats import t, wilcoxon

        differences = self.frame[f"{question} difference"].to_numpy()
        n, right = len(differences), int((differences > 0).sum())
        right_share, mean = share(right, n), float(differences.mean())
        reach = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return {
            "question": question,
            "pairs": n,
            "right": right,
            "equal": int((differences == 0).sum()),
            "share right": right_share.value,
            "share low": right_share.low,
            "share high": right_share.high,
            "mean low": self.frame[f"{question} low"].mean(),
            "mean high": self.frame[f"{question} high"].mean(),
            "mean difference": mean,
            "difference low": mean - reach,
            "difference high": mean + reach,
            "p": float(wilcoxon(differences).pvalue) if np.any(differences) else math.nan,
        }

    def contents(self) -> dict[str, Any]:
        sheets = {name: self.failure_sheet(question) for question, name in _sheets(self.questions).items()}
        return {"pairs.csv": self.frame, "pairs.png": self.figure(), **sheets}

    def details(self) -> dict[str, Any]:
        return {"unpaired": dict(self.unpaired)}

    def notes(self) -> list[str]:
        unpaired = sum(map(len, self.unpaired.values()))
        return [f"{counted(unpaired, 'image')} left out, without a partner"] if unpaired else []

    def failures(self, question: str) -> pandas.DataFrame:
        """Return the ``count`` worst pairs with wrong order or equal scores."""
        order = self.frame.sort_values(f"{question} difference", kind="stable")
        return order[order[f"{question} difference"] <= 0].head(self.count)

    def failure_sheet(self, question: str) -> Image.Image | None:
        worst = self.failures(question)
        if worst.empty:
            return None
        images = [Path(row[version]) for _, row in worst.iterrows() for version in _SIDES]
        captions = [
            f"{name}\n{version}: {row[f'{question} {version}']:.4f}"
            for name, row in worst.iterrows()
            for version in _SIDES
        ]
        sheet = contact_sheet(images, captions, columns=4, apply_exif=exif_applied(self.provenance))
        return headed({f"{question}: {counted(len(worst), 'pair')} in the wrong order, the worst first": sheet})

    def figure(self) -> Figure:
        """Return a figure with one panel per question: each pair's high-quality score against its low-quality score."""
        import matplotlib
        from matplotlib.figure import Figure

        from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS

        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(3.4 * len(self.questions), 3.9), layout="constrained")
            panels = figure.subplots(1, len(self.questions), squeeze=False)[0]
            for axes, (_, row) in zip(panels, self.summary().iterrows(), strict=True):
                low, high = (self.frame[f"{row['question']} {version}"].to_numpy() for version in _SIDES)
                for chosen, colour, marker in ((high > low, BLUE, "o"), (high <= low, ORANGE, "X")):
                    axes.scatter(low[chosen], high[chosen], 24, colour, marker=marker, alpha=0.65, linewidths=0)
                axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, zorder=0)
                axes.set(xlabel="score of the low-quality image", ylabel="score of the high-quality image")
                order = f"{row['right']} of {row['pairs']} in the right order ({100 * row['share right']:.0f} %)"
                axes.set_title(f"{fitted(row['question'], 185, 10)}\n{order}", **WORDS)
        return figure


@checked
def pairs(
    metric: Any,
    low: str | os.PathLike[str],
    high: str | os.PathLike[str],
    prompts: Prompts = "quality",
    *,
    template: str | None = None,
    skip_unpaired: bool = False,
    count: int = 10,
    **options: Unpack[RunOptions],
) -> PairScores:
    """Return scores of two versions of each image (Fig. 5).

    Args:
        metric, prompts, template, options: As for :func:`~.ranking.rank`.
        low: Folder or pattern of the low-quality images; see :func:`match_pairs`.
        high: Folder or pattern of the high-quality images.
        skip_unpaired: Leave out images without a partner.
        count: Number of failures to show.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    import pandas

    files, unpaired = match_pairs(low, high, skip_unpaired=skip_unpaired)
    columns = parse_columns(prompts, template)
    paths = list(dict.fromkeys(path for pair in files.values() for path in pair))
    names = ["pairs.csv", "pairs.png", "summary.json", *_sheets(columns).values()]
    scores = score_files(metric, paths, columns, names, options)
    whole = {name: pair for name, pair in files.items() if scores.failed.keys().isdisjoint(pair)}
    if not whole:
        raise PairingError("no pair has scores for both images: there is nothing to compare" + because(scores.failed))
    index = pandas.Index(whole, name="name", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(whole.values()), index, _SIDES, dtype=object)
    for question in scores.questions:
        for version in _SIDES:
            chosen = pandas.Index(frame[version], dtype=object)
            frame[f"{question} {version}"] = scores.frame.loc[chosen, question].to_numpy()
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    found = PairScores(frame, scores.questions, scores.failed, scores.provenance, unpaired, count)
    return saved(found, options)


def match_pairs(
    low: str | os.PathLike[str], high: str | os.PathLike[str], *, skip_unpaired: bool = False
) -> tuple[dict[str, tuple[str, str]], dict[str, list[str]]]:
    """Return name -> pair of images with this name in both folders, and the names without a partner.

    A name is the path in the folder, without suffix. With patterns such as ``'PolyU/*_Real.JPG'`` and
    ``'PolyU/*_mean.JPG'``, a name is the text that the wildcards match.
    """
    lows, highs = named_images(os.fspath(low)), named_images(os.fspath(high))
    files = {name: (lows[name], highs[name]) for name in lows if name in highs}
    unpaired = {
        f"only_{side}": [name for name in names if name not in files]
        for side, names in zip(_SIDES, (lows, highs), strict=True)
    }
    lone = sum(map(len, unpaired.values()))
    if not files or (lone and not skip_unpaired):
        sides = [f"{side.replace('_', ' ')} has {few(names)}" for side, names in unpaired.items() if names]
        raise PairingError(
            f"{counted(lone, 'image')} without a partner ({'; '.join(sides)}): complete the folders, set skip_unpaired "
            "to leave them out, or give patterns such as 'low/*_noisy.png' and 'high/*_clean.png' where names differ."
        )
    return files, unpaired


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return file_names(questions, "failures-{}.png")
