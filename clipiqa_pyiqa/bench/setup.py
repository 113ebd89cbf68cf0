"""What a run of the bench has at hand: weights that both sides read, and the two sides themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..choices import Precision
from ..errors import WeightsError
from ..weights.checkpoint import open_checkpoint
from ..weights.selection import TO_TRY_OUT, Weights, find_weights
from .subject import Side, Subject, is_archive, random_weights, save_archive, why_no_builtin
from .timing import Effort


@dataclass
class Setup:
    """One run.

    Attributes:
        mine: our side, in fp32.
        theirs: pyiqa's side.
        weights: which weights, in words.
        note: what the reader must know about ``theirs``.
        precisions: in which our side is measured.
        effort: how often to repeat.
        threads: of torch.
        folder: for files that measuring needs.
    """

    mine: Subject
    theirs: Subject
    weights: str
    note: str
    precisions: Sequence[Precision]
    effort: Effort
    threads: int
    folder: Path
    _built: dict[Subject, nn.Module] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return torch.device(self.mine.device)

    def in_precision(self, precision: Precision) -> Subject:
        """Our side in another precision."""
        return replace(self.mine, precision=precision)

    def net(self, subject: Subject) -> nn.Module:
        """The network of a side, built once."""
        if subject not in self._built:
            self._built[subject] = subject.build()
        return self._built[subject]

    def images(self, count: int, height: int, width: int) -> Tensor:
        """Random images in [0, 1]: ``(count, 3, height, width)``; times do not depend on what they show."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(count, 3, height, width, generator=generator).to(self.device)

    def wait(self) -> None:
        """Return when the device has done all it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


@contextmanager
def set_up(
    clip_weights: str | None,
    seeded_weights: bool,
    device: torch.device,
    precisions: Sequence[Precision],
    effort: Effort,
    threads: int,
) -> Iterator[Setup]:
    """Find or make the weights, write them as the built-in reads them, and choose what stands for the built-in.

    Raises:
        WeightsError: if there are no weights.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="clipiqa-bench-") as name:
        folder = Path(name)
        if seeded_weights:
            path = archive = save_archive(random_weights(), folder / "RN50.pt")
            words, quick_gelu = "random, RN50", True
        else:
            found = _find(clip_weights)
            path, quick_gelu = found.path, found.quick_gelu
            archive = path if is_archive(path) else save_archive(open_checkpoint(path), folder / "RN50.pt")
            words = f"RN50, {found.short}"
        reason = why_no_builtin()
        side: Side = "towers" if reason else "built-in"
        note = "the other: pyiqa's built-in CLIPIQA, fp32, on the same weights"
        if reason:
            note = (
                "the other: pyiqa's own towers, fp32, on the same weights, asked as its built-in CLIPIQA asks them; "
                f"that class itself cannot be imported here ({reason})"
            )
        yield Setup(
            mine=Subject("ours", str(path), quick_gelu, device=str(device)),
            theirs=Subject(side, str(archive), device=str(device)),
            weights=words,
            note=note,
            precisions=precisions,
            effort=effort,
            threads=threads,
            folder=folder,
        )


def _find(clip_weights: str | None) -> Weights:
    try:
        return find_weights("RN50", clip_weights)
    except WeightsError as error:  # mini is no RN50
        instead = "pass --seeded-weights (seeded_weights=True), as times do not depend on values"
        raise WeightsError(str(error).replace(TO_TRY_OUT, instead)) from error
