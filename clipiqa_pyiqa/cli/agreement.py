"""``clipiqa agreement``: the paper's user study."""

from __future__ import annotations

from .options.experiment import Run


def run(
    votes: str,
    run: Run,
    *,
    root: str | None = None,
    attribute: str | None = None,
    skip_missing: bool = False,
    seed: int = 0,
) -> int:
    """Test whether the metric chooses between two images as people do (paper's Fig. 7).

    VOTES is a CSV file with columns attribute,first,second,choice for a row per vote (choice: first, second, a file, or
    tie), or attribute,first,second,votes_first,votes_second for a row per pair. The table has the share of majorities
    and the share of votes that agree with the metric, with 95 % intervals; ceiling is the highest possible share of
    votes. --out DIR receives agreement.csv and agreement.png.

    examples:
      clipiqa agreement votes.csv --out agreement/
      clipiqa agreement votes.csv --root ava/images --attribute happy

    Args:
        votes (VOTES): a CSV file; see below
        root (DIR): folder of the images; default: the CSV file's
        attribute (PROMPT): the question, if the file has no column attribute
        skip_missing: leave out pairs with missing images
        seed: seed of the resampled pairs
    """
    from ..experiments.user_agreement import agreement

    return run.report(agreement, votes, root=root, attribute=attribute, skip_missing=skip_missing, seed=seed)
