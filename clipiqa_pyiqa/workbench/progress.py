"""Progress of work, as callers may watch it."""

from collections.abc import Callable

Progress = Callable[..., object]
"""Function of the numbers of finished and of all units (None: unknown), which may have further arguments."""


def silent(*state: object) -> None:
    """Show no progress."""
