"""Does the metric place the better of two versions of a picture higher? The paper's Fig. 5."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from ..arguments import checked
from ..errors import counted
from ..prompts.pairs import Prompts, parse_columns
from ..report.contact_sheet import contact_sheet, fitted, headed
from ..report.crops import differing_crops
from ..sources.naming import PairingError, few, named_images
from ..stats.proportions import share
from .experiment import ExperimentResult, ResultFolder, RunOptions, file_names
from .scores import because, exif_applied

if TYPE_CHECKING:
    import pandas
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
        """High less low of each pair: positive where the order is right."""
        return self.frame[f"{question} difference"]

    def summary(self) -> pandas.DataFrame:
        """One row per question.

        Columns: question; pairs; right (pairs in the right order; equal scores are not) and equal; share right with
        Wilson's 95 % interval; mean low, mean high; mean difference with Student's 95 % interval; p of Wilcoxon's
        signed-rank test (two-sided) that the differences lie symmetrically around zero, NaN if all are zero.
        """
        import pandas

        return pandas.DataFrame([self._summary(question) for question in self.questions])

    def _summary(self, question: str) -> dict[str, object]:
        from scipy.stats import t, wilcoxon

        differences = self.differences(question).to_numpy()
        n, right = len(differences), int((differences > 0).sum())
        found = share(right, n)
        mean = float(differences.mean())
        reach = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return {
            **{"question": question, "pairs": n, "right": right, "equal": int((differences == 0).sum())},
            **{"share right": found.value, "share low": found.low, "share high": found.high},
            **{f"mean {side}": float(self.frame[f"{question} {side}"].mean()) for side in ("low", "high")},
            **{"mean difference": mean, "difference low": mean - reach, "difference high": mean + reach},
            "p": float(wilcoxon(differences).pvalue) if np.any(differences) else math.nan,
        }

    def contents(self) -> Iterator[tuple[str, Content]]:
        yield "pairs.csv", self.frame
        yield "pairs.png", self.figure()
        for question, name in _sheets(self.questions).items():
            yield name, self.failure_sheet(question, self.count)

    def details(self) -> dict[str, Any]:
        return {"unpaired": {"only_low": list(self.only_low), "only_high": list(self.only_high)}}

    def notes(self) -> list[str]:
        unpaired = len(self.only_low) + len(self.only_high)
        was = "was" if unpaired == 1 else "were"
        return [f"{counted(unpaired, 'image')} without a partner {was} left out"] if unpaired else []

    def failures(self, question: str, count: int = 10) -> pandas.DataFrame:
        """The pairs in the wrong order, or of equal scores, the worst first."""
        order = self.frame.sort_values(f"{question} difference", kind="stable")
        return order[order[f"{question} difference"] <= 0].head(count)

    def failure_sheet(self, question: str, count: int = 10, side: int = 256) -> Image.Image | None:
        """The worst failures as pictures, low-quality and high-quality side by side; None if there are none."""
        worst = self.failures(question, count)
        if worst.empty:
            return None
        images: list[Path | Image.Image] = []
        captions, upright = [], exif_applied(self.provenance)
        for name, row in worst.iterrows():
            both = [str(row[version]) for version in ("low", "high")]
            for version, path in zip(("low", "high"), both, strict=True):
                images.append(Path(path))
                captions.append(f"{name}\n{version}: {row[f'{question} {version}']:.4f}")
            if needs_detail(question):
                for version, crop in zip(("low", "high"), differing_crops(both, side, upright), strict=True):
                    images.append(Image.new("RGB", (side, side), (236, 238, 241)) if crop is None else crop)
                    captions.append(f"{version}, where they differ most:\n100 %" if crop else "of another size")
        columns = 4 if len(worst) > 1 or needs_detail(question) else 2
        sheet = contact_sheet(images, captions, columns=columns, side=side, apply_exif=upright)
        return headed({f"{question}: {counted(len(worst), 'pair')} in the wrong order, the worst first": sheet})

    def figure(self) -> Figure:
        """Each pair as a point, low-quality score across, high-quality score up: above the diagonal the order is right.

        One panel per question.
        """
        import matplotlib
        from matplotlib.figure import Figure

        from ..report.plotting import BLUE, INK, ORANGE, STYLE, WORDS

        summary = self.summary().set_index("question")
        columns = min(3, len(self.questions))
        rows = math.ceil(len(self.questions) / columns)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(3.4 * columns, 3.9 * rows + 0.3), layout="constrained")
            panels = figure.subplots(rows, columns, squeeze=False).ravel()
            for axes in panels[len(self.questions) :]:
                axes.set_axis_off()
            for axes, question in zip(panels, self.questions, strict=False):
                low, high = (self.frame[f"{question} {version}"].to_numpy() for version in ("low", "high"))
                size = 20 if len(low) <= 400 else 5
                marks = ((high > low, BLUE, "o", "right order"), (high <= low, ORANGE, "X", "wrong order, or equal"))
                for these, colour, marker, means in marks:
                    axes.scatter(
                        low[these], high[these], label=means, s=size * (1.8 if marker == "X" else 1),
                        color=colour, marker=marker, alpha=0.65, linewidths=0, rasterized=len(low) > 400,
                    )  # fmt: skip
                edge = min(low.min(), high.min()), max(low.max(), high.max())
                margin = 0.05 * (edge[1] - edge[0]) or 0.05
                limits = edge[0] - margin, edge[1] + margin
                axes.plot(limits, limits, color=INK, linewidth=0.8, zorder=0)
                axes.set(xlim=limits, ylim=limits, aspect="equal")
                axes.set_xlabel("score of the low-quality image")
                axes.set_ylabel("score of the high-quality image")
                said = summary.loc[question]
                axes.set_title(
                    f"{fitted(question, 185, 10)}\n{int(said['right'])} of {int(said['pairs'])} in the right order "
                    f"({100 * said['share right']:.0f} %)",
                    **WORDS,
                )
            marks_of = panels[0].get_legend_handles_labels()
            figure.legend(*marks_of, loc="outside upper left", ncols=2, fontsize=8, frameon=False, handletextpad=0.1)
        return figure


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

    Raises:
        CLIPIQAError: Bad input; what it was and what to do.
    """
    matched = match_pairs(low, high, skip_unpaired=skip_unpaired)
    columns = parse_columns(prompts, template)
    names = ["pairs.csv", "pairs.png", "summary.json", *_sheets(columns).values()]
    folder = ResultFolder(options, names, matched.paths)
    scores = folder.score(metric, matched.paths, columns)
    found = join_pairs(scores.frame, matched, scores.failed, scores.provenance)
    return folder.saved(replace(found, count=count))


