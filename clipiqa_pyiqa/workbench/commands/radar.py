"""``clipiqa radar``: draw radar charts."""

from .options.groups import Experiment


def run(paths: list[str], run: Experiment) -> int:
    """Draw the look and feel of images on radar charts (paper's Fig. 1).

    Without --prompts, the two charts are look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and
    feel (aesthetic, happy, natural, new, scary, complex; mini knows none of these). With --prompts, one chart shows
    these prompts.

    examples:
      clipiqa radar a.jpg b.jpg --out radar/
      clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/

    Args:
        paths (IMAGE): images, up to 8
    """
    return run.report("radar", paths)
