"""The error of result files, and what it says of a run that was interrupted."""

from pathlib import Path

from ...errors import OutputError


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""


def unfinished(path: Path) -> str:
    """Return what an error says of a file whose run was interrupted; its option is ``resume``."""
    return f"{str(path)!r} is not finished, because its run was interrupted: pass `resume` to continue"
