"""``clipiqa demo``: score bundled photos."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ...errors import OptionError
from ..options import Machine
from .options.console_tables import frame_as_text
from .options.groups import Settings
from .options.messages import note
from .options.running import start

EXPLANATION = """\
Scores are between 0 and 1; a high score is good.

The scores come from the small CLIP in the package (--backbone mini). This CLIP was trained on ImageNet, 4,023 photos
with human scores (BIQ2021) and photos degraded by known amounts. The paper's CLIP-IQA downloads its CLIP, RN50 (about
400 MB), once:  clipiqa score YOUR_PHOTOS   or, in Python,  pyiqa.create_metric('clipiqa')
"""
DEFAULT = "clipiqa-demo.png"  # a file of this name is replaced even without --overwrite


def run(
    *,
    out: Annotated[Path, Parameter(alias="-o", metavar="FILE")] = Path(DEFAULT),
    overwrite: bool = False,
    settings: Settings = Settings(),
) -> int:
    """Score bundled photos and degraded versions of them, without any download.

    examples:
      clipiqa demo
      clipiqa demo --out photos.png

    Args:
        out: picture to write, .png, .svg or .pdf
        overwrite: replace an existing picture
    """
    from ...files import check_output
    from ...text import one_line

    if out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OptionError(f"out must end with .png, .svg or .pdf; got {str(out)!r}.", options=("out",))
    check_output(out, overwrite=overwrite or out.name == DEFAULT)
    note(f"the picture will be {one_line(str(out.resolve()))} (another place: --out FILE)")
    start(Machine())
    from ..experiments.demonstration import demo

    demonstration = demo()
    scores = demonstration.scores.rename(columns={"noisiness": "noisiness (high = clean)"}).reset_index()
    print(f"{frame_as_text(scores)}\n\n{EXPLANATION}", end="")
    demonstration.save(out)
    print(f"\nPicture: {one_line(str(out.resolve()))}")
    return 0
