"""``clipiqa radar``: draw radar charts."""

from __future__ import annotations

from ..errors import OptionError
from .options.experiment import AskingRun


def run(paths: list[str], run: AskingRun, *, look: bool = False, feel: bool = False) -> int:
    """The look and feel of images on radar charts (the paper's Fig. 1).

    Draws two charts: look (quality, brightness, sharpness, noisiness, colorfulness, contrast) and feel (aesthetic,
    happy, natural, new, scary, complex), without questions whose words the CLIP does not know (mini: the whole feel);
    or one chart of --prompts. --out DIR receives radar.png, radar.svg and radar.html, a page; --out NAME.png (.svg,
    .pdf, .html) receives one chart.

    examples:
      clipiqa radar a.jpg b.jpg --out radar/
      clipiqa radar a.jpg --look --out a.svg
      clipiqa radar a.jpg b.jpg --prompts happy warm relaxing lonely --out radar/

    Args:
        paths (IMAGE): images, up to 8
        look: only the look
        feel: only the feel
    """
    from ..experiments.radar_chart import radar

    if bool(run.prompts) + look + feel > 1:
        raise OptionError("look, feel and prompts name the questions: give one of them.")
    return run.report(radar, paths, run.parsed(None), kind="look" if look else "feel" if feel else None)
