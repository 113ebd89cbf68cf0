"""Published scores of single inputs, and whether the weights at hand give them: ``clipiqa verify``.

The scores hold for one checkpoint, so a difference is a failure only where that checkpoint is what was scored with.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..errors import ImageError
from ..images.reader import read_image
from ..weights.published import OPENAI
from ..weights.selection import Weights

if TYPE_CHECKING:
    from ..metric import CLIPIQA

Verdict = Literal["ok", "FAIL", "differs", "not run"]

HEADER = ("input", "prompts", "expected", "got", "difference", "tolerance", "verdict", "source")
PIQ = "piq, tests/assets: the official code with OpenAI's RN50 in fp16 (so ±0.01)"
TORCHMETRICS = "torchmetrics, doctest of clip_image_quality_assessment: four digits, noise fed unscaled"
TORCHMETRICS_PR = "torchmetrics, pull request 1931: the same doctest as proposed there, seeded before every example"
TORCHMETRICS_SECOND = (
    "torchmetrics 1.9, the same doctest's second example: noise drawn after piq has built its RN50 with other random "
    "numbers, which are counted here, not drawn by piq; so a difference may be the noise's"
)


class NotAtHand(Exception):
    """An input that a golden score needs is not here; the message says what and how to give it."""


@dataclass(frozen=True)
class ImageFile:
    """A picture that may not be redistributed, looked for by its name."""

    name: str

    def load(self, places: Sequence[Path]) -> Tensor:
        """``(1, 3, H, W)`` in [0, 1].

        Args:
            places: files, and folders to search with everything below them.

        Raises:
            NotAtHand: if no place has a picture of this name that can be read.
        """
        for path in _files(places):
            if path.name.lower() == self.name.lower():
                try:
                    return read_image(path).pixels[None].float() / 255
                except ImageError as error:
                    raise NotAtHand(str(error)) from error
        raise NotAtHand(f"no {self.name}: pass --images DIR")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class DoctestNoise:
    """One of the two noise images of a torchmetrics doctest, in 0–254, which it feeds as if they were in [0, 1].

    Attributes:
        index: 0 or 1.
        example: Which of the doctest's examples: the seed is set before the first only.
    """

    index: int
    example: int = 0

    def load(self, places: Sequence[Path]) -> Tensor:
        """``(1, 3, 224, 224)``; needs no file."""
        return _doctest_noise(self.example)[self.index, None]

    def __str__(self) -> str:
        return f"noise {self.index + 1} of 2" + (f", example {self.example + 1}" if self.example else "")


BUILDING_RN50 = 179_635_552
"""How many random numbers torch spends on the values that piq's RN50 has until its weights are loaded: one a value of
every parameter that is initialised, as often as it is, and 16 more for each normal one whose size is no multiple of 16.
Counted with torch 2.13 and piq 0.8.0, on whose class the generator then is in the same state."""


@functools.cache
def _doctest_noise(example: int) -> Tensor:
    """``(2, 3, 224, 224)``: what torchmetrics' doctest draws in that example, which builds the model anew each time."""
    generator = torch.Generator().manual_seed(42)
    for _ in range(example):
        torch.randint(255, (2, 3, 224, 224), generator=generator)
        for done in range(0, BUILDING_RN50, _AT_ONCE):
            torch.empty(min(_AT_ONCE, BUILDING_RN50 - done), device="cpu").uniform_(generator=generator)
    return torch.randint(255, (2, 3, 224, 224), generator=generator).float()


_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Golden:
    """A published score.

    Attributes:
        input: what was scored; a text only describes it, and is scored elsewhere.
        prompts: the question, as :class:`~clipiqa_pyiqa.CLIPIQA` takes it.
        expected: the score, or what scores come to.
        tolerance: how far off a right one may be.
        source: who published it, and how it was made.
        binding: whether a score that is off is the weights' fault; if not, it ``'differs'`` and decides nothing.
    """

    input: ImageFile | DoctestNoise | str
    prompts: str
    expected: float
    tolerance: float
    source: str
    binding: bool = True


# Four printed digits are right to 5e-5; ten times that leaves room for fp32 rounding on pixels 255 times too large.
_DOCTEST_TOLERANCE = 5e-4
GOLDENS = (
    Golden(ImageFile("I01.BMP"), "quality", 0.89160156, 0.01, PIQ),
    Golden(ImageFile("i01_01_5.bmp"), "quality", 0.45898438, 0.01, PIQ),
    Golden(DoctestNoise(0), "quality", 0.8894, _DOCTEST_TOLERANCE, TORCHMETRICS),
    Golden(DoctestNoise(1), "quality", 0.8902, _DOCTEST_TOLERANCE, TORCHMETRICS),
    Golden(DoctestNoise(0), "brightness", 0.5507, _DOCTEST_TOLERANCE, TORCHMETRICS_PR),
    Golden(DoctestNoise(1), "brightness", 0.5208, _DOCTEST_TOLERANCE, TORCHMETRICS_PR),
    Golden(DoctestNoise(0, 1), "quality", 0.8693, _DOCTEST_TOLERANCE, TORCHMETRICS_SECOND, binding=False),
    Golden(DoctestNoise(1, 1), "quality", 0.8705, _DOCTEST_TOLERANCE, TORCHMETRICS_SECOND, binding=False),
    Golden(DoctestNoise(0, 1), "brightness", 0.5722, _DOCTEST_TOLERANCE, TORCHMETRICS_SECOND, binding=False),
    Golden(DoctestNoise(1, 1), "brightness", 0.4762, _DOCTEST_TOLERANCE, TORCHMETRICS_SECOND, binding=False),
)
"""OpenAI's RN50, no positional embedding. Goldens of another metric are another such tuple."""


