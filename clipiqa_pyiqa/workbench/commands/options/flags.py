"""How options are written on the command line: their flags, the groups of a command's help, and bounds of numbers."""

from collections.abc import Callable
from typing import Any

from cyclopts import Parameter

# Titles of groups in a command's help. OPTIONS is the first, and the only one whose options several groups share.
OPTIONS = "Options"
QUESTIONS = "Questions"
CLIP = "Which CLIP"
IMAGES = "Images"
MACHINE = "Machine"
TABLES = "Tables, as printed and in --out"
COLUMNS = "Columns and rows"
RAY = "Ray (--engine ray --out DIR: a folder of Parquet files)"
RARE = "Rarely used"
ONLY_IN_HELP_ALL = (QUESTIONS, CLIP, IMAGES, MACHINE, TABLES, COLUMNS, RAY, RARE)

Check = Callable[[Any, Any], None]


def flag_name(name: str) -> str:
    """Return the flag of an option's name in Python, without its hyphens: ``apply_exif`` is ``exif``."""
    return name.removeprefix("apply_").removeprefix("score_").replace("_", "-")


def check_finite(_: Any, value: Any) -> None:
    """Raise ``ValueError`` for numbers that are not finite, or that only a slip can mean."""
    numbers = value if isinstance(value, list | tuple) else [value]
    for number in numbers:
        if isinstance(number, float) and not abs(number) <= 1e9:  # also refuses NaN
            raise ValueError(f"must be a number of at most ±1,000,000,000; got {number!r}")


def whole(least: int = 1, most: int = 1_000_000_000, **more: Any) -> Parameter:
    """Return what a command line shall know of an option that is a whole number between two bounds."""

    def check(_: Any, number: int | None) -> None:
        if number is not None and not least <= number <= most:
            raise ValueError(f"must be between {least:,} and {most:,}; got {number:,}")

    return Parameter(validator=check, **more)
