"""``clipiqa radar``: draw radar charts."""

from __future__ import annotations

from ..errors import OptionError
from .options.groups import AskingRun


def run(paths: list[str], run: AskingRun, *, look: bool = False, feel: bool = False) -> int:
    """Draw the look and feel of images on radar charts (paper's Fig. 1).

    Without --prompts, the two charts are look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and
    feel (aesthetic, happy, natural, new, scary, complex). A question is left out if the CLIP does not know its words;
    mini knows no question of feel. With --prompts, one chart shows these prompts. --out DIR receives radar.png.

    examples:
      clipiqa radar a.jpg b.jpg --out radar/
      clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/

    Args:
        paths (IMAGE): images, up to 8
        look: draw only the look
        feel: draw only the feel
    """
    from ..experiments.radar_chart import radar

    if bool(run.prompts) + look + feel > 1:
        raise OptionError("`look`, `feel` and `prompts` each name the questions: give one of the three.")
    return run.report(radar, paths, run.parsed(None), kind="look" if look else "feel" if feel else None)
