"""How options are written on the command line: their flags, and the groups of a command's help."""

from cyclopts import Group

# The groups of a command's help, in their order; those of one command alone stand behind OPTIONS.
OPTIONS = Group("Options", sort_key=2)
QUESTIONS = Group("Questions", sort_key=4)
CLIP = Group("Which CLIP", sort_key=5)
COLUMNS = Group("Columns and rows", sort_key=6)
IMAGES = Group("Images", sort_key=7)
RAY = Group("Ray (--engine ray --out DIR: a folder of Parquet files)", sort_key=8)
MACHINE = Group("Machine", sort_key=9)
RARE = Group("Rarely used", sort_key=10)
ONLY_IN_HELP_ALL = [group.name for group in (QUESTIONS, CLIP, COLUMNS, IMAGES, RAY, MACHINE, RARE)]
"""Titles of the groups that the short help leaves out."""


def group_of_command(title: str) -> Group:
    """Return a group of options that one command has, or few."""
    return Group(title, sort_key=3)


def flag_name(name: str) -> str:
    """Return the flag of an option's name in Python, without its hyphens: ``apply_exif`` is ``exif``."""
    return name.removeprefix("apply_").removeprefix("score_").replace("_", "-")