@dataclass(frozen=True)
class Check:
    """A golden score and what came instead; ``reason`` says why nothing did."""

    golden: Golden
    verdict: Verdict
    got: float | None = None
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Got minus expected."""
        return None if self.got is None else self.got - self.golden.expected


def check_scores(
    score: Callable[..., Tensor],
    goldens: Iterable[Golden] = GOLDENS,
    places: Sequence[Path] = (),
    binding: bool = True,
    device: str | torch.device = "cpu",
) -> Iterator[Check]:
    """Score the inputs of published scores and compare, one by one.

    Args:
        score: a :class:`~clipiqa_pyiqa.CLIPIQA`, or what is called like it: ``score(x, prompts=…)`` to ``(1, 1)``.
        goldens: the published scores.
        places: where to look for pictures: files and folders.
        binding: whether the goldens hold for these weights (:func:`are_openai_rn50`); if not, a score that is off
            ``'differs'``, and proves nothing.
        device: where to score.
    """
    for golden in goldens:
        assert not isinstance(golden.input, str)
        try:
            x = golden.input.load(places)
        except NotAtHand as missing:
            yield Check(golden, "not run", reason=str(missing))
            continue
        with torch.no_grad():
            got = score(x.to(device), prompts=golden.prompts).item()
        if abs(got - golden.expected) <= golden.tolerance:
            yield Check(golden, "ok", got)
        else:
            yield Check(golden, "FAIL" if binding and golden.binding else "differs", got)


@dataclass(frozen=True)
class Verification:
    """Published scores beside those of the weights at hand; ``binding`` is whether they hold for these weights."""

    checks: tuple[Check, ...]
    weights: Weights
    binding: bool

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, as by :func:`exit_code`."""
        return exit_code(self.checks)

    def __str__(self) -> str:
        source = f"from {self.weights.source}: {self.weights.path}"
        weights = f"weights: {self.weights.backbone}, {self.weights.short}, {source}"
        return "\n".join([weights, "", *markdown_lines(self.checks)])


def verify(
    metric: CLIPIQA | Callable[[], CLIPIQA], images: Sequence[Path] = (), *, device: str | torch.device = "cpu"
) -> Verification:
    """Score what others published scores of with the weights at hand, and compare.

    Args:
        metric: A :class:`~clipiqa_pyiqa.CLIPIQA`, or a function that makes one once the images are known to be there.
        images: Where to look for pictures: files, folders and globs; default the working directory.
        device: Where the metric is.

    Raises:
        ImageError: One of the places does not exist.
    """
    found: list[Path] = []
    for place in images:
        matched = [place] if place.exists() else list(map(Path, sorted(glob.glob(str(place), recursive=True))))
        if not matched:
            raise ImageError(f"--images {place} does not exist: name a file, a folder or a quoted glob.")
        found += matched
    images = found
    net: Any = metric if isinstance(metric, torch.nn.Module) else metric()
    binding = are_openai_rn50(net.clip.weights)

    def score(x: Tensor, prompts: str) -> Tensor:
        return net.score(net.encode_unchecked(x), prompts)  # torchmetrics' example has pixels from 0 to 255

    checks = check_scores(score, places=images or [Path.cwd()], binding=binding, device=device)
    return Verification(tuple(checks), net.clip.weights, binding)


def are_openai_rn50(weights: Weights) -> bool:
    """Whether these are OpenAI's RN50, for which the goldens were published: known by hash, or from its own hub."""
    return weights.backbone == "RN50" and weights.tag == OPENAI


def exit_code(checks: Iterable[Check]) -> int:
    """0 if all that ran is ok, 1 if any failed, 2 if nothing was shown: nothing ran, or with weights of no account.

    What is not binding decides nothing.
    """
    verdicts = {check.verdict for check in checks if check.golden.binding} - {"not run"}
    return 1 if "FAIL" in verdicts else 0 if verdicts == {"ok"} else 2


def markdown_lines(checks: Sequence[Check]) -> Iterator[str]:
    """Lines of a Markdown table, and the sources."""
    sources = list(dict.fromkeys(check.golden.source for check in checks))
    rows: list[tuple[str, ...]] = [HEADER]
    for check in checks:
        golden = check.golden
        got = "-" if check.got is None else f"{check.got:.4f}"
        difference = "-" if check.difference is None else f"{check.difference:+.4f}"
        verdict = f"{check.verdict}: {check.reason}" if check.reason else check.verdict
        rows.append(
            (
                str(golden.input), golden.prompts, f"{golden.expected:.4f}", got, difference, f"{golden.tolerance:g}",
                verdict, f"[{sources.index(golden.source) + 1}]",
            )
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
    yield ""
    for number, source in enumerate(sources, start=1):
        yield f"[{number}] {source}"


def _files(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            for folder, _, names in sorted(os.walk(place)):
                yield from (Path(folder, name) for name in sorted(names))
        else:
            yield place
