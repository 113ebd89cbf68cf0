"""Photos of a score table that mini was trained on."""

from ...text import log
from .learned_photos import seen_by_mini, seen_warning
from .score_table import ScoreTable


def photos_of_mini(table: ScoreTable, backbone: str) -> list[bool]:
    """Return of each image whether a metric with this backbone was trained on it, as only ``mini`` was."""
    if backbone != "mini":
        return [False] * len(table.frame)
    return seen_by_mini(table.frame["path"], table.hashes)


def without_photos_of_mini(table: ScoreTable, backbone: str) -> ScoreTable:
    """Return the table without the photos that a metric with this backbone was trained on."""
    return table.without(photos_of_mini(table, backbone))


def warn_of_mini_photos(table: ScoreTable, backbone: str, is_left_out: bool) -> None:
    """Log how many photos a metric with this backbone was trained on, if there are any."""
    count = sum(photos_of_mini(table, backbone))
    if count and is_left_out:
        log.warning(f"left out: {count:,} images that mini was trained on")
    elif count:
        log.warning(seen_warning(count, len(table.frame)))
