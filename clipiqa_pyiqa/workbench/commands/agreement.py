"""``clipiqa agreement``: the paper's user study."""

from typing import Annotated

from cyclopts import Parameter

from .options.groups import Settings
from .options.reports import Experiment


def run(
    votes: Annotated[str, Parameter(metavar="VOTES")],
    /,
    *,
    root: Annotated[str | None, Parameter(metavar="DIR")] = None,
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Test whether the metric chooses between two images as people do (paper's Fig. 7).

    VOTES is a CSV file with a row per vote and columns attribute,first,second,choice (a choice is 'first', 'second',
    one of the files, or 'tie'); or with a row per pair and columns attribute,first,second,votes_first,votes_second. The
    table has the shares of majorities and of votes that agree with the metric; ceiling is the highest possible share.

    examples:
      clipiqa agreement votes.csv --out agreement/
      clipiqa agreement -c fig7 votes.csv

    Args:
        votes: a CSV file; see above
        root: folder of the images; default: the CSV file's folder
    """
    return experiment.report("agreement", votes, root=root)
