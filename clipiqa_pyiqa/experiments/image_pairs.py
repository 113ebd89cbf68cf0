"""Does the metric place the better of two versions of a picture higher? The paper's Fig. 5."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
from .scores import because, exif_applied, score_images

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

    from .experiment import Content


@dataclass(frozen=True)
class ImagePairs:
    """Files of two folders that belong together.

    Attributes:
        files: Name -> the low-quality file, the high-quality file.
        only_low: Names that only the low-quality folder has.
        only_high: Names that only the high-quality folder has.
    """

    files: Mapping[str, tuple[str, str]]
    only_low: tuple[str, ...] = ()
    only_high: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """Both files of every pair."""
        return [path for files in self.files.values() for path in files]


@dataclass(frozen=True)
class PairScores(ExperimentResult):
    """What both versions of each picture scored.

    Attributes:
        frame: Index ``name``; columns ``low`` and ``high`` (the files), then per question ``<question> low``,
            ``<question> high`` and ``<question> difference`` (high less low).
        questions: What was asked.
        failed: Files that could not be scored -> why; their pairs are left out.
        left_out: Names of those pairs.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        only_low, only_high: Names of images that have no partner.
        count: How many failures to save.
    """

    frame: pandas.DataFrame
    questions: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    only_low: tuple[str, ...] = ()
    only_high: tuple[str, ...] = ()
    count: int = 10
    intervals: ClassVar = {
        "share right": ("share low", "share high"),
        "mean difference": ("difference low", "difference high"),
    }

    def differences(self, question: str) -> pandas.Series:
        """Return high less low of each pair: positive where the order is right."""
        return self.frame[f"{question} difference"]

    def summary(self) -> pandas.DataFrame:
        """Return one row per question.

        Columns: question; pairs; right (pairs in the right order; equal scores are not) and equal; share right with
        Wilson's 95 % interval; mean low, mean high; mean difference with Student's 95 % interval; p of Wilcoxon's
        signed-rank test (two-sided) that the differences lie symmetrically around zero, NaN if all are zero.
        """
        import pandas

        return pandas.DataFrame(map(self._summary, self.questions))

    def _summary(self, question: str) -> dict[str, object]:
        from scipy.stats import t, wilcoxon

        differences = self.differences(question).to_numpy()
        n, right = len(differences), int((differences > 0).sum())
        found, mean = share(right, n), float(differences.mean())
        reach = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return {
            "question": question,
            "pairs": n,
            "right": right,
            "equal": int((differences == 0).sum()),
            "share right": found.value,
            "share low": found.low,
            "share high": found.high,
            "mean low": self.frame[f"{question} low"].mean(),
            "mean high": self.frame[f"{question} high"].mean(),
            "mean difference": mean,
            "difference low": mean - reach,
            "difference high": mean + reach,
            "p": float(wilcoxon(differences).pvalue) if np.any(differences) else math.nan,
        }

    def contents(self) -> dict[str, Content]:
        sheets = {name: self.failure_sheet(question, self.count) for question, name in _sheets(self.questions).items()}
        return {"pairs.csv": self.frame, "pairs.png": self.figure(), **sheets}

    def details(self) -> dict[str, Any]:
        return {"unpaired": {"only_low": list(self.only_low), "only_high": list(self.only_high)}}

    def notes(self) -> list[str]:
        unpaired = len(self.only_low) + len(self.only_high)
        return [f"{counted(unpaired, 'image')} left out, without a partner"] if unpaired else []

    def failures(self, question: str, count: int = 10) -> pandas.DataFrame:
        """Return the pairs in the wrong order, or of equal scores, the worst first."""
        order = self.frame.sort_values(f"{question} difference", kind="stable")
        return order[order[f"{question} difference"] <= 0].head(count)

    def failure_sheet(self, question: str, count: int = 10, side: int = 256) -> Image.Image | None:
        """Draw the worst failures, low-quality and high-quality side by side; return None if there are none."""
        worst, detail = self.failures(question, count), needs_detail(question)
        if worst.empty:
            return None
        images: list[Path | Image.Image] = []
        captions, upright = [], exif_applied(self.provenance)
        for name, row in worst.iterrows():
            files = {version: str(row[version]) for version in ("low", "high")}
            images += map(Path, files.values())
            captions += [f"{name}\n{version}: {row[f'{question} {version}']:.4f}" for version in files]
            crops = differing_crops(list(files.values()), side, upright) if detail else []
            for version, crop in zip(files, crops, strict=False):
                images.append(crop or Image.new("RGB", (side, side), (236, 238, 241)))
                captions.append(f"{version}, where they differ most:\n100 %" if crop else "of another size")
        columns = 4 if len(worst) > 1 or detail else 2
        sheet = contact_sheet(images, captions, columns=columns, side=side, apply_exif=upright)
        return headed({f"{question}: {counted(len(worst), 'pair')} in the wrong order, the worst first": sheet})

    def figure(self) -> Figure:
        """Draw each pair as a point, low-quality score across, high-quality score up: above the diagonal it is right.

        One panel per question.
        """
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

    def _draw(self, axes: Axes, question: str, said: pandas.Series) -> None:
        from ..report.plotting import BLUE, INK, ORANGE, WORDS

        low, high = (self.frame[f"{question} {version}"].to_numpy() for version in ("low", "high"))
        many = len(low) > 400
        size = 5 if many else 20
        style: dict[str, Any] = {"alpha": 0.65, "linewidths": 0, "rasterized": many}
        right = high > low
        axes.scatter(low[right], high[right], size, BLUE, marker="o", label="right order", **style)
        axes.scatter(low[~right], high[~right], 1.8 * size, ORANGE, marker="X", label="wrong order, or equal", **style)
        least, most = min(low.min(), high.min()), max(low.max(), high.max())
        margin = 0.05 * (most - least) or 0.05
        limits = least - margin, most + margin
        axes.plot(limits, limits, color=INK, linewidth=0.8, zorder=0)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set(xlabel="score of the low-quality image", ylabel="score of the high-quality image")
        share_right = f"{said['right']:.0f} of {said['pairs']:.0f} in the right order ({said['share right']:.0%})"
        axes.set_title(f"{fitted(question, 185, 10)}\n{share_right.replace('%', ' %')}", **WORDS)


_DETAIL = ("quality", "sharpness", "noisiness", "sharp", "blur", "nois", "grain", "crisp", "detail", "artifact", "jpeg")


def needs_detail(question: str) -> bool:
    """Whether a question is about what shows at 100 % only, such as noise and sharpness."""
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
    """Score two versions of each picture, paired by name as by :func:`match_pairs`, and compare.

    Args:
        metric: As for :func:`~.ranking.rank`.
        low: Folder, or pattern, of the low-quality images.
        high: Of the high-quality ones, such as ground truth.
        prompts: What to ask, such as ``'brightness'`` of LOL's pictures, ``'noisiness'`` of PolyU's.
        template, options: As for :func:`~.ranking.rank`.
        skip_unpaired: Leave out images without a partner, in place of an error.
        count: How many failures to show.

    Returns:
        The scores of both versions.

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    matched = match_pairs(low, high, skip_unpaired=skip_unpaired)
    columns, paths = parse_columns(prompts, template), matched.paths
    names = ["pairs.csv", "pairs.png", "summary.json", *_sheets(columns).values()]
    record, scoring = prepare(options, names, paths, len(paths))
    scores = score_images(metric, paths, columns, record=record, **scoring)
    return saved(join_pairs(scores.frame, matched, scores.failed, scores.provenance, count), options)


