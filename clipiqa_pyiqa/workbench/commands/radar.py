"""``clipiqa radar``: draw radar charts."""

from typing import Annotated

from cyclopts import Parameter

from .options.groups import Settings
from .options.reports import Experiment


def run(
    *paths: Annotated[str, Parameter(metavar="IMAGE", required=True)],
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Draw the look and feel of images on radar charts (paper's Fig. 1).

    Without --prompts, the two charts are look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and
    feel (aesthetic, happy, natural, new, scary, complex; mini knows none of these). With --prompts, one chart shows
    these prompts.

    examples:
      clipiqa radar a.jpg b.jpg --out radar/
      clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/

    Args:
        paths: images, up to 8
        experiment.metrics.questions.prompts: named pairs (see `clipiqa prompts`), presets, 'positive|negative', or
            'single:text'; default: the attributes of look and feel
    """
    return experiment.run_and_print("radar", list(paths))