def join_pairs(
    scores: pandas.DataFrame,
    pairs: ImagePairs,
    failed: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> PairScores:
    """Pairs of images that are scored already: ``scores`` has index ``path`` and a column per question."""
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
    return PairScores(frame, questions, failed or {}, left_out, provenance or {}, *unpaired)


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
    names = {"low": named_images(os.fspath(low)), "high": named_images(os.fspath(high))}
    both = [name for name in names["low"] if name in names["high"]]
    only = {
        side: tuple(name for name in names[side] if name not in names[other])
        for side, other in (("low", "high"), ("high", "low"))
    }
    if not both:
        raise PairingError(
            f"no image of {os.fspath(low)!r} has a namesake in {os.fspath(high)!r} ({few(only['low'])} against "
            f"{few(only['high'])}): where names differ, pass patterns such as 'low/*_noisy.png' and "
            "'high/*_clean.png', which pair by what * matches."
        )
    if any(only.values()) and not skip_unpaired:
        lone = sum(map(len, only.values()))
        missing = [f"only {side} has {few(names)}" for side, names in only.items() if names]
        raise PairingError(
            f"{counted(lone, 'image')} {'has' if lone == 1 else 'have'} no partner ({'; '.join(missing)}): complete "
            "the folders, or pass --skip-unpaired (skip_unpaired=True) to leave them out."
        )
    files = {name: (names["low"][name], names["high"][name]) for name in both}
    same = [name for name, (first, second) in files.items() if os.path.realpath(first) == os.path.realpath(second)]
    if same:
        raise PairingError(f"{few(same)} would be compared with itself: give two different folders.")
    return ImagePairs(files, only["low"], only["high"])


def _sheets(questions: Iterable[str]) -> dict[str, str]:
    return {question: f"failures-{name}.png" for question, name in file_names(questions).items()}
