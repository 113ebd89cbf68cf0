"""Experiment of Fig. 5: whether the better of two versions of a picture scores higher."""

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
from ..report.crops import differing_crops
from ..sources.naming import PairingError, few, named_images
from ..stats.proportions import share
from .experiment import ExperimentResult, RunOptions, file_names, prepare, saved
from .scores import Scores, because, exif_applied, score_images

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack


_SIDES = ("low", "high")
_DETAIL = ("quality", "sharpness", "noisiness", "sharp", "blur", "nois", "grain", "crisp", "detail", "artifact", "jpeg")


@dataclass(frozen=True)
class ImagePairs:
    """Low-quality and high-quality files, paired by name."""

    files: Mapping[str, tuple[str, str]]
    only_low: tuple[str, ...] = ()
    only_high: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """Scores of two versions of each picture.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (files), then per question ``<question> low``, ``<question>
            high`` and ``<question> difference`` (high minus low).
        pairs: All pairs, and images without a partner.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    pairs: ImagePairs
    count: int = 10
    intervals: ClassVar = {
        "share right": ("share low", "share high"),
        "mean difference": ("difference low", "difference high"),
    }

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        ``right`` counts the pairs whose high-quality image scores higher. The 95 % intervals are Wilson's for the
        share and Student's for the mean difference. ``p`` is from Wilcoxon's two-sided signed-rank test.
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
        return {"unpaired": {"only_low": list(self.pairs.only_low), "only_high": list(self.pairs.only_high)}}

    def notes(self) -> list[str]:
        unpaired = len(self.pairs.only_low) + len(self.pairs.only_high)
        return [f"{counted(unpaired, 'image')} left out, without a partner"] if unpaired else []

    def failures(self, question: str) -> pandas.DataFrame:
        """Return the ``count`` worst pairs with wrong order or equal scores."""
        order = self.frame.sort_values(f"{question} difference", kind="stable")
        return order[order[f"{question} difference"] <= 0].head(self.count)

    def failure_sheet(self, question: str, side: int = 256) -> Image.Image | None:
        """Return a picture of the failures, or None."""
        worst, needs_crops = self.failures(question), needs_detail(question)
        if worst.empty:
            return None
        images: list[Path | Image.Image] = []
        captions, upright = [], exif_applied(self.provenance)
        for name, row in worst.iterrows():
            files = [str(row[version]) for version in _SIDES]
            images += map(Path, files)
            captions += [f"{name}\n{version}: {row[f'{question} {version}']:.4f}" for version in _SIDES]
            crops = differing_crops(files, side, upright) if needs_crops else []
            for version, crop in zip(_SIDES, crops, strict=False):
                images.append(crop or Image.new("RGB", (side, side), (236, 238, 241)))
                captions.append(f"{version}, where they differ most:\n100 %" if crop else "of another size")
        columns = 4 if len(worst) > 1 or needs_crops else 2
        sheet = contact_sheet(images, captions, columns=columns, side=side, apply_exif=upright)
        return headed({f"{question}: {counted(len(worst), 'pair')} in the wrong order, the worst first": sheet})

    def figure(self) -> Figure:
        """Return a figure of high-quality against low-quality scores, per question."""
        import matplotlib
        from matplotlib.figure import Figure

        from ..report.plotting import STYLE

        summary = self.summary().set_index("question")
        columns = min(3, len(self.questions))
        rows = math.ceil(len(self.questions) / columns)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(3.4 * columns, 3.9 * rows + 0.3), layout="constrained")
            panels = figure.subplots(rows, columns, squeeze=False).ravel()
            for axes in panels[len(self.questions) :]:
                axes.set_axis_off()
            for axes, question in zip(panels, self.questions, strict=False):
                self._draw(axes, question, summary.loc[question])
            marks = panels[0].get_legend_handles_labels()
            figure.legend(*marks, loc="outside upper left", ncols=2, fontsize=8, frameon=False, handletextpad=0.1)
        return figure

    def _draw(self, axes: Axes, question: str, summary: pandas.Series) -> None:
        from ..report.plotting import BLUE, INK, ORANGE, WORDS

        low, high = (self.frame[f"{question} {version}"].to_numpy() for version in _SIDES)
        many, right = len(low) > 400, high > low
        size = 5 if many else 20
        style: dict[str, Any] = {"alpha": 0.65, "linewidths": 0, "rasterized": many}
        axes.scatter(low[right], high[right], size, BLUE, marker="o", label="right order", **style)
        axes.scatter(low[~right], high[~right], 1.8 * size, ORANGE, marker="X", label="wrong order, or equal", **style)
        least, most = min(low.min(), high.min()), max(low.max(), high.max())
        margin = 0.05 * (most - least) or 0.05
        limits = least - margin, most + margin
        axes.plot(limits, limits, color=INK, linewidth=0.8, zorder=0)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set(xlabel="score of the low-quality image", ylabel="score of the high-quality image")
        order = f"{summary['right']:.0f} of {summary['pairs']:.0f} in the right order ({summary['share right']:.0%})"
        axes.set_title(f"{fitted(question, 185, 10)}\n{order.replace('%', ' %')}", **WORDS)


def needs_detail(question: str) -> bool:
    return any(word in question.lower() for word in _DETAIL)


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
    """Return scores of two versions of each picture (Fig. 5).

    Args:
        metric, prompts, template, options: As for :func:`~.ranking.rank`.
        low: Folder or pattern of the low-quality images; see :func:`match_pairs`.
        high: Folder or pattern of the high-quality images.
        skip_unpaired: Leave out images without a partner.
        count: Number of failures to show.

    Raises:
        CLIPIQAError: An argument, a prompt or an image cannot be used.
    """
    matched = match_pairs(low, high, skip_unpaired=skip_unpaired)
    columns, paths = parse_columns(prompts, template), [path for files in matched.files.values() for path in files]
    names = ["pairs.csv", "pairs.png", "summary.json", *_sheets(columns).values()]
    record, scoring = prepare(options, names, paths, len(paths))
    scores = score_images(metric, paths, columns, record=record, **scoring)
    return saved(join_pairs(scores, matched, count), options)


def join_pairs(scores: Scores, pairs: ImagePairs, count: int = 10) -> PairScores:
    import pandas

    whole = {name: files for name, files in pairs.files.items() if scores.failed.keys().isdisjoint(files)}
    if not whole:
        raise PairingError("no pair has scores for both images: there is nothing to compare" + because(scores.failed))
    index = pandas.Index(whole, name="name", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(whole.values()), index, _SIDES, dtype=object)
    for question in scores.questions:
        for version in _SIDES:
            files = pandas.Index(frame[version], dtype=object)
            frame[f"{question} {version}"] = scores.frame.loc[files, question].to_numpy()
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    return PairScores(frame, tuple(scores.questions), scores.failed, scores.provenance, pairs, count)


def match_pairs(
    low: str | os.PathLike[str], high: str | os.PathLike[str], *, skip_unpaired: bool = False
) -> ImagePairs:
    """Return pairs of images with equal names in two folders.

    A name is the path in the folder, without suffix. With patterns such as ``'PolyU/*_Real.JPG'`` and
    ``'PolyU/*_mean.JPG'``, a name is the text that the wildcards match.
    """
    lows, highs = named_images(os.fspath(low)), named_images(os.fspath(high))
    files = {name: (lows[name], highs[name]) for name in lows if name in highs}
    only_low, only_high = (tuple(name for name in names if name not in files) for names in (lows, highs))
    lone = len(only_low) + len(only_high)
    if not files or (lone and not skip_unpaired):
        sides = [
            f"only {side} has {few(names)}" for side, names in zip(_SIDES, (only_low, only_high), strict=True) if names
        ]
        raise PairingError(
            f"{counted(lone, 'image')} without a partner ({'; '.join(sides)}): complete the folders, set skip_unpaired "
            "to leave them out, or give patterns such as 'low/*_noisy.png' and 'high/*_clean.png' where names differ."
        )
    return ImagePairs(files, only_low, only_high)


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return file_names(questions, "failures-{}.png")
