"""``clipiqa compare``: metrics side by side on data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ...errors import OptionError
from ..metrics.description import Takes
from .command_line import as_given
from .options.flags import group_of_command
from .options.groups import Settings
from .options.reports import Comparing


@Parameter(name="*", group=group_of_command("Comparison"))
@dataclass(frozen=True)
class CompareOptions:
    """Comparison.

    Args:
        data_root: folder of pyiqa's data sets; default: ./datasets
        plcc_fit: also compute PLCC (Pearson's correlation) and RMSE after a logistic fit
        fit_parameters: parameters of the fit: 4, or VQEG's 5
        without_mini_photos: leave out mini's training photos
        bootstrap: resamples for the intervals; 0: no intervals
        seed: seed of resamples and random metrics
        within: also the mean correlation within the groups that this column names, such as scenes
    """

    data_root: Annotated[str | None, Parameter(metavar="DIR")] = None
    plcc_fit: bool = False
    fit_parameters: Literal[4, 5] = 4
    without_mini_photos: bool = False
    bootstrap: int = 1000
    seed: int = 0
    within: Annotated[str, Parameter(metavar="COLUMN")] = ""


def run(
    *,
    data: Annotated[
        Sequence[str] | dict[str, Any], Parameter(alias="-d", metavar="DATA", converter=as_given, accepts_keys=False)
    ] = (),
    comparing: Comparing = Comparing(),
    options: CompareOptions = CompareOptions(),
    settings: Settings = Settings(),
) -> int:
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
        data: data sets: [LABEL=]NAME of pyiqa, a CSV file of paths and scores (with its images elsewhere:
            FILE.csv:root=DIR), or a folder
    """
    metrics = comparing.metrics.labelled((Takes.NAME,))
    if not metrics:
        raise OptionError("no metric is named: use -m or a --config file.")
    if not data:
        raise OptionError("no data set is named: use -d or a --config file.")
    from ..opinions.data_sets import check_data_sets, data_set_labels

    check_data_sets(data, options.data_root)
    if comparing.can_check_names:
        from ..compare.tables import HEADINGS

        comparing.tables.check_names([*(metric.label for metric in metrics), *data_set_labels(data), *HEADINGS])
    return comparing.run_and_print("compare", metrics=metrics, data_sets=data, **vars(options))
