"""Groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ...options import Batches, Machine, Reading, Sizes
from ...results.storage_options import check_storage
from .flags import IMAGES, MACHINE, OPTIONS, RARE

# options of public functions, too, in classes that do not know the command line
Parameter(name="*", group=MACHINE)(Machine)
Parameter(name="*", group=MACHINE)(Batches)
Parameter(name="*", group=IMAGES)(Sizes)
Parameter(name="*", group=IMAGES, negative_bool="no-")(Reading)
Quiet = Annotated[bool, Parameter(alias="-q", group=RARE)]
OutFile = Annotated[Path | None, Parameter(alias="-o", metavar="FILE", group=OPTIONS)]
OutFolder = Annotated[Path | None, Parameter(alias="-o", metavar="DIR", group=OPTIONS)]


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class Settings:
    """Options in files.

    Args:
        config: a YAML file of options (such as max_side: 512), or a shipped file by name (fig1); the command line wins
    """

    config: Annotated[Sequence[str], Parameter(alias="-c", metavar="FILE", consume_multiple=False)] = ()


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class Strictness:
    """Metrics that cannot be built.

    Args:
        strict: stop before the first image if a metric cannot be built; default: score by the others
    """

    strict: bool = False


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class OutputOptions:
    """Results.

    Args:
        out: folder for results; default: only print them
        resume: keep the scores in --out, and compute those that are missing
        overwrite: replace what is in --out
        quiet: show no progress bar and no summary
    """

    out: OutFolder = None
    resume: bool = False
    overwrite: bool = False
    quiet: Quiet = False

    def storage(self) -> dict[str, Any]:
        check_storage(self.out, self.resume, self.overwrite)
        return {"out": self.out, "resume": self.resume, "overwrite": self.overwrite}


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class ScoreFile(OutputOptions):
    """Results.

    Args:
        out: file of scores (csv, jsonl, parquet), or folder for --engine ray; default: only print a table
        resume: keep the scores in --out, and compute those that are missing
        overwrite: replace what is in --out
        quiet: show no progress bar and no summary
    """

    out: OutFile = None


@Parameter(name="*")
@dataclass(frozen=True)
class Scoring:
    """How images are read, and scored in batches."""

    reading: Reading = Reading()
    batches: Batches = Batches()

    def keywords(self) -> dict[str, Any]:
        """Return the options as functions take them, without ``device``."""
        return {**vars(self.reading), **batch_keywords(self.batches)}


def batch_keywords(batches: Batches) -> dict[str, int | None]:
    """Return those options of batches that functions take one by one; the others hold for the whole process."""
    return {"batch_size": batches.batch_size, "workers": batches.workers, "processes": batches.processes}


def stated(options: Any) -> dict[str, Any]:
    """Return those options of a group that are not None."""
    return {name: value for name, value in vars(options).items() if value is not None}