def join_pairs(
    scores: pandas.DataFrame,
    pairs: ImagePairs,
    failed: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    count: int = 10,
) -> PairScores:
    """Return the pairs of images that are scored already: ``scores`` has index ``path`` and a column per question."""
    import pandas

    whole = {name: files for name, files in pairs.files.items() if all(path in scores.index for path in files)}
    if not whole:
        raise PairingError("no pair has both of its images scored: there is nothing to compare" + because(failed))
    index = pandas.Index(whole, name="name", dtype=object)  # pandas' own text type refuses names that are not UTF-8
    frame = pandas.DataFrame(list(whole.values()), index, ["low", "high"], dtype=object)
    for question in scores.columns:
        for version in ("low", "high"):
            files = pandas.Index(frame[version], dtype=object)
            frame[f"{question} {version}"] = scores.loc[files, question].to_numpy()
        frame[f"{question} difference"] = frame[f"{question} high"] - frame[f"{question} low"]
    left_out = tuple(name for name in pairs.files if name not in whole)
    questions, unpaired = tuple(scores.columns), (pairs.only_low, pairs.only_high)
    return PairScores(frame, questions, failed or {}, left_out, provenance or {}, *unpaired, count)


def match_pairs(
    low: str | os.PathLike[str], high: str | os.PathLike[str], *, skip_unpaired: bool = False
) -> ImagePairs:
    """Pair the images of two folders by name.

    A folder's image is called by its path within the folder, without suffix: ``low/a/1.png`` pairs with
    ``high/a/1.jpg``. Where names differ, give patterns instead: what their wildcards match is the name, so that
    ``'PolyU/*_Real.JPG'`` pairs with ``'PolyU/*_mean.JPG'``, and ``'RealBlur/*/blur/blur_*.png'`` with
    ``'RealBlur/*/gt/gt_*.png'``.

    Args:
        low: Folder or quoted pattern of the low-quality images.
        high: Of the high-quality ones, such as ground truth.
        skip_unpaired: Leave out images without a partner, in place of an error.

    Raises:
        PairingError: A folder is missing or empty, names are not unique, or do not pair up; the message says which.
    """
    lows, highs = named_images(os.fspath(low)), named_images(os.fspath(high))
    files = {name: (lows[name], highs[name]) for name in lows if name in highs}
    only_low, only_high = (
        tuple(name for name in lows if name not in highs),
        tuple(name for name in highs if name not in lows),
    )
    if not files:
        raise PairingError(
            f"no image of {os.fspath(low)!r} has a namesake in {os.fspath(high)!r} ({few(only_low)} against "
            f"{few(only_high)}): where names differ, give patterns such as 'low/*_noisy.png' and 'high/*_clean.png'."
        )
    if not skip_unpaired and (lone := len(only_low) + len(only_high)):
        missing = [f"only {side} has {few(names)}" for side, names in (("low", only_low), ("high", only_high)) if names]
        raise PairingError(
            f"{counted(lone, 'image')} without a partner ({'; '.join(missing)}): complete the folders, or set "
            "skip_unpaired to leave them out."
        )
    if same := [name for name, both in files.items() if os.path.samefile(*both)]:
        raise PairingError(f"{few(same)} would be compared with itself: give two different folders.")
    return ImagePairs(files, only_low, only_high)


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return file_names(questions, "failures-{}.png")
