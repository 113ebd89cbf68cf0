"""``clipiqa verify``: check that weights and learned prompts give the published scores."""

from __future__ import annotations

import csv
import glob
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from ..datasets.published_correlations import find_published
from ..errors import CLIPIQAError, ImageError
from ..files.hashes import hash_file
from ..images.reader import read_image
from ..metric import CLIPIQA, net_of
from ..prompts.files import PUBLISHED, LearnedType
from ..prompts.provenance import record_in_words
from ..report.table import Cell, Column, Table, console_table
from ..weights.published import OPENAI, pyiqa_file, release
from ..weights.selection import copies
from .compare import compare
from .scorers import Progress

Verdict = Literal["ok", "FAIL", "differs", "not run"]

PIQ = "piq, tests/assets: the official code with OpenAI's RN50 in fp16 (so ±0.01)"
TORCHMETRICS = "torchmetrics, doctest of clip_image_quality_assessment: four digits, noise fed unscaled"
TORCHMETRICS_PR = "torchmetrics, pull request 1931: the same doctest, about brightness"
OSEDIFF = "OSEDiff at fcc4f09, results_osediff of benchmark_drealsr: pyiqa's clipiqa with OpenAI's RN50 on a GPU"
PICTURES = {"I01.BMP": 0.89160156, "i01_01_5.bmp": 0.45898438}
"""Picture that this package may not distribute -> published score of ``quality``."""
NOISE = {"quality": ((0.8894, 0.8902), TORCHMETRICS), "brightness": ((0.5507, 0.5208), TORCHMETRICS_PR)}
"""Question -> published scores of torchmetrics' two noise images, and their source."""
_OSEDIFF_FILE = Path(__file__).parents[1] / "data" / "osediff_drealsr.csv"
_OSEDIFF_DISTANCES = {"median": 0.002, "largest": 0.02}  # largest accepted values
# Four printed digits are exact to 5e-5. The tolerance is ten times larger, because fp32 rounds more on pixels that are
# 255 times too large.
_FP16, _FOUR_DIGITS = 0.01, 5e-4
# Another JPEG decoder, or TF32 on the GPU of the published run, changes a score by about 1e-3 and a correlation by
# less. Another variant (backbone, embedding, prompts) changes a correlation by more: the three published variants
# differ by 0.01 to 0.06.
_CORRELATION = 0.005
DATA_SETS = ("livec", "koniq10k", "koniq10k-1024", "tid2013")  # with pyiqa's scores of CLIP-IQA+


@dataclass(frozen=True)
class Check:
    """A published number and the measured number.

    Attributes:
        subject, prompts: Image and prompts of a score; name and data set of a correlation, and its metric.
        tolerance: Largest accepted difference.
        binding: Whether the published number is for these weights.
    """

    subject: str
    prompts: str
    expected: float
    tolerance: float
    source: str
    got: float = math.nan
    reason: str = ""
    binding: bool = True

    @property
    def verdict(self) -> Verdict:
        """The verdict; a difference is ``'FAIL'`` if ``binding``, else ``'differs'``."""
        if self.reason:
            return "not run"
        if abs(self.got - self.expected) <= self.tolerance:
            return "ok"
        return "FAIL" if self.binding else "differs"


