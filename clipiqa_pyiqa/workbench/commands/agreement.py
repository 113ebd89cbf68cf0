"""``clipiqa agreement``: the paper's user study."""

import os
import shlex
from typing import Annotated

from cyclopts import Parameter

from ...checks import check_whole
from ...errors import OptionError
from .options.groups import Settings
from .options.messages import note
from .options.reports import Experiment


def run(
    *votes: Annotated[str, Parameter(metavar="VOTES", required=True)],
    count: Annotated[int | None, Parameter(name="--make-pairs", metavar="N")] = None,
    root: Annotated[str | None, Parameter(metavar="DIR")] = None,
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Test whether the metric chooses between two images as people do (paper's Fig. 7).

    VOTES are CSV files with a row per vote and columns attribute,first,second,choice (a choice is 'first', 'second',
    one of the files, or 'tie'); or with a row per pair and columns attribute,first,second,votes_first,votes_second. The
    table has the shares of majorities and of votes that agree with the metric; ceiling is the highest possible share.

    To get votes, pass photos in place of VOTES, and --make-pairs N. For each attribute, the photo with the highest
    score forms a pair with that of the lowest score, the second highest with the second lowest, and so on. People open
    pairs.html in the folder --out, choose, and send you their files.

    examples:
      clipiqa agreement --make-pairs 15 photos/ -p happy scary --out pairs/
      clipiqa agreement pairs/votes-*.csv --out agreement/
      clipiqa agreement -c fig7 votes.csv

    Args:
        votes: CSV files of votes, as the page of `clipiqa agreement --make-pairs` saves them
        count: make N pairs of photos for each attribute, and a page on which people choose
        root: folder of the images; default: the CSV file's folder
        experiment.metrics.questions.prompts: named pairs (see `clipiqa prompts`), presets, 'positive|negative', or
            'single:text'; default: those of the votes
    """
    if count is None:
        return experiment.run_and_print("agreement", list(votes), root=root)
    check_whole("count", count, 1, 500)
    out = experiment.output.out
    if root is not None:
        raise OptionError("root belongs to votes, and count to photos.", options=("root", "count"))
    if out is None:
        raise OptionError("count needs a folder for the page: add out DIR.", options=("count", "out"))
    code = experiment.run_and_print("make_pairs", list(votes), count=count)
    page = out / "pairs.html"
    files = f"{shlex.quote(os.fspath(out))}/votes-*.csv"
    note(f"send {page} to people, and put their files beside it; then: clipiqa agreement {files}")
    return code
