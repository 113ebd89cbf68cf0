"""``clipiqa verify``: do the weights and prompts at hand give what others published?

The published scores hold for one checkpoint, so a difference is a failure only with that checkpoint. Of the learned
prompts no score of a single image is published: what their files must hold is checked, and correlations on data sets.
"""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.published_correlations import find_published
from ..errors import CLIPIQAError, ImageError
from ..images.reader import read_image
from ..metric import CLIPIQA, net_of
from ..prompts.files import PUBLISHED, LearnedType
from ..prompts.provenance import record_in_words
from ..report.table import Cell, Column, Table, console_table
from ..weights.published import OPENAI, pyiqa_file, release
from ..weights.selection import Weights, copies
from .compare import Progress, compare
from .golden import LARGEST, MEDIAN, PROMPTS, check_golden
from .golden import SOURCE as GOLDEN

Verdict = Literal["ok", "FAIL", "differs", "not run"]

PIQ = "piq, tests/assets: the official code with OpenAI's RN50 in fp16 (so ±0.01)"
TORCHMETRICS = "torchmetrics, doctest of clip_image_quality_assessment: four digits, noise fed unscaled"
TORCHMETRICS_PR = "torchmetrics, pull request 1931: the same doctest, about brightness"
PICTURES = {"I01.BMP": 0.89160156, "i01_01_5.bmp": 0.45898438}
"""Pictures that may not be redistributed -> their published score of ``quality``."""
NOISE = {"quality": ((0.8894, 0.8902), TORCHMETRICS), "brightness": ((0.5507, 0.5208), TORCHMETRICS_PR)}
"""Question -> published scores of torchmetrics' two noise images, and their source."""
# Four printed digits are right to 5e-5; ten times that leaves room for fp32 rounding on pixels 255 times too large.
_FP16, _FOUR_DIGITS = 0.01, 5e-4
# JPEG decoders, and a GPU's TF32 in the published run, move a score by some 1e-3 and so a correlation by less. Another
# variant (backbone, embedding, prompts) is off by far more: the published three differ by 0.01 to 0.06.
_CORRELATION = 0.005

DATA_SETS = ("livec", "koniq10k", "koniq10k-1024", "tid2013")  # for which pyiqa publishes CLIP-IQA+
SHAPES = {  # of the contexts, as their authors describe them
    "clipiqa+": (16, 512),
    "clipiqa+_rn50_512": (2, 16, 512),
    "clipiqa+_vitL14_512": (2, 16, 768),
}
WORDS = ("good photo.", "bad photo.")  # around which they were learned


@dataclass(frozen=True)
class Check:
    """A published number and what was measured here.

    Attributes:
        subject: What was scored, or the correlation and the data set.
        asked: The question, or the metric.
        expected: The published number.
        tolerance: How far off a right one may be.
        source: Who published it, and how it was made.
        got: What was measured; NaN where nothing was.
        reason: Why nothing was measured, or empty.
        binding: Whether the published number holds for the weights at hand.
    """

    subject: str
    asked: str
    expected: float
    tolerance: float
    source: str
    got: float = math.nan
    reason: str = ""
    binding: bool = True

    @property
    def verdict(self) -> Verdict:
        """``'FAIL'`` only with the weights that the number was published for; with others, ``'differs'``."""
        if self.reason:
            return "not run"
        if abs(self.got - self.expected) <= self.tolerance:
            return "ok"
        return "FAIL" if self.binding else "differs"


@dataclass(frozen=True)
class FileCheck:
    """What became of one published file of prompts: pyiqa's name of it, and what it is and where, or what is wrong."""

    name: str
    verdict: Verdict
    said: str