@dataclass(frozen=True)
class Verification:
    """Published numbers beside measured numbers.

    Attributes:
        files: Published prompt files: pyiqa's name, verdict, and description or fault.
        missing: Data sets that are not on this machine.
    """

    checks: tuple[Check, ...] = ()
    heading: str = ""
    binding: bool = True
    files: tuple[tuple[LearnedType, Verdict, str], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if everything that ran agrees, 1 if a check fails, 2 otherwise."""
        files = {verdict for _, verdict, _ in self.files} - {"not run"}
        checks = {check.verdict for check in self.checks} - {"not run"}
        if "FAIL" in files | checks:
            return 1
        return 0 if (checks or files) == {"ok"} else 2

    def __str__(self) -> str:
        parts = [self.heading, "\n".join(f"{name}: {verdict}: {text}" for name, verdict, text in self.files)]
        if self.missing:
            parts.append(f"not run, because they are not in data_root: {', '.join(self.missing)} (see docs/weights.md)")
        return "\n\n".join(filter(None, [*parts, checks_table(self.checks) if self.checks else ""]))


def verify(
    metric: CLIPIQA | Callable[[], CLIPIQA], images: Sequence[Path] = (), *, device: str | torch.device = "cpu"
) -> Verification:
    """Return published scores of images beside measured scores.

    Args:
        metric: CLIP-IQA, or a function that builds CLIP-IQA after the images are found.
        images: Files, folders and globs; by default the working directory.
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
    binding = weights.backbone == "RN50" and weights.tag == OPENAI

    def score(x: torch.Tensor, prompts: str) -> float:
        with torch.no_grad():  # without a check of the range, since torchmetrics' noise has pixels from 0 to 254
            return float(net.score(net.encode_unchecked(x.to(device)), prompts).item())

    checks = []
    for name, expected in PICTURES.items():
        got, reason = math.nan, f"no {name}: name its folder with images"
        if name.lower() in files:
            try:
                got, reason = score(_read(files[name.lower()]), "quality"), ""
            except ImageError as error:
                reason = str(error)
        checks.append(Check(name, "quality", expected, _FP16, PIQ, got, reason, binding))
    noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()
    for question, (published, source) in NOISE.items():
        for number, expected in enumerate(published):
            got = score(noise[number, None], question)
            subject = f"noise {number + 1} of 2"
            checks.append(Check(subject, question, expected, _FOUR_DIGITS, source, got, binding=binding))
    checks += check_osediff(lambda x: score(x, "pyiqa"), _files(places), binding)
    heading = f"weights: {weights.backbone}, {weights.short}, from {weights.source}: {weights.path}"
    return Verification(tuple(checks), heading, binding)


def check_osediff(score: Callable[[torch.Tensor], float], files: Iterable[Path], binding: bool = True) -> list[Check]:
    """Return checks of OSEDiff's published scores; the function ``score`` must use five prompt pairs."""
    with _OSEDIFF_FILE.open(encoding="utf-8", newline="") as file:
        published = {row["sha256"]: float(row["clipiqa"]) for row in csv.DictReader(file)}
    found = {hash_file(path): path for path in files if path.suffix.lower() == ".png"}
    apart = [abs(score(_read(path)) - published[sha256]) for sha256, path in found.items() if sha256 in published]
    checks = []
    for name, got in {"median": median(apart), "largest": max(apart)}.items() if apart else ():
        subject = f"{name} distance of {len(apart)} pictures of OSEDiff"
        checks.append(Check(subject, "pyiqa", 0.0, _OSEDIFF_DISTANCES[name], OSEDIFF, got, binding=binding))
    return checks


def verify_learned_prompts(
    data_root: Path | None = None, *, device: str | torch.device = "cpu", progress: Progress | None = None
) -> Verification:
    """Return checks of published prompt files, and of their correlations on data in ``data_root``."""
    from pyiqa import get_dataset_info

    if data_root is not None and not data_root.is_dir():
        raise CLIPIQAError(f"data_root {str(data_root)!r} is not a folder: name the folder of pyiqa's data sets.")
    files = tuple((name, *_check_file(name)) for name in PUBLISHED)
    binding = {name: verdict == "ok" for name, verdict, _ in files if verdict in ("ok", "differs")}
    if data_root is None or not binding:
        return Verification(files=files)
    known = get_dataset_info()
    parts = {n: [Path(known[n][key]).parts[1:] for key in ("meta_info_file", "dataroot_target")] for n in DATA_SETS}
    there = [name for name, paths in parts.items() if all(Path(data_root, *path).exists() for path in paths)]
    missing = tuple(name for name in DATA_SETS if name not in there)
    if not there:
        return Verification(files=files, missing=missing)
    options: dict[str, Any] = {"data_root": data_root, "bootstrap": 0, "progress": progress, "device": device}
    checks = []
    for data in compare(list(binding), there, **options).data_sets:
        for label, holds in binding.items():
            if (published := find_published(label, data.published_as, "pyiqa")) is None:
                continue
            for kind in ("SROCC", "PLCC"):
                found = data.estimates[label][kind]
                about = (f"{kind} on {data.name}", label, published[kind], _CORRELATION, published.source)
                checks.append(Check(*about, found.value, data.metrics[label].error or found.reason, holds))
    return Verification(tuple(checks), files=files, missing=missing)


def _check_file(name: LearnedType) -> tuple[Verdict, str]:
    published = PUBLISHED[name]
    needed = {published.file: pyiqa_file(published.file)}
    needed[f"OpenAI's {published.backbone}"] = release(published.backbone, OPENAI)
    if missing := [title for title, file in needed.items() if not any(True for _ in copies(file))]:
        return "not run", f"not on this machine: {' and '.join(missing)}"
    try:
        metric = CLIPIQA(name, published.backbone, pos_embedding=published.pos_embedding)
    except CLIPIQAError as error:
        return "FAIL", " ".join(str(error).split())
    learner, weights = metric.prompt_learner, metric.clip.weights
    assert learner is not None
    text = f"{record_in_words(learner.record())}, on {weights.backbone}, {weights.short}"
    return "ok" if weights.tag == OPENAI else "differs", text


def checks_table(checks: Sequence[Check]) -> str:
    sources = list(dict.fromkeys(check.source for check in checks))
    heads = ("input", "prompts", "expected", "got", "difference", "tolerance", "verdict", "source")
    rows = []
    for check in checks:
        measured = ("-", "-") if check.reason else (f"{check.got:.4f}", f"{check.got - check.expected:+.4f}")
        verdict = f"{check.verdict}: {check.reason}" if check.reason else check.verdict
        number = f"[{sources.index(check.source) + 1}]"
        texts = (check.subject, check.prompts, f"{check.expected:.4f}", *measured, f"{check.tolerance:g}")
        rows.append(tuple(map(Cell, (*texts, verdict, number))))
    notes = tuple(f"[{number}] {source}" for number, source in enumerate(sources, start=1))
    return console_table(Table("Published, and measured here", tuple(map(Column, heads)), tuple(rows), left_out=notes))


def _read(path: Path) -> torch.Tensor:
    return read_image(path).pixels[None].float() / 255


def _files(places: Sequence[Path]) -> Iterable[Path]:
    for place in places:
        yield from (path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
