"""Checks of the options that say whether results are stored, continued and replaced."""

from ...checks import check_truth
from ...errors import OptionError


def check_storage(out: object, resume: bool, overwrite: bool, drop_vanished: bool = False) -> None:
    """Raise OptionError for an option of stored results that would have no effect."""
    check_truth("resume", resume)
    check_truth("overwrite", overwrite)
    check_truth("drop_vanished", drop_vanished)
    if resume and out is None:
        raise OptionError("`resume` needs `out`, the results to continue.", options=("resume", "out"))
    if overwrite and out is None:
        raise OptionError("`overwrite` needs `out`, the results to replace.", options=("overwrite", "out"))
    if drop_vanished and not resume:
        raise OptionError(
            "drop_vanished needs `resume`: only rows of an earlier run can be left out.",
            options=("drop_vanished", "resume"),
        )
