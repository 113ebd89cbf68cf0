"""How options are written on the command line: their flags, and the groups of a command's help."""

from typing import Any

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


def flag_name(name: str) -> str:
    """Return the flag of an option's name in Python, without its hyphens: ``apply_exif`` is ``exif``."""
    return name.removeprefix("apply_").removeprefix("score_").replace("_", "-")


def check_finite(_: Any, value: Any) -> None:
    """Raise ``ValueError`` for numbers that are not finite, or that only a slip can mean."""
    numbers = value if isinstance(value, list | tuple) else [value]
    for number in numbers:
        if isinstance(number, float) and not abs(number) <= 1e9:  # also refuses NaN
            raise ValueError(f"must be a number of at most ±1,000,000,000; got {number!r}")
