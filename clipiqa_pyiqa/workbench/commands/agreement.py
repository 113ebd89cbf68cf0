"""``clipiqa agreement``: the paper's user study."""

from .options.groups import Experiment


def run(votes: str, run: Experiment, *, root: str | None = None) -> int:
    """Test whether the metric chooses between two images as people do (paper's Fig. 7).

    VOTES is a CSV file with a row per vote and columns attribute,first,second,choice (a choice is 'first', 'second',
    one of the files, or 'tie'); or with a row per pair and columns attribute,first,second,votes_first,votes_second. The
    table has the shares of majorities and of votes that agree with the metric; ceiling is the highest possible share.

    examples:
      clipiqa agreement votes.csv --out agreement/

    Args:
        votes (VOTES): a CSV file; see below
        root (DIR): folder of the images; default: the CSV file's folder
    """
    return run.report("agreement", votes, root=root)
