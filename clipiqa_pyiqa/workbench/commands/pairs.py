"""``clipiqa pairs``: compare two versions of each image."""

from typing import Annotated

from cyclopts import Parameter

from .options.groups import Settings
from .options.reports import Experiment


def run(
    low: Annotated[str, Parameter(metavar="LOW")],
    high: Annotated[str, Parameter(metavar="HIGH")],
    /,
    *,
    skip_missing: bool = False,
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Test whether the better of two versions of an image scores higher (paper's Fig. 5).

    Two images form a pair if their paths in the folders are equal without suffix, or if the wildcards of quoted
    patterns match the same text. The table has the share of pairs in the right order and the mean difference (high
    minus low), with 95 % intervals.

    examples:
      clipiqa pairs LOL/eval15/low LOL/eval15/high --prompts brightness --out lol/
      clipiqa pairs -c fig5_lol LOL/eval15/low LOL/eval15/high

    Args:
        low: folder or quoted pattern of the low-quality images
        high: folder or quoted pattern of the high-quality images
        skip_missing: leave out images without a partner
    """
    return experiment.run_and_print("pairs", low, high, skip_missing=skip_missing)
