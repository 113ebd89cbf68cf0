"""The bench's table: what was measured, with its target beside it, on which machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ..errors import counted

HEADER = ("work", "ours", "the other", "ratio", "target", "met")
WIDTHS = (58, 19, 19, 7, 7, 3)


@dataclass(frozen=True)
class Target:
    """What a ratio should be: ``at_least`` times faster, or ``at_most`` that share of the other."""

    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio reaches the target."""
        if self.at_least is not None:
            return ratio >= self.at_least
        return self.at_most is not None and ratio <= self.at_most


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        work: what was measured, in words.
        ours, other: the two sides, each with its unit.
        ratio: how they compare; ``None`` if that could not be measured.
        target: what the ratio should be; ``None`` where none was set.
    """

    work: str
    ours: str
    other: str
    ratio: float | None = None
    target: Target | None = None

    def cells(self) -> tuple[str, ...]:
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        met = "-" if self.ratio is None or self.target is None else "yes" if self.target.is_met(self.ratio) else "no"
        return self.work, self.ours, self.other, ratio, str(self.target or "-"), met


def not_measured(work: str, reason: str) -> Line:
    """A line that says why there is no measurement."""
    return Line(f"{work}: not measured: {reason}", "-", "-")


def markdown_lines(lines: Iterable[Line]) -> Iterator[str]:
    """Lines of a Markdown table, one by one as the measurements come, so that an interrupted run keeps what it has."""
    yield _row(HEADER)
    yield _row(tuple("-" * width for width in WIDTHS))
    for line in lines:
        yield _row(line.cells())


def seconds(times: list[float]) -> str:
    """Least and median of the times: ``'0.070 / 0.072 s'``."""
    return f"{_three_digits(min(times))} / {_three_digits(statistics.median(times))} s"


def megabytes(count: int) -> str:
    """Bytes in millions, as memory is compared here."""
    return f"{count / 1e6:.0f} MB"


def machine(device: torch.device, threads: int, weights: str) -> dict[str, str]:
    """What the numbers depend on besides the code."""
    gpu = {"GPU": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("clipiqa-pyiqa", "torch", "pyiqa", "open_clip_torch"))
    return {
        "date": datetime.date.today().isoformat(),
        "CPU": f"{_cpu_name()}, {os.cpu_count()} cores{load}",
        **gpu,
        "device": f"{device}, {counted(threads, 'thread')}",
        "weights": weights,
        "versions": f"{versions}, Python {platform.python_version()}",
    }


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)) + " |"


def _three_digits(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or 'unknown CPU'} ({_capability()})"


def _capability() -> str:
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
