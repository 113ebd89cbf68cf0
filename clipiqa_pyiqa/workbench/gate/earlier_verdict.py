"""The files of an earlier verdict, which must not outlast the start of another gate."""

from pathlib import Path

from ...files import as_output_error
from ..files.locking import locked
from .gate_report import PAGE, SCORES, WRITTEN


def remove_earlier_verdict(out: Path | None, page: Path | None) -> None:
    """Remove the files of an earlier gate that this one may replace, and leave its scores.

    If this gate ends with an error, nothing says what an earlier one found. Raises ``LockedError``, and removes
    nothing, if another gate writes to ``out``.

    Args:
        out, page: The folders, which were checked; None: not asked for.
    """
    if out is not None and out.is_dir():
        for name in SCORES.values():
            with locked(out / name):
                pass
        with locked(out):
            _remove([out / name for name in WRITTEN])
    if page is not None:
        _remove([page / PAGE])


def _remove(files: list[Path]) -> None:
    for file in files:
        with as_output_error(file):
            file.unlink(missing_ok=True)