@dataclass(frozen=True)
class Verification:
    """Published numbers beside those of the weights at hand.

    Attributes:
        checks: The numbers.
        weights: The CLIP that was scored with; None for learned prompts, each of which has its own.
        binding: Whether the published scores hold for these weights.
        files: The published files of learned prompts.
        missing: Data sets that are not here.
    """

    checks: tuple[Check, ...] = ()
    weights: Weights | None = None
    binding: bool = True
    files: tuple[FileCheck, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all that ran is ok, 1 if any failed, 2 if nothing was shown: nothing ran, or with other weights."""
        files, checks = ({one.verdict for one in found} - {"not run"} for found in (self.files, self.checks))
        if "FAIL" in files | checks:
            return 1
        return 0 if (checks or files) == {"ok"} else 2

    def __str__(self) -> str:
        if self.weights is None:
            return checks_table(self.checks)
        source = f"from {self.weights.source}: {self.weights.path}"
        return f"weights: {self.weights.backbone}, {self.weights.short}, {source}\n\n{checks_table(self.checks)}"


def verify(
    metric: CLIPIQA | Callable[[], CLIPIQA], images: Sequence[Path] = (), *, device: str | torch.device = "cpu"
) -> Verification:
    """Score what others published scores of, and compare.

    Args:
        metric: A :class:`~clipiqa_pyiqa.CLIPIQA`, or a function that makes one once the images are known to be there.
        images: Where to look for pictures: files, folders and globs; default the working directory.
        device: Where the metric is.

    Raises:
        ImageError: One of the places does not exist.
    """
    places: list[Path] = []
    for place in images:
        matched = [place] if place.exists() else list(map(Path, sorted(glob.glob(str(place), recursive=True))))
        if not matched:
            raise ImageError(f"images {str(place)!r} does not exist: name a file, a folder or a quoted glob.")
        places += matched
    files = {path.name.lower(): path for path in _files(places or [Path.cwd()])}
    net = net_of(metric)
    weights = net.clip.weights
    binding = weights.backbone == "RN50" and weights.tag == OPENAI  # for which the scores were published

    def score(x: torch.Tensor, prompts: str) -> float:
        with torch.no_grad():  # unchecked, since torchmetrics' example has pixels from 0 to 254
            return float(net.score(net.encode_unchecked(x.to(device)), prompts).item())

    checks = []
    for name, expected in PICTURES.items():
        got, reason = math.nan, ""
        try:
            if name.lower() not in files:
                raise ImageError(f"no {name}: name its folder with images")
            got = score(read_image(files[name.lower()]).pixels[None].float() / 255, "quality")
        except ImageError as error:
            reason = str(error)
        checks.append(Check(name, "quality", expected, _FP16, PIQ, got, reason, binding))
    noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()
    for question, (published, source) in NOISE.items():
        for number, expected in enumerate(published):
            got = score(noise[number, None], question)
            subject = f"noise {number + 1} of 2"
            checks.append(Check(subject, question, expected, _FOUR_DIGITS, source, got, binding=binding))
    if (golden := check_golden(score, _files(places))) is not None:
        for what, got, tolerance in (("median", golden.median, MEDIAN), ("largest", golden.largest, LARGEST)):
            subject = f"{what} distance of {golden.count} pictures of OSEDiff"
            checks.append(Check(subject, PROMPTS, 0.0, tolerance, GOLDEN, got, binding=binding))
    return Verification(tuple(checks), weights, binding)


def verify_learned_prompts(
    data_root: Path | None = None, *, device: str | torch.device = "cpu", progress: Progress | None = None
) -> Verification:
    """Check the published prompt files that are here, and correlate them on the published data sets that are here.

    Args:
        data_root: The folder of pyiqa's data sets; None checks the files only.
        device: Where to score.
        progress: See :func:`~clipiqa_pyiqa.comparison.compare.compare`.

    Raises:
        CLIPIQAError: There is no such folder, or a data set in it cannot be read.
    """
    if data_root is not None and not data_root.is_dir():
        raise CLIPIQAError(f"data_root {str(data_root)!r} is no folder: name the one that holds pyiqa's data sets.")
    files = tuple(map(check_file, PUBLISHED))
    binding = {file.name: file.verdict == "ok" for file in files if file.verdict in ("ok", "differs")}
    if data_root is None or not binding:
        return Verification(files=files)
    there, missing = find_data_sets(data_root)
    checks = check_data_sets(there, binding, progress=progress, device=device) if there else []
    return Verification(tuple(checks), files=files, missing=tuple(missing))


def check_file(name: LearnedType) -> FileCheck:
    """Load a published file that is on this machine onto its CLIP, which must be here too; nothing is downloaded."""
    published = PUBLISHED[name]
    needed = {published.file: pyiqa_file(published.file)}
    needed[f"OpenAI's {published.backbone}"] = release(published.backbone, OPENAI)
    if missing := [title for title, file in needed.items() if not any(True for _ in copies(file))]:
        return FileCheck(name, "not run", f"not on this machine: {' and '.join(missing)}")
    try:
        metric = CLIPIQA(name, published.backbone, pos_embedding=published.pos_embedding)
    except CLIPIQAError as error:
        return FileCheck(name, "FAIL", " ".join(str(error).split()))
    learner, weights = metric.prompt_learner, metric.clip.weights
    assert learner is not None
    shape, words = tuple(learner.ctx.shape), (learner.pair.positive.lower(), learner.pair.negative.lower())
    wrong = []
    if shape != SHAPES[name]:
        wrong.append(f"its context has the shape {shape}, expected {SHAPES[name]}")
    if words != WORDS:
        wrong.append(f"it was learned around {'|'.join(words)}, expected {'|'.join(WORDS)}")
    if wrong:
        return FileCheck(name, "FAIL", "; ".join(wrong))
    said = f"{record_in_words(learner.record())}, on {weights.backbone}, {weights.short}"
    return FileCheck(name, "ok" if weights.tag == OPENAI else "differs", said)


def find_data_sets(data_root: str | Path, names: Sequence[str] = DATA_SETS) -> tuple[list[DataSet], list[str]]:
    """Return the published data sets below pyiqa's ``datasets`` folder, and the names of those that are not there.

    Raises:
        CompareError: One that is there cannot be read.
    """
    from pyiqa import get_dataset_info

    known, there = get_dataset_info(), []
    for name in names:
        parts = (Path(known[name][key]).parts[1:] for key in ("meta_info_file", "dataroot_target"))
        if all(Path(data_root, *part).exists() for part in parts):
            there.append(name)
    return (parse_data_sets(there, data_root) if there else []), [name for name in names if name not in there]


def check_data_sets(
    data_sets: Sequence[DataSet],
    binding: dict[str, bool],
    *,
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
) -> list[Check]:
    """Correlate on each data set, and compare with what pyiqa published.

    Args:
        data_sets: From :func:`find_data_sets`.
        binding: Name of CLIP-IQA+ -> whether the published values hold for the CLIP at hand.
        progress: See :func:`~clipiqa_pyiqa.comparison.compare.compare`.
        device: Where to score.
    """
    checks = []
    comparison = compare(list(binding), list(data_sets), bootstrap=0, progress=progress, device=device)
    for data in comparison.data_sets:
        for label, found in data.estimates.items():
            if (published := find_published(label, data.published_as, "pyiqa")) is None:
                continue
            for kind in ("SROCC", "PLCC"):
                got, reason = found[kind].value, data.metrics[label].error or found[kind].reason
                about = (f"{kind} on {data.name}", label, published[kind], _CORRELATION, published.source)
                checks.append(Check(*about, got, reason, binding[label]))
    return checks


def checks_table(checks: Sequence[Check]) -> str:
    """Return the checks as aligned columns, and below them the sources."""
    sources = list(dict.fromkeys(check.source for check in checks))
    heads = ("input", "prompts", "expected", "got", "difference", "tolerance", "verdict", "source")
    rows = []
    for check in checks:
        measured = ("-", "-") if check.reason else (f"{check.got:.4f}", f"{check.got - check.expected:+.4f}")
        verdict = f"{check.verdict}: {check.reason}" if check.reason else check.verdict
        number = f"[{sources.index(check.source) + 1}]"
        texts = (check.subject, check.asked, f"{check.expected:.4f}", *measured, f"{check.tolerance:g}")
        rows.append(tuple(map(Cell, (*texts, verdict, number))))
    notes = tuple(f"[{number}] {source}" for number, source in enumerate(sources, start=1))
    return console_table(Table("Published, and measured here", tuple(map(Column, heads)), tuple(rows), left_out=notes))


def _files(places: Sequence[Path]) -> Iterable[Path]:
    for place in places:
        if place.is_dir():
            for folder, _, names in os.walk(place):
                yield from (Path(folder, name) for name in names)
        else:
            yield place
