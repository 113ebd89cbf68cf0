"""``clipiqa compare``: metrics side by side on data sets."""

from dataclasses import dataclass
from typing import Literal

from ...errors import OptionError
from .options.groups import Comparing


@dataclass(frozen=True)
class CompareOptions:
    """Comparison.

    Args:
        data_root (DIR): folder of pyiqa's data sets; default: ./datasets
        plcc_fit: also compute PLCC (Pearson's correlation) and RMSE after a logistic fit
        fit_parameters: parameters of the fit, or VQEG's 5
        without_mini_photos: leave out mini's training photos
        bootstrap: resamples for the intervals; 0: no intervals
        seed: seed of resamples and random metrics
        within (COLUMN): also the mean correlation within the groups that this column names, such as scenes
    """

    data_root: str | None = None
    plcc_fit: bool = False
    fit_parameters: Literal[4, 5] = 4
    without_mini_photos: bool = False
    bootstrap: int = 1000
    seed: int = 0
    within: str = ""


def run(run: Comparing, options: CompareOptions, *, data: list[str] | None = None) -> int:
    """Compare metrics on data sets, with correlations, intervals and published values.

    A metric is pyiqa's NAME or NAME:KEY=VALUE,…. A data set is pyiqa's name, a CSV file of paths and scores, or a
    folder without scores. LABEL= before a metric or data set names it. A good metric has a positive correlation:
    scores are negated where low is good.

    examples:
      clipiqa compare -m clipiqa clipiqa+ niqe brisque musiq -d koniq10k-1024 livec --data-root DIR --out runs/1
      clipiqa compare -m clipiqa 'dslr=clipiqa:prompts=[quality, sharpness]' -d mine=scores.csv
      clipiqa compare --backbone mini --prompts quality sharpness -m piqe -d mine=scores.csv
      clipiqa compare -c table1 --data-root DIR --out runs/table1

    Args:
        data (-d DATA): data sets; see below
    """
    metrics = run.labelled(("file",))
    if not metrics or not data:
        missing = ("data set", "-d") if metrics else ("metric", "-m")
        raise OptionError("no {} is named: use {} or a --config file.".format(*missing))
    return run.report("compare", metrics=metrics, data_sets=data, **vars(options))
